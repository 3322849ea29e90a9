//! Reading timelines ([messages], [event], [context])
//!
//! [messages]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
//! [event]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
//! [context]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    UInt,
    api::{
        Direction as ApiDirection,
        client::{
            context::get_context::v3 as get_context, message::get_message_events::v3 as get_messages,
            room::get_room_event::v3 as get_event,
        },
    },
    events::TimelineEventType,
};
use serde_json::{Value, json, value::RawValue};

use super::shown::Reader;
use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    rooms::{Direction, MessagesQuery, Rooms},
    stream::Position,
    sync::{EventFilter, SyncToken},
    users::AccountData,
};

/// The most events of one page.
const MAX_PAGE: usize = 1000;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_messages::Request, _, _, _>(router, messages);
    let router = mount::<get_event::Request, _, _, _>(router, event);
    mount::<get_context::Request, _, _, _>(router, context)
}

fn limit(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).map_or(MAX_PAGE, |limit| limit.min(MAX_PAGE))
}

/// Where a client says to start or stop.
pub(super) fn token(token: Option<&str>) -> ApiResult<Option<Position>> {
    let parse = |token: &str| token.parse().map(|token: SyncToken| token.position);
    Ok(token
        .filter(|token| !token.is_empty())
        .map(parse)
        .transpose()
        .map_err(|_| MatrixError::invalid_param("The token is not one of this server"))?)
}

/// Where a client says to start or stop in a room, which may be in its history.
pub(super) fn place(text: Option<&str>) -> ApiResult<Option<Position>> {
    match text.map(str::parse::<Position>) {
        Some(Ok(place)) => Ok(Some(place)),
        _ => token(text),
    }
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
async fn messages(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_messages::Request>,
) -> ApiResult<Json<Value>> {
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let direction = match body.dir {
        ApiDirection::Backward => Direction::Backward,
        ApiDirection::Forward => Direction::Forward,
    };
    let mut page = rooms
        .messages(MessagesQuery {
            room_id: body.room_id.clone(),
            user: caller.user_id.clone(),
            from: place(body.from.as_deref())?,
            to: place(body.to.as_deref())?,
            direction,
            limit: limit(body.limit).max(1),
        })
        .await?;
    reader.keep(&body.filter, &mut page.events);
    let mut answer = json!({ "start": page.start.to_string(), "chunk": reader.shown(&page.events).await? });
    if EventFilter::new(&body.filter).is_lazy()
        && let Some(oldest) = match direction {
            Direction::Backward => page.events.last(),
            Direction::Forward => page.events.first(),
        }
    {
        let members = reader.members_of(&body.room_id, oldest.state_before, &page.events).await?;
        answer["state"] = json!(reader.state(&members).await?);
    }
    if let Some(end) = page.end {
        answer["end"] = end.to_string().into();
    }
    Ok(Json(answer))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
async fn event(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_event::Request>,
) -> ApiResult<Json<Box<RawValue>>> {
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let event = rooms.visible_event(&body.room_id, &body.event_id, &caller.user_id).await?;
    let shown = reader.shown(&[event]).await?.into_iter().next();
    Ok(Json(shown.ok_or_else(MatrixError::internal)?))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
async fn context(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_context::Request>,
) -> ApiResult<Json<Value>> {
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let event = rooms.visible_event(&body.room_id, &body.event_id, &caller.user_id).await?;
    let at = event.position();
    let around = limit(body.limit);
    // The odd one goes to what came before.
    let (before, after) = (around.div_ceil(2), around / 2);
    let page = |from, direction, limit: usize| MessagesQuery {
        room_id: body.room_id.clone(),
        user: caller.user_id.clone(),
        from: Some(from),
        to: None,
        direction,
        limit: limit.max(1),
    };
    let start = Position(at.0 - 1);
    let mut earlier = rooms.messages(page(start, Direction::Backward, before)).await?;
    let mut later = rooms.messages(page(at, Direction::Forward, after)).await?;
    if before == 0 {
        earlier.events.clear();
        earlier.end = Some(start);
    }
    if after == 0 {
        later.events.clear();
        later.end = Some(at);
    }
    // The state is that after the last event that is shown.
    let last_event = later.events.last().unwrap_or(&event).clone();
    let last = last_event.position();
    reader.keep(&body.filter, &mut earlier.events);
    reader.keep(&body.filter, &mut later.events);
    // The history changes nothing of the state.
    let in_history = last.is_history().then_some(last_event.state_before);
    let root = match in_history {
        Some(root) => root,
        None => rooms.root_at(&body.room_id, last).await?,
    };
    let mut state = rooms.state_at(root).await?;
    if EventFilter::new(&body.filter).is_lazy() {
        let senders = earlier.events.iter().chain(&later.events).chain([&event]);
        let members = reader.members_of(&body.room_id, root, senders).await?;
        state.retain(|event| event.kind != TimelineEventType::RoomMember);
        state.extend(members);
    }
    Ok(Json(json!({
        "start": earlier.end.unwrap_or(earlier.start).to_string(),
        "end": later.end.unwrap_or(last).to_string(),
        "events_before": reader.shown(&earlier.events).await?,
        "event": reader.shown(&[event]).await?.into_iter().next(),
        "events_after": reader.shown(&later.events).await?,
        "state": reader.state(&state).await?,
    })))
}
