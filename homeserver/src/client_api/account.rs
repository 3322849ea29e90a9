//! Accounts: register, who am I, passwords ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#account-management

use std::sync::Arc;

use axum::{Json, Router, extract::State, response::IntoResponse};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, Ruma, RumaReply, mount};
use ruma::{
    OwnedUserId, UserId,
    api::{
        client::account::{
            change_password::v3 as change_password,
            deactivate::v3 as deactivate,
            get_username_availability::v3 as availability,
            register::{LoginType, RegistrationKind, v3 as register},
            whoami::v3 as whoami,
        },
        error::ErrorKind,
    },
};
use serde_json::{Value, json};

use super::reply::empty;
use crate::{
    appservice::{Appservice, Appservices},
    devices::Devices,
    entropy::Entropy,
    http::{
        ApiConfig, ApiState,
        auth::{Auth, Authed},
        error::ApiResult,
        uia::{Stage, Uia, UiaError},
    },
    users::{MAX_PASSWORD_BYTES, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<register::Request, _, _, _>(router, register);
    let router = mount::<availability::Request, _, _, _>(router, available);
    let router = mount::<whoami::Request, _, _, _>(router, whoami);
    let router = mount::<change_password::Request, _, _, _>(router, change_password);
    mount::<deactivate::Request, _, _, _>(router, deactivate)
}

/// What registering needs.
struct Registrar {
    config: Arc<ApiConfig>,
    users: Users,
    devices: Devices,
    appservices: Appservices,
}

/// `POST /_matrix/client/v3/register` ([client](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register),
/// [appservice](https://spec.matrix.org/v1.19/application-service-api/#server-admin-style-permissions))
#[expect(clippy::too_many_arguments, reason = "a handler lists what it uses")]
async fn register(
    State(config): State<Arc<ApiConfig>>,
    State(auth): State<Auth>,
    State(users): State<Users>,
    State(devices): State<Devices>,
    State(appservices): State<Appservices>,
    State(uia): State<Uia>,
    State(entropy): State<Arc<dyn Entropy>>,
    Ruma { body, request, .. }: Ruma<register::Request>,
) -> Result<impl IntoResponse, UiaError> {
    let appservice = auth.appservice(request.headers(), request.uri())?;
    let registrar = Registrar { config, users, devices, appservices };
    match (&body.login_type, appservice) {
        // matrix-appservice-irc sends no type.
        (Some(LoginType::ApplicationService) | None, Some(appservice)) => {
            Ok(registrar.of_appservice(&appservice, &body).await?)
        }
        (Some(LoginType::ApplicationService), None) => Err(MatrixError::missing_token().into()),
        _ => {
            if body.kind != RegistrationKind::User || !registrar.config.open_registration {
                return Err(MatrixError::forbidden("Registration is closed").into());
            }
            let user_id = match &body.username {
                Some(name) => registrar.free_name(name, None).await?,
                None => user_id(&entropy.word(12).to_lowercase(), &registrar.config)?,
            };
            let password = body.password.as_deref();
            if password.is_some_and(|password| password.len() > MAX_PASSWORD_BYTES) {
                return Err(MatrixError::invalid_param("The password is too long").into());
            }
            uia.require(Stage::Dummy, None, body.auth.as_ref()).await?;
            let password = password.ok_or_else(|| {
                MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The password is missing")
            })?;
            Ok(registrar.finish(user_id, Some(password), None, &body).await?)
        }
    }
}

impl Registrar {
    /// An application service registers users of its namespace, without a password.
    async fn of_appservice(&self, appservice: &Appservice, body: &register::Request) -> ApiResult<Json<Value>> {
        let name = body.username.as_deref().ok_or_else(|| {
            MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The username is missing")
        })?;
        let user_id = self.free_name(name, Some(appservice)).await?;
        self.finish(user_id, None, Some(appservice), body).await
    }

    /// The id of a name that is well formed, not kept for somebody else, and not taken.
    async fn free_name(&self, name: &str, by: Option<&Appservice>) -> ApiResult<OwnedUserId> {
        let user_id = user_id(name, &self.config)?;
        let foreign = by.is_some_and(|appservice| !appservice.owns_user(&user_id));
        if foreign || self.appservices.is_user_exclusive(&user_id, by) {
            return Err(exclusive().into());
        }
        if self.users.exists(&user_id).await? {
            return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::UserInUse, "The user id is taken").into());
        }
        Ok(user_id)
    }

    async fn finish(
        &self,
        user_id: OwnedUserId,
        password: Option<&str>,
        by: Option<&Appservice>,
        body: &register::Request,
    ) -> ApiResult<Json<Value>> {
        self.users.create(&user_id, password, by.map(Appservice::id)).await?;
        if body.inhibit_login {
            return Ok(Json(json!({ "user_id": user_id })));
        }
        let name = body.initial_device_display_name.as_deref();
        let (session, token) = self.devices.log_in(&user_id, body.device_id.as_deref(), name).await?;
        Ok(Json(json!({ "user_id": user_id, "device_id": session.device_id, "access_token": token })))
    }
}

