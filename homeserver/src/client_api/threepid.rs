//! Third-party ids: e-mail addresses and telephone numbers ([spec])
//!
//! This server sends no mail and no messages, and trusts no identity server: nobody has such ids here, and nobody can get one.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information

use axum::{Json, Router, routing::post};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::api::{
    client::account::{
        add_3pid::v3 as add_3pid, bind_3pid::v3 as bind_3pid, delete_3pid::v3 as delete_3pid,
        get_3pids::v3 as get_3pids, unbind_3pid::v3 as unbind_3pid,
    },
    error::ErrorKind,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{
    ApiState,
    auth::{Authed, Caller},
    error::ApiResult,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_3pids::Request, _, _, _>(router, list);
    let router = mount::<add_3pid::Request, _, _, _>(router, add);
    let router = ["r0", "v3"].into_iter().fold(router, |router, version| {
        router.route(&format!("/_matrix/client/{version}/account/3pid"), post(add_old))
    });
    let router = mount::<bind_3pid::Request, _, _, _>(router, bind);
    let router = mount::<delete_3pid::Request, _, _, _>(router, delete);
    let router = mount::<unbind_3pid::Request, _, _, _>(router, unbind);
    let ways = ["r0", "v3"].into_iter().flat_map(|version| [(version, "email"), (version, "msisdn")]);
    ways.fold(router, |router, (version, medium)| {
        let path = |what: &str| format!("/_matrix/client/{version}/{what}/{medium}/requestToken");
        router
            .route(&path("register"), post(no_token))
            .route(&path("account/password"), post(no_token))
            .route(&path("account/3pid"), post(no_medium))
    })
}

/// `GET /_matrix/client/v3/account/3pid`
async fn list(_: Authed<get_3pids::Request>) -> Json<Value> {
    Json(json!({ "threepids": [] }))
}

pub(super) fn no_identity_server() -> MatrixError {
    MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::ServerNotTrusted, "This server trusts no identity server")
}

/// `POST /_matrix/client/v3/account/3pid/add`: no session of a validation can be known here.
async fn add(_: Authed<add_3pid::Request>) -> MatrixError {
    MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::ThreepidAuthFailed, "Nothing has been validated")
}

/// `POST /_matrix/client/v3/account/3pid/bind`
async fn bind(_: Authed<bind_3pid::Request>) -> MatrixError {
    no_identity_server()
}

/// `POST /_matrix/client/v3/account/3pid/delete`: it is not there, as was asked.
async fn delete(_: Authed<delete_3pid::Request>) -> Json<Value> {
    Json(json!({ "id_server_unbind_result": "no-support" }))
}

/// `POST /_matrix/client/v3/account/3pid/unbind`
async fn unbind(_: Authed<unbind_3pid::Request>) -> Json<Value> {
    Json(json!({ "id_server_unbind_result": "no-support" }))
}

/// What asks for a mail or a text message.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only their being there counts")]
struct TokenWish {
    client_secret: String,
    send_attempt: i64,
}

/// `POST /_matrix/client/v3/account/3pid/{email,msisdn}/requestToken`: there is no medium by which anybody is reached.
async fn no_medium(JsonBody(_): JsonBody<TokenWish>) -> ApiResult<Json<Value>> {
    let (kind, message) = (ErrorKind::ThreepidMediumNotSupported, "This server sends neither mail nor text messages");
    Err(MatrixError::new(StatusCode::BAD_REQUEST, kind, message).into())
}

/// `POST /_matrix/client/v3/account/3pid`, from before there was `add` and `bind`: what it takes is not known to be validated.
async fn add_old(_: Caller, JsonBody(body): JsonBody<Map<String, Value>>) -> ApiResult<Json<Value>> {
    if !body.get("three_pid_creds").is_some_and(Value::is_object) {
        let message = "three_pid_creds is missing";
        return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, message).into());
    }
    let message = "Nothing has been validated";
    Err(MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::ThreepidAuthFailed, message).into())
}

/// `POST /_matrix/client/v3/{register,account/password}/{email,msisdn}/requestToken`
async fn no_token() -> ApiResult<Json<Value>> {
    let message = "This server sends neither mail nor text messages";
    Err(MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::ThreepidDenied, message).into())
}
