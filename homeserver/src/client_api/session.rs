//! Logging in and out ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#login

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use http::{HeaderMap, StatusCode, Uri};
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::{
        client::session::{logout::v3 as logout, logout_all::v3 as logout_all},
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{account::exclusive, reply::empty};
use crate::{
    appservice::Appservices,
    devices::Devices,
    http::{
        ApiConfig, ApiState,
        auth::{Auth, Authed, unknown_token},
        error::ApiResult,
    },
    users::Users,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["/_matrix/client/r0/login", "/_matrix/client/v3/login"]
        .into_iter()
        .fold(router, |router, path| router.route(path, get(login_types).post(login)));
    let router = mount::<logout::Request, _, _, _>(router, logout);
    mount::<logout_all::Request, _, _, _>(router, logout_all)
}

/// `GET /_matrix/client/v3/login`
async fn login_types() -> Json<Value> {
    Json(json!({ "flows": [{ "type": "m.login.password" }, { "type": "m.login.application_service" }] }))
}

/// Read by hand: ruma 0.17's own type panics where there is no `type`.
#[derive(Deserialize)]
struct Login {
    #[serde(rename = "type")]
    kind: String,
    identifier: Option<Identifier>,
    /// From before there were identifiers.
    user: Option<String>,
    password: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    user: Option<String>,
}

impl Login {
    /// Whom this is about: a whole user id, or a localpart.
    fn user_id(&self, config: &ApiConfig) -> ApiResult<OwnedUserId> {
        let named = match &self.identifier {
            Some(identifier) if identifier.kind == "m.id.user" => identifier.user.as_deref(),
            Some(_) => {
                let message = "Only m.id.user identifies users here";
                return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message).into());
            }
            None => self.user.as_deref(),
        };
        let named = named.ok_or_else(|| {
            MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The identifier is missing")
        })?;
        if named.contains('\0') {
            return Err(wrong().into());
        }
        let parsed = if named.starts_with('@') {
            UserId::parse(named)
        } else {
            UserId::parse_with_server_name(named.to_lowercase(), config.server_name())
        };
        Ok(parsed.map_err(|_| wrong())?)
    }
}

/// The same whether the user or the password is wrong.
fn wrong() -> MatrixError {
    MatrixError::forbidden("Wrong user name or password")
}

/// `POST /_matrix/client/v3/login` ([client](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login),
/// [appservice](https://spec.matrix.org/v1.19/client-server-api/#appservice-login))
#[expect(clippy::too_many_arguments, reason = "a handler lists what it uses")]
async fn login(
    State(config): State<Arc<ApiConfig>>,
    State(auth): State<Auth>,
    State(users): State<Users>,
    State(devices): State<Devices>,
    State(appservices): State<Appservices>,
    headers: HeaderMap,
    uri: Uri,
    JsonBody(login): JsonBody<Login>,
) -> ApiResult<Json<Value>> {
    let user_id = match login.kind.as_str() {
        "m.login.password" => {
            let user_id = login.user_id(&config)?;
            if appservices.is_user_exclusive(&user_id, None) {
                return Err(exclusive().into());
            }
            let password = login.password.as_deref().unwrap_or_default();
            if !users.check_password(&user_id, password).await? {
                return Err(wrong().into());
            }
            user_id
        }
        "m.login.application_service" => {
            let appservice = match auth.appservice(&headers, &uri)? {
                Some(appservice) => appservice,
                None if headers.contains_key(http::header::AUTHORIZATION) => return Err(unknown_token().into()),
                None => return Err(MatrixError::missing_token().into()),
            };
            let user_id = login.user_id(&config)?;
            if !appservice.owns_user(&user_id) {
                return Err(
                    MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::Exclusive, "Not in your namespace").into()
                );
            }
            if !users.exists(&user_id).await? {
                return Err(MatrixError::forbidden("The user is not registered").into());
            }
            user_id
        }
        _ => {
            let message = "This server knows no such login type";
            return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message).into());
        }
    };
    let name = login.initial_device_display_name.as_deref();
    let (session, token) = devices.log_in(&user_id, login.device_id.as_deref(), name).await?;
    Ok(Json(json!({
        "user_id": session.user_id,
        "device_id": session.device_id,
        "access_token": token,
        "home_server": config.server_name,
    })))
}

/// `POST /_matrix/client/v3/logout`
async fn logout(
    State(devices): State<Devices>,
    Authed { caller, .. }: Authed<logout::Request>,
) -> ApiResult<Json<Value>> {
    devices.delete(&caller.user_id, caller.device()?).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/logout/all`
async fn logout_all(
    State(devices): State<Devices>,
    Authed { caller, .. }: Authed<logout_all::Request>,
) -> ApiResult<Json<Value>> {
    devices.delete_all(&caller.user_id, None).await?;
    Ok(empty())
}
