//! Accounts: register, who am I, passwords ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#account-management

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, response::IntoResponse};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, Ruma, RumaReply, bearer_token, mount};
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
use serde_json::{Map, Value, json};

use super::{devices::is_device, reply::empty};
use crate::{
    appservice::{Appservice, Appservices},
    departure::Departure,
    devices::{Devices, Entry, Opened, Session, Tokens},
    entropy::Entropy,
    http::{
        ApiConfig, ApiState, Registering,
        auth::{Auth, Authed, unknown_token},
        error::ApiResult,
        guests::no_guests,
        limits::{Action, Limits},
        peer::Peer,
        uia::{Challenge, Passed, Stage, Uia, UiaError},
    },
    users::{CreateUserError, Grants, MAX_PASSWORD_BYTES, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<register::Request, _, _, _>(router, register);
    let router = mount::<availability::Request, _, _, _>(router, available);
    let router = mount::<whoami::Request, _, _, _>(router, whoami);
    let router = mount::<change_password::Request, _, _, _>(router, change_password);
    mount::<deactivate::Request, _, _, _>(router, deactivate)
}

/// An account that is made.
struct Made<'a> {
    user_id: OwnedUserId,
    password: &'a str,
    /// Whether it was a guest's before.
    was_guest: bool,
}

/// What registering needs.
struct Registrar {
    config: Arc<ApiConfig>,
    users: Users,
    devices: Devices,
    grants: Grants,
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
    State(grants): State<Grants>,
    State(appservices): State<Appservices>,
    State(uia): State<Uia>,
    State(limits): State<Limits>,
    State(entropy): State<Arc<dyn Entropy>>,
    peer: Peer,
    Ruma { body, request, .. }: Ruma<register::Request>,
) -> Result<impl IntoResponse, UiaError> {
    let appservice = auth.appservice(request.headers(), request.uri())?;
    let registrar = Registrar { config, users, devices, grants, appservices };
    if !matches!(body.kind, RegistrationKind::Guest | RegistrationKind::User) {
        return Err(MatrixError::invalid_param("There is no such kind of account").into());
    }
    is_device(body.device_id.as_deref(), body.initial_device_display_name.as_deref())?;
    if body.kind == RegistrationKind::Guest {
        if !registrar.config.guests {
            return Err(no_guests("This server admits no guests").into());
        }
        limits.take(Action::Register, peer)?;
        return Ok(registrar.guest(&entropy.word(12).to_lowercase(), &body).await?);
    }
    match (&body.login_type, appservice) {
        // matrix-appservice-irc sends no type.
        (Some(LoginType::ApplicationService) | None, Some(appservice)) => {
            Ok(registrar.of_appservice(&appservice, &body).await?)
        }
        (Some(LoginType::ApplicationService), None) if bearer_token(request.headers(), request.uri())?.is_some() => {
            Err(unknown_token().into())
        }
        (Some(LoginType::ApplicationService), None) => Err(MatrixError::missing_token().into()),
        _ => {
            let stages = registrar.stages(&uia)?;
            let guest = match &body.guest_access_token {
                Some(token) => Some(registrar.guest_of(token, body.username.as_deref()).await?),
                None => None,
            };
            let user_id = match (&guest, &body.username) {
                (Some(guest), _) => guest.clone(),
                (None, Some(name)) => registrar.free_name(name, None).await?,
                (None, None) => user_id(&entropy.word(12).to_lowercase(), &registrar.config)?,
            };
            let password = body.password.as_deref();
            if let Some(password) = password {
                check_password(password)?;
            }
            let challenge = Challenge { operation: "register", user_id: None, stages };
            let passed = uia.require(challenge, body.auth.as_ref()).await?;
            let password = password.ok_or_else(|| {
                MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The password is missing")
            })?;
            limits.take(Action::Register, peer)?;
            let made = Made { user_id, password, was_guest: guest.is_some() };
            Ok(registrar.of_person(made, passed, &body).await?)
        }
    }
}

/// Passwords are not judged, but an empty one is none, and an endless one is work.
fn check_password(password: &str) -> ApiResult<()> {
    if password.is_empty() {
        return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::WeakPassword, "The password is empty").into());
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(MatrixError::invalid_param("The password is too long").into());
    }
    Ok(())
}

