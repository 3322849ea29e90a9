//! What the client-server API has for operators ([spec]): who somebody is, suspending and locking
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-administration

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, FromRequestParts, State},
    routing::get,
};
use http::{Method, request::Parts};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{AdminCaller, Operator, Role};
use crate::{
    devices::Devices,
    http::{
        ApiConfig, ApiState,
        auth::Caller,
        error::{ApiError, ApiResult},
        path::PathArgs,
    },
    users::{Account, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["/_matrix/client/r0", "/_matrix/client/v3"]
        .into_iter()
        .fold(router, |router, base| router.route(&format!("{base}/admin/whois/{{user_id}}"), get(whois)));
    router
        .route("/_matrix/client/v1/admin/suspend/{user_id}", get(suspended).put(suspend))
        .route("/_matrix/client/v1/admin/lock/{user_id}", get(locked).put(lock))
}

/// Somebody of this server whose account is open.
async fn open_account(config: &ApiConfig, users: &Users, user_id: &OwnedUserId) -> ApiResult<Account> {
    if !config.is_local(user_id) {
        return Err(MatrixError::invalid_param("The user is not of this server").into());
    }
    let account = users.details(user_id).await?.filter(|account| !account.deactivated);
    Ok(account.ok_or_else(|| MatrixError::not_found("No such user"))?)
}

/// An account that a moderator may look at and change: those of other operators are not.
async fn moderated(config: &ApiConfig, users: &Users, user_id: &OwnedUserId) -> ApiResult<()> {
    match open_account(config, users, user_id).await?.role {
        None => Ok(()),
        Some(_) => Err(MatrixError::forbidden("The user operates this server").into()),
    }
}

/// `GET /_matrix/client/v3/admin/whois/{userId}`: of oneself, or of anybody for those who operate the server. Addresses are not kept.
async fn whois(
    State(config): State<Arc<ApiConfig>>,
    State(users): State<Users>,
    State(devices): State<Devices>,
    State(operator): State<Operator>,
    caller: Caller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
) -> ApiResult<Json<Value>> {
    if caller.user_id != user_id && operator.role_of(&caller).await?.is_none() {
        return Err(MatrixError::forbidden("You do not operate this server").into());
    }
    open_account(&config, &users, &user_id).await?;
    let mut shown = Map::new();
    for device in devices.of_user(&user_id).await? {
        let connections = device.last_seen_ts.map(|at| json!({ "last_seen": at }));
        let connections: Vec<Value> = connections.into_iter().collect();
        shown.insert(device.device_id.to_string(), json!({ "sessions": [{ "connections": connections }] }));
    }
    Ok(Json(json!({ "user_id": user_id, "devices": shown })))
}

/// An account, for somebody who may look at what it may do, or change that.
struct Target {
    by: AdminCaller,
    users: Users,
    user_id: OwnedUserId,
}

impl FromRequestParts<ApiState> for Target {
    type Rejection = ApiError;

    /// Who may not is told nothing of who is there: the role comes first.
    async fn from_request_parts(head: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let by = AdminCaller::from_request_parts(head, state).await?;
        by.must_be(if head.method == Method::GET { Role::Auditor } else { Role::Moderator })?;
        let PathArgs((user_id,)) = PathArgs::<(OwnedUserId,)>::from_request_parts(head, state).await?;
        let (config, users) = (Arc::<ApiConfig>::from_ref(state), Users::from_ref(state));
        moderated(&config, &users, &user_id).await?;
        Ok(Self { by, users, user_id })
    }
}

/// `GET /_matrix/client/v1/admin/suspend/{userId}`
async fn suspended(target: Target) -> Json<Value> {
    Json(json!({ "suspended": target.users.restrictions(&target.user_id).suspended }))
}

#[derive(Deserialize)]
struct Suspend {
    suspended: bool,
}

/// `PUT /_matrix/client/v1/admin/suspend/{userId}`
async fn suspend(target: Target, JsonBody(Suspend { suspended }): JsonBody<Suspend>) -> ApiResult<Json<Value>> {
    target.by.does(Role::Moderator, "suspend", target.user_id.as_str())?;
    target.users.set_suspended(&target.user_id, suspended).await?;
    Ok(Json(json!({ "suspended": suspended })))
}

/// `GET /_matrix/client/v1/admin/lock/{userId}`
async fn locked(target: Target) -> Json<Value> {
    Json(json!({ "locked": target.users.restrictions(&target.user_id).locked }))
}

#[derive(Deserialize)]
struct Lock {
    locked: bool,
}

/// `PUT /_matrix/client/v1/admin/lock/{userId}`
async fn lock(target: Target, JsonBody(Lock { locked }): JsonBody<Lock>) -> ApiResult<Json<Value>> {
    target.by.does(Role::Moderator, "lock", target.user_id.as_str())?;
    target.users.set_locked(&target.user_id, locked).await?;
    Ok(Json(json!({ "locked": locked })))
}