/// `M_EXCLUSIVE`: the name is kept for an application service.
pub(super) fn exclusive() -> MatrixError {
    MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Exclusive, "The name is kept for an application service")
}

/// The id of a localpart, which may be what the grammar of today allows
/// ([spec](https://spec.matrix.org/v1.19/appendices/#user-identifiers)).
fn user_id(localpart: &str, config: &ApiConfig) -> ApiResult<OwnedUserId> {
    let bad = || MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidUsername, "The user name is not allowed");
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte);
    if localpart.is_empty() || !localpart.bytes().all(fits) {
        return Err(bad().into());
    }
    let user_id = UserId::parse_with_server_name(localpart, config.server_name()).map_err(|_| bad())?;
    if user_id.as_str().len() > 255 {
        return Err(bad().into());
    }
    Ok(user_id)
}

/// `GET /_matrix/client/v3/register/available`
async fn available(
    State(config): State<Arc<ApiConfig>>,
    State(users): State<Users>,
    State(devices): State<Devices>,
    State(appservices): State<Appservices>,
    Ruma { body, .. }: Ruma<availability::Request>,
) -> ApiResult<RumaReply<availability::Response>> {
    let registrar = Registrar { config, users, devices, appservices };
    registrar.free_name(&body.username, None).await?;
    Ok(RumaReply(availability::Response::new(true)))
}

/// `GET /_matrix/client/v3/account/whoami`
async fn whoami(Authed { caller, .. }: Authed<whoami::Request>) -> RumaReply<whoami::Response> {
    let mut reply = whoami::Response::new(caller.user_id, false);
    reply.device_id = caller.device_id;
    RumaReply(reply)
}

/// `POST /_matrix/client/v3/account/password`
async fn change_password(
    State(users): State<Users>,
    State(devices): State<Devices>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<change_password::Request>,
) -> Result<Json<Value>, UiaError> {
    if body.new_password.len() > MAX_PASSWORD_BYTES {
        return Err(MatrixError::invalid_param("The password is too long").into());
    }
    uia.require(Stage::Password, Some(&caller.user_id), body.auth.as_ref()).await?;
    users.set_password(&caller.user_id, &body.new_password).await?;
    if body.logout_devices {
        devices.delete_all(&caller.user_id, caller.device_id.as_deref()).await?;
    }
    Ok(empty())
}

/// `POST /_matrix/client/v3/account/deactivate`
async fn deactivate(
    State(users): State<Users>,
    State(devices): State<Devices>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<deactivate::Request>,
) -> Result<Json<Value>, UiaError> {
    if caller.appservice.is_none() {
        uia.require(Stage::Password, Some(&caller.user_id), body.auth.as_ref()).await?;
    }
    users.deactivate(&caller.user_id).await?;
    devices.delete_all(&caller.user_id, None).await?;
    Ok(Json(json!({ "id_server_unbind_result": "no-support" })))
}
