//! The rooms that two users share ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#mutual-rooms

use axum::{Json, Router, extract::State, routing::get};
use landbridge_axum_ruma::MatrixError;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiState, auth::Caller, error::ApiResult, path::QueryArgs},
    rooms::Rooms,
};

/// The most rooms of one answer.
const PAGE: i64 = 500;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route("/_matrix/client/v1/mutual_rooms", get(mutual))
        .route("/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms", get(mutual))
}

#[derive(Deserialize)]
struct Query {
    user_id: String,
    from: Option<String>,
}

/// `GET /_matrix/client/v1/mutual_rooms`
async fn mutual(
    State(rooms): State<Rooms>,
    caller: Caller,
    QueryArgs(query): QueryArgs<Query>,
) -> ApiResult<Json<Value>> {
    let bad = |message: &str| MatrixError::invalid_param(message);
    let user = OwnedUserId::try_from(query.user_id).map_err(|_| bad("user_id is not a user id"))?;
    if user == caller.user_id {
        return Err(bad("You share all your rooms with yourself").into());
    }
    let after = query.from.unwrap_or_default();
    if !after.is_empty() && !after.starts_with('!') {
        return Err(bad("The token is not one of this server").into());
    }
    let (joined, count) = rooms.mutual_rooms(&caller.user_id, &user, &after, PAGE).await?;
    let mut answer = json!({ "joined": joined, "count": count });
    if i64::try_from(joined.len()).is_ok_and(|found| found == PAGE) {
        answer["next_batch"] = json!(joined.last());
    }
    Ok(Json(answer))
}
