//! What a room's task knows of its room, and how it adds an event.
//!
//! All of this is ahead of the database: an event is built on the one before while that one is still being committed. When a
//! commit fails, the core is thrown away and read again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ruma::{
    OwnedEventId,
    events::{StateEventType, TimelineEventType},
    state_res::events::RoomPowerLevelsIntField,
};

use super::{
    Context, Event, EventFlags, EventMeta, EventNid, KeyIndex, Membership, RoomError, Root, authorize,
    build::{self, Draft, MAX_PREV_EVENTS, Place},
    fresh::Fresh,
    key_index::KeyTable,
};
use crate::{
    store::{CurrentState, MembershipRow, NewEvent, NewStates, RoomInfo, RoomWrite, TxnKey, names::EventName},
    stream::Position,
};

/// How many state events a room's task keeps at hand.
const STATE_AT_HAND: usize = 512;
/// How many transaction ids a room's task remembers.
const TXNS_AT_HAND: usize = 1024;

/// A room, as far as its task has come.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) context: Arc<Context>,
    pub(super) room: Arc<RoomInfo>,
    pub(super) keys: KeyTable,
    /// The state after all forward extremities.
    pub(super) root: Root,
    /// The forward extremities.
    pub(super) heads: Vec<Arc<Event>>,
    pub(super) create: Option<Arc<Event>>,
    state: HashMap<KeyIndex, Arc<Event>>,
    pub(super) fresh: Fresh,
    number: u64,
    txns: HashMap<TxnKey, EventNid>,
    txn_order: VecDeque<TxnKey>,
}

/// What one command adds, until it is queued.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) creates: bool,
    keys: Vec<(KeyIndex, String, String)>,
    pub(super) states: NewStates,
    pub(super) events: Vec<NewEvent>,
    memberships: Vec<MembershipRow>,
    redactions: Vec<(Arc<Event>, EventNid)>,
    pub(super) txn: Option<TxnKey>,
    pub(super) aliases: Vec<(ruma::OwnedRoomAliasId, ruma::OwnedUserId)>,
    pub(super) publish: bool,
    pub(super) names: Vec<EventName>,
    pub(super) history: Option<Position>,
}

impl Batch {
    /// Notes what an event redacts.
    pub(super) fn redact(&mut self, target: Option<Arc<Event>>, by: EventNid) {
        self.redactions.extend(target.map(|target| (target, by)));
    }
}

impl Core {
    /// A room that is being made: nothing is in it yet.
    pub(super) fn new(context: Arc<Context>, room: Arc<RoomInfo>) -> Self {
        let number = context.store.last_write(room.nid);
        Self {
            context,
            room,
            keys: KeyTable::default(),
            root: Root::EMPTY,
            heads: Vec::new(),
            create: None,
            state: HashMap::new(),
            fresh: Fresh::default(),
            number,
            txns: HashMap::new(),
            txn_order: VecDeque::new(),
        }
    }

    /// A room as it was last committed.
    pub(super) async fn load(context: Arc<Context>, room: Arc<RoomInfo>) -> Result<Self, RoomError> {
        let mut core = Self::new(context, room);
        let current = core.room.current();
        core.keys = KeyTable::from_stored(core.context.store.room_keys(core.room.nid).await?);
        core.root = current.root;
        core.heads = core.context.store.events(&current.extremities).await?;
        core.create = core.state_event(&StateEventType::RoomCreate, "").await?;
        if core.create.is_none() {
            return Err(RoomError::Internal("a room without a create event".into()));
        }
        Ok(core)
    }

    /// Where an earlier repetition of a request led.
    pub(super) async fn known_txn(&self, key: Option<&TxnKey>) -> Result<Option<Arc<Event>>, RoomError> {
        match key.and_then(|key| self.txns.get(key)) {
            Some(nid) => self.event_by_nid(*nid).await.map(Some),
            None => Ok(None),
        }
    }

    /// One event of the current state.
    pub(super) async fn state_event(
        &mut self,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(index) = self.keys.find(&kind.to_string(), state_key) else { return Ok(None) };
        if let Some(event) = self.state.get(&index) {
            return Ok(Some(event.clone()));
        }
        let Some(nid) = self.entry(self.root, index).await? else { return Ok(None) };
        let event = self.event_by_nid(nid).await?;
        self.keep_at_hand(index, event.clone());
        Ok(Some(event))
    }

    pub(super) async fn event_by_nid(&self, nid: EventNid) -> Result<Arc<Event>, RoomError> {
        match self.fresh.event(nid) {
            Some(event) => Ok(event),
            None => Ok(self.context.store.event_by_nid(nid).await?),
        }
    }

