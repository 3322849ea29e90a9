//! Gathers the next transaction from the log.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{DeviceId, OwnedRoomId, RoomId, UserId};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    interest::{Interest, InterestChange, member_of},
    names::Names,
    query,
    queue::MAX_EVENTS,
    registry::Appservice,
    transaction::{DeviceLists, TransactionBody},
};
use crate::{
    devices::Keys,
    rooms::{ClientEventFormat, ClientEventOptions, Event, Membership, RoomError, Rooms},
    store::{StoreError, device_keys, lately::Topic, local::Local},
    stream::{Position, Stream},
    sync::{Presences, Receipts, Typing, by_room, receipt_content},
    users::Users,
};

/// How many events of the log one round looks at.
const PER_ROUND: usize = 512;

/// What a batch is made from.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) stream: Stream,
    pub(super) rooms: Rooms,
    pub(super) users: Users,
    pub(super) receipts: Receipts,
    pub(super) typing: Typing,
    pub(super) presences: Presences,
    pub(super) keys: Keys,
    pub(super) local: Local,
    pub(super) aliases: AliasInterest,
    pub(super) names: Names,
}

/// Limits of one transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) ephemeral: bool,
    /// The last message to a device that was taken: those up to it are gone with the next commit.
    pub(super) to_device_after: (i64, i64),
    /// Where the log ended when none waited for a device of the service: only what came later can.
    pub(super) no_to_device: Option<Position>,
}

/// The next transaction, or the knowledge that there is none in a stretch of the log.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) body: TransactionBody,
    /// Everything in the log up to here is in the body or of no interest.
    pub(super) end: Position,
    /// The position and number of the last message to a device in the body.
    pub(super) to_device_end: (i64, i64),
    /// Where the log ended when no message waited for a device of the service, if none did.
    pub(super) no_to_device: Option<Position>,
    /// What the body's events change of the interest index.
    pub(super) changes: Vec<InterestChange>,
}

