//! The form in which clients and appservices see an event.

use ruma::UserId;
use serde_json::value::RawValue;

use super::{Event, RoomError, Rooms};

/// Which fields an event is shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEventFormat {
    /// With `room_id`: everywhere but in `/sync`.
    Full,
    /// Without `room_id`: in `/sync`.
    Sync,
}

/// For whom an event is shown.
#[derive(Debug, Clone, Copy)]
pub struct ClientEventOptions<'a> {
    /// Which fields.
    pub format: ClientEventFormat,
    /// The reader and its device, who gets its own transaction ids back.
    pub reader: Option<(&'a UserId, &'a str)>,
}

impl Rooms {
    /// Shows events to a client: redacted where they were redacted, with `unsigned` filled in (`age`, `prev_content`,
    /// `replaces_state`, `redacted_because`, `transaction_id`).
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn client_events(
        &self,
        events: &[std::sync::Arc<Event>],
        options: ClientEventOptions<'_>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let _ = (events, options);
        Err(RoomError::Internal("in construction".into()))
    }
}
