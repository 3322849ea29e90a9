//! Reading a room's timeline.

use std::sync::Arc;

use ruma::{EventId, OwnedRoomId, RoomId, UserId};

use super::{Event, RoomError, Rooms};
use crate::stream::Position;

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Newest first.
    Backward,
    /// Oldest first.
    Forward,
}

/// A page of a room's timeline, as `/messages` asks for it.
#[derive(Debug, Clone)]
pub struct MessagesQuery {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The reader: events it may not see are left out.
    pub user: ruma::OwnedUserId,
    /// Where to start. `None`: from the end (backward) or the beginning (forward).
    pub from: Option<Position>,
    /// Where to stop.
    pub to: Option<Position>,
    /// Which way.
    pub direction: Direction,
    /// At most how many events; at most 1,000 are given.
    pub limit: usize,
}

/// A page of a room's timeline. Tokens stand *between* events: `s5` is after position 5.
#[derive(Debug, Clone)]
pub struct MessagesPage {
    /// The events, in the order asked for.
    pub events: Vec<Arc<Event>>,
    /// Where the page starts.
    pub start: Position,
    /// Where to go on; `None` where there is no more.
    pub end: Option<Position>,
}

/// The newest part of a room's timeline in a span of the log, oldest event first.
#[derive(Debug, Clone, Default)]
pub struct TimelineSlice {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// Whether older events of the span were left out.
    pub limited: bool,
    /// Where to go on reading backward.
    pub prev_batch: Position,
}

impl Rooms {
    /// Reads a page of a room's timeline, leaving out what the user may not see.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] where the user may read nothing of the room, also where there is no such room.
    pub async fn messages(&self, query: MessagesQuery) -> Result<MessagesPage, RoomError> {
        let _ = query;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The newest `limit` events of a room after `after`, up to and including `up_to`. Visibility is not looked at: see
    /// [`Rooms::filter_visible`].
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn timeline(
        &self,
        room_id: &RoomId,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<TimelineSlice, RoomError> {
        let _ = (room_id, after, up_to, limit);
        Err(RoomError::Internal("in construction".into()))
    }

    /// An event, whatever room it is in and however it stands. Visibility is not looked at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn event(&self, event_id: &EventId) -> Result<Option<Arc<Event>>, RoomError> {
        let _ = event_id;
        Err(RoomError::Internal("in construction".into()))
    }

    /// An event of a room that the user may see.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is none, or the user may not see it.
    pub async fn visible_event(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
        user: &UserId,
    ) -> Result<Arc<Event>, RoomError> {
        let _ = (room_id, event_id, user);
        Err(RoomError::Internal("in construction".into()))
    }
}
