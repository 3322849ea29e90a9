//! Taking in an event that was made elsewhere, or beside the end of the room:
//! <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, RoomId, UserId,
    canonical_json::redact_in_place,
    events::TimelineEventType,
    signatures::{PublicKeyMap, Verified, reference_hash, verify_event},
    state_res::check_pdu_format,
};

use super::{
    Event, EventFlags, EventMeta, Membership, RoomError, Rooms, Root, Sent,
    actor::Command,
    authorize,
    core::{Batch, Core},
};
use crate::store::NewEvent;

/// An event from elsewhere, and the keys that its signatures are checked with.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) pdu: CanonicalJsonObject,
    pub(super) keys: PublicKeyMap,
}

impl Rooms {
    /// Takes in an event that was made elsewhere, or that follows another than the end of the room. This server's own key need not
    /// be among `keys`.
    ///
    /// An event that its place in the room forbids is kept and marked; see [`EventFlags`].
    ///
    /// # Errors
    /// [`RoomError::BadJson`] where it is no event, [`RoomError::Forbidden`] where a signature is wrong: nothing is kept of
    /// either. [`RoomError::MissingEvents`] where it refers to events that are not here.
    pub async fn receive(
        &self,
        room_id: &RoomId,
        pdu: CanonicalJsonObject,
        mut keys: PublicKeyMap,
    ) -> Result<Sent, RoomError> {
        let own = BTreeMap::from([(self.context.key.id(), self.context.key.public())]);
        keys.insert(self.server_name().to_string(), own);
        self.tasks.ask(room_id, Command::Receive(Box::new(Foreign { pdu, keys }))).await
    }
}

/// An event whose form and signatures are right.
struct Checked {
    pdu: CanonicalJsonObject,
    event_id: OwnedEventId,
}

impl Core {
    /// Takes in an event: checks its form, its signatures and its authorization, and resolves the state where the room forks.
    pub(super) async fn receive(&mut self, foreign: Foreign, batch: &mut Batch) -> Result<Arc<Event>, RoomError> {
        let Checked { pdu, event_id } = self.verify(foreign)?;
        if let Some(known) = self.event_by_id(&event_id).await?.filter(|known| !known.flags.outlier) {
            return Ok(known);
        }
        let json = serde_json::to_string(&pdu).map_err(|error| RoomError::BadJson(error.to_string()))?;
        let mut event = Event::from_json(json.into_boxed_str(), self.meta(event_id))
            .map_err(|error| RoomError::BadJson(error.to_string()))?;
        if event.room_id != self.room.room_id || event.kind == TimelineEventType::RoomCreate {
            return Err(RoomError::BadJson("the event is not of this room".into()));
        }
        let prev = self.all_known(&event.prev_events).await?;
        let auth = self.all_known(&event.auth_events).await?;
        let mut roots = Vec::with_capacity(prev.len());
        for event in &prev {
            roots.push(self.state_after(event, batch).await?);
        }
        event.state_before = self.resolve(roots, batch).await?;
        event.key = event
            .state_key
            .as_deref()
            .map(|state_key| self.keys.find(&event.kind.to_string(), state_key).unwrap_or_else(|| self.keys.next()));
        if let Some(key) = event.key {
            event.replaces = self.entry(event.state_before, key).await?;
        }
        event.flags = self.judge(&event, &auth).await?;
        self.enter(Arc::new(event), batch).await
    }

    fn verify(&self, Foreign { mut pdu, keys }: Foreign) -> Result<Checked, RoomError> {
        let rules = &self.room.rules;
        check_pdu_format(&pdu, &rules.event_format).map_err(RoomError::BadJson)?;
        if verify_event(&keys, &pdu, rules).map_err(|error| RoomError::Forbidden(error.to_string()))?
            == Verified::Signatures
        {
            // Signed, but the content is not what was signed: only what every redaction leaves can be trusted.
            redact_in_place(&mut pdu, &rules.redaction, None).map_err(|error| RoomError::BadJson(error.to_string()))?;
        }
        let hash = reference_hash(&pdu, rules).map_err(|error| RoomError::BadJson(error.to_string()))?;
        let event_id = EventId::new_v2_or_v3(&hash).map_err(|error| RoomError::BadJson(error.to_string()))?;
        // What others say beside the event is not part of it.
        pdu.remove("unsigned");
        Ok(Checked { pdu, event_id })
    }

    fn meta(&self, event_id: OwnedEventId) -> EventMeta {
        EventMeta {
            nid: self.context.store.next_event_nid(),
            event_id,
            room: self.room.nid,
            room_id: self.room.room_id.clone(),
            flags: EventFlags::default(),
            state_before: Root::EMPTY,
            key: None,
            replaces: None,
            txn: None,
            position: None,
            redacted_by: None,
        }
    }

