//! Events that relate to others: <https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events>.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};

use super::{Direction, Event, EventNid, Onlooker, RoomError, Rooms};
use crate::{
    store::{RoomInfo, relations::ChildrenOf},
    stream::Position,
};

/// The most events of one page.
const MAX_PAGE: usize = 1000;

/// How far relations are followed: to find the thread of an event, and where a client asks for relations of relations.
const HOPS: i64 = 3;

/// What an event relates to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The type of the relation: `m.thread`, `m.replace`, `m.annotation`, `m.reference` or any other.
    pub rel_type: String,
    /// The event that it relates to.
    pub event_id: OwnedEventId,
}

/// A page of the events that relate to one.
#[derive(Debug)]
pub struct RelationsQuery<'a> {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The event that they relate to.
    pub event_id: OwnedEventId,
    /// Only relations of this type.
    pub rel_type: Option<&'a str>,
    /// Only events of this type.
    pub kind: Option<&'a str>,
    /// Where to start.
    pub from: Option<Position>,
    /// Where to stop.
    pub to: Option<Position>,
    /// Which way.
    pub direction: Direction,
    /// At most how many events; at most 1,000 are given.
    pub limit: usize,
    /// Whether what relates to those that relate is wanted too.
    pub recurse: bool,
}

/// The events that relate to one, in the order asked for.
#[derive(Debug)]
pub struct RelationsPage {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// Where to go on; `None` where there is no more.
    pub next: Option<Position>,
    /// How deep was looked, where that was asked for.
    pub depth: Option<i64>,
}

/// A page of the threads of a room.
#[derive(Debug)]
pub struct ThreadsQuery {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Only threads whose last event is before this.
    pub before: Option<Position>,
    /// Only threads that the reader wrote in.
    pub participated: bool,
    /// At most how many.
    pub limit: usize,
}

/// The roots of threads, those with the newest event first.
#[derive(Debug)]
pub struct ThreadsPage {
    /// The roots.
    pub roots: Vec<Arc<Event>>,
    /// Where to go on; `None` where there is no more.
    pub next: Option<Position>,
}

impl Rooms {
    /// The events that relate to one, as far as the reader may see them.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where the reader may not see the event itself.
    pub async fn relations(
        &self,
        query: RelationsQuery<'_>,
        onlooker: Onlooker<'_>,
    ) -> Result<RelationsPage, RoomError> {
        let target = self.visible_event(&query.room_id, &query.event_id, onlooker.user).await?;
        let room = self.known_room(&query.room_id).await?;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let backward = query.direction == Direction::Backward;
        let (after, up_to) = if backward {
            (query.to.unwrap_or(Position::FIRST), query.from.unwrap_or(Position::END))
        } else {
            (query.from.unwrap_or(Position::FIRST), query.to.unwrap_or(Position::END))
        };
        let wanted = ChildrenOf {
            rel_type: query.rel_type,
            kind: query.kind,
            after: after.0,
            up_to: up_to.0,
            depth: if query.recurse { HOPS } else { 1 },
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        };
        let found = self.children(&room, &target.event_id, &wanted, backward).await?;
        let next = found.last().filter(|_| found.len() == limit).map(|event| match query.direction {
            Direction::Backward => Position(event.position().0 - 1),
            Direction::Forward => event.position(),
        });
        let events = self.shown_to(&room.room_id, onlooker, found).await?;
        Ok(RelationsPage { events, next, depth: query.recurse.then_some(HOPS) })
    }

    /// The threads of a room, as far as the reader may see their roots.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] where the reader may read nothing of the room.
    pub async fn threads(&self, query: ThreadsQuery, onlooker: Onlooker<'_>) -> Result<ThreadsPage, RoomError> {
        self.readable_state(&query.room_id, onlooker.user).await?;
        let room = self.known_room(&query.room_id).await?;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let mut page = ThreadsPage { roots: Vec::new(), next: query.before };
        loop {
            let before = page.next.unwrap_or(Position::END);
            let rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = self.context.store.threads(room.nid, before.0, rows).await?;
            let more = found.len() == limit;
            for (root, latest) in found {
                if page.roots.len() == limit {
                    return Ok(page);
                }
                page.next = Some(Position(latest));
                page.roots.extend(self.thread_root(&room, &root, query.participated, onlooker).await?);
            }
            if !more {
                page.next = None;
                return Ok(page);
            }
        }
    }

    /// The root of a thread, if the reader may see it and wrote in the thread where that is asked for.
    async fn thread_root(
        &self,
        room: &RoomInfo,
        root: &EventId,
        participated: bool,
        onlooker: Onlooker<'_>,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let root = match self.visible_event(&room.room_id, root, onlooker.user).await {
            Ok(root) => root,
            Err(RoomError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if onlooker.ignored.contains(&root.sender) {
            return Ok(None);
        }
        if participated && root.sender != onlooker.user {
            let senders = self.context.store.thread_senders(room.nid, &root.event_id).await?;
            if !senders.iter().any(|(sender, _)| sender == onlooker.user) {
                return Ok(None);
            }
        }
        Ok(Some(root))
    }

    /// The root of the thread that an event is in: it says so itself, or what it relates to is in one
    /// (<https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>).
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn thread_of(&self, event: &Event) -> Result<Option<OwnedEventId>, RoomError> {
        let Some(mut relation) = event.relation() else { return Ok(None) };
        for _ in 0..HOPS {
            if relation.rel_type == "m.thread" {
                return Ok(Some(relation.event_id));
            }
            let parent = self.event(&relation.event_id).await?.filter(|parent| parent.room == event.room);
            match parent.and_then(|parent| parent.relation()) {
                Some(next) => relation = next,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    pub(super) async fn children(
        &self,
        room: &RoomInfo,
        target: &EventId,
        wanted: &ChildrenOf<'_>,
        newest_first: bool,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let nids: Vec<EventNid> = self.context.store.children(room.nid, target, wanted, newest_first).await?;
        Ok(self.context.store.events(&nids).await?)
    }

    /// Leaves out what the reader may not see, and messages of those it ignores.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn shown_to(
        &self,
        room_id: &RoomId,
        onlooker: Onlooker<'_>,
        mut events: Vec<Arc<Event>>,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        leave_out_ignored(onlooker.ignored, &mut events);
        self.filter_visible(room_id, onlooker.user, events).await
    }
}

/// Leaves out messages of ignored users; their state is told
/// (<https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>).
fn leave_out_ignored(ignored: &BTreeSet<OwnedUserId>, events: &mut Vec<Arc<Event>>) {
    if !ignored.is_empty() {
        events.retain(|event| event.is_state() || !ignored.contains(&event.sender));
    }
}
