//! Logging in and out ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#login

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::get,
};
use http::{HeaderMap, StatusCode, Uri};
use landbridge_axum_ruma::{JsonBody, MatrixError, Ruma, mount};
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::{
        client::session::{logout::v3 as logout, logout_all::v3 as logout_all, refresh_token::v3 as refresh_token},
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    account::{entered, exclusive, login_unsupported, shown_tokens},
    devices::is_device,
    keys::may_be_called,
    reply::empty,
};
use crate::{
    appservice::Appservices,
    devices::{Devices, Entry, Keys},
    http::{
        ApiConfig, ApiState,
        auth::{Auth, Authed, unknown_token},
        error::ApiResult,
        limits::{Action, Limits},
        peer::Peer,
        standing::deactivated,
    },
    users::{Grants, Standing, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["/_matrix/client/r0/login", "/_matrix/client/v3/login"]
        .into_iter()
        .fold(router, |router, path| router.route(path, get(login_types).post(login)));
    let router = mount::<refresh_token::Request, _, _, _>(router, refresh);
    let router = mount::<logout::Request, _, _, _>(router, logout);
    mount::<logout_all::Request, _, _, _>(router, logout_all)
}

/// `GET /_matrix/client/v3/login`
async fn login_types() -> Json<Value> {
    Json(json!({ "flows": [
        { "type": "m.login.password" },
        { "type": "m.login.token", "get_login_token": true },
        { "type": "m.login.application_service" },
    ] }))
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
    token: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    /// Whether the client can refresh its token.
    #[serde(default)]
    refresh_token: bool,
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
        let named = named.ok_or_else(|| missing("The identifier is missing"))?;
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

fn missing(message: &'static str) -> MatrixError {
    MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, message)
}

/// What it takes to let somebody in.
struct Entrance {
    config: Arc<ApiConfig>,
    auth: Auth,
    users: Users,
    devices: Devices,
    keys: Keys,
    grants: Grants,
    appservices: Appservices,
    limits: Limits,
}

impl FromRef<ApiState> for Entrance {
    fn from_ref(state: &ApiState) -> Self {
        Self {
            config: FromRef::from_ref(state),
            auth: FromRef::from_ref(state),
            users: FromRef::from_ref(state),
            devices: FromRef::from_ref(state),
            keys: FromRef::from_ref(state),
            grants: FromRef::from_ref(state),
            appservices: FromRef::from_ref(state),
            limits: FromRef::from_ref(state),
        }
    }
}

impl Entrance {
    /// Who knows the password.
    async fn by_password(&self, login: &Login, peer: Peer) -> ApiResult<OwnedUserId> {
        self.limits.take(Action::Login, peer)?;
        let user_id = login.user_id(&self.config)?;
        if self.appservices.is_user_exclusive(&user_id, None) {
            return Err(exclusive().into());
        }
        self.limits.check(Action::WrongPassword, &user_id)?;
        let password = login.password.as_deref().unwrap_or_default();
        if !self.users.check_password(&user_id, password).await? {
            self.limits.take_for(Action::WrongPassword, &user_id)?;
            return Err(wrong().into());
        }
        Ok(user_id)
    }

    /// Whom another client lets in ([spec](https://spec.matrix.org/v1.19/client-server-api/#token-based-user-login)).
    async fn by_token(&self, login: &Login, peer: Peer) -> ApiResult<OwnedUserId> {
        self.limits.take(Action::Login, peer)?;
        let token = login.token.as_deref().ok_or_else(|| missing("The token is missing"))?;
        let user_id = self.grants.take_login(token).await?;
        Ok(user_id.ok_or_else(|| MatrixError::forbidden("The token is unknown, used or out of date"))?)
    }

    /// Whom an application service lets in
    /// ([spec](https://spec.matrix.org/v1.19/application-service-api/#appservice-login)).
    async fn by_service(&self, login: &Login, headers: &HeaderMap, uri: &Uri) -> ApiResult<OwnedUserId> {
        let appservice = match self.auth.appservice(headers, uri)? {
            Some(appservice) => appservice,
            None if headers.contains_key(http::header::AUTHORIZATION) => return Err(unknown_token().into()),
            None => return Err(MatrixError::missing_token().into()),
        };
        if appservice.registration().msc4190 {
            return Err(login_unsupported().into());
        }
        let user_id = login.user_id(&self.config)?;
        if !appservice.owns_user(&user_id) {
            return Err(MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::Exclusive, "Not in your namespace").into());
        }
        if !self.users.exists(&user_id).await? {
            return Err(MatrixError::forbidden("The user is not registered").into());
        }
        if self.users.is_closed(&user_id).await? {
            return Err(deactivated().into());
        }
        self.auth.check_standing(&user_id, uri.path())?;
        Ok(user_id)
    }

    /// The device's session, as the answer tells it.
    async fn enter(&self, user_id: &UserId, login: &Login) -> ApiResult<Value> {
        let entry = Entry {
            device_id: login.device_id.as_deref(),
            display_name: login.initial_device_display_name.as_deref(),
            lifetime: login.refresh_token.then_some(self.config.access_token_lifetime),
            guest: false,
        };
        if let Some(device_id) = entry.device_id {
            may_be_called(&self.devices, &self.keys, user_id, device_id).await?;
        }
        let (session, tokens) = self.devices.log_in(user_id, entry).await?;
        let mut body = entered(&session, &tokens, self.config.access_token_lifetime);
        body["home_server"] = json!(self.config.server_name);
        if let Some(url) = &self.config.public_url {
            body["well_known"] = json!({ "m.homeserver": { "base_url": url } });
        }
        Ok(body)
    }
}

/// `POST /_matrix/client/v3/login` ([spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login))
async fn login(
    State(entrance): State<Entrance>,
    peer: Peer,
    headers: HeaderMap,
    uri: Uri,
    JsonBody(login): JsonBody<Login>,
) -> ApiResult<Json<Value>> {
    is_device(login.device_id.as_deref(), login.initial_device_display_name.as_deref())?;
    let user_id = match login.kind.as_str() {
        "m.login.password" => entrance.by_password(&login, peer).await?,
        "m.login.token" => entrance.by_token(&login, peer).await?,
        "m.login.application_service" => entrance.by_service(&login, &headers, &uri).await?,
        _ => {
            let message = "This server knows no such login type";
            return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message).into());
        }
    };
    if entrance.users.standing(&user_id) == Standing::Locked {
        let message = "The account is locked";
        return Err(MatrixError::new(StatusCode::UNAUTHORIZED, ErrorKind::UserLocked, message).into());
    }
    Ok(Json(entrance.enter(&user_id, &login).await?))
}

/// `POST /_matrix/client/v3/refresh`
async fn refresh(
    State(config): State<Arc<ApiConfig>>,
    State(devices): State<Devices>,
    State(limits): State<Limits>,
    peer: Peer,
    Ruma { body, .. }: Ruma<refresh_token::Request>,
) -> ApiResult<Json<Value>> {
    limits.take(Action::Login, peer)?;
    let tokens = devices.refresh(&body.refresh_token, config.access_token_lifetime).await?;
    let tokens = tokens.ok_or_else(unknown_token)?;
    Ok(Json(shown_tokens(&tokens, config.access_token_lifetime).into()))
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
