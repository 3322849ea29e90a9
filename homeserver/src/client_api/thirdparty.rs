//! Third-party networks ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#third-party-networks

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    routing::get,
};
use landbridge_axum_ruma::MatrixError;
use serde_json::Value;

use crate::{
    appservice::thirdparty::{Kind, Thirdparty},
    http::{ApiState, auth::Caller, error::ApiResult, path::PathArgs},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    ["r0", "v3"].into_iter().fold(router, |router, version| {
        let base = format!("/_matrix/client/{version}/thirdparty");
        router
            .route(&format!("{base}/protocols"), get(protocols))
            .route(&format!("{base}/protocol/{{protocol}}"), get(protocol))
            .route(&format!("{base}/user/{{protocol}}"), get(users))
            .route(&format!("{base}/location/{{protocol}}"), get(locations))
            .route(&format!("{base}/user"), get(of_user))
            .route(&format!("{base}/location"), get(of_alias))
    })
}

/// The client's token stays here.
fn without_token(query: Option<String>) -> String {
    let query = query.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !matches!(name.as_ref(), "access_token" | "user_id" | "device_id"));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn unknown() -> MatrixError {
    MatrixError::not_found("No application service serves this protocol")
}

/// `GET /_matrix/client/v3/thirdparty/protocols`
async fn protocols(State(thirdparty): State<Thirdparty>, _: Caller) -> Json<BTreeMap<String, Value>> {
    Json(thirdparty.protocols().await)
}

/// `GET /_matrix/client/v3/thirdparty/protocol/{protocol}`
async fn protocol(
    State(thirdparty): State<Thirdparty>,
    _: Caller,
    PathArgs(name): PathArgs<String>,
) -> ApiResult<Json<Value>> {
    Ok(Json(thirdparty.protocol(&name).await.ok_or_else(unknown)?))
}

/// `GET /_matrix/client/v3/thirdparty/user/{protocol}`
async fn users(
    State(thirdparty): State<Thirdparty>,
    _: Caller,
    PathArgs(name): PathArgs<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Json<Vec<Value>>> {
    Ok(Json(thirdparty.search(Kind::User, &name, &without_token(query)).await.ok_or_else(unknown)?))
}

/// `GET /_matrix/client/v3/thirdparty/location/{protocol}`
async fn locations(
    State(thirdparty): State<Thirdparty>,
    _: Caller,
    PathArgs(name): PathArgs<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Json<Vec<Value>>> {
    Ok(Json(thirdparty.search(Kind::Location, &name, &without_token(query)).await.ok_or_else(unknown)?))
}

/// `GET /_matrix/client/v3/thirdparty/user`
async fn of_user(State(thirdparty): State<Thirdparty>, _: Caller, RawQuery(query): RawQuery) -> Json<Vec<Value>> {
    Json(thirdparty.reverse(Kind::User, &without_token(query)).await)
}

/// `GET /_matrix/client/v3/thirdparty/location`
async fn of_alias(State(thirdparty): State<Thirdparty>, _: Caller, RawQuery(query): RawQuery) -> Json<Vec<Value>> {
    Json(thirdparty.reverse(Kind::Location, &without_token(query)).await)
}
