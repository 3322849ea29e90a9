//! The homeserver's [Client-Server API], as an application service uses it.
//!
//! [Client-Server API]: https://spec.matrix.org/v1.19/client-server-api/

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use landbridge_registration::Token;
use ruma::{
    OwnedUserId,
    api::{
        AppserviceUserIdentity, IncomingResponseExt as _, MatrixVersion, OutgoingRequest,
        OutgoingRequestAppserviceExt as _, OutgoingRequestExt as _, SupportedVersions,
        auth_scheme::{AuthScheme, SendAccessToken},
        client::{
            account::{register, whoami},
            appservice::request_ping,
            discovery::get_supported_versions,
        },
        path_builder::PathBuilder,
    },
};

use crate::chance::Chance;

use super::{Assertion, Backoff, ClientError, Transport, TransportError};

/// Talks to the homeserver as the application service: as the bot, or as one of its virtual users. Cheap to clone.
///
/// Every call waits and repeats within bounds: after `M_LIMIT_EXCEEDED` as long as the homeserver says, after a failure of the
/// network or a 5xx with jittered back-off, where repeating is safe. What remains is for the caller: see [`ClientError`].
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Arc<dyn Transport>,
    as_token: Token,
    policy: RetryPolicy,
    chance: Chance,
    versions: SupportedVersions,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("transport", &self.0.transport).finish_non_exhaustive()
    }
}

/// How long one call keeps trying.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The waits after failures.
    pub backoff: Backoff,
    /// The longest wait for `M_LIMIT_EXCEEDED` that a call does by itself; a longer one is the caller's.
    pub longest_limit: Duration,
    /// How long one attempt may take until its answer is whole.
    pub timeout: Duration,
}

impl RetryPolicy {
    /// One attempt: for callers that do the waiting themselves.
    pub fn once() -> Self {
        Self { attempts: 1, ..Self::default() }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            longest_limit: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
        }
    }
}

/// Whether a request may be sent again after an attempt of which nobody knows whether it was carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It may: twice is the same as once.
    Safe,
    /// It may not.
    Never,
}

/// Whether a user was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It was.
    New,
    /// There was one already.
    Existing,
}

/// The most of an answer that is read. A state of 50,000 members is some 20 MB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

impl Client {
    /// Talks over this transport, with this token.
    pub fn new(transport: Arc<dyn Transport>, as_token: Token) -> Self {
        Self::with_policy(transport, as_token, RetryPolicy::default())
    }

    /// As [`Client::new`], with other patience.
    pub fn with_policy(transport: Arc<dyn Transport>, as_token: Token, policy: RetryPolicy) -> Self {
        Self::with_chance(transport, as_token, policy, Chance::from_system())
    }

    /// As [`Client::with_policy`], with other jitter.
    pub fn with_chance(transport: Arc<dyn Transport>, as_token: Token, policy: RetryPolicy, chance: Chance) -> Self {
        // The paths of v1.11 are the oldest that have authenticated media; media falls back by itself.
        let versions = SupportedVersions { versions: [MatrixVersion::V1_11].into(), features: [].into() };
        Self(Arc::new(Inner { transport, as_token, policy, chance, versions }))
    }

