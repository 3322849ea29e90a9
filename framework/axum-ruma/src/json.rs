//! JSON bodies of endpoints that ruma has no type for.

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{MatrixError, RawRequest};

/// A JSON object as body, for endpoints that ruma does not know. Checks no token.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = MatrixError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let raw = RawRequest::from_request(request, state).await?;
        parse_json(raw.request.body()).map(Self)
    }
}

/// Parses a JSON object. An empty body is an empty object.
///
/// Nesting is limited to serde_json's 128 levels. A key that is given twice is an error for structs; in maps the last
/// one counts.
///
/// # Errors
/// `M_NOT_JSON` if it is not UTF-8, not JSON, or too deep; `M_BAD_JSON` if it is not an object of this shape.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, MatrixError> {
    refuse_array(body)?;
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(|error| rejection(&error))
}

/// serde takes an array for a struct if it has as many elements; Matrix does not.
pub(crate) fn refuse_array(body: &[u8]) -> Result<(), MatrixError> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Err(MatrixError::bad_json("The body must be a JSON object")),
        _ => Ok(()),
    }
}

pub(crate) fn rejection(error: &serde_json::Error) -> MatrixError {
    match error.classify() {
        Category::Data => MatrixError::bad_json(format!("The body has the wrong shape: {error}")),
        Category::Syntax | Category::Eof | Category::Io => {
            MatrixError::not_json(format!("The body is not JSON: {error}"))
        }
    }
}
