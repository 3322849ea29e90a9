//! Files.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete as delete_, get, post, put},
};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    path,
};
use crate::{
    http::{ApiState, error::ApiResult, path::PathArgs},
    media::{KeptFile, Media},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route(&path("media"), get(total))
        .route(&path("media/purge"), post(purge))
        .route(&path("media/{media_id}"), delete_(delete))
        .route(&path("media/{media_id}/quarantine"), put(quarantine))
        .route(&path("users/{user_id}/media"), get(of_user))
}

/// `GET media`
async fn total(State(media): State<Media>, by: AdminCaller) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let (files, bytes) = media.total().await?;
    Ok(Json(json!({ "files": files, "bytes": bytes })))
}

#[derive(Deserialize)]
struct Purge {
    /// In milliseconds since 1970: files that nobody has asked for since then go.
    unused_since: i64,
}

/// `POST media/purge`
async fn purge(
    State(media): State<Media>,
    by: AdminCaller,
    JsonBody(purge): JsonBody<Purge>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "purge media", "")?;
    let purged = media.purge(Some(purge.unused_since)).await?;
    Ok(Json(json!({ "files": purged.files, "bytes": purged.bytes })))
}

fn unknown() -> MatrixError {
    MatrixError::not_found("No such file")
}

/// `DELETE media/{mediaId}`
async fn delete(
    State(media): State<Media>,
    by: AdminCaller,
    PathArgs((media_id,)): PathArgs<(String,)>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "delete file", &media_id)?;
    if media.delete(&media_id).await? { Ok(Json(json!({}))) } else { Err(unknown().into()) }
}

#[derive(Deserialize)]
struct Quarantine {
    quarantined: bool,
}

/// `PUT media/{mediaId}/quarantine`
async fn quarantine(
    State(media): State<Media>,
    by: AdminCaller,
    PathArgs((media_id,)): PathArgs<(String,)>,
    JsonBody(wanted): JsonBody<Quarantine>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "quarantine file", &media_id)?;
    let known = media.quarantine(&media_id, wanted.quarantined).await?;
    if known { Ok(Json(json!({}))) } else { Err(unknown().into()) }
}

fn shown(file: &KeptFile) -> Value {
    json!({
        "media_id": file.media_id,
        "content_type": file.content_type,
        "filename": file.filename,
        "size": file.size,
        "created_at": file.created_at,
        "last_access_at": file.last_access_at,
        "quarantined": file.quarantined,
    })
}

/// `GET users/{userId}/media`
async fn of_user(
    State(media): State<Media>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Moderator)?;
    let files: Vec<Value> = media.of_user(&user_id).await?.iter().map(shown).collect();
    Ok(Json(json!({ "files": files })))
}
