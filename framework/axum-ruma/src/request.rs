//! Requests, read whole.

use axum::{
    RequestExt,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
};
use bytes::Bytes;
use http::{Method, header};
use http_body_util::{BodyExt, LengthLimitError};
use ruma::api::{
    IncomingRequest, IncomingRequestExt,
    auth_scheme::AuthScheme,
    error::{DeserializationError, FromHttpRequestError},
};

use crate::{IdentityAssertion, MatrixError, auth, bearer_token, json};

/// A ruma request with what came with it.
///
/// Read in this order: the body (up to the bound that [`finish`](crate::finish) set), the authentication, the JSON. A
/// request without the token that its endpoint needs is refused before its JSON is looked at. Whether the token is the
/// *right* one is the handler's business.
///
/// Has no `Debug`: it holds a token and a body, and neither belongs into a log.
pub struct Ruma<T: IncomingRequest> {
    /// The request.
    pub body: T,
    /// What the endpoint's authentication scheme found: a token, an optional token, or nothing.
    pub auth: <T::Authentication as AuthScheme>::Output,
    /// The request as it was received: method, path and query, headers, extensions, bytes.
    pub request: http::Request<Bytes>,
}

impl<T: IncomingRequest> Ruma<T> {
    /// What an application service asserts in the query. See [`IdentityAssertion::from_uri`].
    ///
    /// # Errors
    /// `M_INVALID_PARAM` as [`IdentityAssertion::from_uri`].
    pub fn assertion(&self) -> Result<IdentityAssertion, MatrixError> {
        IdentityAssertion::from_uri(self.request.uri())
    }
}

impl<T, S> FromRequest<S> for Ruma<T>
where
    T: IncomingRequest + Send,
    <T::Authentication as AuthScheme>::Output: Send,
    S: Send + Sync,
{
    type Rejection = MatrixError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Self::Rejection> {
        let RawRequest { request, path, .. } = RawRequest::read(request).await?;
        let auth = T::Authentication::extract_authentication(&request).map_err(|e| auth::rejection(e.into()))?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let body = T::try_from_http_request(borrowed(&request)?, &path).map_err(|error| rejection(&error))?;
        Ok(Self { body, auth, request })
    }
}

/// What all endpoints have in common; also an extractor, for endpoints that ruma has no type for.
pub struct RawRequest {
    /// The request as it was received.
    pub request: http::Request<Bytes>,
    /// The decoded path parameters, in the order of the path.
    pub path: Vec<String>,
    /// The token, if there is one. See [`bearer_token`].
    pub token: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for RawRequest {
    type Rejection = MatrixError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Self::Rejection> {
        Self::read(request).await
    }
}

impl RawRequest {
    async fn read(request: Request) -> Result<Self, MatrixError> {
        let (mut head, body) = request.with_limited_body().into_parts();
        let token = bearer_token(&head.headers, &head.uri)?;
        let params = RawPathParams::from_request_parts(&mut head, &())
            .await
            .map_err(|error| MatrixError::invalid_param(error.body_text()))?;
        let path = params.iter().map(|(_, value)| value.to_owned()).collect();
        let body = body.collect().await.map_err(|error| unreadable(&error))?.to_bytes();
        Ok(Self { request: http::Request::from_parts(head, body), path, token })
    }
}

/// The body is borrowed, the rest is cheap to copy; media endpoints keep theirs as raw bytes.
fn borrowed(request: &http::Request<Bytes>) -> Result<http::Request<&[u8]>, MatrixError> {
    if !is_media(request) {
        json::refuse_array(request.body())?;
    }
    if request.body().is_empty() && request.method() == Method::PUT && !is_media(request) {
        return Err(MatrixError::not_json("The request has no body"));
    }
    // Clients that have nothing to say to `join` or `leave` send no body at all.
    let nothing = request.body().is_empty() && request.method() == Method::POST && !is_media(request);
    let mut borrowed = http::Request::new(if nothing { b"{}" } else { request.body().as_ref() });
    *borrowed.method_mut() = request.method().clone();
    *borrowed.uri_mut() = request.uri().clone();
    *borrowed.headers_mut() = request.headers().clone();
    Ok(borrowed)
}

fn is_media(request: &http::Request<Bytes>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    request.uri().path().contains("/media/") || content_type.starts_with(b"application/octet-stream")
}

fn unreadable(error: &axum::Error) -> MatrixError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return MatrixError::too_large();
        }
        cause = error.source();
    }
    MatrixError::not_json("The request body ended early")
}

fn rejection(error: &FromHttpRequestError) -> MatrixError {
    match error {
        FromHttpRequestError::MethodMismatch { .. } => MatrixError::unknown_method(),
        FromHttpRequestError::Deserialization(DeserializationError::Json(error)) => json::rejection(error),
        FromHttpRequestError::Deserialization(error) => MatrixError::unread_param(error.to_string()),
        _ => MatrixError::bad_json(error.to_string()),
    }
}
