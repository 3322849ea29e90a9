//! An event as the server keeps it: the canonical bytes, and what is read out of them once.

use std::sync::atomic::{AtomicI64, Ordering};

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Relation, state_tree::Root};
use crate::stream::Position;

/// The server's own number of an event. Given out in memory, before the commit; gaps mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventNid(pub i64);

/// The server's own number of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomNid(pub i64);

/// The place of a `(type, state_key)` pair in its room's dense index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(pub u32);

/// How an event stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventFlags {
    /// Known only because other events refer to it; not part of the timeline.
    pub outlier: bool,
    /// Fails authorization against its auth events or the state before it. Never shown, never part of the state.
    pub rejected: bool,
    /// Passes at its own place, fails against the current state. Not shown, not a forward extremity.
    pub soft_failed: bool,
    /// Notifies nobody: a bridge fills the room up with what was said elsewhere before.
    pub quiet: bool,
}

impl EventFlags {
    pub(crate) fn to_bits(self) -> i64 {
        let flags = [self.outlier, self.rejected, self.soft_failed, self.quiet];
        flags.into_iter().rev().fold(0, |bits, flag| bits << 1 | i64::from(flag))
    }

    pub(crate) fn from_bits(bits: i64) -> Self {
        Self { outlier: bits & 1 != 0, rejected: bits & 2 != 0, soft_failed: bits & 4 != 0, quiet: bits & 8 != 0 }
    }

    /// Whether clients and appservices see the event.
    pub fn in_timeline(self) -> bool {
        !self.outlier && !self.rejected && !self.soft_failed
    }
}

/// Who sent an event under which transaction id; shown to that device as `unsigned.transaction_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTxn {
    /// The device, or the appservice, the transaction id belongs to.
    pub device: String,
    /// The transaction id.
    pub txn_id: String,
}

/// An event. Immutable but for the two things that happen to it later: its place in the log, and its redaction.
#[derive(Debug)]
pub struct Event {
    /// The server's own number.
    pub nid: EventNid,
    /// The event's id.
    pub event_id: OwnedEventId,
    /// The room. Since room version 12 the create event itself does not say it; here it is always set.
    pub room_id: OwnedRoomId,
    /// The server's own number of the room.
    pub room: RoomNid,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// When, by the sender's server.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Its type.
    pub kind: TimelineEventType,
    /// Its state key; `None` for message events.
    pub state_key: Option<String>,
    /// Its content, as sent: *not* redacted. Clients get `Rooms::client_events`.
    pub content: Box<RawValue>,
    /// The events before it.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that authorise it.
    pub auth_events: Vec<OwnedEventId>,
    /// The event it redacts.
    pub redacts: Option<OwnedEventId>,
    /// Its depth.
    pub depth: i64,
    /// How it stands.
    pub flags: EventFlags,
    /// The room's state before it.
    pub state_before: Root,
    /// The place of its state key in the room's index; `None` for message events.
    pub key: Option<KeyIndex>,
    /// The state event that it replaced, if any.
    pub replaces: Option<EventNid>,
    /// The transaction it was sent under.
    pub txn: Option<EventTxn>,
    /// The whole event in canonical JSON, signed: what other servers get.
    pub json: Box<str>,
    position: AtomicI64,
    redacted_by: AtomicI64,
}

/// What is read out of the bytes.
#[derive(Deserialize)]
pub(crate) struct Parsed {
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) sender: OwnedUserId,
    pub(crate) origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(rename = "type")]
    pub(crate) kind: TimelineEventType,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Box<RawValue>,
    pub(crate) prev_events: Vec<OwnedEventId>,
    pub(crate) auth_events: Vec<OwnedEventId>,
    pub(crate) redacts: Option<OwnedEventId>,
    pub(crate) depth: i64,
}

/// What the server knows of an event besides its bytes.
#[derive(Debug)]
pub(crate) struct EventMeta {
    pub(crate) nid: EventNid,
    pub(crate) event_id: OwnedEventId,
    pub(crate) room: RoomNid,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) flags: EventFlags,
    pub(crate) state_before: Root,
    pub(crate) key: Option<KeyIndex>,
    pub(crate) replaces: Option<EventNid>,
    pub(crate) txn: Option<EventTxn>,
    pub(crate) position: Option<Position>,
    pub(crate) redacted_by: Option<EventNid>,
}

