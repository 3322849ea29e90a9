//! The way to an application service: over HTTP, or straight into a router of this process.

use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{Request, Response, Uri};
use tower::ServiceExt as _;

/// The longest answer read from an application service, in bytes.
pub(super) const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// Carries one request to an application service and its answer back.
#[async_trait]
pub trait AppserviceTransport: Send + Sync + std::fmt::Debug {
    /// Sends `request`, whose URI is a path and a query, and waits for the whole answer for `timeout` at most.
    ///
    /// # Errors
    /// When no answer came; an answer with any status is `Ok`.
    async fn call(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, TransportError>;

    /// Whether the service takes each event once, by its id, in whatever transaction it comes. Then a transaction is frozen only where it
    /// is not taken at once, and what was taken is stored for some transactions together: when the server crashes, the events of the last
    /// 100 ms come again, perhaps with others, and perhaps under the same transaction ids.
    fn knows_events(&self) -> bool {
        false
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing came within the time given.
    #[error("the application service did not answer in time")]
    Timeout,
    /// No connection, or it broke.
    #[error("the application service could not be reached: {0}")]
    Connection(String),
    /// The answer was longer than [`MAX_RESPONSE_BYTES`].
    #[error("the application service's answer is longer than {MAX_RESPONSE_BYTES} bytes")]
    TooLong,
}

/// Reaches an application service over HTTP at its registered `url`.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    base: String,
}

impl HttpTransport {
    /// `base` is the registration's `url`, with or without a path and a closing slash. `client` is shared.
    #[must_use]
    pub fn new(client: reqwest::Client, base: &str) -> Self {
        Self { client, base: base.trim_end_matches('/').to_owned() }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let (parts, body) = request.into_parts();
        let url = format!("{}{}", self.base, path_of(&parts.uri));
        let answer = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(|error| failure(&error))?;
        let status = answer.status();
        let mut stream = answer.bytes_stream();
        let mut body = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| failure(&error))?;
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(TransportError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = status;
        Ok(response)
    }
}

fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

/// Without the URL: legacy application services get their token in its query.
fn failure(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        return TransportError::Timeout;
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    TransportError::Connection(deepest.to_string())
}

#[async_trait]
impl AppserviceTransport for HttpTransport {
    async fn call(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, TransportError> {
        tokio::time::timeout(timeout, self.send(request)).await.map_err(|_| TransportError::Timeout)?
    }
}

/// Reaches an application service that lives in this process: its router is called, no socket is between.
#[derive(Clone)]
pub struct InProcess {
    router: Router,
    knows_events: bool,
}

impl InProcess {
    /// `router` serves `/_matrix/app/…`.
    #[must_use]
    pub const fn new(router: Router) -> Self {
        Self { router, knows_events: false }
    }

    /// The same for a service that [knows events](AppserviceTransport::knows_events), which saves each of them a commit on its way.
    #[must_use]
    pub fn knowing_events(self) -> Self {
        Self { knows_events: true, ..self }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let request = request.map(axum::body::Body::from);
        let answer = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, MAX_RESPONSE_BYTES).await.map_err(|_| TransportError::TooLong)?;
        Ok(Response::from_parts(parts, body))
    }
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl AppserviceTransport for InProcess {
    async fn call(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, TransportError> {
        tokio::time::timeout(timeout, self.send(request)).await.map_err(|_| TransportError::Timeout)?
    }

    fn knows_events(&self) -> bool {
        self.knows_events
    }
}
