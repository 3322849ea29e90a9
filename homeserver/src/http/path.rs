//! Parameters of endpoints that ruma has no type for.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use landbridge_axum_ruma::MatrixError;
use serde::de::DeserializeOwned;

/// The path's parameters; wrong ones are answered `M_INVALID_PARAM`, missing ones `M_MISSING_PARAM`.
#[derive(Debug)]
pub(crate) struct PathArgs<T>(pub T);

/// The query's parameters; wrong ones are answered `M_INVALID_PARAM`, missing ones `M_MISSING_PARAM`.
#[derive(Debug)]
pub(crate) struct QueryArgs<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathArgs<T> {
    type Rejection = MatrixError;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, MatrixError> {
        let path = Path::from_request_parts(head, state).await;
        path.map(|Path(args)| Self(args)).map_err(|error| MatrixError::unread_param(error.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryArgs<T> {
    type Rejection = MatrixError;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, MatrixError> {
        let query = Query::from_request_parts(head, state).await;
        query.map(|Query(args)| Self(args)).map_err(|error| MatrixError::unread_param(error.body_text()))
    }
}
