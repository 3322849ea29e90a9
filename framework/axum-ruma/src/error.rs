//! Standard Matrix errors ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ruma::api::error::{Error, ErrorBody, ErrorKind, StandardErrorBody};

use crate::RumaReply;

/// A refusal as Matrix words it: an HTTP status, an `errcode`, and a sentence for people.
///
/// The message goes to the peer, so it never holds a token, a file name or an internal error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `errcode` and the data that belongs to it, such as `retry_after_ms`.
    pub kind: ErrorKind,
    /// The `error` sentence.
    pub message: String,
}

impl MatrixError {
    /// An error with any status and kind.
    pub fn new(status: StatusCode, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// An error whose `errcode` ruma has no name for. An `errcode` that requires further data becomes `M_UNKNOWN`.
    pub fn with_errcode(status: StatusCode, errcode: &str, message: impl Into<String>) -> Self {
        let kind = serde_json::from_value(serde_json::json!({ "errcode": errcode })).unwrap_or(ErrorKind::Unknown);
        Self::new(status, kind, message)
    }

    /// 403 `M_FORBIDDEN`: the peer is known and may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
    }

    /// 404 `M_NOT_FOUND`: the endpoint exists, the thing does not.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message)
    }

    /// 401 `M_MISSING_TOKEN`: the endpoint needs a token and the request has none.
    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorKind::MissingToken, "Missing access token")
    }

    /// 400 `M_INVALID_PARAM`: a path or query parameter is wrong.
    pub fn invalid_param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidParam, message)
    }

    /// 400 `M_MISSING_PARAM` or `M_INVALID_PARAM`, by what serde says of the parameters of a path or a query.
    pub fn unread_param(message: impl Into<String>) -> Self {
        let message = message.into();
        let is_missing = message.contains("missing field `");
        let kind = if is_missing { ErrorKind::MissingParam } else { ErrorKind::InvalidParam };
        Self::new(StatusCode::BAD_REQUEST, kind, message)
    }

    /// 400 `M_BAD_JSON`: JSON, of the wrong shape.
    pub fn bad_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::BadJson, message)
    }

    /// 400 `M_NOT_JSON`: not JSON at all.
    pub fn not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::NotJson, message)
    }

    /// 413 `M_TOO_LARGE`: the body is over the bound.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, "The request body is too large")
    }

    /// 404 `M_UNRECOGNIZED`: no such endpoint.
    pub fn unknown_endpoint() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "Unrecognized request")
    }

    /// 405 `M_UNRECOGNIZED`: the endpoint exists, not with this method.
    pub fn unknown_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Unrecognized, "Unrecognized method")
    }

    /// 500 `M_UNKNOWN`: our fault. The cause is for our log, not for the peer.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unknown, "Internal server error")
    }
}

impl fmt::Display for MatrixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.kind.errcode(), self.message)
    }
}

impl std::error::Error for MatrixError {}

impl From<MatrixError> for Error {
    fn from(error: MatrixError) -> Self {
        ErrorBody::Standard(StandardErrorBody::new(error.kind, error.message)).into_error(error.status)
    }
}

impl IntoResponse for MatrixError {
    fn into_response(self) -> Response {
        RumaReply(Error::from(self)).into_response()
    }
}
