//! Backups of room keys ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, put},
};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::api::error::{ErrorKind, WrongRoomKeysVersionErrorData};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use super::reply::empty;
use crate::{
    devices::{Backup, BackupSession, Backups, Which},
    http::{
        ApiState,
        auth::Caller,
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    ["v3", "unstable"].into_iter().fold(router, |router, version| {
        let base = format!("/_matrix/client/{version}/room_keys");
        router
            .route(&format!("{base}/version"), get(newest).post(create))
            .route(&format!("{base}/version/{{version}}"), get(one).put(update).delete(remove))
            .route(&format!("{base}/keys"), put(put_all).get(all).delete(remove_all))
            .route(&format!("{base}/keys/{{room_id}}"), put(put_room).get(of_room).delete(remove_room))
            .route(&format!("{base}/keys/{{room_id}}/{{session_id}}"), put(put_one).get(one_key).delete(remove_one))
    })
}

/// What a backup is made of.
#[derive(Deserialize)]
struct NewBackup {
    algorithm: String,
    auth_data: Map<String, Value>,
    version: Option<String>,
}

/// One key.
#[derive(Serialize, Deserialize)]
struct Key {
    first_message_index: u32,
    forwarded_count: u32,
    is_verified: bool,
    session_data: Box<RawValue>,
}

/// The keys of a room by session.
#[derive(Serialize, Deserialize, Default)]
struct RoomKeys {
    sessions: BTreeMap<String, Key>,
}

/// The keys of a backup by room.
#[derive(Serialize, Deserialize, Default)]
struct AllKeys {
    rooms: BTreeMap<String, RoomKeys>,
}

#[derive(Deserialize)]
struct VersionQuery {
    version: String,
}

fn unknown() -> MatrixError {
    MatrixError::not_found("No such backup")
}

fn number(version: &str) -> Option<i64> {
    version.parse().ok().filter(|version| *version > 0)
}

/// The backup that a request names.
async fn named(backups: &Backups, caller: &Caller, version: &str) -> ApiResult<Backup> {
    let Some(version) = number(version) else { return Err(unknown().into()) };
    Ok(backups.one(&caller.user_id, Some(version)).await?.ok_or_else(unknown)?)
}

/// The backup that a request writes to, which has to be the newest.
async fn current(backups: &Backups, caller: &Caller, version: &str) -> ApiResult<Backup> {
    let newest = backups.one(&caller.user_id, None).await?.ok_or_else(unknown)?;
    if number(version) == Some(newest.version) {
        return Ok(newest);
    }
    let data = WrongRoomKeysVersionErrorData::new(newest.version.to_string());
    let message = "This is not the current backup";
    Err(MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::WrongRoomKeysVersion(data), message).into())
}

fn shown(backup: &Backup) -> Value {
    let auth_data: Value = serde_json::from_str(&backup.auth_data).unwrap_or_default();
    json!({
        "version": backup.version.to_string(),
        "algorithm": backup.algorithm,
        "auth_data": auth_data,
        "etag": backup.etag.to_string(),
        "count": backup.count,
    })
}

/// `GET /_matrix/client/v3/room_keys/version`
async fn newest(State(backups): State<Backups>, caller: Caller) -> ApiResult<Json<Value>> {
    let backup = backups.one(&caller.user_id, None).await?.ok_or_else(unknown)?;
    Ok(Json(shown(&backup)))
}

/// `POST /_matrix/client/v3/room_keys/version`
async fn create(
    State(backups): State<Backups>,
    caller: Caller,
    JsonBody(new): JsonBody<NewBackup>,
) -> ApiResult<Json<Value>> {
    let auth_data = Value::from(new.auth_data).to_string();
    let version = backups.create(&caller.user_id, &new.algorithm, &auth_data).await?;
    Ok(Json(json!({ "version": version.to_string() })))
}

/// `GET /_matrix/client/v3/room_keys/version/{version}`
async fn one(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((version,)): PathArgs<(String,)>,
) -> ApiResult<Json<Value>> {
    Ok(Json(shown(&named(&backups, &caller, &version).await?)))
}

/// `PUT /_matrix/client/v3/room_keys/version/{version}`
async fn update(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((version,)): PathArgs<(String,)>,
    JsonBody(new): JsonBody<NewBackup>,
) -> ApiResult<Json<Value>> {
    let backup = named(&backups, &caller, &version).await?;
    if new.algorithm != backup.algorithm {
        return Err(MatrixError::invalid_param("The algorithm of a backup never changes").into());
    }
    if new.version.is_some_and(|given| given != version) {
        return Err(MatrixError::invalid_param("The versions in path and body differ").into());
    }
    backups.set_auth_data(&caller.user_id, backup.version, &Value::from(new.auth_data).to_string()).await?;
    Ok(empty())
}

/// `DELETE /_matrix/client/v3/room_keys/version/{version}`
async fn remove(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((version,)): PathArgs<(String,)>,
) -> ApiResult<Json<Value>> {
    let backup = named(&backups, &caller, &version).await?;
    backups.delete(&caller.user_id, backup.version).await?;
    Ok(empty())
}

fn session(room_id: &str, session_id: &str, key: Key) -> ApiResult<BackupSession> {
    if [room_id, session_id].iter().any(|id| id.is_empty() || id.len() > 255) {
        return Err(MatrixError::invalid_param("Not the id of a room or session").into());
    }
    if !key.session_data.get().starts_with('{') {
        return Err(MatrixError::bad_json("session_data has to be an object").into());
    }
    Ok(BackupSession {
        room_id: room_id.to_owned(),
        session_id: session_id.to_owned(),
        first_message_index: key.first_message_index.into(),
        forwarded_count: key.forwarded_count.into(),
        is_verified: key.is_verified,
        session_data: key.session_data.get().to_owned(),
    })
}