impl Registrar {
    /// What a person has to show before an account is made.
    fn stages(&self, uia: &Uia) -> ApiResult<Vec<Stage>> {
        let mut stages = match self.config.registering {
            Registering::Closed => return Err(MatrixError::forbidden("Registration is closed").into()),
            Registering::Open => Vec::new(),
            Registering::WithToken => vec![Stage::RegistrationToken],
        };
        if !uia.terms().is_empty() {
            stages.push(Stage::Terms);
        }
        if stages.is_empty() {
            stages.push(Stage::Dummy);
        }
        Ok(stages)
    }

    /// Makes a guest, of whose request nothing counts but what the device is called
    /// ([spec](https://spec.matrix.org/v1.19/client-server-api/#guest-access)).
    async fn guest(&self, localpart: &str, body: &register::Request) -> ApiResult<Json<Value>> {
        let user_id = user_id(localpart, &self.config)?;
        self.users.create_guest(&user_id).await?;
        let display_name = body.initial_device_display_name.as_deref();
        let entry = Entry { device_id: None, display_name, lifetime: None, guest: true };
        let (session, tokens) = self.devices.log_in(&user_id, entry).await?;
        Ok(Json(entered(&session, &tokens, self.config.access_token_lifetime)))
    }

    /// The guest whose token this is, and who goes by this name
    /// ([spec](https://spec.matrix.org/v1.19/client-server-api/#guest-access)).
    async fn guest_of(&self, token: &str, name: Option<&str>) -> ApiResult<OwnedUserId> {
        let guest = match self.devices.by_token(token).await? {
            Opened::Session(session) if session.guest => session.user_id,
            _ => return Err(MatrixError::forbidden("The token is no guest's").into()),
        };
        match name {
            None => {
                Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The username is missing")
                    .into())
            }
            Some(name) if name == guest.localpart() => Ok(guest),
            Some(_) => Err(MatrixError::forbidden("The guest goes by another name").into()),
        }
    }

    /// Makes an account, or one of a guest's. What the guest was logged in on ends, for it is a guest's.
    async fn make(&self, made: &Made<'_>) -> ApiResult<()> {
        let Made { user_id, password, was_guest } = made;
        if !*was_guest {
            return Ok(self.users.create(user_id, Some(password), None).await?);
        }
        if !self.users.upgrade_guest(user_id, password).await? {
            return Err(CreateUserError::InUse.into());
        }
        self.devices.delete_all(user_id, None).await?;
        Ok(())
    }

    /// Makes the account of a person, and uses up the token that let them in.
    async fn of_person(
        &self,
        made: Made<'_>,
        passed: Passed,
        body: &register::Request,
    ) -> Result<Json<Value>, UiaError> {
        let Some(token) = passed.registration_token else {
            self.make(&made).await?;
            return Ok(self.enter(made.user_id, body).await?);
        };
        if !self.grants.take(&token).await? {
            return Err(MatrixError::forbidden("The registration token was used up by somebody else").into());
        }
        match self.make(&made).await {
            Ok(()) => Ok(self.enter(made.user_id, body).await?),
            Err(error) => {
                self.grants.give_back(&token).await?;
                Err(error.into())
            }
        }
    }

    /// An application service registers users of its namespace, without a password.
    async fn of_appservice(&self, appservice: &Appservice, body: &register::Request) -> ApiResult<Json<Value>> {
        let name = body.username.as_deref().ok_or_else(|| {
            MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The username is missing")
        })?;
        if appservice.registration().msc4190 && !body.inhibit_login {
            return Err(login_unsupported().into());
        }
        let user_id = self.free_name(name, Some(appservice)).await?;
        self.users.create(&user_id, None, Some(appservice.id())).await?;
        self.enter(user_id, body).await
    }

    async fn free_name(&self, name: &str, by: Option<&Appservice>) -> ApiResult<OwnedUserId> {
        free_name(&self.config, &self.users, &self.appservices, name, by).await
    }

    /// Logs the new user in, unless they do not want to be.
    async fn enter(&self, user_id: OwnedUserId, body: &register::Request) -> ApiResult<Json<Value>> {
        if body.inhibit_login {
            return Ok(Json(json!({ "user_id": user_id })));
        }
        let entry = Entry {
            device_id: body.device_id.as_deref(),
            display_name: body.initial_device_display_name.as_deref(),
            lifetime: body.refresh_token.then_some(self.config.access_token_lifetime),
            guest: false,
        };
        let (session, tokens) = self.devices.log_in(&user_id, entry).await?;
        Ok(Json(entered(&session, &tokens, self.config.access_token_lifetime)))
    }
}

