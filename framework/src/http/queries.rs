//! `GET /_matrix/app/v1/users/{userId}` and `…/rooms/{roomAlias}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#querying

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use landbridge_axum_ruma::{MatrixError, RawRequest};
use ruma::{RoomAliasId, UserId};

use super::Appservice;
use crate::dispatch::Intake;

pub(super) fn mount(routes: Router<Appservice>) -> Router<Appservice> {
    routes
        .route("/_matrix/app/v1/users/{user_id}", get(user))
        .route("/users/{user_id}", get(user))
        .route("/_matrix/app/v1/rooms/{room_alias}", get(alias))
        .route("/rooms/{room_alias}", get(alias))
}

/// Says whether there is a virtual user of this id; it is registered by then.
#[tracing::instrument(name = "http.users.get", skip_all)]
async fn user(State(intake): State<Arc<dyn Intake>>, raw: RawRequest) -> Result<Json<serde_json::Value>, MatrixError> {
    let user_id = UserId::parse(first(&raw)).map_err(|_| MatrixError::invalid_param("Not a user id"))?;
    answer(intake.user_exists(&user_id).await, "No such user")
}

/// Says whether there is a room of this alias; it exists by then.
#[tracing::instrument(name = "http.rooms.get", skip_all)]
async fn alias(State(intake): State<Arc<dyn Intake>>, raw: RawRequest) -> Result<Json<serde_json::Value>, MatrixError> {
    let alias = RoomAliasId::parse(first(&raw)).map_err(|_| MatrixError::invalid_param("Not a room alias"))?;
    answer(intake.alias_exists(&alias).await, "No such room")
}

fn first(raw: &RawRequest) -> &str {
    raw.path.first().map_or("", String::as_str)
}

fn answer(exists: bool, message: &str) -> Result<Json<serde_json::Value>, MatrixError> {
    if exists { Ok(Json(serde_json::json!({}))) } else { Err(MatrixError::not_found(message)) }
}
