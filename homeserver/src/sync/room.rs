//! One room of a sync.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ruma::{
    RoomId, UInt,
    api::client::{
        filter::{EventFormat, LazyLoadOptions},
        sync::sync_events::{
            UnreadNotificationsCount,
            v3::{JoinedRoom, LeftRoom, State as SyncState, StateEvents, Timeline},
        },
    },
    events::{StateEventType, TimelineEventType},
    serde::Raw,
};

use super::{
    Sources, SyncRequest,
    fields::EventFields,
    filter::EventFilter,
    summary::{self, Summary},
};
use crate::{
    http::error::ApiError,
    push::Counts,
    rooms::{ClientEventFormat, ClientEventOptions, Event, Onlooker, Root},
    stream::Position,
};

/// How many events of a room are looked through for those that a filter admits.
const LOOKED_THROUGH: usize = 1000;

/// The stretch of the log one sync is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// What the client has seen; `None` if it has seen nothing of this room.
    pub(super) seen: Option<Position>,
    pub(super) until: Position,
}

/// What every room of one sync is put together from.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) sources: &'a Sources,
    pub(super) request: &'a SyncRequest,
    pub(super) onlooker: Onlooker<'a>,
}

/// The part of a timeline that is shown, oldest event first.
struct Shown {
    events: Vec<Arc<Event>>,
    limited: bool,
    prev_batch: Position,
    /// State changed in this part of the timeline by events that are not shown.
    hides_state: bool,
}

/// The timeline and state of a room the user is in.
pub(super) async fn joined(frame: Frame<'_>, room_id: &RoomId, span: Span) -> Result<JoinedRoom, ApiError> {
    let timeline = frame.timeline(room_id, span).await?;
    let mut state = frame.state(room_id, span, &timeline).await?;
    let mut room = JoinedRoom::new();
    let is_member = |event: &Arc<Event>| event.kind == TimelineEventType::RoomMember;
    let summary = if span.seen.is_none() || timeline.hides_state || timeline.events.iter().chain(&state).any(is_member)
    {
        summary::summary(frame.sources, room_id, frame.onlooker.user).await?
    } else {
        Summary::default()
    };
    frame.make_lazy(room_id, span, &timeline, &summary, &mut state).await?;
    room.summary = summary.shown;
    room.state = frame.shown_state(state).await?;
    room.timeline = frame.shown_timeline(timeline).await?;
    Ok(room)
}

/// The timeline and state of a room the user has left, up to its leaving.
///
/// Who left may be banned afterwards: that is told, and nothing of what was in between.
pub(super) async fn left(
    frame: Frame<'_>,
    room_id: &RoomId,
    span: Span,
    banned_later: bool,
) -> Result<LeftRoom, ApiError> {
    let timeline = frame.timeline(room_id, span).await?;
    let mut state = frame.state(room_id, span, &timeline).await?;
    frame.make_lazy(room_id, span, &timeline, &Summary::default(), &mut state).await?;
    let mut room = LeftRoom::new();
    room.state = frame.shown_state(state).await?;
    room.timeline = frame.shown_timeline(timeline).await?;
    if banned_later {
        room.timeline.events.extend(over(frame, room_id).await?.timeline.events);
    }
    Ok(room)
}

/// What one is told of a room that one was not in, when an invitation or a ban ends all that there was.
pub(super) async fn over(frame: Frame<'_>, room_id: &RoomId) -> Result<LeftRoom, ApiError> {
    let kind = StateEventType::RoomMember;
    let member = frame.sources.rooms.state_event(room_id, &kind, frame.onlooker.user.as_str()).await?;
    let events: Vec<Arc<Event>> = member.into_iter().collect();
    let prev_batch = events.first().map_or(Position::START, |event| Position(event.position().0 - 1));
    let mut room = LeftRoom::new();
    room.timeline = frame.shown_timeline(Shown { events, limited: false, prev_batch, hides_state: false }).await?;
    Ok(room)
}

