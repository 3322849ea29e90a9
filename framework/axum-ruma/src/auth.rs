//! Access tokens in requests ([client-server], [appservice])
//!
//! [client-server]: https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
//! [appservice]: https://spec.matrix.org/v1.19/application-service-api/#authorization

use std::borrow::Cow;

use http::{HeaderMap, StatusCode, Uri, header};
use ruma::api::{
    auth_scheme::ExtractTokenError,
    error::{ErrorKind, UnknownTokenErrorData},
};
use subtle::ConstantTimeEq;

use crate::MatrixError;

/// Whether two tokens are the same, in a time that tells nothing about where they differ.
///
/// The time does tell whether the lengths differ, which is no secret.
#[must_use]
pub fn same_token(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// The token of a request: from the `Authorization` header, or else from the legacy `access_token` query parameter.
///
/// # Errors
/// `M_FORBIDDEN` if header and query, or two query parameters, disagree. `M_UNKNOWN_TOKEN` if the header is not text.
pub fn bearer_token(headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, MatrixError> {
    let from_header = header_token(headers)?;
    let mut token = from_header.map(Cow::Borrowed);
    for (_, value) in query_pairs(uri).filter(|(name, _)| name == "access_token") {
        match &token {
            Some(first) if !same_token(&value, first) => {
                return Err(MatrixError::forbidden("The request has two access tokens that differ"));
            }
            Some(_) => {}
            None => token = Some(value),
        }
    }
    Ok(token.map(Cow::into_owned))
}

fn header_token(headers: &HeaderMap) -> Result<Option<&str>, MatrixError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| unknown_token("The Authorization header is not text"))?;
    Ok(match value.split_at_checked("Bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer ") => Some(token.trim_matches(' ')),
        _ => None,
    })
}

/// The decoded pairs of a query string, in order.
pub(crate) fn query_pairs(uri: &Uri) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

fn unknown_token(message: &str) -> MatrixError {
    MatrixError::new(StatusCode::UNAUTHORIZED, ErrorKind::UnknownToken(UnknownTokenErrorData::new()), message)
}

/// What to answer when ruma could not extract the authentication.
pub(crate) fn rejection(error: Box<dyn std::error::Error + Send + Sync>) -> MatrixError {
    match error.downcast_ref::<ExtractTokenError>() {
        Some(ExtractTokenError::MissingAccessToken | ExtractTokenError::InvalidAuthorizationScheme) => {
            MatrixError::missing_token()
        }
        Some(_) => unknown_token("The access token cannot be read"),
        None => MatrixError::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthorized, error.to_string()),
    }
}
