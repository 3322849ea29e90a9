//! The last line: a handler that panics answers 500 and takes nothing else with it.

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use landbridge_axum_ruma::MatrixError;

/// Catches panics of all routes. That there is one is a fault of ours, logged as such.
pub(crate) fn guard<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn(catch))
}

async fn catch(request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        MatrixError::internal().into_response()
    })
}