    /// An event of this room by its id, however it stands.
    pub(super) async fn event_by_id(&self, id: &ruma::EventId) -> Result<Option<Arc<Event>>, RoomError> {
        if let Some(event) = self.fresh.event_by_id(id) {
            return Ok(Some(event));
        }
        Ok(self.context.store.event(id).await?.filter(|event| event.room == self.room.nid))
    }

    fn keep_at_hand(&mut self, index: KeyIndex, event: Arc<Event>) {
        if self.state.len() >= STATE_AT_HAND {
            self.state.clear();
        }
        self.state.insert(index, event);
    }

    /// The state events that decide about a draft.
    async fn auth_events(&mut self, draft: &Draft) -> Result<Vec<Arc<Event>>, RoomError> {
        let rules = self.room.rules.authorization.clone();
        let keys = authorize::auth_keys(&draft.kind, &draft.sender, draft.state_key.as_deref(), &draft.raw, &rules)
            .map_err(RoomError::BadJson)?;
        let mut found = Vec::with_capacity(keys.len());
        for (kind, state_key) in keys {
            found.extend(self.state_event(&kind, &state_key).await?);
        }
        Ok(found)
    }

    /// Adds an event to the end of the room, or returns the state event that stands where it would change nothing.
    ///
    /// Where this fails, nothing has changed.
    pub(super) async fn append(&mut self, draft: Draft, batch: &mut Batch) -> Result<Arc<Event>, RoomError> {
        let stands = match &draft.state_key {
            Some(state_key) => self.state_event(&StateEventType::from(draft.kind.to_string()), state_key).await?,
            None => None,
        };
        if let Some(stands) = &stands
            && stands.sender == draft.sender
            && stands.content.get() == draft.raw.get()
            && stands.redacted_by().is_none()
        {
            return Ok(stands.clone());
        }
        let auth = self.auth_events(&draft).await?;
        let built = self.build(draft, &auth, self.heads.get(..MAX_PREV_EVENTS).unwrap_or(&self.heads))?;
        let event = self.place(built, self.root, stands.map(|event| event.nid));
        let rules = &self.room.rules.authorization;
        authorize::check_itself(rules, &event, &auth, self.create.as_ref()).map_err(RoomError::Forbidden)?;
        authorize::check_against(rules, &event, &auth, self.create.as_ref()).map_err(RoomError::Forbidden)?;
        let redacted = self.may_redact(&event).await?;
        let event = Arc::new(event);
        let root = match event.key {
            Some(key) => self.with_entry(self.root, key, Some(event.nid), batch).await?,
            None => self.root,
        };
        self.heads.drain(..self.heads.len().min(MAX_PREV_EVENTS));
        self.heads.push(event.clone());
        self.root = root;
        self.took(&event, batch);
        batch.redact(redacted, event.nid);
        batch.events.push(NewEvent { event: event.clone(), place: None, resolved: None });
        Ok(event)
    }

    /// Makes an event that follows others real.
    pub(super) fn build(
        &self,
        draft: Draft,
        auth: &[Arc<Event>],
        prev: &[Arc<Event>],
    ) -> Result<build::Built, RoomError> {
        let is_create = draft.kind == TimelineEventType::RoomCreate;
        let rules = &self.room.rules;
        let mut auth: Vec<OwnedEventId> = auth.iter().map(|event| event.event_id.clone()).collect();
        if !rules.authorization.room_create_event_id_as_room_id
            && !is_create
            && let Some(create) = &self.create
        {
            auth.insert(0, create.event_id.clone());
        }
        let place = Place {
            room_id: (!is_create || rules.event_format.require_room_create_room_id).then_some(&*self.room.room_id),
            depth: prev.iter().map(|head| head.depth).max().unwrap_or(0).saturating_add(1),
            prev: prev.iter().map(|head| head.event_id.clone()).collect(),
            auth,
        };
        build::build(&self.context, rules, draft, place)
    }

    /// Gives an event its numbers. `replaces` is the state event that it takes the place of.
    pub(super) fn place(&self, built: build::Built, state_before: Root, replaces: Option<EventNid>) -> Event {
        let parsed = built.parsed;
        let key = parsed
            .state_key
            .as_deref()
            .map(|state_key| self.keys.find(&parsed.kind.to_string(), state_key).unwrap_or_else(|| self.keys.next()));
        let meta = EventMeta {
            nid: self.context.store.next_event_nid(),
            event_id: built.event_id,
            room: self.room.nid,
            room_id: built.room_id,
            flags: EventFlags { quiet: built.quiet, ..EventFlags::default() },
            state_before,
            key,
            replaces,
            txn: built.txn,
            position: None,
            redacted_by: None,
        };
        Event::from_parsed(built.json, parsed, meta)
    }