    async fn all_known(&self, ids: &[OwnedEventId]) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            match self.event_by_id(id).await? {
                Some(event) if !event.flags.outlier => found.push(event),
                _ => missing.push(id.clone()),
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(RoomError::MissingEvents(missing)) }
    }

    /// The state after an event.
    pub(super) async fn state_after(&mut self, event: &Event, batch: &mut Batch) -> Result<Root, RoomError> {
        match event.key {
            Some(key) if !event.flags.rejected => {
                self.with_entry(event.state_before, key, Some(event.nid), batch).await
            }
            _ => Ok(event.state_before),
        }
    }

    /// The three checks: against the auth events, against the state before, against the current state.
    async fn judge(&mut self, event: &Event, auth: &[Arc<Event>]) -> Result<EventFlags, RoomError> {
        let rules = self.room.rules.authorization.clone();
        let create = self.create.clone();
        let keys = authorize::auth_keys(&event.kind, &event.sender, event.state_key.as_deref(), &event.content, &rules);
        let Ok(keys) = keys else { return Ok(EventFlags { rejected: true, ..EventFlags::default() }) };
        let mut before = Vec::with_capacity(keys.len());
        let mut current = Vec::with_capacity(keys.len());
        for (kind, state_key) in keys {
            if let Some(index) = self.keys.find(&kind.to_string(), &state_key)
                && let Some(nid) = self.entry(event.state_before, index).await?
            {
                before.push(self.event_by_nid(nid).await?);
            }
            current.extend(self.state_event(&kind, &state_key).await?);
        }
        let rejected = authorize::check_itself(&rules, event, auth, create.as_ref())
            .and_then(|()| authorize::check_against(&rules, event, auth, create.as_ref()))
            .and_then(|()| authorize::check_against(&rules, event, &before, create.as_ref()));
        if let Err(why) = &rejected {
            tracing::info!(event.id = %event.event_id, why, "rejected");
            return Ok(EventFlags { rejected: true, ..EventFlags::default() });
        }
        let soft_failed = authorize::check_against(&rules, event, &current, create.as_ref());
        if let Err(why) = &soft_failed {
            tracing::info!(event.id = %event.event_id, why, "soft-failed");
        }
        Ok(EventFlags { soft_failed: soft_failed.is_err(), ..EventFlags::default() })
    }

    /// Puts a judged event into the room.
    async fn enter(&mut self, event: Arc<Event>, batch: &mut Batch) -> Result<Arc<Event>, RoomError> {
        let mut resolved = None;
        let mut redacted = None;
        if event.flags.in_timeline() {
            let mut heads: Vec<Arc<Event>> = self.heads.clone();
            heads.retain(|head| !event.prev_events.contains(&head.event_id));
            heads.push(event.clone());
            self.keep(&event, batch);
            let after = self.state_after(&event, batch).await?;
            let mut roots = Vec::with_capacity(heads.len());
            for head in &heads {
                roots.push(self.state_after(head, batch).await?);
            }
            let current = self.resolve(roots, batch).await?;
            resolved = (current != after).then_some(current);
            self.became(current, batch).await?;
            self.heads = heads;
            redacted = self.redacted_from_elsewhere(&event).await?;
        } else {
            self.keep(&event, batch);
        }
        batch.redact(redacted, event.nid);
        batch.events.push(NewEvent { event: event.clone(), place: None, resolved });
        Ok(event)
    }

    /// The current state is another now: what differs is told to those who keep memberships.
    async fn became(&mut self, root: Root, batch: &mut Batch) -> Result<(), RoomError> {
        for change in self.difference(self.root, root).await? {
            let event = match (change.new, change.old) {
                (Some(nid), _) | (None, Some(nid)) => self.event_by_nid(nid).await?,
                (None, None) => continue,
            };
            let user = event.state_key.as_deref().and_then(|state_key| UserId::parse(state_key).ok());
            if let (Some(membership), Some(user)) = (event.membership(), user) {
                // A member that the state does not know any more is out.
                let membership = if change.new.is_some() { membership } else { Membership::Leave };
                self.member_became(user, membership, &event, batch);
            }
        }
        self.root = root;
        self.forget_state_at_hand();
        Ok(())
    }

    /// What a redaction from elsewhere takes away: events of its sender's server, or any for one with the power
    /// (<https://spec.matrix.org/v1.19/rooms/v12/#handling-redactions>).
    async fn redacted_from_elsewhere(&mut self, event: &Event) -> Result<Option<Arc<Event>>, RoomError> {
        let (TimelineEventType::RoomRedaction, Some(target)) = (&event.kind, &event.redacts) else { return Ok(None) };
        let Some(target) = self.event_by_id(target).await? else { return Ok(None) };
        if target.sender.server_name() == event.sender.server_name() {
            return Ok(Some(target));
        }
        match self.may_redact(event).await {
            Ok(target) => Ok(target),
            Err(RoomError::Forbidden(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
