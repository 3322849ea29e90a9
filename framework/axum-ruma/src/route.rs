//! Routes and what is answered where there is none.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use http::Method;
use ruma::api::{IncomingRequest, path_builder::PathBuilder};

use crate::MatrixError;

/// Puts a handler on every path that ruma knows for the endpoint `R`: stable, unstable and legacy ones.
pub fn mount<R, H, X, S>(router: Router<S>, handler: H) -> Router<S>
where
    R: IncomingRequest,
    H: Handler<X, S>,
    X: 'static,
    S: Clone + Send + Sync + 'static,
{
    add(router, &mut R::PATH_BUILDER.all_paths(), &on(filter(&R::METHOD), handler))
}

/// Puts a handler on further paths, for `R`'s method: those that ruma does not list, such as the unprefixed legacy
/// paths of application services or a state event's path without its empty state key. Their parameters must be in the
/// order of ruma's own paths.
pub fn mount_at<R, H, X, S>(router: Router<S>, paths: &[&'static str], handler: H) -> Router<S>
where
    R: IncomingRequest,
    H: Handler<X, S>,
    X: 'static,
    S: Clone + Send + Sync + 'static,
{
    add(router, &mut paths.iter().copied(), &on(filter(&R::METHOD), handler))
}

/// Compiled once for each state, not once for each endpoint.
fn add<S>(router: Router<S>, paths: &mut dyn Iterator<Item = &'static str>, method: &MethodRouter<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    paths.fold(router, |router, path| router.route(path, method.clone()))
}

fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::DELETE => MethodFilter::DELETE,
        Method::PATCH => MethodFilter::PATCH,
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::OPTIONS => MethodFilter::OPTIONS,
        _ => MethodFilter::GET,
    }
}

/// Bounds bodies to `max_body` bytes, and answers unknown endpoints and methods with `M_UNRECOGNIZED`
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#common-error-codes)).
///
/// A body over the bound is refused with `M_TOO_LARGE` when the bound is reached; the rest is not read.
pub fn finish<S>(router: Router<S>, max_body: usize) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.fallback(unknown_endpoint).method_not_allowed_fallback(unknown_method).layer(DefaultBodyLimit::max(max_body))
}

/// Handler: 404 `M_UNRECOGNIZED`.
pub async fn unknown_endpoint() -> MatrixError {
    MatrixError::unknown_endpoint()
}

/// Handler: 405 `M_UNRECOGNIZED`.
pub async fn unknown_method() -> MatrixError {
    MatrixError::unknown_method()
}
