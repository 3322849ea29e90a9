//! Showing other services who one is ([spec]), and telling them whom a token shows ([userinfo])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#openid
//! [userinfo]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::api::client::account::request_openid_token::v3 as request_openid_token;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiConfig, ApiState, auth::Authed, error::ApiResult, path::QueryArgs},
    users::{Grants, OPENID_LIFETIME},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    // The services that were shown a token know only the server's name, and ask there.
    let router = router.route("/_matrix/federation/v1/openid/userinfo", get(userinfo));
    mount::<request_openid_token::Request, _, _, _>(router, request)
}

/// `POST /_matrix/client/v3/user/{userId}/openid/request_token`
async fn request(
    State(config): State<Arc<ApiConfig>>,
    State(grants): State<Grants>,
    Authed { caller, body }: Authed<request_openid_token::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    let token = grants.openid(&caller.user_id).await?;
    Ok(Json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "matrix_server_name": config.server_name,
        "expires_in": OPENID_LIFETIME.as_secs(),
    })))
}

#[derive(Deserialize)]
struct Shown {
    access_token: Option<String>,
}

/// `GET /_matrix/federation/v1/openid/userinfo`
async fn userinfo(State(grants): State<Grants>, QueryArgs(query): QueryArgs<Shown>) -> ApiResult<Json<Value>> {
    let token = query.access_token.ok_or_else(MatrixError::missing_token)?;
    let user_id = grants.openid_user(&token).await?.ok_or_else(|| {
        MatrixError::with_errcode(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "The token is unknown or out of date")
    })?;
    Ok(Json(json!({ "sub": user_id })))
}
