//! The homeserver proves itself by the `hs_token` ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#authorization

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use landbridge_axum_ruma::{MatrixError, bearer_token};
use landbridge_registration::Token;

/// Lets a request in that has the `hs_token`, before anything of its body is read.
pub(super) async fn require_hs_token(
    State(hs_token): State<Token>,
    request: Request,
    next: Next,
) -> Result<Response, MatrixError> {
    let given = bearer_token(request.headers(), request.uri())?.ok_or_else(MatrixError::missing_token)?;
    if !hs_token.matches(&given) {
        tracing::warn!("refused a request whose hs_token is not the registration's");
        return Err(MatrixError::forbidden("Wrong hs_token"));
    }
    Ok(next.run(request).await)
}
