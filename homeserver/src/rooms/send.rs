//! Sending: message events and state events.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::value::RawValue;

use super::{RoomError, Rooms};
use crate::stream::Position;

/// The transaction id of a request, which makes it safe to repeat.
///
/// Two requests are the same when sender, device, room, type and id are. The first answer is kept in the commit of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// The device the request came from, or the appservice's id where it names no device.
    pub device: String,
    /// The id the client chose.
    pub id: String,
}

/// An event as a client or appservice asks for it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who sends.
    pub sender: OwnedUserId,
    /// Its type.
    pub kind: String,
    /// Its state key; `None` for a message event.
    pub state_key: Option<String>,
    /// Its content, a JSON object.
    pub content: Box<RawValue>,
    /// The event it redacts, where it is an `m.room.redaction`.
    pub redacts: Option<OwnedEventId>,
    /// When it happened, where an appservice says so; otherwise now.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The transaction it is sent under.
    pub txn: Option<Txn>,
}

impl Outgoing {
    /// A message event.
    pub fn message(
        room_id: impl Into<OwnedRoomId>,
        sender: impl Into<OwnedUserId>,
        kind: impl Into<String>,
        content: Box<RawValue>,
    ) -> Self {
        Self {
            room_id: room_id.into(),
            sender: sender.into(),
            kind: kind.into(),
            state_key: None,
            content,
            redacts: None,
            ts: None,
            txn: None,
        }
    }

    /// A state event.
    pub fn state(
        room_id: impl Into<OwnedRoomId>,
        sender: impl Into<OwnedUserId>,
        kind: impl Into<String>,
        state_key: impl Into<String>,
        content: Box<RawValue>,
    ) -> Self {
        Self { state_key: Some(state_key.into()), ..Self::message(room_id, sender, kind, content) }
    }

    /// The same, sent under a transaction id.
    #[must_use]
    pub fn under(mut self, device: impl Into<String>, txn_id: impl Into<String>) -> Self {
        self.txn = Some(Txn { device: device.into(), id: txn_id.into() });
        self
    }
}

/// What became of an [`Outgoing`] event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The event's id: of the first, where the request was a repetition.
    pub event_id: OwnedEventId,
    /// Where the log stood when the event was durable.
    pub position: Position,
}

impl Rooms {
    /// Sends an event and returns after it is durable.
    ///
    /// A repeated transaction id returns the first answer. A state event that changes nothing (same content as what stands,
    /// from the same sender) returns the event that stands.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room, [`RoomError::Forbidden`] where its rules refuse,
    /// [`RoomError::BadJson`] where the content is not an object of canonical JSON, [`RoomError::TooLarge`],
    /// [`RoomError::Unavailable`] where nothing could be written.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Sent, RoomError> {
        let _ = outgoing;
        Err(RoomError::Internal("in construction".into()))
    }
}
