//! Reading a room's state, now and at any place in its history.

use std::sync::Arc;

use ruma::{OwnedEventId, RoomId, UserId, events::StateEventType};

use super::{Event, RoomError, Rooms, Root};
use crate::stream::Position;

impl Rooms {
    /// One state event of a room, now. Visibility is not looked at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_event(
        &self,
        room_id: &RoomId,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let _ = (room_id, kind, state_key);
        Err(RoomError::Internal("in construction".into()))
    }

    /// The whole state of a room, now. Visibility is not looked at.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn state(&self, room_id: &RoomId) -> Result<Vec<Arc<Event>>, RoomError> {
        let _ = room_id;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The state of a room as `user` may read it: now while joined (or where the room is world readable), as it was on leaving
    /// for one who left.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] for anyone else, also where there is no such room.
    pub async fn readable_state(&self, room_id: &RoomId, user: &UserId) -> Result<Root, RoomError> {
        let _ = (room_id, user);
        Err(RoomError::Internal("in construction".into()))
    }

    /// One event of a state.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_event_at(
        &self,
        room_id: &RoomId,
        root: Root,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let _ = (room_id, root, kind, state_key);
        Err(RoomError::Internal("in construction".into()))
    }

    /// All events of a state.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_at(&self, root: Root) -> Result<Vec<Arc<Event>>, RoomError> {
        let _ = root;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The state of a room after everything up to and including `position`; the empty state before the room was made.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn root_at(&self, room_id: &RoomId, position: Position) -> Result<Root, RoomError> {
        let _ = (room_id, position);
        Err(RoomError::Internal("in construction".into()))
    }

    /// The events of `to` that are not the same in `from`. Costs what differs, not what exists.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_changes(&self, from: Root, to: Root) -> Result<Vec<Arc<Event>>, RoomError> {
        let _ = (from, to);
        Err(RoomError::Internal("in construction".into()))
    }

    /// The stripped state that an invited or knocking user is shown, as JSON objects:
    /// <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn stripped_state(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<Vec<Box<serde_json::value::RawValue>>, RoomError> {
        let _ = (room_id, user);
        Err(RoomError::Internal("in construction".into()))
    }

    /// The forward extremities of a room: what the next event will follow.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn forward_extremities(&self, room_id: &RoomId) -> Result<Vec<OwnedEventId>, RoomError> {
        let _ = room_id;
        Err(RoomError::Internal("in construction".into()))
    }
}
