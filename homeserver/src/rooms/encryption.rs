//! Encryption, once switched on in a room, stays on: no client of this server can take it away or weaken it.

use ruma::{RoomId, events::StateEventType};
use serde_json::{Value, value::RawValue};

use super::{RoomError, Rooms, directory::text_field};

/// The state that switches encryption on.
const ENCRYPTION: &str = "m.room.encryption";

fn refusal() -> RoomError {
    RoomError::Forbidden("Encryption cannot be switched off".to_owned())
}

impl Rooms {
    /// Refuses a state event that would switch encryption off or change how it is done.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`].
    pub async fn check_encryption(
        &self,
        room_id: &RoomId,
        kind: &str,
        state_key: &str,
        content: &RawValue,
    ) -> Result<(), RoomError> {
        if kind != ENCRYPTION || !state_key.is_empty() {
            return Ok(());
        }
        let Some(current) = self.encryption(room_id).await? else { return Ok(()) };
        let content: Value = serde_json::from_str(content.get()).unwrap_or_default();
        if content["algorithm"] == current { Ok(()) } else { Err(refusal()) }
    }

    /// Refuses the redaction of what switches encryption on.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`].
    pub async fn check_encryption_stays(&self, room_id: &RoomId, redacts: &ruma::EventId) -> Result<(), RoomError> {
        let event = self.state_event(room_id, &StateEventType::RoomEncryption, "").await?;
        if event.is_some_and(|event| event.event_id == redacts) { Err(refusal()) } else { Ok(()) }
    }

    async fn encryption(&self, room_id: &RoomId) -> Result<Option<String>, RoomError> {
        let event = self.state_event(room_id, &StateEventType::RoomEncryption, "").await?;
        Ok(event.and_then(|event| text_field(&event, "algorithm")))
    }
}
