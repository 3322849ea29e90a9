//! Redactions: <https://spec.matrix.org/v1.19/client-server-api/#redactions>.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{Outgoing, RoomError, Rooms, Sent, Txn, actor::Command};

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
        let Redaction { room_id, sender, event_id, reason, ts, txn } = redaction;
        if let Some(sent) = self.answered(&room_id, &sender, "m.room.redaction", txn.as_ref()).await? {
            return Ok(sent);
        }
        let target = self.event(&event_id).await?.filter(|event| event.room_id == room_id);
        if target.is_none() {
            return Err(RoomError::NotFound("There is no such event in the room"));
        }
        let content = match reason {
            Some(reason) => serde_json::json!({ "reason": reason }),
            None => serde_json::json!({}),
        };
        let content =
            serde_json::value::to_raw_value(&content).map_err(|error| RoomError::Internal(error.to_string()))?;
        let outgoing = Outgoing {
            redacts: Some(event_id),
            ts,
            txn,
            ..Outgoing::message(room_id.clone(), sender, "m.room.redaction", content)
        };
        self.tasks.ask(&room_id, Command::Send(Box::new(outgoing))).await
    }
}
