//! Redactions: <https://spec.matrix.org/v1.19/client-server-api/#redactions>.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{RoomError, Rooms, Sent, Txn};

/// A request to take an event's content away.
#[derive(Debug, Clone)]
pub struct Redaction {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who asks.
    pub sender: OwnedUserId,
    /// The event to redact.
    pub event_id: OwnedEventId,
    /// Why.
    pub reason: Option<String>,
    /// When it happened, where an appservice says so.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The transaction it is asked under.
    pub txn: Option<Txn>,
}

impl Rooms {
    /// Redacts an event. Senders may redact their own, others need the room's `redact` level.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such event in the room, [`RoomError::Forbidden`] where its rules refuse.
    pub async fn redact(&self, redaction: Redaction) -> Result<Sent, RoomError> {
        let _ = redaction;
        Err(RoomError::Internal("in construction".into()))
    }
}
