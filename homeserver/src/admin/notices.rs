//! What the server has to say to its users.

use axum::{Json, Router, extract::State, routing::post};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    path,
};
use crate::{
    http::{ApiState, error::ApiResult},
    notices::{Notices, words},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route(&path("notices"), post(tell))
}

#[derive(Deserialize)]
struct Notice {
    user_id: OwnedUserId,
    /// Only words.
    body: Option<String>,
    /// The whole content of a message.
    content: Option<Value>,
}

/// `POST notices`
async fn tell(
    State(notices): State<Notices>,
    by: AdminCaller,
    JsonBody(notice): JsonBody<Notice>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "tell user", notice.user_id.as_str())?;
    let content = match (notice.content, notice.body) {
        (Some(content), None) => content,
        (None, Some(body)) => words(&body),
        _ => return Err(MatrixError::invalid_param("There is either a body or a content").into()),
    };
    let (room_id, event_id) = notices.tell(&notice.user_id, &content).await?;
    Ok(Json(json!({ "room_id": room_id, "event_id": event_id })))
}