/// Adds how much is unread in a room.
pub(super) async fn count_unread(
    frame: Frame<'_>,
    room_id: &RoomId,
    until: Position,
    room: &mut JoinedRoom,
) -> Result<(), ApiError> {
    let counts = frame.sources.unread.of_room(frame.onlooker.user, room_id, until).await?;
    let shown = |counts: Counts| {
        let mut shown = UnreadNotificationsCount::new();
        shown.notification_count = UInt::try_from(counts.notifications).ok();
        shown.highlight_count = UInt::try_from(counts.highlights).ok();
        shown
    };
    if frame.request.filter.room.timeline.unread_thread_notifications {
        room.unread_notifications = shown(counts.main);
        room.unread_thread_notifications =
            counts.threads.into_iter().map(|(root, counts)| (root, shown(counts))).collect();
    } else {
        room.unread_notifications = shown(counts.total());
    }
    Ok(())
}

impl Frame<'_> {
    /// The newest events of the span that the filter admits and the user may see.
    async fn timeline(&self, room_id: &RoomId, span: Span) -> Result<Shown, ApiError> {
        let filter = EventFilter::new(&self.request.filter.room.timeline);
        let limit = filter.limit();
        let after = span.seen.unwrap_or(Position::START);
        let mut shown = Shown { events: Vec::new(), limited: false, prev_batch: span.until, hides_state: false };
        if !filter.admits_room(room_id) {
            shown.hides_state = true;
            return Ok(shown);
        }
        let mut looked_through = 0;
        loop {
            let rooms = &self.sources.rooms;
            let slice = rooms.timeline_since_history(room_id, after, shown.prev_batch, limit).await?;
            let at_history = slice.events.is_empty();
            looked_through += slice.events.len();
            let mut events = self.sources.rooms.shown_to(room_id, self.onlooker, slice.events.clone()).await?;
            events.retain(|event| filter.admits(event));
            if events.len() < slice.events.len() {
                let kept: HashSet<_> = events.iter().map(|event| event.nid).collect();
                shown.hides_state |= slice.events.iter().any(|event| event.is_state() && !kept.contains(&event.nid));
            }
            events.append(&mut shown.events);
            shown.events = events;
            shown.prev_batch = slice.prev_batch;
            shown.limited = slice.limited;
            if !slice.limited || at_history || shown.events.len() >= limit || looked_through >= LOOKED_THROUGH {
                break;
            }
        }
        if shown.events.len() > limit {
            shown.events.drain(..shown.events.len() - limit);
            shown.limited = true;
        }
        if let Some(first) = shown.events.first() {
            shown.prev_batch = Position(first.position().0 - 1);
        }
        Ok(shown)
    }

    /// The state that the client needs besides the timeline.
    async fn state(&self, room_id: &RoomId, span: Span, timeline: &Shown) -> Result<Vec<Arc<Event>>, ApiError> {
        let rooms = &self.sources.rooms;
        let seen = span.seen.filter(|_| !self.request.full_state);
        let after = self.request.use_state_after;
        if seen.is_some() && !timeline.limited && !timeline.hides_state && !after {
            return Ok(Vec::new());
        }
        // Where the timeline begins, or where it ends if the client wants it so.
        let start = timeline.events.first().filter(|_| !after).map(|first| first.state_before);
        let base: Root = match start {
            Some(start) => start,
            None => rooms.root_at(room_id, span.until).await?,
        };
        let mut events = match seen {
            // Members are added by what is shown of them.
            None if self.redundant_members().is_some() => rooms.state_without_members(room_id, base).await?,
            None => rooms.state_at(base).await?,
            Some(seen) => rooms.state_changes(rooms.root_at(room_id, seen).await?, base).await?,
        };
        if start.is_some() && timeline.hides_state {
            // What the timeline does not show of the state's changes is told here, or it would never be told.
            let shown: HashSet<_> = timeline.events.iter().map(|event| event.nid).collect();
            for event in rooms.state_changes(base, rooms.root_at(room_id, span.until).await?).await? {
                if !shown.contains(&event.nid) {
                    events.retain(|other| other.key != event.key);
                    events.push(event);
                }
            }
        }
        Ok(events)
    }

    /// Leaves out members that say nothing in the timeline, and adds those that do
    /// ([spec](https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members)).
    async fn make_lazy(
        &self,
        room_id: &RoomId,
        span: Span,
        timeline: &Shown,
        summary: &Summary,
        state: &mut Vec<Arc<Event>>,
    ) -> Result<(), ApiError> {
        let Some(redundant) = self.redundant_members() else { return Ok(()) };
        let since = span.seen.filter(|_| !self.request.full_state);
        let me = self.onlooker.user.as_str();
        let mut wanted: BTreeSet<&str> = timeline.events.iter().map(|event| event.sender.as_str()).collect();
        wanted.extend(summary.shown.heroes.iter().map(|hero| hero.as_str()));
        wanted.extend(since.is_none().then_some(me));
        let mut members = Vec::new();
        state.retain(|event| {
            if event.kind != TimelineEventType::RoomMember {
                return true;
            }
            if event.state_key.as_deref().is_some_and(|member| member == me || wanted.contains(member)) {
                members.push(event.clone());
            }
            false
        });
        for member in &members {
            wanted.remove(member.state_key.as_deref().unwrap_or_default());
        }
        let start = timeline.events.first().filter(|_| !self.request.use_state_after).map(|first| first.state_before);
        let base = match start {
            Some(start) => start,
            None if wanted.is_empty() => Root::EMPTY,
            None => self.sources.rooms.root_at(room_id, span.until).await?,
        };
        let mut missing = Vec::new();
        for member in wanted {
            let kind = StateEventType::RoomMember;
            missing.extend(self.sources.rooms.state_event_at(room_id, base, &kind, member).await?);
        }
        if let Some(device_id) = self.request.device_id.clone().filter(|_| !redundant) {
            let device = (self.request.user_id.clone(), device_id);
            let lazy = &self.sources.lazy;
            lazy.leave_out_told(&device, room_id, since, span.until, &mut missing);
            // What changed is told in any case, and known from then on.
            lazy.leave_out_told(&device, room_id, Some(Position::START), span.until, &mut members.clone());
        }
        state.append(&mut members);
        state.append(&mut missing);
        Ok(())
    }

    /// Whether a client that loads members lazily wants them again that it was told of; `None` for one that wants all members.
    fn redundant_members(&self) -> Option<bool> {
        let filter = &self.request.filter.room;
        let options = [&filter.state.lazy_load_options, &filter.timeline.lazy_load_options];
        options.into_iter().find_map(|options| match options {
            LazyLoadOptions::Enabled { include_redundant_members } => Some(*include_redundant_members),
            LazyLoadOptions::Disabled => None,
        })
    }

    async fn shown_state(&self, mut state: Vec<Arc<Event>>) -> Result<SyncState, ApiError> {
        let filter = EventFilter::new(&self.request.filter.room.state);
        state.retain(|event| filter.admits(event));
        let shown = self.sources.rooms.client_events(&state, self.options()).await?;
        let fields = EventFields::new(self.request.filter.event_fields.as_deref());
        let events = StateEvents::with_events(fields.select_all(shown)?.into_iter().map(Raw::from_json).collect());
        Ok(if self.request.use_state_after { SyncState::After(events) } else { SyncState::Before(events) })
    }

    async fn shown_timeline(&self, timeline: Shown) -> Result<Timeline, ApiError> {
        let shown = self.sources.rooms.aggregated_events(&timeline.events, self.options(), self.onlooker).await?;
        let fields = EventFields::new(self.request.filter.event_fields.as_deref());
        let mut answer = Timeline::new();
        answer.events = fields.select_all(shown)?.into_iter().map(Raw::from_json).collect();
        answer.limited = timeline.limited;
        if timeline.limited || !answer.events.is_empty() {
            answer.prev_batch = Some(timeline.prev_batch.to_string());
        }
        Ok(answer)
    }

    fn options(&self) -> ClientEventOptions<'_> {
        let format = match self.request.filter.event_format {
            EventFormat::Federation => ClientEventFormat::Federation,
            _ => ClientEventFormat::Sync,
        };
        let reader = self.request.device_id.as_deref().map(|device_id| (self.onlooker.user, device_id.as_str()));
        ClientEventOptions { format, reader }
    }
}
