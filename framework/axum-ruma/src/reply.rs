//! Ruma responses as axum responses.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::{HeaderValue, StatusCode, header};
use ruma::api::{OutgoingResponse, OutgoingResponseExt, error::IntoHttpError};

/// A ruma response, or a ruma error, on its way out.
///
/// For another status than ruma's, answer `(StatusCode::CREATED, RumaReply(response))`.
#[derive(Clone, Debug)]
pub struct RumaReply<T>(pub T);

impl<T: OutgoingResponse> IntoResponse for RumaReply<T> {
    fn into_response(self) -> Response {
        into_axum(self.0.try_into_http_response::<BytesMut>())
    }
}

fn into_axum(response: Result<http::Response<BytesMut>, IntoHttpError>) -> Response {
    response.map_or_else(|error| failed(&error), |response| response.map(|body| Body::from(body.freeze())))
}

/// Cannot come from `MatrixError` again: that one is a response that might not serialise.
fn failed(error: &IntoHttpError) -> Response {
    tracing::error!(%error, "a response could not be serialised");
    let mut response = Response::new(Body::from(r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
