//! Application services: how far they are, and adding and removing them while the server runs.

use std::sync::atomic::Ordering;

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, post, put},
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
    appservice::{Appservice, Appservices, Deliveries, Registrations, RegistrationsError},
    http::{
        ApiState,
        error::{ApiError, ApiResult},
        path::PathArgs,
    },
    stream::Stream,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route(&path("appservices"), get(list).post(add))
        .route(&path("appservices/{id}"), delete(remove))
        .route(&path("appservices/{id}/paused"), put(pause))
        .route(&path("appservices/{id}/skip"), post(skip))
}

fn shown(appservice: &Appservice, head: i64) -> Value {
    let status = appservice.status();
    let acknowledged = status.acknowledged.load(Ordering::Relaxed);
    json!({
        "id": appservice.id(),
        "sender": appservice.sender(),
        "reachable": appservice.is_reachable(),
        "lag": if appservice.is_reachable() { head - acknowledged.min(head) } else { 0 },
        "failures": status.failures.load(Ordering::Relaxed),
        "transactions": status.transactions.load(Ordering::Relaxed),
        "events": status.events.load(Ordering::Relaxed),
        "refused": status.refused.load(Ordering::Relaxed),
        "paused": appservice.is_paused(),
    })
}

/// All of them, as they stand.
pub(super) fn all_shown(appservices: &Appservices, head: i64) -> Vec<Value> {
    appservices.all().iter().map(|appservice| shown(appservice, head)).collect()
}

/// `GET appservices`
async fn list(
    State(appservices): State<Appservices>,
    State(stream): State<Stream>,
    by: AdminCaller,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let head = stream.position().0;
    Ok(Json(json!({ "appservices": all_shown(&appservices, head), "log_position": head })))
}

/// `POST appservices`: a registration, as YAML or JSON; it is served at once, and again after each start.
async fn add(
    State(registrations): State<Registrations>,
    State(deliveries): State<Deliveries>,
    by: AdminCaller,
    text: String,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "add application service", "")?;
    let id = registrations.add(&text, &deliveries).await.map_err(refusal)?;
    Ok(Json(json!({ "id": id })))
}

fn refusal(error: RegistrationsError) -> ApiError {
    let message = error.to_string();
    match error {
        RegistrationsError::Broken(_) => MatrixError::invalid_param(message).into(),
        RegistrationsError::Add(_) => MatrixError::new(StatusCode::CONFLICT, ErrorKind::InvalidParam, message).into(),
        RegistrationsError::Read(error) => error.into(),
        RegistrationsError::Write(error) => error.into(),
    }
}

/// `DELETE appservices/{id}`: one that was added while the server ran is forgotten; one of the configuration comes back with
/// the next start.
async fn remove(
    State(registrations): State<Registrations>,
    State(deliveries): State<Deliveries>,
    by: AdminCaller,
    PathArgs((id,)): PathArgs<(String,)>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "remove application service", &id)?;
    if !registrations.remove(&id, &deliveries).await.map_err(refusal)? {
        return Err(unknown().into());
    }
    Ok(Json(json!({})))
}

fn unknown() -> MatrixError {
    MatrixError::not_found("No such application service")
}

#[derive(Deserialize)]
struct Pause {
    paused: bool,
}

/// `PUT appservices/{id}/paused`: what happens meanwhile waits.
async fn pause(
    State(deliveries): State<Deliveries>,
    by: AdminCaller,
    PathArgs((id,)): PathArgs<(String,)>,
    JsonBody(wanted): JsonBody<Pause>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, if wanted.paused { "pause" } else { "resume" }, &id)?;
    if deliveries.pause(&id, wanted.paused).await? { Ok(Json(json!({}))) } else { Err(unknown().into()) }
}

/// `POST appservices/{id}/skip`: the transaction that the service does not take is set aside, and what follows is delivered.
async fn skip(
    State(appservices): State<Appservices>,
    by: AdminCaller,
    PathArgs((id,)): PathArgs<(String,)>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Admin, "skip transaction", &id)?;
    let appservice = appservices.by_id(&id).ok_or_else(unknown)?;
    if !appservice.skip() {
        return Err(
            MatrixError::new(StatusCode::CONFLICT, ErrorKind::Unknown, "The service has refused nothing").into()
        );
    }
    Ok(Json(json!({})))
}
