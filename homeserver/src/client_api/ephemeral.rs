//! Typing, receipts, read markers, presence ([typing], [receipts], [read markers], [presence])
//!
//! [typing]: https://spec.matrix.org/v1.19/client-server-api/#typing-notifications
//! [receipts]: https://spec.matrix.org/v1.19/client-server-api/#receipts
//! [read markers]: https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers
//! [presence]: https://spec.matrix.org/v1.19/client-server-api/#presence

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    routing::{post, put},
};
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::{
        presence::{get_presence::v3 as get_presence, set_presence::v3 as set_presence},
        read_marker::set_read_marker::v3 as set_read_marker,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::empty;
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        path::PathArgs,
    },
    push::Unread,
    rooms::{Event, Membership, Rooms},
    stream::Position,
    sync::{Presences, PresentAs, Receipt, Receipts, Typists},
    users::AccountData,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["r0", "v3"].into_iter().fold(router, |router, version| {
        router.route(&format!("/_matrix/client/{version}/rooms/{{room_id}}/typing/{{user_id}}"), put(typing))
    });
    let router = ["r0", "v3"].into_iter().fold(router, |router, version| {
        let path = "rooms/{room_id}/receipt/{receipt_type}/{event_id}";
        router.route(&format!("/_matrix/client/{version}/{path}"), post(receipt))
    });
    let router = mount::<set_read_marker::Request, _, _, _>(router, read_markers);
    let router = mount::<set_presence::Request, _, _, _>(router, put_presence);
    mount::<get_presence::Request, _, _, _>(router, presence)
}

async fn must_be_joined(rooms: &Rooms, caller: &Caller, room_id: &RoomId) -> ApiResult<()> {
    let standing = rooms.membership(room_id, &caller.user_id).await?;
    if standing.is_some_and(|standing| standing.membership == Membership::Join) {
        return Ok(());
    }
    Err(MatrixError::forbidden("You are not in the room").into())
}

/// Read by hand: ruma asks for a timeout that the specification does not.
#[derive(Deserialize)]
struct TypingBody {
    typing: bool,
    /// In milliseconds.
    timeout: Option<u64>,
}

/// How long somebody types who does not say how long, in milliseconds.
const DEFAULT_TYPING: u64 = 30_000;

/// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
async fn typing(
    State(rooms): State<Rooms>,
    State(typing): State<Typists>,
    caller: Caller,
    PathArgs((room_id, user_id)): PathArgs<(OwnedRoomId, OwnedUserId)>,
    JsonBody(body): JsonBody<TypingBody>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&user_id)?;
    must_be_joined(&rooms, &caller, &room_id).await?;
    let lasts = body.typing.then(|| Duration::from_millis(body.timeout.unwrap_or(DEFAULT_TYPING)));
    typing.set(&room_id, &user_id, lasts).await?;
    Ok(empty())
}

/// Read by hand: whatever is wrong with the thread has an errcode of its own.
#[derive(Deserialize)]
struct ReceiptBody {
    thread_id: Option<Value>,
}

/// `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
async fn receipt(
    State(rooms): State<Rooms>,
    State(receipts): State<Receipts>,
    State(unread): State<Unread>,
    State(account_data): State<AccountData>,
    caller: Caller,
    PathArgs((room_id, kind, event_id)): PathArgs<(OwnedRoomId, String, OwnedEventId)>,
    JsonBody(body): JsonBody<ReceiptBody>,
) -> ApiResult<Json<Value>> {
    must_be_joined(&rooms, &caller, &room_id).await?;
    let thread = match &body.thread_id {
        None => "",
        Some(Value::String(thread)) if !thread.is_empty() && kind != "m.fully_read" => thread,
        Some(_) => return Err(MatrixError::invalid_param("thread_id is no thread, or there is none").into()),
    };
    match &*kind {
        "m.fully_read" => fully_read(&rooms, &account_data, &caller, &room_id, &event_id).await?,
        "m.read" | "m.read.private" => {
            read(&rooms, &receipts, &unread, &caller.user_id, &room_id, &kind, thread, &event_id).await?;
        }
        _ => return Err(MatrixError::invalid_param("No such receipt type").into()),
    }
    Ok(empty())
}