impl Event {
    /// Puts an event together from its canonical bytes.
    ///
    /// # Errors
    /// Where the bytes are not an event.
    pub(crate) fn from_json(json: Box<str>, meta: EventMeta) -> Result<Self, serde_json::Error> {
        /// Where a redaction says what it redacts since room version 11.
        #[derive(Deserialize)]
        struct Content {
            redacts: Option<OwnedEventId>,
        }
        let mut parsed: Parsed = serde_json::from_str(&json)?;
        if parsed.kind == TimelineEventType::RoomRedaction && parsed.redacts.is_none() {
            parsed.redacts =
                serde_json::from_str(parsed.content.get()).ok().and_then(|content: Content| content.redacts);
        }
        Ok(Self::from_parsed(json, parsed, meta))
    }

    pub(crate) fn from_parsed(json: Box<str>, parsed: Parsed, meta: EventMeta) -> Self {
        Self {
            nid: meta.nid,
            event_id: meta.event_id,
            room_id: parsed.room_id.unwrap_or(meta.room_id),
            room: meta.room,
            sender: parsed.sender,
            origin_server_ts: parsed.origin_server_ts,
            kind: parsed.kind,
            state_key: parsed.state_key,
            content: parsed.content,
            prev_events: parsed.prev_events,
            auth_events: parsed.auth_events,
            redacts: parsed.redacts,
            depth: parsed.depth,
            flags: meta.flags,
            state_before: meta.state_before,
            key: meta.key,
            replaces: meta.replaces,
            txn: meta.txn,
            json,
            position: AtomicI64::new(meta.position.map_or(0, |position| position.0)),
            redacted_by: AtomicI64::new(meta.redacted_by.map_or(0, |nid| nid.0)),
        }
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        /// What the allocator and the length of a text take besides.
        const TEXT: usize = 16;
        let ids = self.prev_events.iter().chain(&self.auth_events).map(|id| id.as_str().len() + size_of_val(id) + TEXT);
        let state_key = self.state_key.as_ref().map_or(0, |state_key| state_key.len() + TEXT);
        let txn = self.txn.as_ref().map_or(0, |txn| txn.device.len() + txn.txn_id.len() + 2 * TEXT);
        let own = self.event_id.as_str().len() + self.room_id.as_str().len() + self.sender.as_str().len() + 3 * TEXT;
        size_of::<Self>() + self.json.len() + self.content.get().len() + own + ids.sum::<usize>() + state_key + txn
    }

    /// Its place in the log; [`Position::START`] for an event that is not in the log (yet).
    pub fn position(&self) -> Position {
        Position(self.position.load(Ordering::Acquire))
    }

    pub(crate) fn set_position(&self, position: Position) {
        self.position.store(position.0, Ordering::Release);
    }

    /// The redaction that took its content away, if any.
    pub fn redacted_by(&self) -> Option<EventNid> {
        match self.redacted_by.load(Ordering::Acquire) {
            0 => None,
            nid => Some(EventNid(nid)),
        }
    }

    pub(crate) fn set_redacted_by(&self, nid: EventNid) {
        self.redacted_by.store(nid.0, Ordering::Release);
    }

    /// Whether it is a state event.
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// The `membership` of an `m.room.member` event.
    pub fn membership(&self) -> Option<super::Membership> {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            membership: std::borrow::Cow<'a, str>,
        }
        if self.kind != TimelineEventType::RoomMember {
            return None;
        }
        let content: Content<'_> = serde_json::from_str(self.content.get()).ok()?;
        super::Membership::parse(&content.membership)
    }
}

impl Event {
    /// What the event relates to, if it names a type of relation
    /// ([spec](https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events)). A redaction takes it away.
    pub fn relation(&self) -> Option<Relation> {
        #[derive(Deserialize)]
        struct Content {
            #[serde(rename = "m.relates_to")]
            relates_to: serde_json::Value,
        }
        if self.redacted_by().is_some() || !self.content.get().contains("m.relates_to") {
            return None;
        }
        let content: Content = serde_json::from_str(self.content.get()).ok()?;
        let text = |field: &str| content.relates_to.get(field).and_then(serde_json::Value::as_str);
        let (rel_type, event_id) = (text("rel_type")?, text("event_id")?);
        if rel_type.len() > 255 || rel_type.contains('\0') || event_id.contains('\0') {
            return None;
        }
        Some(Relation { rel_type: rel_type.to_owned(), event_id: event_id.try_into().ok()? })
    }
}

/// The shape that `ruma-state-res` checks and resolves.
impl ruma::state_res::Event for Event {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        // Since version 12 the create event has none; what follows from it is its own event id.
        if self.kind == TimelineEventType::RoomCreate && self.room_id.server_name().is_none() {
            return None;
        }
        Some(&self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.flags.rejected
    }
}
