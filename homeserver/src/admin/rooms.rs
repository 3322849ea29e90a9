//! Rooms.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::{OwnedEventId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    page::{Page, next},
    path,
};
use crate::{
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
        .route(&path("rooms/{room_id}"), get(one))
        .route(&path("rooms/{room_id}/close"), post(close))
        .route(&path("rooms/{room_id}/purge"), post(purge))
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
    by: AdminCaller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
    JsonBody(closing): JsonBody<Closing>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "close room", room_id.as_str())?;
    rooms.version(&room_id).await?.ok_or_else(|| MatrixError::not_found("No such room"))?;
    let members = rooms.joined_users(&room_id).await?;
    if let Some(anyone) = members.first() {
        for alias in rooms.aliases(&room_id).await? {
            rooms.delete_alias(&alias, anyone, true).await?;
        }
    }
    rooms.set_published(&room_id, None, false).await?;
    let left = rooms.see_out(&room_id, members, closing.reason.as_deref()).await?;
    Ok(Json(json!({ "left": left })))
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
