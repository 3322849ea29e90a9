//! Simplified sliding sync ([proposal])
//!
//! [proposal]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::post};
use landbridge_axum_ruma::JsonBody;
use ruma::presence::PresenceState;
use serde::Deserialize;
use serde_json::Value;

use super::sync::note_presence;
use crate::{
    appservice::Appservices,
    http::{ApiState, auth::Caller, error::ApiResult, path::QueryArgs},
    sync::{Presences, SlidingRequest, SlidingSync, Sync},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", post(sync))
}

#[derive(Deserialize)]
struct Query {
    pos: Option<String>,
    /// In milliseconds.
    timeout: Option<u64>,
    set_presence: Option<PresenceState>,
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
async fn sync(
    State(sync): State<Sync>,
    State(presences): State<Presences>,
    State(appservices): State<Appservices>,
    caller: Caller,
    QueryArgs(query): QueryArgs<Query>,
    JsonBody(request): JsonBody<SlidingRequest>,
) -> ApiResult<Json<Value>> {
    let device_id = caller.device()?.to_owned();
    note_presence(&presences, &appservices, &caller, query.set_presence).await?;
    let asked = SlidingSync {
        user_id: caller.user_id,
        device_id,
        pos: query.pos.filter(|pos| !pos.is_empty()),
        timeout: Duration::from_millis(query.timeout.unwrap_or(0)),
        request,
    };
    Ok(Json(sync.sliding(asked).await?))
}
