//! Who is asking: access tokens of clients, tokens of application services, and the identities these assert
//! ([client-server], [appservice])
//!
//! [client-server]: https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
//! [appservice]: https://spec.matrix.org/v1.19/application-service-api/#identity-assertion

use std::{fmt, sync::Arc};

use axum::extract::{FromRef, FromRequest, Request};
use http::{HeaderMap, Method, StatusCode, Uri};
use landbridge_axum_ruma::{IdentityAssertion, MatrixError, Ruma, bearer_token};
use ruma::{
    DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UserId,
    api::{
        IncomingRequest,
        auth_scheme::AuthScheme,
        error::{ErrorKind, UnknownTokenErrorData},
    },
};

use super::{
    error::{ApiError, ApiResult},
    guests, standing,
};
use crate::{
    appservice::{Appservice, Appservices},
    devices::{Devices, Opened},
    rooms::Txn,
    users::{Standing, Users},
};

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user who acts, asserted or not.
    pub user_id: OwnedUserId,
    /// The device, if there is one: requests of application services mostly have none.
    pub device_id: Option<OwnedDeviceId>,
    /// The application service that acts as the user.
    pub appservice: Option<Arc<Appservice>>,
    /// Whether the user is a guest.
    pub guest: bool,
    /// The time an application service gives to its event. `?ts=` of anyone else is ignored.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl Caller {
    /// Refuses to act for anyone but the caller.
    ///
    /// # Errors
    /// `M_FORBIDDEN`.
    pub(crate) fn must_be(&self, user_id: &UserId) -> Result<(), ApiError> {
        if self.user_id == *user_id {
            return Ok(());
        }
        Err(MatrixError::forbidden("You cannot act for another user").into())
    }

    /// The device of the caller, for what only devices have.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for an application service that names no device.
    pub(crate) fn device(&self) -> Result<&DeviceId, ApiError> {
        self.device_id
            .as_deref()
            .ok_or_else(|| MatrixError::forbidden("Only a device can do this: add ?device_id= to the request").into())
    }

    /// Whether the caller may do everything as often as it likes: application services, but for the virtual users of those whose
    /// registration says `rate_limited: true` ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/application-service-api/#registration
    #[must_use]
    pub(crate) fn is_unlimited(&self) -> bool {
        self.appservice.as_ref().is_some_and(|service| {
            service.registration().rate_limited != Some(true) || self.user_id == *service.sender()
        })
    }

    /// Whose transaction ids these are: the device's, or the application service's where it names no device.
    #[must_use]
    pub(crate) fn txn(&self, txn_id: &str) -> Option<Txn> {
        let device = match (&self.device_id, &self.appservice) {
            (Some(device_id), _) => device_id.to_string(),
            (None, Some(appservice)) => format!("appservice {}", appservice.id()),
            (None, None) => return None,
        };
        Some(Txn { device, id: txn_id.to_owned() })
    }

    /// The reader of events, who gets its own transaction ids back.
    #[must_use]
    pub(crate) fn reader(&self) -> Option<(&UserId, &str)> {
        self.device_id.as_deref().map(|device_id| (&*self.user_id, device_id.as_str()))
    }
}

/// Checks tokens.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    devices: Devices,
    users: Users,
    appservices: Appservices,
}

impl Auth {
    /// Checks tokens against these.
    #[must_use]
    pub(crate) const fn new(devices: Devices, users: Users, appservices: Appservices) -> Self {
        Self { devices, users, appservices }
    }

    /// Who sent a request with this token, if it has one.
    ///
    /// # Errors
    /// `M_UNKNOWN_TOKEN`, `M_USER_LOCKED`; for application services `M_FORBIDDEN`, `M_USER_DEACTIVATED` and `M_UNKNOWN_DEVICE`.
    pub(crate) async fn caller(&self, headers: &HeaderMap, uri: &Uri) -> ApiResult<Option<Caller>> {
        let Some(token) = bearer_token(headers, uri)? else { return Ok(None) };
        if let Some(appservice) = self.appservices.by_token(&token) {
            let caller = self.asserted(appservice, IdentityAssertion::from_uri(uri)?).await?;
            self.check_standing(&caller.user_id, uri.path())?;
            return Ok(Some(caller));
        }
        let session = match self.devices.by_token(&token).await? {
            Opened::Session(session) => session,
            Opened::Expired => return Err(expired_token().into()),
            Opened::Nothing => return Err(unknown_token().into()),
        };
        self.check_standing(&session.user_id, uri.path())?;
        let (user_id, device_id, guest) = (session.user_id, Some(session.device_id), session.guest);
        Ok(Some(Caller { user_id, device_id, appservice: None, guest, ts: None }))
    }

    /// The application service whose token a request has, whatever identity it asserts.
    ///
    /// # Errors
    /// `M_FORBIDDEN` if header and query disagree.
    pub(crate) fn appservice(&self, headers: &HeaderMap, uri: &Uri) -> ApiResult<Option<Arc<Appservice>>> {
        Ok(bearer_token(headers, uri)?.and_then(|token| self.appservices.by_token(&token)))
    }

    /// A locked account can only log out ([spec]).
    ///
    /// # Errors
    /// `M_USER_LOCKED`.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#account-locking
    pub(crate) fn check_standing(&self, user_id: &UserId, path: &str) -> ApiResult<()> {
        if self.users.standing(user_id) == Standing::Locked && !standing::may_use_locked(path) {
            return Err(standing::locked().into());
        }
        Ok(())
    }

