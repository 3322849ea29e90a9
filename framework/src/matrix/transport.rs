//! How requests reach the homeserver: over HTTP, or as a call within the process.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{Request, Response, Uri, header};
use http_body::Body as _;
use tower::ServiceExt as _;
use url::Url;

/// How requests reach the homeserver.
///
/// A request's URI is a path and a query only (`/_matrix/client/…`); the transport knows where they lead. Bodies are streams both ways.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends one request, and returns when the head of the response is there.
    ///
    /// # Errors
    /// [`TransportError`] when there is no response; whatever the homeserver answers is a success here.
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, TransportError>;

    /// Whether events that are sent with a [`Turn`](landbridge_axum_ruma::Turn) take effect in that order, without waiting for each
    /// other's answer.
    fn takes_turns(&self) -> bool {
        false
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection was made: certainly nothing happened.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The request may have been carried out.
    #[error("no answer: {0}")]
    Lost(String),
}

/// HTTP, with one shared pool of connections.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    base: Url,
    client: reqwest::Client,
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the homeserver may be silent within a response.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

impl HttpTransport {
    /// Reaches a homeserver at this base URL. Needs a process-wide rustls provider to be installed.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub fn new(base: Url) -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("landbridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| TransportError::Connect(chain(&error)))?;
        Ok(Self { base, client })
    }

    fn url(&self, uri: &Uri) -> String {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let (mut head, body) = request.into_parts();
        if let Some(length) = body.size_hint().exact() {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let response = self
            .client
            .request(head.method, self.url(&head.uri))
            .headers(head.headers)
            .body(streamed(body))
            .send()
            .await
            .map_err(|error| lost(&error))?;
        Ok(Response::from(response).map(Body::new))
    }
}

/// The length goes into a header, because a stream hides it.
fn streamed(body: Body) -> reqwest::Body {
    if body.size_hint().exact() == Some(0) {
        return reqwest::Body::default();
    }
    reqwest::Body::wrap_stream(body.into_data_stream())
}

fn lost(error: &reqwest::Error) -> TransportError {
    if error.is_connect() { TransportError::Connect(chain(error)) } else { TransportError::Lost(chain(error)) }
}

/// An error with its causes; reqwest's own text hides them. Without the URL, whose query could hold what nobody should read.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() {
        text.push_str(if error.is_timeout() { "timed out" } else { "the request failed" });
    }
    text
}

/// A homeserver in the same process: its router is called like a function.
#[derive(Clone, Debug)]
pub struct InProcess {
    router: Router,
    turns: bool,
}

impl InProcess {
    /// Calls this router.
    pub fn new(router: Router) -> Self {
        Self { router, turns: false }
    }

    /// Says that the homeserver knows [turns](landbridge_axum_ruma::Turn).
    #[must_use]
    pub fn taking_turns(self) -> Self {
        Self { turns: true, ..self }
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.router.clone().oneshot(request).await.map_err(|never| match never {})
    }

    fn takes_turns(&self) -> bool {
        self.turns
    }
}
