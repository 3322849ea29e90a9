//! Users.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post, put},
};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::{OwnedUserId, api::error::ErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    page::{Page, next},
    path,
};
use crate::{
    appservice::Appservices,
    client_api::free_name,
    departure::Departure,
    devices::Devices,
    http::{
        ApiConfig, ApiState,
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
    users::{Account, MAX_PASSWORD_BYTES, Standing, Users},
};

/// The most users of one page.
const MAX_PAGE: u32 = 1000;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route(&path("users"), get(list).post(create))
        .route(&path("users/{user_id}"), get(one))
        .route(&path("users/{user_id}/password"), put(set_password))
        .route(&path("users/{user_id}/standing"), put(set_standing))
        .route(&path("users/{user_id}/role"), put(set_role))
        .route(&path("users/{user_id}/deactivate"), post(deactivate))
        .route(&path("users/{user_id}/logout"), post(log_out))
}

#[derive(Deserialize)]
struct Wanted {
    /// Part of the user id.
    #[serde(default)]
    search: String,
    /// Also those of application services.
    #[serde(default)]
    services: bool,
}

fn shown(account: &Account, users: &Users) -> Value {
    let standing = match users.standing(&account.user_id) {
        Standing::Good => "good",
        Standing::Suspended => "suspended",
        Standing::Locked => "locked",
    };
    json!({
        "user_id": account.user_id,
        "display_name": account.displayname,
        "role": account.role,
        "standing": standing,
        "deactivated": account.deactivated,
        "appservice_id": account.appservice_id,
        "created_at": account.created_at,
    })
}

/// `GET users`
async fn list(
    State(users): State<Users>,
    by: AdminCaller,
    QueryArgs(page): QueryArgs<Page>,
    QueryArgs(wanted): QueryArgs<Wanted>,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let limit = page.limit(MAX_PAGE);
    let found = users.page(&page.from, &wanted.search, wanted.services, limit).await?;
    let next = next(&found, limit, |last| last.user_id.to_string());
    let users: Vec<Value> = found.iter().map(|account| shown(account, &users)).collect();
    Ok(Json(json!({ "users": users, "next": next })))
}

async fn known(users: &Users, user_id: &OwnedUserId) -> ApiResult<Account> {
    Ok(users.details(user_id).await?.ok_or_else(|| MatrixError::not_found("No such user"))?)
}

/// `GET users/{userId}`
async fn one(
    State(users): State<Users>,
    State(devices): State<Devices>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let account = known(&users, &user_id).await?;
    let mut body = shown(&account, &users);
    let devices = devices.of_user(&user_id).await?;
    body["devices"] = devices
        .iter()
        .map(|device| {
            json!({ "device_id": device.device_id, "display_name": device.display_name, "last_seen_ts": device.last_seen_ts })
        })
        .collect();
    Ok(Json(body))
}

#[derive(Deserialize)]
struct NewUser {
    username: String,
    /// Without one only an operator can let the user in.
    password: Option<String>,
    role: Option<String>,
}

fn role(name: Option<&str>) -> ApiResult<Option<Role>> {
    name.map(|name| Role::parse(name).ok_or_else(|| MatrixError::invalid_param("No such role").into())).transpose()
}

fn check_password(password: &str) -> ApiResult<()> {
    if (1..=MAX_PASSWORD_BYTES).contains(&password.len()) {
        return Ok(());
    }
    let message = format!("A password has 1 to {MAX_PASSWORD_BYTES} bytes");
    Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::WeakPassword, message).into())
}

/// `POST users`
async fn create(
    State(config): State<Arc<ApiConfig>>,
    State(users): State<Users>,
    State(appservices): State<Appservices>,
    by: AdminCaller,
    JsonBody(new): JsonBody<NewUser>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "create user", &new.username)?;
    let role = role(new.role.as_deref())?;
    if let Some(password) = &new.password {
        check_password(password)?;
    }
    let user_id = free_name(&config, &users, &appservices, &new.username, None).await?;
    users.create(&user_id, new.password.as_deref(), None).await?;
    if let Some(role) = role {
        users.set_role(&user_id, Some(role.as_str())).await?;
    }
    Ok(Json(json!({ "user_id": user_id })))
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
    /// Ends all devices.
    #[serde(default = "yes")]
    logout_devices: bool,
}

const fn yes() -> bool {
    true
}

/// `PUT users/{userId}/password`
async fn set_password(
    State(users): State<Users>,
    State(devices): State<Devices>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
    JsonBody(new): JsonBody<NewPassword>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "set password", user_id.as_str())?;
    check_password(&new.password)?;
    if known(&users, &user_id).await?.deactivated {
        return Err(MatrixError::forbidden("The account is closed").into());
    }
    users.set_password(&user_id, &new.password).await?;
    if new.logout_devices {
        devices.delete_all(&user_id, None).await?;
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct NewStanding {
    standing: String,
}

/// `PUT users/{userId}/standing`
async fn set_standing(
    State(users): State<Users>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
    JsonBody(new): JsonBody<NewStanding>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "set standing", user_id.as_str())?;
    let account = known(&users, &user_id).await?;
    if account.role.is_some() {
        by.must_be(Role::Admin)?;
    }
    let standing = match new.standing.as_str() {
        "good" => Standing::Good,
        "suspended" => Standing::Suspended,
        "locked" => Standing::Locked,
        _ => return Err(MatrixError::invalid_param("The standing is good, suspended or locked").into()),
    };
    users.set_standing(&user_id, standing).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct NewRole {
    role: Option<String>,
}

/// `PUT users/{userId}/role`
async fn set_role(
    State(users): State<Users>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
    JsonBody(new): JsonBody<NewRole>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "set role", user_id.as_str())?;
    known(&users, &user_id).await?;
    users.set_role(&user_id, role(new.role.as_deref())?.map(Role::as_str)).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Closing {
    #[serde(default)]
    erase: bool,
}

/// `POST users/{userId}/deactivate`
async fn deactivate(
    State(users): State<Users>,
    State(departure): State<Departure>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
    JsonBody(closing): JsonBody<Closing>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "deactivate", user_id.as_str())?;
    known(&users, &user_id).await?;
    departure.close(&user_id, closing.erase).await?;
    Ok(Json(json!({})))
}

/// `POST users/{userId}/logout`: ends all devices of the user.
async fn log_out(
    State(users): State<Users>,
    State(devices): State<Devices>,
    by: AdminCaller,
    PathArgs((user_id,)): PathArgs<(OwnedUserId,)>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "log out", user_id.as_str())?;
    known(&users, &user_id).await?;
    devices.delete_all(&user_id, None).await?;
    Ok(Json(json!({})))
}