    /// What a guest may do, and what a suspended account may still do.
    ///
    /// # Errors
    /// `M_GUEST_ACCESS_FORBIDDEN`, `M_USER_SUSPENDED`.
    pub(crate) fn check_deed(&self, caller: &Caller, method: &Method, path: &str) -> ApiResult<()> {
        if caller.guest && !guests::may_use(method, path) {
            return Err(guests::no_guests("Guests cannot do this").into());
        }
        let is_suspended = self.users.standing(&caller.user_id) == Standing::Suspended;
        if is_suspended && !standing::may_use_suspended(method, path) {
            return Err(standing::suspended().into());
        }
        Ok(())
    }

    /// Refuses users that an application service may not act as: all but its sender and the registered users of its namespace, so long as
    /// their accounts are open.
    async fn check_assertion(&self, appservice: &Appservice, user_id: &UserId) -> ApiResult<()> {
        if *user_id != *appservice.sender() {
            if !appservice.owns_user(user_id) {
                return Err(MatrixError::forbidden("The user is not in the application service's namespace").into());
            }
            if !self.users.exists(user_id).await? {
                return Err(MatrixError::forbidden("The application service has not registered this user").into());
            }
        }
        if self.users.is_closed(user_id).await? {
            return Err(standing::deactivated().into());
        }
        Ok(())
    }

    /// Refuses users whom an application service may not have speak: those that it may not act as, and those who may not speak.
    ///
    /// # Errors
    /// `M_FORBIDDEN`, `M_USER_DEACTIVATED`, `M_USER_LOCKED`, `M_USER_SUSPENDED`.
    pub(crate) async fn check_speaker(&self, appservice: &Appservice, user_id: &UserId) -> ApiResult<()> {
        self.check_assertion(appservice, user_id).await?;
        match self.users.standing(user_id) {
            Standing::Suspended => return Err(standing::suspended().into()),
            Standing::Locked => return Err(standing::locked().into()),
            Standing::Good => {}
        }
        Ok(())
    }

    /// An application service acts as its sender, or as a registered user of its namespace, so long as that account is open.
    async fn asserted(&self, appservice: Arc<Appservice>, assertion: IdentityAssertion) -> ApiResult<Caller> {
        let user_id = assertion.user_id.unwrap_or_else(|| appservice.sender().to_owned());
        self.check_assertion(&appservice, &user_id).await?;
        if let Some(device_id) = &assertion.device_id
            && !self.devices.exists(&user_id, device_id).await?
        {
            let kind = ErrorKind::UnknownDevice;
            return Err(MatrixError::new(StatusCode::BAD_REQUEST, kind, "The user has no such device").into());
        }
        let (device_id, ts) = (assertion.device_id, assertion.ts);
        Ok(Caller { user_id, device_id, appservice: Some(appservice), guest: false, ts })
    }
}

/// 401 `M_UNKNOWN_TOKEN`.
pub(crate) fn unknown_token() -> MatrixError {
    let kind = ErrorKind::UnknownToken(UnknownTokenErrorData::new());
    MatrixError::new(StatusCode::UNAUTHORIZED, kind, "Unknown access token")
}

/// 401 `M_UNKNOWN_TOKEN`, for a session that goes on once its token is refreshed.
fn expired_token() -> MatrixError {
    let mut data = UnknownTokenErrorData::new();
    data.soft_logout = true;
    MatrixError::new(StatusCode::UNAUTHORIZED, ErrorKind::UnknownToken(data), "The access token has expired")
}

/// A request of somebody: a ruma request with a checked token.
#[derive(Debug)]
pub(crate) struct Authed<T> {
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub body: T,
}

impl<T, S> FromRequest<S> for Authed<T>
where
    T: IncomingRequest + Send,
    <T::Authentication as AuthScheme>::Output: Send,
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        // Boxed: a request that waits for long does not keep the room that these take for a moment.
        let (caller, request) = Box::pin(admit(request, &Auth::from_ref(state))).await?;
        let Ruma { body, .. } = Box::pin(Ruma::<T>::from_request(request, state)).await?;
        Ok(Self { caller: caller.ok_or_else(MatrixError::missing_token)?, body })
    }
}

/// A caller alone, for endpoints that read their body themselves.
impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Caller
where
    Auth: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut http::request::Parts, state: &S) -> Result<Self, Self::Rejection> {
        let auth = Auth::from_ref(state);
        let caller = auth.caller(&head.headers, &head.uri).await?.ok_or_else(MatrixError::missing_token)?;
        auth.check_deed(&caller, &head.method, head.uri.path())?;
        Ok(caller)
    }
}

/// Checks the token before the body is read: strangers cannot make the server read and parse.
async fn admit(request: Request, auth: &Auth) -> ApiResult<(Option<Caller>, Request)> {
    let (head, body) = request.into_parts();
    let caller = auth.caller(&head.headers, &head.uri).await?;
    if let Some(caller) = &caller {
        auth.check_deed(caller, &head.method, head.uri.path())?;
    }
    Ok((caller, Request::from_parts(head, body)))
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.user_id.fmt(f)
    }
}