fn sessions_of(room_id: &str, keys: RoomKeys) -> ApiResult<Vec<BackupSession>> {
    keys.sessions.into_iter().map(|(session_id, key)| session(room_id, &session_id, key)).collect()
}

async fn keep(backups: &Backups, caller: &Caller, version: &str, keys: Vec<BackupSession>) -> ApiResult<Json<Value>> {
    let backup = current(backups, caller, version).await?;
    backups.put(&caller.user_id, backup.version, keys).await?;
    standing(backups, caller, version).await
}

/// How many keys a backup now has, and its etag.
async fn standing(backups: &Backups, caller: &Caller, version: &str) -> ApiResult<Json<Value>> {
    let backup = named(backups, caller, version).await?;
    Ok(Json(json!({ "etag": backup.etag.to_string(), "count": backup.count })))
}

/// `PUT /_matrix/client/v3/room_keys/keys`
async fn put_all(
    State(backups): State<Backups>,
    caller: Caller,
    QueryArgs(query): QueryArgs<VersionQuery>,
    JsonBody(body): JsonBody<AllKeys>,
) -> ApiResult<Json<Value>> {
    let mut keys = Vec::new();
    for (room_id, of_room) in body.rooms {
        keys.extend(sessions_of(&room_id, of_room)?);
    }
    keep(&backups, &caller, &query.version, keys).await
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}`
async fn put_room(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((room_id,)): PathArgs<(String,)>,
    QueryArgs(query): QueryArgs<VersionQuery>,
    JsonBody(body): JsonBody<RoomKeys>,
) -> ApiResult<Json<Value>> {
    keep(&backups, &caller, &query.version, sessions_of(&room_id, body)?).await
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
async fn put_one(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((room_id, session_id)): PathArgs<(String, String)>,
    QueryArgs(query): QueryArgs<VersionQuery>,
    JsonBody(body): JsonBody<Key>,
) -> ApiResult<Json<Value>> {
    keep(&backups, &caller, &query.version, vec![session(&room_id, &session_id, body)?]).await
}

fn key(session: BackupSession) -> ApiResult<Key> {
    let broken = |_| MatrixError::internal();
    Ok(Key {
        first_message_index: u32::try_from(session.first_message_index).unwrap_or(u32::MAX),
        forwarded_count: u32::try_from(session.forwarded_count).unwrap_or(u32::MAX),
        is_verified: session.is_verified,
        session_data: RawValue::from_string(session.session_data).map_err(broken)?,
    })
}

async fn found(backups: &Backups, caller: &Caller, version: &str, which: Which<'_>) -> ApiResult<AllKeys> {
    let backup = named(backups, caller, version).await?;
    let mut all = AllKeys::default();
    for session in backups.keys(&caller.user_id, backup.version, which).await? {
        let room = all.rooms.entry(session.room_id.clone()).or_default();
        room.sessions.insert(session.session_id.clone(), key(session)?);
    }
    Ok(all)
}

/// `GET /_matrix/client/v3/room_keys/keys`
async fn all(
    State(backups): State<Backups>,
    caller: Caller,
    QueryArgs(query): QueryArgs<VersionQuery>,
) -> ApiResult<Json<AllKeys>> {
    Ok(Json(found(&backups, &caller, &query.version, Which::default()).await?))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}`
async fn of_room(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((room_id,)): PathArgs<(String,)>,
    QueryArgs(query): QueryArgs<VersionQuery>,
) -> ApiResult<Json<RoomKeys>> {
    let which = Which { room_id: Some(&room_id), session_id: None };
    let mut all = found(&backups, &caller, &query.version, which).await?;
    Ok(Json(all.rooms.remove(&room_id).unwrap_or_default()))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
async fn one_key(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((room_id, session_id)): PathArgs<(String, String)>,
    QueryArgs(query): QueryArgs<VersionQuery>,
) -> ApiResult<Json<Key>> {
    let which = Which { room_id: Some(&room_id), session_id: Some(&session_id) };
    let mut all = found(&backups, &caller, &query.version, which).await?;
    let key = all.rooms.remove(&room_id).and_then(|mut room| room.sessions.remove(&session_id));
    Ok(Json(key.ok_or_else(|| MatrixError::not_found("No such key"))?))
}

async fn take_out(backups: &Backups, caller: &Caller, version: &str, which: Which<'_>) -> ApiResult<Json<Value>> {
    let backup = current(backups, caller, version).await?;
    backups.remove(&caller.user_id, backup.version, which).await?;
    standing(backups, caller, version).await
}

/// `DELETE /_matrix/client/v3/room_keys/keys`
async fn remove_all(
    State(backups): State<Backups>,
    caller: Caller,
    QueryArgs(query): QueryArgs<VersionQuery>,
) -> ApiResult<Json<Value>> {
    take_out(&backups, &caller, &query.version, Which::default()).await
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}`
async fn remove_room(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((room_id,)): PathArgs<(String,)>,
    QueryArgs(query): QueryArgs<VersionQuery>,
) -> ApiResult<Json<Value>> {
    take_out(&backups, &caller, &query.version, Which { room_id: Some(&room_id), session_id: None }).await
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
async fn remove_one(
    State(backups): State<Backups>,
    caller: Caller,
    PathArgs((room_id, session_id)): PathArgs<(String, String)>,
    QueryArgs(query): QueryArgs<VersionQuery>,
) -> ApiResult<Json<Value>> {
    let which = Which { room_id: Some(&room_id), session_id: Some(&session_id) };
    take_out(&backups, &caller, &query.version, which).await
}
