//! Reading a room's timeline.

use std::sync::Arc;

use ruma::{EventId, OwnedRoomId, RoomId, UserId};

use super::{Event, Membership, RoomError, Rooms};
use crate::{store::RoomInfo, stream::Position};

/// The most events that one page holds.
const MAX_PAGE: usize = 1000;

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
        let MessagesQuery { room_id, user, from, to, direction, limit } = query;
        let refused = || RoomError::Forbidden("You are not in the room".into());
        let room = self.context.store.room(&room_id).await?.ok_or_else(refused)?;
        let last = self.readable_up_to(&room, &user).await?.ok_or_else(refused)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let store = &self.context.store;
        let (start, after, up_to) = match direction {
            Direction::Backward => {
                let start = from.filter(|from| room.place_in_log(*from) <= last).unwrap_or(last);
                (start, to.unwrap_or(Position::START), start)
            }
            Direction::Forward => {
                let start = from.unwrap_or(Position::START);
                (start, start, to.filter(|to| room.place_in_log(*to) <= last).unwrap_or(last))
            }
        };
        let found = store.room_page(&room, after, up_to, direction, limit).await?;
        let end = found.last().filter(|_| found.len() == limit).map(|event| match direction {
            Direction::Backward => Position(event.position().0 - 1),
            Direction::Forward => event.position(),
        });
        let events = self.filter_visible(&room_id, &user, found).await?;
        Ok(MessagesPage { events, start: from.unwrap_or(start), end })
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
        let room = self.known_room(room_id).await?;
        let limit = limit.min(MAX_PAGE);
        let store = &self.context.store;
        let mut events = store.room_log(room.nid, after, up_to, Direction::Backward, limit + 1).await?;
        let limited = events.len() > limit;
        events.truncate(limit);
        events.reverse();
        let prev_batch = events.first().map_or(up_to, |event| Position(event.position().0 - 1));
        Ok(TimelineSlice { events, limited, prev_batch })
    }

    /// As [`Rooms::timeline`], for those who show it as one piece: nothing that stands before the room's history, where that is in the
    /// span. Who reads on backward comes through the history first.
    ///
    /// # Errors
    /// As [`Rooms::timeline`].
    pub async fn timeline_since_history(
        &self,
        room_id: &RoomId,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<TimelineSlice, RoomError> {
        let history = self.known_room(room_id).await?.history();
        let Some(history) = history.filter(|history| after < *history && *history <= up_to) else {
            return self.timeline(room_id, after, up_to, limit).await;
        };
        let slice = self.timeline(room_id, history, up_to, limit).await?;
        Ok(TimelineSlice { limited: true, ..slice })
    }

    /// The newest events of all rooms that a user is joined to, up to and including `up_to`, newest first. Visibility is not looked
    /// at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn log_of_user(
        &self,
        user: &UserId,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        Ok(self.context.store.log_of_user(user, up_to, limit).await?)
    }

    /// An event, whatever room it is in and however it stands. Visibility is not looked at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn event(&self, event_id: &EventId) -> Result<Option<Arc<Event>>, RoomError> {
        Ok(self.context.store.event(event_id).await?)
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
        let hidden = RoomError::NotFound("There is no such event in the room");
        let event = self.event(event_id).await?.filter(|event| event.room_id == room_id && event.flags.in_timeline());
        let Some(event) = event else { return Err(hidden) };
        self.filter_visible(room_id, user, vec![event]).await?.pop().ok_or(hidden)
    }

    /// Whether a user may see what is on either side of a place in the log of a room, and so how the room stood there.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn sees_place(&self, room_id: &RoomId, user: &UserId, at: Position) -> Result<bool, RoomError> {
        let room = self.known_room(room_id).await?;
        let store = &self.context.store;
        let mut beside = store.room_log(room.nid, Position::START, at, Direction::Backward, 1).await?;
        beside.extend(store.room_log(room.nid, at, Position::END, Direction::Forward, 1).await?);
        Ok(!self.filter_visible(room_id, user, beside).await?.is_empty())
    }

    /// How far into the log of a room a user may read at all; `None`: nothing.
    async fn readable_up_to(&self, room: &RoomInfo, user: &UserId) -> Result<Option<Position>, RoomError> {
        let head = self.context.store.head();
        Ok(match self.membership(&room.room_id, user).await? {
            Some(known) if known.membership == Membership::Join => Some(head),
            _ if self.is_world_readable(room).await? => Some(head),
            Some(known) if !known.forgotten => self.went_out(room, &known, user).await?,
            _ => None,
        })
    }
}
