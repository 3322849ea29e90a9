//! One room of a sync.

use std::{collections::HashSet, sync::Arc};

use ruma::{
    RoomId, UserId,
    api::client::sync::sync_events::v3::{JoinedRoom, LeftRoom, State as SyncState, StateEvents, Timeline},
    events::{StateEventType, TimelineEventType},
    serde::Raw,
};

use super::{Sources, SyncRequest, filter::EventFilter, summary};
use crate::{
    http::error::ApiError,
    rooms::{ClientEventFormat, ClientEventOptions, Event, Root, TimelineSlice},
    stream::Position,
};

/// The stretch of the log one sync is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// What the client has seen; `None` if it has seen nothing of this room.
    pub(super) seen: Option<Position>,
    pub(super) until: Position,
}

/// The timeline and state of a room the user is in.
pub(super) async fn joined(
    sources: &Sources,
    request: &SyncRequest,
    room_id: &RoomId,
    span: Span,
) -> Result<JoinedRoom, ApiError> {
    let slice = timeline(sources, request, room_id, span).await?;
    let (state, changed) = state(sources, request, room_id, span, &slice).await?;
    let mut room = JoinedRoom::new();
    let members_changed = slice.events.iter().chain(&changed).any(|event| event.kind == TimelineEventType::RoomMember);
    if span.seen.is_none() || members_changed {
        room.summary = summary::summary(sources, room_id, &request.user_id).await?;
    }
    room.timeline = shown_timeline(sources, request, &slice).await?;
    room.state = state;
    Ok(room)
}

/// The timeline and state of a room the user has left, up to its leaving.
pub(super) async fn left(
    sources: &Sources,
    request: &SyncRequest,
    room_id: &RoomId,
    span: Span,
) -> Result<LeftRoom, ApiError> {
    let slice = timeline(sources, request, room_id, span).await?;
    let (state, _) = state(sources, request, room_id, span, &slice).await?;
    let mut room = LeftRoom::new();
    room.timeline = shown_timeline(sources, request, &slice).await?;
    room.state = state;
    Ok(room)
}

async fn timeline(
    sources: &Sources,
    request: &SyncRequest,
    room_id: &RoomId,
    span: Span,
) -> Result<TimelineSlice, ApiError> {
    let filter = EventFilter::new(&request.filter.room.timeline);
    let after = span.seen.unwrap_or(Position::START);
    let mut slice = sources.rooms.timeline(room_id, after, span.until, filter.limit()).await?;
    slice.events = sources.rooms.filter_visible(room_id, &request.user_id, slice.events).await?;
    Ok(slice)
}

async fn shown_timeline(sources: &Sources, request: &SyncRequest, slice: &TimelineSlice) -> Result<Timeline, ApiError> {
    let filter = EventFilter::new(&request.filter.room.timeline);
    let events: Vec<Arc<Event>> = slice.events.iter().filter(|event| filter.admits(event)).cloned().collect();
    let mut timeline = Timeline::new();
    timeline.events = shown(sources, request, &events).await?;
    timeline.limited = slice.limited;
    if slice.limited || !timeline.events.is_empty() {
        timeline.prev_batch = Some(slice.prev_batch.to_string());
    }
    Ok(timeline)
}

/// Events in the form of a sync.
async fn shown<T>(sources: &Sources, request: &SyncRequest, events: &[Arc<Event>]) -> Result<Vec<Raw<T>>, ApiError> {
    let reader = request.device_id.as_deref().map(|device_id| (&*request.user_id, device_id.as_str()));
    let options = ClientEventOptions { format: ClientEventFormat::Sync, reader };
    Ok(sources.rooms.client_events(events, options).await?.into_iter().map(Raw::from_json).collect())
}

/// The state that the client needs besides the timeline, and its events.
async fn state(
    sources: &Sources,
    request: &SyncRequest,
    room_id: &RoomId,
    span: Span,
    slice: &TimelineSlice,
) -> Result<(SyncState, Vec<Arc<Event>>), ApiError> {
    let filter = EventFilter::new(&request.filter.room.state);
    let lazy = filter.is_lazy() || EventFilter::new(&request.filter.room.timeline).is_lazy();
    // Where the timeline begins, or where it ends if the client wants it so.
    let base = match slice.events.first() {
        Some(first) if !request.use_state_after => Some(first.state_before),
        _ => None,
    };
    let seen = span.seen.filter(|_| !request.full_state);
    let needs_changes = seen.is_none() || slice.limited || request.use_state_after;
    let mut events = Vec::new();
    if needs_changes {
        let base: Root = match base {
            Some(base) => base,
            None => sources.rooms.root_at(room_id, span.until).await?,
        };
        events = match seen {
            None => sources.rooms.state_at(base).await?,
            Some(seen) => {
                let from = sources.rooms.root_at(room_id, seen).await?;
                sources.rooms.state_changes(from, base).await?
            }
        };
    }
    if lazy {
        make_lazy(sources, room_id, &request.user_id, base, slice, &mut events).await?;
    }
    events.retain(|event| filter.admits(event));
    let state = StateEvents::with_events(shown(sources, request, &events).await?);
    let state = if request.use_state_after { SyncState::After(state) } else { SyncState::Before(state) };
    Ok((state, events))
}

/// Leaves out members that say nothing in the timeline, and adds those that do
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members)).
async fn make_lazy(
    sources: &Sources,
    room_id: &RoomId,
    user_id: &UserId,
    base: Option<Root>,
    slice: &TimelineSlice,
    state: &mut Vec<Arc<Event>>,
) -> Result<(), ApiError> {
    let mut wanted: HashSet<&str> = slice.events.iter().map(|event| event.sender.as_str()).collect();
    state.retain(|event| {
        event.kind != TimelineEventType::RoomMember
            || event.state_key.as_deref().is_some_and(|member| member == user_id.as_str() || wanted.contains(member))
    });
    let Some(base) = base else { return Ok(()) };
    for event in state.iter().filter(|event| event.kind == TimelineEventType::RoomMember) {
        wanted.remove(event.state_key.as_deref().unwrap_or_default());
    }
    let mut missing = Vec::new();
    for member in wanted {
        missing.extend(sources.rooms.state_event_at(room_id, base, &StateEventType::RoomMember, member).await?);
    }
    state.extend(missing);
    Ok(())
}
