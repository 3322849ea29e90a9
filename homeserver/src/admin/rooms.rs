//! Rooms.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post, put},
};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::{OwnedEventId, OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    page::{Page, next},
    path,
};
use crate::{
    appservice::Deliveries,
    deletion::Deletion,
    http::{
        ApiState,
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
    rooms::{PurgeBefore, Rooms},
    store::admin as table,
    users::Users,
};

/// The most rooms of one page.
const MAX_PAGE: u32 = 1000;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route(&path("rooms"), get(list))
        .route(&path("rooms/{room_id}"), get(one).delete(delete))
        .route(&path("rooms/{room_id}/close"), post(close))
        .route(&path("rooms/{room_id}/purge"), post(purge))
        .route(&path("rooms/{room_id}/blocked"), put(block))
}

/// `GET rooms`
async fn list(
    State(users): State<Users>,
    State(rooms): State<Rooms>,
    by: AdminCaller,
    QueryArgs(page): QueryArgs<Page>,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let limit = page.limit(MAX_PAGE);
    let found = table::rooms(users.db(), &page.from, i64::from(limit)).await?;
    let next = next(&found, limit, |last| last.room_id.clone());
    let mut shown = Vec::new();
    for row in found {
        let Ok(room_id) = OwnedRoomId::try_from(row.room_id) else { continue };
        let public = rooms.public_room(&room_id, u64::try_from(row.joined).unwrap_or(0)).await?;
        shown.push(json!({
            "room_id": room_id,
            "version": row.version,
            "joined_members": row.joined,
            "name": public.name,
            "canonical_alias": public.canonical_alias,
            "join_rule": public.join_rule,
        }));
    }
    Ok(Json(json!({ "rooms": shown, "next": next })))
}

/// `GET rooms/{roomId}`
async fn one(
    State(rooms): State<Rooms>,
    by: AdminCaller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let version = rooms.version(&room_id).await?.ok_or_else(|| MatrixError::not_found("No such room"))?;
    let members = rooms.joined_users(&room_id).await?;
    let public = rooms.public_room(&room_id, members.len() as u64).await?;
    Ok(Json(json!({
        "room_id": room_id,
        "version": version,
        "name": public.name,
        "topic": public.topic,
        "join_rule": public.join_rule,
        "aliases": rooms.aliases(&room_id).await?,
        "published": rooms.is_published(&room_id, None).await?,
        "joined": members,
        "blocked": rooms.is_blocked(&room_id),
    })))
}

#[derive(Deserialize)]
struct Closing {
    /// What the members are told.
    reason: Option<String>,
}

/// `POST rooms/{roomId}/close`: all members of this server leave, its aliases and its place in the directory are gone. What was
/// said stays for those who were there.
async fn close(
    State(rooms): State<Rooms>,
    State(deliveries): State<Deliveries>,
    by: AdminCaller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
    JsonBody(closing): JsonBody<Closing>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "close room", room_id.as_str())?;
    rooms.version(&room_id).await?.ok_or_else(|| MatrixError::not_found("No such room"))?;
    Ok(Json(json!({ "left": close_it(&rooms, &deliveries, &room_id, closing.reason.as_deref()).await? })))
}

async fn close_it(rooms: &Rooms, deliveries: &Deliveries, room_id: &RoomId, reason: Option<&str>) -> ApiResult<usize> {
    rooms.unpublish(room_id).await?;
    rooms.remove_aliases(room_id).await?;
    deliveries.aliases_changed(room_id);
    Ok(rooms.see_everybody_out(room_id, reason).await?)
}

#[derive(Deserialize)]
struct Deleting {
    /// Whether nobody comes in again.
    #[serde(default)]
    block: bool,
    /// Whether all that there is of the room goes, too. Without, it is closed.
    #[serde(default = "yes")]
    purge: bool,
    /// What the members are told.
    reason: Option<String>,
}

fn yes() -> bool {
    true
}

/// `DELETE rooms/{roomId}`: all members leave, and all that there is of the room is taken away. That goes on after the answer: the room
/// is gone when `GET` does not find it any more. It can be asked for again.
async fn delete(
    State(rooms): State<Rooms>,
    State(deletion): State<Deletion>,
    State(deliveries): State<Deliveries>,
    by: AdminCaller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
    JsonBody(wanted): JsonBody<Deleting>,
) -> ApiResult<Json<Value>> {
    by.does(if wanted.purge { Role::Admin } else { Role::Moderator }, "delete room", room_id.as_str())?;
    if rooms.version(&room_id).await?.is_none() && !rooms.is_deleted(&room_id) {
        return Err(MatrixError::not_found("No such room").into());
    }
    if wanted.block {
        rooms.set_blocked(&room_id, true).await?;
    }
    let reason = wanted.reason.as_deref();
    let left = if wanted.purge {
        deletion.delete(&room_id, reason).await?
    } else {
        close_it(&rooms, &deliveries, &room_id, reason).await?
    };
    Ok(Json(json!({ "left": left })))
}

#[derive(Deserialize)]
struct Blocking {
    blocked: bool,
}

/// `PUT rooms/{roomId}/blocked`: nobody comes into the room, whether it is there or not, or whoever may again.
async fn block(
    State(rooms): State<Rooms>,
    by: AdminCaller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
    JsonBody(wanted): JsonBody<Blocking>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, if wanted.blocked { "block room" } else { "unblock room" }, room_id.as_str())?;
    rooms.set_blocked(&room_id, wanted.blocked).await?;
    Ok(Json(json!({ "blocked": wanted.blocked })))
}

#[derive(Deserialize)]
struct Purge {
    /// In milliseconds since 1970.
    before_ts: Option<i64>,
    before_event: Option<OwnedEventId>,
}

/// `POST rooms/{roomId}/purge`: the messages up to a place are forgotten for good; state stays.
async fn purge(
    State(rooms): State<Rooms>,
    by: AdminCaller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
    JsonBody(purge): JsonBody<Purge>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "purge history", room_id.as_str())?;
    let before = match (purge.before_ts, purge.before_event) {
        (Some(ts), None) => PurgeBefore::Time(ts),
        (None, Some(event_id)) => PurgeBefore::Event(event_id),
        _ => return Err(MatrixError::invalid_param("There is either before_ts or before_event").into()),
    };
    Ok(Json(json!({ "purged": rooms.purge_history(&room_id, before).await? })))
}
