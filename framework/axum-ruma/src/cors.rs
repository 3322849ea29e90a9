//! Web browser clients ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// Adds the headers that let web clients of any origin in, to every answer, errors included, and answers `OPTIONS`.
///
/// Call it last: it covers the routes that exist by then.
pub fn cors<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(middleware::from_fn(add_headers))
}

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    allow_all_origins(response.headers_mut());
    response
}

/// Adds the headers that let web clients of any origin in, for those who have a middleware of their own.
pub fn allow_all_origins(headers: &mut HeaderMap) {
    const ALLOWED: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "X-Requested-With, Content-Type, Authorization"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After"),
    ];
    for (name, value) in ALLOWED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
