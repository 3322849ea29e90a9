//! The first line and the last: no NUL comes in by a URL, a handler that panics answers 500 and takes nothing else with it, and web
//! clients of any origin may read the answer ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use landbridge_axum_ruma::{MatrixError, allow_all_origins};

/// Refuses NUL in URLs, which PostgreSQL's texts cannot hold and no identifier needs. Catches panics of all routes; that there
/// is one is a fault of ours, logged as such. Adds the headers that web clients need to every answer, and answers `OPTIONS`.
///
/// All of it is one layer: a request that waits keeps something of each.
pub(crate) fn guard<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn(open))
}

async fn open(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        catch(request, next).await
    };
    allow_all_origins(response.headers_mut());
    response
}

async fn catch(request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().contains("%00")) {
        return MatrixError::invalid_param("No identifier holds a NUL").into_response();
    }
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        MatrixError::internal().into_response()
    })
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