/// What a login is answered.
pub(super) fn entered(session: &Session, tokens: &Tokens, lifetime: Duration) -> Value {
    let mut body = Map::new();
    body.insert("user_id".to_owned(), json!(session.user_id));
    body.insert("device_id".to_owned(), json!(session.device_id));
    body.extend(shown_tokens(tokens, lifetime));
    body.into()
}

/// The fields that every answer with tokens has.
pub(super) fn shown_tokens(tokens: &Tokens, lifetime: Duration) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("access_token".to_owned(), tokens.access.as_str().into());
    if let Some(refresh) = &tokens.refresh {
        body.insert("refresh_token".to_owned(), refresh.as_str().into());
        body.insert("expires_in_ms".to_owned(), u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).into());
    }
    body
}

/// `M_APPSERVICE_LOGIN_UNSUPPORTED`: a service that manages devices itself gets no access tokens of users
/// ([spec](https://spec.matrix.org/v1.19/application-service-api/#device-management)).
pub(super) fn login_unsupported() -> MatrixError {
    let message = "The application service manages devices itself; it cannot log in";
    MatrixError::with_errcode(StatusCode::BAD_REQUEST, "M_APPSERVICE_LOGIN_UNSUPPORTED", message)
}

/// `M_EXCLUSIVE`: the name is kept for an application service.
pub(super) fn exclusive() -> MatrixError {
    MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Exclusive, "The name is kept for an application service")
}

/// The id of a name that is well formed, not kept for somebody else, and not taken.
pub(crate) async fn free_name(
    config: &ApiConfig,
    users: &Users,
    appservices: &Appservices,
    name: &str,
    by: Option<&Appservice>,
) -> ApiResult<OwnedUserId> {
    let user_id = user_id(name, config)?;
    let foreign = by.is_some_and(|appservice| !appservice.owns_user(&user_id));
    if config.reserved.contains(&user_id) {
        return Err(exclusive().into());
    }
    if foreign || appservices.is_user_exclusive(&user_id, by) {
        return Err(exclusive().into());
    }
    if users.exists(&user_id).await? {
        return Err(CreateUserError::InUse.into());
    }
    Ok(user_id)
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
    State(appservices): State<Appservices>,
    Ruma { body, .. }: Ruma<availability::Request>,
) -> ApiResult<RumaReply<availability::Response>> {
    free_name(&config, &users, &appservices, &body.username, None).await?;
    Ok(RumaReply(availability::Response::new(true)))
}

/// `GET /_matrix/client/v3/account/whoami`
async fn whoami(Authed { caller, .. }: Authed<whoami::Request>) -> RumaReply<whoami::Response> {
    let mut reply = whoami::Response::new(caller.user_id, caller.guest);
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
    check_password(&body.new_password)?;
    uia.require(Challenge::password("change password", &caller.user_id), body.auth.as_ref()).await?;
    users.set_password(&caller.user_id, &body.new_password).await?;
    if body.logout_devices {
        devices.delete_all(&caller.user_id, caller.device_id.as_deref()).await?;
    }
    Ok(empty())
}

/// `POST /_matrix/client/v3/account/deactivate`
async fn deactivate(
    State(departure): State<Departure>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<deactivate::Request>,
) -> Result<Json<Value>, UiaError> {
    if caller.appservice.is_none() {
        uia.require(Challenge::password("deactivate", &caller.user_id), body.auth.as_ref()).await?;
    }
    departure.close(&caller.user_id, body.erase).await?;
    // There are no third-party ids here to be unbound.
    Ok(Json(json!({ "id_server_unbind_result": "success" })))
}