/// Why no batch could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sql(#[from] landbridge_sql::SqlError),
    #[error("an event could not be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Sources {
    /// Walks the log from `after` to its end, to the limits, or to the end of a round. `interest` follows what was walked over; on
    /// an error it is as it was.
    pub(super) async fn next(
        &self,
        appservice: &Appservice,
        interest: &mut Interest,
        after: Position,
        limits: Limits,
    ) -> Result<Batch, BatchError> {
        let mut batch = Batch { end: after, ..Batch::default() };
        match self.gather(appservice, interest, limits, &mut batch).await {
            Ok(()) => Ok(batch),
            Err(error) => {
                interest.undo(&batch.changes);
                Err(error)
            }
        }
    }

    async fn gather(
        &self,
        appservice: &Appservice,
        interest: &mut Interest,
        limits: Limits,
        batch: &mut Batch,
    ) -> Result<(), BatchError> {
        let (after, head) = (batch.end, self.stream.position());
        let events = self.stream.read(after, head, PER_ROUND).await?;
        let mut read_all = events.len() < PER_ROUND;
        let mut chosen = Vec::new();
        let mut bytes = 0;
        for event in events {
            if !self.covers(appservice, interest, &event).await? {
                batch.end = event.position();
                continue;
            }
            bytes += event.json.len() + 256;
            if !chosen.is_empty() && (chosen.len() >= limits.events || bytes > limits.bytes) {
                read_all = false;
                break;
            }
            batch.end = event.position();
            batch.changes.extend(interest.follow(appservice, &event));
            self.ask_for_users(appservice, &event).await?;
            chosen.push(event);
        }
        if read_all {
            batch.end = head;
        }
        batch.body.events = self.shown(&chosen).await?;
        self.names.call_all(appservice.id(), &mut batch.body.events).await?;
        if limits.ephemeral {
            batch.body.ephemeral = self.ephemeral(appservice, interest, after, batch.end).await?;
            self.names.call_all(appservice.id(), &mut batch.body.ephemeral).await?;
        }
        // What was too large is split, and then carries one kind of thing at a time.
        let room =
            if limits.events == MAX_EVENTS { MAX_EVENTS } else { limits.events - chosen.len().min(limits.events) };
        let recipients = self.to_device(appservice, Limits { events: room, ..limits }, batch).await?;
        if appservice.registration().msc3202 {
            batch.body.device_lists = self.device_lists(appservice, interest, &chosen, after, batch).await?;
            self.key_counts(appservice, after, recipients, batch).await?;
        }
        Ok(())
    }

    /// The oldest messages that wait for devices of the service's users; gives whose devices these are.
    async fn to_device(
        &self,
        appservice: &Appservice,
        limits: Limits,
        batch: &mut Batch,
    ) -> Result<BTreeSet<(String, String)>, BatchError> {
        let mut recipients = BTreeSet::new();
        if !appservice.wants_to_device() || limits.events == 0 {
            return Ok(recipients);
        }
        // Looked at before it is asked: what is written meanwhile is after it.
        let head = self.local.head();
        if let Some(none) = limits.no_to_device.filter(|none| !self.local.may_have_any(Topic::ToDevice, *none)) {
            batch.no_to_device = Some(none);
            return Ok(recipients);
        }
        let limit = i64::try_from(limits.events).unwrap_or(i64::MAX);
        let after = limits.to_device_after;
        let waiting = device_keys::to_device_of_service(self.local.db(), appservice.id(), after, limit).await?;
        batch.no_to_device = waiting.is_empty().then_some(head);
        let mut bytes = 0;
        for message in waiting {
            bytes += message.body.len() + 256;
            if bytes > limits.bytes && !batch.body.to_device.is_empty() {
                break;
            }
            batch.to_device_end = (message.pos, message.number);
            let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&message.body)?;
            event.insert("to_user_id".to_owned(), message.user_id.as_str().into());
            event.insert("to_device_id".to_owned(), message.device_id.as_str().into());
            batch.body.to_device.push(to_raw_value(&event)?);
            recipients.insert((message.user_id, message.device_id));
        }
        Ok(recipients)
    }

    /// Users in the service's rooms whose devices changed, who came, and who are in none of its rooms any more.
    async fn device_lists(
        &self,
        appservice: &Appservice,
        interest: &Interest,
        chosen: &[Arc<Event>],
        after: Position,
        batch: &Batch,
    ) -> Result<DeviceLists, BatchError> {
        let (mut came, mut went) = (BTreeSet::new(), BTreeSet::new());
        for event in chosen {
            let Some(target) = member_of(event).filter(|target| !appservice.owns_user(target)) else { continue };
            match event.membership() {
                Some(Membership::Join) => drop(came.insert(target.to_owned())),
                Some(Membership::Leave | Membership::Ban) => drop(went.insert(target.to_owned())),
                _ => {}
            }
        }
        for change in &batch.changes {
            // The first of its users comes into a room, or the last leaves it.
            if change.joined && interest.members_in(&change.room_id) == 1 {
                came.extend(self.rooms.joined_users(&change.room_id).await?);
            } else if !change.joined && !interest.has_member(&change.room_id) {
                went.extend(self.rooms.joined_users(&change.room_id).await?);
            }
        }
        let changed = self.keys.changed_between(after.0, batch.end.0).await?;
        came.extend(changed.into_iter().filter_map(|id| UserId::parse(id).ok()));
        let mut lists = DeviceLists::default();
        for user_id in came {
            if appservice.owns_user(&user_id) || self.shares_a_room(interest, &user_id).await? {
                lists.changed.insert(user_id);
            }
        }
        for user_id in went {
            if !appservice.owns_user(&user_id) && !self.shares_a_room(interest, &user_id).await? {
                lists.left.insert(user_id);
            }
        }
        Ok(lists)
    }

    /// Whether a user is in a room with one of the service's users.
    async fn shares_a_room(&self, interest: &Interest, user_id: &UserId) -> Result<bool, RoomError> {
        Ok(self.rooms.joined_rooms(user_id).await?.iter().any(|room_id| interest.has_member(room_id)))
    }

    /// What keys are left of the service's devices whose keys were used or that got messages.
    async fn key_counts(
        &self,
        appservice: &Appservice,
        after: Position,
        mut devices: BTreeSet<(String, String)>,
        batch: &mut Batch,
    ) -> Result<(), BatchError> {
        devices.extend(self.keys.counts_between(after.0, batch.end.0).await?);
        for (user, device) in devices {
            let Ok(user_id) = UserId::parse(&user) else { continue };
            if !appservice.owns_user(&user_id) {
                continue;
            }
            let device_id = <&DeviceId>::from(device.as_str());
            let mut counts = self.keys.one_time_counts(&user_id, device_id).await?;
            counts.entry("signed_curve25519".to_owned()).or_insert(0);
            let fallback = self.keys.unused_fallback(&user_id, device_id).await?;
            batch.body.fallback.entry(user.clone()).or_default().insert(device.clone(), fallback);
            batch.body.key_counts.entry(user).or_default().insert(device, counts);
        }
        Ok(())
    }

    /// Follows events that were frozen before a restart.
    pub(super) async fn walk(
        &self,
        appservice: &Appservice,
        interest: &mut Interest,
        after: Position,
        end: Position,
    ) -> Result<Vec<InterestChange>, BatchError> {
        let mut changes = Vec::new();
        let mut at = after;
        loop {
            let events = self.stream.read(at, end, PER_ROUND).await?;
            changes.extend(events.iter().filter_map(|event| interest.follow(appservice, event)));
            match events.last() {
                Some(last) if events.len() == PER_ROUND => at = last.position(),
                _ => return Ok(changes),
            }
        }
    }

    async fn covers(&self, appservice: &Appservice, interest: &Interest, event: &Event) -> Result<bool, RoomError> {
        Ok(interest.covers(appservice, event) || self.aliases.covers(&self.rooms, appservice, &event.room_id).await?)
    }

    /// Asks the service for users it should have made: those of its namespace that an event is about and nobody registered.
    async fn ask_for_users(&self, appservice: &Appservice, event: &Event) -> Result<(), BatchError> {
        let about = member_of(event).filter(|user_id| appservice.owns_user(user_id));
        let sender = Some(&*event.sender).filter(|user_id| appservice.owns_user(user_id));
        for user_id in [about, sender].into_iter().flatten() {
            if !self.users.exists(user_id).await? {
                query::user_exists(appservice, user_id).await;
            }
        }
        Ok(())
    }

    async fn shown(&self, events: &[Arc<Event>]) -> Result<Vec<Box<RawValue>>, BatchError> {
        let options = ClientEventOptions { format: ClientEventFormat::Full, reader: None };
        let mut shown = self.rooms.client_events(events, options).await?;
        for (event, json) in events.iter().zip(&mut shown) {
            if event.membership() == Some(Membership::Invite)
                && let Some(target) = member_of(event)
            {
                *json = self.with_invite_state(event, target, json).await?;
            }
        }
        Ok(shown)
    }

    /// An invitation says what room it is to (`unsigned.invite_room_state`): bridges decide by it before they join.
    async fn with_invite_state(
        &self,
        event: &Event,
        target: &UserId,
        shown: &RawValue,
    ) -> Result<Box<RawValue>, BatchError> {
        let state = self.rooms.stripped_state(&event.room_id, target).await?;
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(shown.get())?;
        let unsigned = object.entry("unsigned").or_insert_with(|| json!({}));
        if let Some(unsigned) = unsigned.as_object_mut() {
            unsigned.insert("invite_room_state".to_owned(), serde_json::to_value(state)?);
        }
        Ok(to_raw_value(&object)?)
    }

    async fn ephemeral(
        &self,
        appservice: &Appservice,
        interest: &Interest,
        after: Position,
        end: Position,
    ) -> Result<Vec<Box<RawValue>>, BatchError> {
        if !appservice.registration().wants_ephemeral() || end <= after {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (room_id, user_ids) in self.typing.changes(after.0, end.0) {
            if self.in_room(appservice, interest, &room_id).await? {
                let content = json!({ "user_ids": user_ids });
                found.push(to_raw_value(&json!({ "type": "m.typing", "room_id": room_id, "content": content }))?);
            }
        }
        let mut receipts = self.receipts.between(after.0, end.0).await?;
        // Private receipts are for those alone whose they are, and for the service that is them.
        receipts.retain(|receipt| {
            !receipt.is_private() || <&UserId>::try_from(receipt.user_id()).is_ok_and(|user| appservice.owns_user(user))
        });
        for (room_id, receipts) in by_room(&receipts) {
            if self.in_room(appservice, interest, &room_id).await? {
                let content = receipt_content(receipts);
                found.push(to_raw_value(&json!({ "type": "m.receipt", "room_id": room_id, "content": content }))?);
            }
        }
        for (user_id, content) in self.presences.changes(after.0, end.0) {
            if !appservice.owns_user(&user_id) && self.shares_a_room(interest, &user_id).await? {
                found.push(to_raw_value(&json!({ "type": "m.presence", "sender": user_id, "content": content }))?);
            }
        }
        found.truncate(limits_of_ephemeral());
        Ok(found)
    }

    async fn in_room(&self, appservice: &Appservice, interest: &Interest, room_id: &RoomId) -> Result<bool, RoomError> {
        Ok(interest.has_member(room_id)
            || appservice.room(room_id).is_interesting()
            || self.aliases.covers(&self.rooms, appservice, room_id).await?)
    }
}

