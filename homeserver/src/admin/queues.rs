//! What waits to be sent, and to whom: application services, push gateways, other servers.

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    path,
    services::all_shown,
};
use crate::{
    appservice::Appservices,
    http::{ApiState, error::ApiResult},
    push::Pushers,
    rooms::Rooms,
    stream::Stream,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route(&path("queues"), get(queues)).route(&path("federation"), get(federation))
}

/// `GET queues`: how far each application service is behind the log, and which pushers cannot reach their gateways.
async fn queues(
    State(appservices): State<Appservices>,
    State(pushers): State<Pushers>,
    State(stream): State<Stream>,
    by: AdminCaller,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let head = stream.position().0;
    let (pushers, failing) = pushers.state();
    let failing = failing.into_iter().map(|pusher| {
        json!({
            "user_id": pusher.user_id,
            "app_id": pusher.app_id,
            "url": pusher.failing.url,
            "since_ts": pusher.failing.since,
            "failures": pusher.failing.failures,
            "error": pusher.failing.why,
        })
    });
    let failing: Vec<Value> = failing.collect();
    Ok(Json(json!({
        "log_position": head,
        "appservices": all_shown(&appservices, head),
        "pushers": { "total": pushers, "failing": failing },
    })))
}

/// `GET federation`: who this server is to others, and to which of them something waits to be sent. It speaks to no other server, so
/// there is none in the list.
async fn federation(State(rooms): State<Rooms>, by: AdminCaller) -> ApiResult<Json<Value>> {
    by.must_be(Role::Auditor)?;
    let key = rooms.signing_key();
    Ok(Json(json!({
        "enabled": false,
        "server_name": rooms.server_name(),
        "verify_keys": { key.id(): { "key": key.public() } },
        "destinations": [],
    })))
}