    /// As whom the homeserver sees us.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn whoami(&self, who: &Assertion) -> Result<OwnedUserId, ClientError> {
        Ok(self.send(who, whoami::v3::Request::new(), Repeat::Safe).await?.user_id)
    }

    /// What the homeserver speaks.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn versions(&self) -> Result<Vec<String>, ClientError> {
        let request = get_supported_versions::Request::new();
        let request = request
            .try_into_http_request::<BytesMut>("", SendAccessToken::None, ())
            .map_err(|error| unsendable(&error))?;
        let response = self.call(request.map(BytesMut::freeze), Repeat::Safe).await?;
        Ok(parse::<get_supported_versions::Response>(&response)?.versions)
    }

    /// Makes a virtual user ([spec]). One that exists already is no error.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/application-service-api/#server-admin-style-permissions
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when the name is not in our namespace.
    pub async fn register(&self, localpart: &str) -> Result<Registered, ClientError> {
        let mut request = register::v3::Request::new();
        request.username = Some(localpart.to_owned());
        request.login_type = Some(register::LoginType::ApplicationService);
        request.inhibit_login = true;
        match self.send(&Assertion::BOT, request, Repeat::Safe).await {
            Ok(_) => Ok(Registered::New),
            Err(ClientError::InUse(_)) => Ok(Registered::Existing),
            Err(error) => Err(error),
        }
    }

    /// Asks the homeserver to call us ([spec]), and returns how long that took.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/application-service-api/#post_matrixclientv1appserviceappserviceidping
    ///
    /// # Errors
    /// [`ClientError::Rejected`] with `M_URL_NOT_SET`, `M_BAD_STATUS`, `M_CONNECTION_TIMEOUT` or `M_CONNECTION_FAILED` when it
    /// cannot reach us.
    pub async fn ping(&self, registration_id: &str, transaction_id: Option<&str>) -> Result<Duration, ClientError> {
        let mut request = request_ping::v1::Request::new(registration_id.to_owned());
        request.transaction_id = transaction_id.map(Into::into);
        Ok(self.send(&Assertion::BOT, request, Repeat::Never).await?.duration)
    }

    /// Sends one of ruma's requests: for what this client has no method for.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn request<R>(&self, who: &Assertion, request: R) -> Result<R::IncomingResponse, ClientError>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        let repeat = if R::METHOD == http::Method::POST { Repeat::Never } else { Repeat::Safe };
        self.send(who, request, repeat).await
    }

    pub(super) async fn send<R>(
        &self,
        who: &Assertion,
        request: R,
        repeat: Repeat,
    ) -> Result<R::IncomingResponse, ClientError>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        parse(&self.call(self.prepare(who, request)?, repeat).await?)
    }

    /// One of ruma's requests as it goes out.
    pub(super) fn prepare<R>(&self, who: &Assertion, request: R) -> Result<Request<Bytes>, ClientError>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
    {
        // Also where ruma says that none is needed: homeservers can be told to answer nobody without (profiles, aliases).
        let token = SendAccessToken::Always(self.0.as_token.reveal());
        let versions = Cow::Borrowed(&self.0.versions);
        let request = match &who.user_id {
            None => request.try_into_http_request::<BytesMut>("", token, versions),
            Some(user_id) => {
                let mut identity = AppserviceUserIdentity::new(user_id);
                identity.device_id = who.device_id.as_deref();
                request.try_into_http_request_with_identity("", token, identity, versions)
            }
        };
        Ok(request.map_err(|error| unsendable(&error))?.map(BytesMut::freeze))
    }

    /// Whether a turn ([`NewEvent`](super::NewEvent)) keeps the order.
    pub fn takes_turns(&self) -> bool {
        self.0.transport.takes_turns()
    }

    /// Sends a request until it is answered, or patience is at its end.
    pub(super) async fn call(&self, request: Request<Bytes>, repeat: Repeat) -> Result<Response<Bytes>, ClientError> {
        let policy = &self.0.policy;
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(&request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            if attempt >= policy.attempts {
                return Err(failure.error);
            }
            let wait = match failure.error {
                ClientError::LimitExceeded { after } if after <= policy.longest_limit => {
                    after + self.0.chance.delay(&policy.backoff, 1) / 2
                }
                ClientError::Unavailable(_) if failure.harmless || repeat == Repeat::Safe => {
                    self.0.chance.delay(&policy.backoff, attempt)
                }
                error => return Err(error),
            };
            tracing::debug!(
                attempt,
                wait.ms = wait.as_millis(),
                path = request.uri().path(),
                "waiting for the homeserver"
            );
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Failure> {
        let request = request.clone().map(Body::from);
        tokio::time::timeout(self.0.policy.timeout, async {
            let response = self.transport_call(request).await?;
            let (head, body) = response.into_parts();
            let body = read_all(body).await?;
            if head.status.is_success() {
                return Ok(Response::from_parts(head, body));
            }
            Err(refused(head.status, &head.headers, &body))
        })
        .await
        .unwrap_or_else(|_| Err(Failure::unknown("timed out")))
    }

    async fn transport_call(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        self.0.transport.call(request).await.map_err(|error| match error {
            TransportError::Connect(_) => Failure::nothing_happened(&error.to_string()),
            TransportError::Lost(_) => Failure::unknown(&error.to_string()),
        })
    }

    /// Sends one request once, and hands over its answer as it comes. Refusals are errors.
    pub(super) async fn stream(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let response = tokio::time::timeout(self.0.policy.timeout, self.transport_call(request))
            .await
            .unwrap_or_else(|_| Err(Failure::unknown("timed out")))
            .map_err(|failure| failure.error)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = read_all(body).await.map_err(|failure| failure.error)?;
        Err(refused(head.status, &head.headers, &body).error)
    }

    pub(super) fn as_token(&self) -> &Token {
        &self.0.as_token
    }
}

/// One attempt that failed.
struct Failure {
    error: ClientError,
    /// Nothing happened, so that even what must not be done twice may be tried again.
    harmless: bool,
}

impl Failure {
    fn nothing_happened(reason: &str) -> Self {
        Self { error: ClientError::Unavailable(reason.to_owned()), harmless: true }
    }

    fn unknown(reason: &str) -> Self {
        Self { error: ClientError::Unavailable(reason.to_owned()), harmless: false }
    }
}

fn refused(status: StatusCode, headers: &http::HeaderMap, body: &Bytes) -> Failure {
    Failure { error: ClientError::from_response(status, headers, body), harmless: false }
}

async fn read_all(body: Body) -> Result<Bytes, Failure> {
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let error = ClientError::TooLarge(format!("the answer is larger than {MAX_ANSWER} bytes"));
            Err(Failure { error, harmless: false })
        }
        Err(error) => Err(Failure::unknown(&format!("the answer broke off: {error}"))),
    }
}

pub(super) fn parse<T: ruma::api::IncomingResponse>(response: &Response<Bytes>) -> Result<T, ClientError> {
    let mut borrowed = Response::new(response.body().as_ref());
    *borrowed.status_mut() = response.status();
    borrowed.headers_mut().clone_from(response.headers());
    T::try_from_http_response(borrowed)
        .map_err(|_| ClientError::Unavailable("the homeserver's answer cannot be read".to_owned()))
}

fn unsendable(error: &ruma::api::error::IntoHttpError) -> ClientError {
    ClientError::Rejected { errcode: "M_BAD_REQUEST".to_owned(), message: error.to_string() }
}