/// An event of a room. There are no others of it: this server has whole rooms.
async fn event_of(rooms: &Rooms, room_id: &RoomId, event_id: &EventId) -> ApiResult<Arc<Event>> {
    let event = rooms.event(event_id).await?.filter(|event| event.room_id == room_id && event.flags.in_timeline());
    Ok(event.ok_or_else(|| MatrixError::not_found("There is no such event in the room"))?)
}

/// Refuses a receipt in a thread that the event is not in. The first event of a thread is in its room's main timeline and in the thread.
async fn must_be_in_thread(rooms: &Rooms, event: &Event, thread: &str) -> ApiResult<()> {
    let found = rooms.thread_of(event).await?;
    let is_in = match thread {
        "" => true,
        "main" => found.is_none(),
        root => event.event_id.as_str() == root || found.is_some_and(|found| found.as_str() == root),
    };
    if is_in { Ok(()) } else { Err(MatrixError::invalid_param("The event is not in that thread").into()) }
}

/// Notes that a user has read up to an event. A receipt that is behind the one before changes nothing.
#[expect(clippy::too_many_arguments, reason = "a receipt is what these say, and nothing else")]
pub(super) async fn read(
    rooms: &Rooms,
    receipts: &Receipts,
    unread: &Unread,
    user_id: &UserId,
    room_id: &RoomId,
    kind: &str,
    thread: &str,
    event_id: &EventId,
) -> ApiResult<()> {
    let event = event_of(rooms, room_id, event_id).await?;
    must_be_in_thread(rooms, &event, thread).await?;
    let position = async |event_id: &EventId| -> ApiResult<Option<Position>> {
        let event = rooms.event(event_id).await?.filter(|event| event.room_id == room_id);
        Ok(event.map(|event| event.position()))
    };
    let mut known = receipts.of_user(room_id, user_id).await?;
    known.retain(|receipt| receipt.kind() == kind && receipt.thread() == thread);
    if let Some(before) = known.first().and_then(Receipt::event_id)
        && position(&before).await?.is_some_and(|before| event.position() <= before)
    {
        return Ok(());
    }
    unread.reads(user_id, room_id, thread, event_id).await?;
    receipts.put(room_id, user_id, kind, thread, event_id).await?;
    Ok(())
}

async fn fully_read(
    rooms: &Rooms,
    account_data: &AccountData,
    caller: &Caller,
    room_id: &RoomId,
    event_id: &EventId,
) -> ApiResult<()> {
    event_of(rooms, room_id, event_id).await?;
    let content = json!({ "event_id": event_id }).to_string();
    account_data.put(&caller.user_id, Some(room_id), "m.fully_read", &content).await?;
    Ok(())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/read_markers`
async fn read_markers(
    State(rooms): State<Rooms>,
    State(receipts): State<Receipts>,
    State(unread): State<Unread>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<set_read_marker::Request>,
) -> ApiResult<Json<Value>> {
    must_be_joined(&rooms, &caller, &body.room_id).await?;
    if let Some(event_id) = &body.fully_read {
        fully_read(&rooms, &account_data, &caller, &body.room_id, event_id).await?;
    }
    if let Some(event_id) = &body.read_receipt {
        read(&rooms, &receipts, &unread, &caller.user_id, &body.room_id, "m.read", "", event_id).await?;
    }
    if let Some(event_id) = &body.private_read_receipt {
        read(&rooms, &receipts, &unread, &caller.user_id, &body.room_id, "m.read.private", "", event_id).await?;
    }
    Ok(empty())
}

/// `PUT /_matrix/client/v3/presence/{userId}/status`
async fn put_presence(
    State(presences): State<Presences>,
    Authed { caller, body }: Authed<set_presence::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    let presence = PresentAs::from_state(&body.presence);
    let presence = presence.ok_or_else(|| MatrixError::invalid_param("There is no such presence"))?;
    presences.set(&body.user_id, presence, body.status_msg.as_deref()).await?;
    Ok(empty())
}

/// `GET /_matrix/client/v3/presence/{userId}/status`
async fn presence(
    State(rooms): State<Rooms>,
    State(presences): State<Presences>,
    Authed { caller, body }: Authed<get_presence::Request>,
) -> ApiResult<Json<Value>> {
    if caller.user_id != body.user_id && !rooms.share_a_room(&caller.user_id, &body.user_id).await? {
        return Err(MatrixError::forbidden("You share no room with the user").into());
    }
    Ok(Json(presences.content(&body.user_id)))
}
