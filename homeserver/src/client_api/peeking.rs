//! Looking into a room without being in it, as older clients do ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidinitialsync

use std::time::Duration;

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::mount;
use ruma::api::client::peeking::{get_current_state::v3 as initial_sync, listen_to_new_events::v3 as listen};
use serde_json::{Value, json, value::RawValue};

use super::{messages::token, shown::Reader};
use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    rooms::{Direction, MessagesQuery, Rooms},
    stream::{Position, Stream},
    sync::LONGEST_POLL,
    users::{AccountData, StoredEvent},
};

/// How many messages are shown first, and at most later on.
const MESSAGES: usize = 20;
const MAX_MESSAGES: usize = 500;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<listen::Request, _, _, _>(router, events);
    mount::<initial_sync::Request, _, _, _>(router, initial)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/initialSync`
async fn initial(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<initial_sync::Request>,
) -> ApiResult<Json<Value>> {
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let root = rooms.readable_state(&body.room_id, &caller.user_id).await?;
    let query = MessagesQuery {
        room_id: body.room_id.clone(),
        user: caller.user_id.clone(),
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: MESSAGES,
    };
    let mut page = rooms.messages(query).await?;
    page.events.reverse();
    let membership = rooms.membership(&body.room_id, &caller.user_id).await?;
    let stored = account_data.between(&caller.user_id, 0, i64::MAX).await?;
    let stored: Vec<Value> =
        stored.iter().filter(|event| event.room_id == body.room_id.as_str()).filter_map(shown).collect();
    let mut answer = json!({
        "room_id": body.room_id,
        "messages": {
            "start": page.end.unwrap_or(Position::START).to_string(),
            "end": page.start.to_string(),
            "chunk": reader.shown(&page.events).await?,
        },
        "state": reader.state(&rooms.state_at(root).await?).await?,
        "visibility": if rooms.is_published(&body.room_id, None).await? { "public" } else { "private" },
        "account_data": stored,
    });
    if let Some(known) = membership {
        answer["membership"] = known.membership.as_str().into();
    }
    Ok(Json(answer))
}

fn shown(event: &StoredEvent) -> Option<Value> {
    let content: &RawValue = serde_json::from_str(&event.content).ok()?;
    Some(json!({ "type": event.kind, "content": content }))
}

/// `GET /_matrix/client/v3/events`: what happens in one room, for those who look into it.
async fn events(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    State(stream): State<Stream>,
    Authed { caller, body }: Authed<listen::Request>,
) -> ApiResult<Json<Value>> {
    let room_id = body.room_id;
    rooms.readable_state(&room_id, &caller.user_id).await?;
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let mut from = token(body.from.as_deref())?.unwrap_or_else(|| stream.position());
    let deadline = tokio::time::Instant::now() + body.timeout.unwrap_or(Duration::ZERO).min(LONGEST_POLL);
    let start = from;
    loop {
        let query = MessagesQuery {
            room_id: room_id.clone(),
            user: caller.user_id.clone(),
            from: Some(from),
            to: None,
            direction: Direction::Forward,
            limit: MAX_MESSAGES,
        };
        let head = stream.position();
        let page = rooms.messages(query).await?;
        let end = page.end.unwrap_or(head);
        if !page.events.is_empty() || tokio::time::Instant::now() >= deadline {
            let chunk = reader.shown(&page.events).await?;
            return Ok(Json(json!({ "start": start.to_string(), "end": end.to_string(), "chunk": chunk })));
        }
        from = end;
        let _ = tokio::time::timeout_at(deadline, stream.wait_past(from)).await;
    }
}
