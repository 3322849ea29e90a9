//! Registration tokens.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, put},
};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::api::error::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    path,
};
use crate::{
    http::{ApiState, error::ApiResult, path::PathArgs},
    store::StoreError,
    users::{Grants, RegistrationToken},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route(&path("registration_tokens"), get(list).post(create))
        .route(&path("registration_tokens/{token}"), put(update).delete(delete))
}

#[derive(Deserialize)]
struct Wanted {
    /// `None` makes one up.
    token: Option<String>,
    uses_allowed: Option<u32>,
    /// In milliseconds since 1970.
    expires_at: Option<i64>,
}

fn shown(token: &RegistrationToken) -> Value {
    json!({
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "completed": token.completed,
        "expires_at": token.expires_at,
    })
}

fn unknown() -> MatrixError {
    MatrixError::not_found("No such registration token")
}

/// `GET registration_tokens`
async fn list(State(grants): State<Grants>, by: AdminCaller) -> ApiResult<Json<Value>> {
    by.must_be(Role::Admin)?;
    let tokens: Vec<Value> = grants.all().await?.iter().map(shown).collect();
    Ok(Json(json!({ "registration_tokens": tokens })))
}

/// `POST registration_tokens`
async fn create(
    State(grants): State<Grants>,
    by: AdminCaller,
    JsonBody(wanted): JsonBody<Wanted>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "create registration token", "")?;
    match grants.create(wanted.token, wanted.uses_allowed.map(i64::from), wanted.expires_at).await {
        Ok(Some(token)) => Ok(Json(shown(&token))),
        Ok(None) => Err(MatrixError::invalid_param("A token is 1 to 64 letters, digits or ._~-").into()),
        Err(StoreError::Conflict) => {
            let message = "There is such a token already";
            Err(MatrixError::new(StatusCode::CONFLICT, ErrorKind::InvalidParam, message).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// `PUT registration_tokens/{token}`
async fn update(
    State(grants): State<Grants>,
    by: AdminCaller,
    PathArgs((token,)): PathArgs<(String,)>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "change registration token", "")?;
    let known = grants.update(&token, wanted.uses_allowed.map(i64::from), wanted.expires_at).await?;
    if known { Ok(Json(json!({}))) } else { Err(unknown().into()) }
}

/// `DELETE registration_tokens/{token}`
async fn delete(
    State(grants): State<Grants>,
    by: AdminCaller,
    PathArgs((token,)): PathArgs<(String,)>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "delete registration token", "")?;
    if grants.delete(&token).await? { Ok(Json(json!({}))) } else { Err(unknown().into()) }
}
