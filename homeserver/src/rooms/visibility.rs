//! Who may see which event: <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>.

use std::sync::Arc;

use ruma::{RoomId, UserId};

use super::{Event, RoomError, Rooms};

impl Rooms {
    /// Leaves out the events of one room that the user may not see.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn filter_visible(
        &self,
        room_id: &RoomId,
        user: &UserId,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let _ = (room_id, user, events);
        Err(RoomError::Internal("in construction".into()))
    }
}