/// Ephemeral events of one transaction; more than these are dropped, for the newest state comes again.
const fn limits_of_ephemeral() -> usize {
    100
}

/// How many rooms are remembered with the services that their aliases interest; at the bound all are learnt again.
const KNOWN_ROOMS: usize = 50_000;

/// Which services are interested in a room by its aliases. Looked up once a room, and forgotten when its aliases change.
#[derive(Clone, Debug, Default)]
pub(super) struct AliasInterest {
    rooms: Arc<Mutex<HashMap<OwnedRoomId, Arc<[ruma::OwnedRoomAliasId]>>>>,
}

impl AliasInterest {
    /// Forgets a room whose aliases changed.
    pub(super) fn changed(&self, room_id: &RoomId) {
        self.rooms.lock().remove(room_id);
    }

    async fn covers(&self, rooms: &Rooms, appservice: &Appservice, room_id: &RoomId) -> Result<bool, RoomError> {
        if appservice.registration().namespaces.aliases.is_empty() {
            return Ok(false);
        }
        let known = self.rooms.lock().get(room_id).cloned();
        let aliases = match known {
            Some(aliases) => aliases,
            None => {
                let aliases: Arc<[_]> = rooms.aliases(room_id).await?.into();
                let mut known = self.rooms.lock();
                if known.len() >= KNOWN_ROOMS {
                    known.clear();
                }
                known.insert(room_id.to_owned(), aliases.clone());
                aliases
            }
        };
        Ok(aliases.iter().any(|alias| appservice.alias(alias).is_interesting()))
    }
}
