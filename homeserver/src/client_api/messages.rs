//! Reading timelines ([messages], [event], [context])
//!
//! [messages]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
//! [event]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
//! [context]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid

use std::sync::Arc;

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    UInt,
    api::{
        Direction as ApiDirection,
        client::{
            context::get_context::v3 as get_context, filter::RoomEventFilter,
            message::get_message_events::v3 as get_messages, room::get_room_event::v3 as get_event,
        },
    },
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
    },
    rooms::{ClientEventFormat, ClientEventOptions, Direction, Event, MessagesQuery, Rooms},
    stream::Position,
    sync::{EventFilter, SyncToken},
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

fn token(token: Option<&str>) -> ApiResult<Option<Position>> {
    let parse = |token: &str| token.parse().map(|token: SyncToken| token.position);
    Ok(token
        .filter(|token| !token.is_empty())
        .map(parse)
        .transpose()
        .map_err(|_| MatrixError::invalid_param("The token is not one of this server"))?)
}

async fn shown(rooms: &Rooms, caller: &Caller, events: &[Arc<Event>]) -> ApiResult<Vec<Box<RawValue>>> {
    let options = ClientEventOptions { format: ClientEventFormat::Full, reader: caller.reader() };
    Ok(rooms.client_events(events, options).await?)
}

fn keep(filter: &RoomEventFilter, events: &mut Vec<Arc<Event>>) {
    let filter = EventFilter::new(filter);
    events.retain(|event| filter.admits(event));
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
async fn messages(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_messages::Request>,
) -> ApiResult<Json<Value>> {
    let direction = match body.dir {
        ApiDirection::Backward => Direction::Backward,
        ApiDirection::Forward => Direction::Forward,
    };
    let mut page = rooms
        .messages(MessagesQuery {
            room_id: body.room_id,
            user: caller.user_id.clone(),
            from: token(body.from.as_deref())?,
            to: token(body.to.as_deref())?,
            direction,
            limit: limit(body.limit).max(1),
        })
        .await?;
    keep(&body.filter, &mut page.events);
    let mut answer = json!({
        "start": page.start.to_string(),
        "chunk": shown(&rooms, &caller, &page.events).await?,
        "state": [],
    });
    if let (Some(end), Some(answer)) = (page.end, answer.as_object_mut()) {
        answer.insert("end".to_owned(), end.to_string().into());
    }
    Ok(Json(answer))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
async fn event(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_event::Request>,
) -> ApiResult<Json<Box<RawValue>>> {
    let event = rooms.visible_event(&body.room_id, &body.event_id, &caller.user_id).await?;
    let shown = shown(&rooms, &caller, &[event]).await?.into_iter().next();
    Ok(Json(shown.ok_or_else(MatrixError::internal)?))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
async fn context(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_context::Request>,
) -> ApiResult<Json<Value>> {
    let event = rooms.visible_event(&body.room_id, &body.event_id, &caller.user_id).await?;
    let at = event.position();
    let around = limit(body.limit) / 2;
    let page = |from, direction| MessagesQuery {
        room_id: body.room_id.clone(),
        user: caller.user_id.clone(),
        from: Some(from),
        to: None,
        direction,
        limit: around.max(1),
    };
    let mut before = rooms.messages(page(Position(at.0 - 1), Direction::Backward)).await?;
    let mut after = rooms.messages(page(at, Direction::Forward)).await?;
    if around == 0 {
        before.events.clear();
        after.events.clear();
    }
    keep(&body.filter, &mut before.events);
    keep(&body.filter, &mut after.events);
    let root = rooms.readable_state(&body.room_id, &caller.user_id).await?;
    let state = rooms.state_at(root).await?;
    Ok(Json(json!({
        "start": before.end.unwrap_or(before.start).to_string(),
        "end": after.end.unwrap_or(after.start).to_string(),
        "events_before": shown(&rooms, &caller, &before.events).await?,
        "event": shown(&rooms, &caller, &[event]).await?.into_iter().next(),
        "events_after": shown(&rooms, &caller, &after.events).await?,
        "state": shown(&rooms, &caller, &state).await?,
    })))
}
