//! Finding an event by its time: <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event>.

use std::sync::Arc;

use ruma::{MilliSecondsSinceUnixEpoch, RoomId, UserId};

use super::{Direction, Event, RoomError, Rooms};

/// How many events are looked through at once, and how many at most, for one that the reader may see.
const AT_ONCE: usize = 50;
const AT_MOST: usize = 1000;

impl Rooms {
    /// The event closest to a time that the user may see: the first at or after it (forward), or the last at or before it.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] where the user may read nothing of the room, [`RoomError::NotFound`] where there is no such event.
    pub async fn event_by_time(
        &self,
        room_id: &RoomId,
        user: &UserId,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Arc<Event>, RoomError> {
        self.readable_state(room_id, user).await?;
        let room = self.known_room(room_id).await?;
        let earlier = direction == Direction::Backward;
        let mut skip = 0;
        while skip < AT_MOST {
            let store = &self.context.store;
            let nids = store.event_by_time(room.nid, i64::from(ts.0), earlier, skip, AT_ONCE).await?;
            let more = nids.len() == AT_ONCE;
            let events = store.events(&nids).await?;
            if let Some(event) = self.filter_visible(room_id, user, events).await?.into_iter().next() {
                return Ok(event);
            }
            if !more {
                break;
            }
            skip += AT_ONCE;
        }
        Err(RoomError::NotFound("There is no event at that time"))
    }
}