    /// Keeps an event until it is committed, and adds its pair to the index.
    pub(super) fn keep(&mut self, event: &Arc<Event>, batch: &mut Batch) {
        self.fresh.add_event(event);
        self.key_used(event, batch);
    }

    /// An event that is not committed yet, by its id.
    pub(super) fn fresh_event(&self, id: &ruma::EventId) -> Option<Arc<Event>> {
        self.fresh.event_by_id(id)
    }

    /// What follows in memory from an event that became the end of the room.
    fn took(&mut self, event: &Arc<Event>, batch: &mut Batch) {
        self.keep(event, batch);
        let Some(state_key) = &event.state_key else { return };
        if event.kind == TimelineEventType::RoomCreate {
            self.create = Some(event.clone());
        }
        if let Some(key) = event.key {
            self.keep_at_hand(key, event.clone());
        }
        if let Some(membership) = event.membership()
            && let Ok(user) = ruma::UserId::parse(state_key.as_str())
        {
            self.member_became(user, membership, event, batch);
        }
    }

    pub(super) fn member_became(
        &mut self,
        user: ruma::OwnedUserId,
        membership: Membership,
        event: &Event,
        batch: &mut Batch,
    ) {
        batch.memberships.push(MembershipRow { user, membership, sender: event.sender.clone(), event: event.nid });
    }

    /// Adds the event's pair to the index, where it is new.
    fn key_used(&mut self, event: &Event, batch: &mut Batch) {
        let Some(state_key) = &event.state_key else { return };
        let kind = event.kind.to_string();
        if self.keys.find(&kind, state_key).is_none() {
            let index = self.keys.add(&kind, state_key);
            batch.keys.push((index, kind, state_key.clone()));
        }
    }

    /// The event that a redaction takes the content of: its sender's own, or any for one with the power.
    pub(super) async fn may_redact(&mut self, redaction: &Event) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(target) = &redaction.redacts else { return Ok(None) };
        if redaction.kind != TimelineEventType::RoomRedaction {
            return Ok(None);
        }
        let Some(target) = self.event_by_id(target).await? else { return Ok(None) };
        if target.sender != redaction.sender {
            let power_levels = self.state_event(&StateEventType::RoomPowerLevels, "").await?;
            let create = self.create.as_ref().ok_or(RoomError::NotFound("There is no such room"))?;
            let rules = &self.room.rules.authorization;
            let field = RoomPowerLevelsIntField::Redact;
            if !authorize::has_power(rules, &redaction.sender, field, power_levels.as_ref(), create)
                .map_err(RoomError::Forbidden)?
            {
                return Err(RoomError::Forbidden("You may not redact the events of others".into()));
            }
        }
        Ok(Some(target))
    }

    /// The current state was replaced as a whole.
    pub(super) fn forget_state_at_hand(&mut self) {
        self.state.clear();
    }

    /// Turns what was gathered into a write, and gives it its number.
    pub(super) fn finish(&mut self, batch: Batch) -> RoomWrite {
        let after = self.number;
        self.number += 1;
        let txn = batch.txn.and_then(|key| batch.events.last().map(|new| (key, new.event.nid)));
        if let Some((key, nid)) = txn {
            self.remember_txn(key, nid);
        }
        RoomWrite {
            room: self.room.clone(),
            number: self.number,
            after,
            creates: batch.creates,
            keys: batch.keys,
            states: batch.states,
            events: batch.events,
            memberships: batch.memberships,
            redactions: batch.redactions,
            txn,
            names: batch.names,
            history: batch.history,
            aliases: batch.aliases,
            publish: batch.publish,
            current: CurrentState { root: self.root, extremities: self.heads.iter().map(|head| head.nid).collect() },
        }
    }

    /// Write `number` and all before it are durable.
    pub(super) fn committed(&mut self, number: u64) {
        self.fresh.committed(number, self.number);
    }

    fn remember_txn(&mut self, key: TxnKey, nid: EventNid) {
        self.txns.insert(key, nid);
        self.txn_order.push_back(key);
        if self.txn_order.len() > TXNS_AT_HAND
            && let Some(oldest) = self.txn_order.pop_front()
        {
            self.txns.remove(&oldest);
        }
    }
}
