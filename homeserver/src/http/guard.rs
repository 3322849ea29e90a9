//! The first line and the last: no NUL comes in by a URL, a handler that panics answers 500 and takes nothing else with it, and web
//! clients of any origin may read the answer ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients

use std::{
    convert::Infallible,
    future::{Ready, ready},
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use futures_util::{
    FutureExt as _,
    future::{CatchUnwind, Either, Map},
};
use http::{Method, StatusCode};
use landbridge_axum_ruma::{MatrixError, allow_all_origins};
use tower::{Layer, Service};

/// Refuses NUL in URLs, which PostgreSQL's texts cannot hold and no identifier needs. Catches panics of all routes; that there
/// is one is a fault of ours, logged as such. Adds the headers that web clients need to every answer, and answers `OPTIONS`.
///
/// All of it is one layer: a request that waits keeps something of each.
pub(crate) fn guard<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(GuardLayer)
}

#[derive(Clone, Copy, Debug)]
struct GuardLayer;

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard(inner)
    }
}

/// A service and not a function over requests, of which each would keep the request in several places.
#[derive(Clone, Debug)]
struct Guard<S>(S);

/// An answer, or the panic of the handler.
type Caught = std::thread::Result<Result<Response, Infallible>>;
/// What a handler does, or what is answered without one.
type Answering<F> = Either<CatchUnwind<AssertUnwindSafe<F>>, Ready<Caught>>;

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Map<Answering<S::Future>, fn(Caught) -> Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answering = match at_once(&request) {
            Some(response) => ready(Ok(Ok(response))).right_future(),
            None => AssertUnwindSafe(self.0.call(request)).catch_unwind().left_future(),
        };
        answering.map(opened)
    }
}

/// The answer to a request that no handler sees.
fn at_once(request: &Request) -> Option<Response> {
    if request.method() == Method::OPTIONS {
        return Some(StatusCode::NO_CONTENT.into_response());
    }
    let holds_nul = request.uri().path_and_query().is_some_and(|uri| uri.as_str().contains("%00"));
    holds_nul.then(|| MatrixError::invalid_param("No identifier holds a NUL").into_response())
}

/// The answer as web clients may read it.
fn opened(caught: Caught) -> Result<Response, Infallible> {
    let mut response = caught.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        Ok(MatrixError::internal().into_response())
    })?;
    allow_all_origins(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn broken() -> &'static str {
        panic!("on purpose")
    }

    async fn status(path: &str) -> StatusCode {
        let router: Router = guard(Router::new().route("/broken", get(broken)).fallback(|| async { "fine" }));
        router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_panic_is_one_answer_and_nothing_more() {
        assert_eq!(status("/broken").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status("/other").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_nul_goes_no_further() {
        assert_eq!(status("/a%00b").await, StatusCode::BAD_REQUEST);
        assert_eq!(status("/a?b=%00").await, StatusCode::BAD_REQUEST);
    }
}
