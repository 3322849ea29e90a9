//! `GET /_matrix/client/v3/sync` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
};
use landbridge_axum_ruma::{MatrixError, RumaReply, mount};
use ruma::{
    UserId,
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::v3::{self as sync_events, Filter},
    },
    presence::PresenceState,
};

use serde::Deserialize;

use crate::{
    http::{ApiState, auth::Authed, error::ApiResult, path::QueryArgs},
    sync::{Presences, Sync, SyncRequest},
    users::AccountData,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<sync_events::Request, _, _, _>(router, sync)
}

/// The presence that a client asks for. Who asks for none changes nothing: a thousand clients that come back at once would wake
/// each other a thousand times.
#[derive(Deserialize)]
struct Asked {
    set_presence: Option<PresenceState>,
}

async fn sync(
    State(sync): State<Sync>,
    State(account_data): State<AccountData>,
    State(presences): State<Presences>,
    QueryArgs(asked): QueryArgs<Asked>,
    Authed { caller, body }: Authed<sync_events::Request>,
) -> ApiResult<Response> {
    if let Some(presence) = asked.set_presence.filter(|_| caller.appservice.is_none()) {
        if !matches!(presence, PresenceState::Online | PresenceState::Offline | PresenceState::Unavailable) {
            return Err(MatrixError::invalid_param("set_presence is no presence").into());
        }
        Box::pin(presences.synced(&caller.user_id, presence.as_str())).await?;
    }
    let since = body.since.as_deref().filter(|since| !since.is_empty()).map(str::parse).transpose();
    let since = since.map_err(|_| MatrixError::invalid_param("since is not a token of this server"))?;
    let filter = Box::pin(filter(&account_data, &caller.user_id, body.filter)).await?;
    let request = SyncRequest {
        user_id: caller.user_id,
        device_id: caller.device_id,
        since,
        filter,
        full_state: body.full_state,
        use_state_after: body.use_state_after,
        timeout: body.timeout.unwrap_or(Duration::ZERO),
    };
    let response = sync.sync(request).await?;
    let has_left = !response.rooms.leave.is_empty();
    let reply = RumaReply(response).into_response();
    Ok(if has_left { Box::pin(with_state_of_left_rooms(reply)).await } else { reply })
}

/// Some clients read the `state` of a room that was left even where it is empty, which ruma leaves out.
async fn with_state_of_left_rooms(reply: Response) -> Response {
    let (mut parts, body) = reply.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return MatrixError::internal().into_response();
    };
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return MatrixError::internal().into_response();
    };
    let left = json.pointer_mut("/rooms/leave").and_then(serde_json::Value::as_object_mut);
    for room in left.into_iter().flat_map(|rooms| rooms.values_mut()).filter_map(serde_json::Value::as_object_mut) {
        if !room.contains_key("state_after") {
            room.entry("state").or_insert_with(|| serde_json::json!({ "events": [] }));
        }
    }
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(parts, json.to_string().into())
}

/// A filter given in the request, or stored before.
async fn filter(account_data: &AccountData, user_id: &UserId, filter: Option<Filter>) -> ApiResult<FilterDefinition> {
    match filter {
        None => Ok(FilterDefinition::default()),
        Some(Filter::FilterDefinition(filter)) => Ok(filter),
        Some(Filter::FilterId(id)) => {
            let stored = account_data.filter(user_id, &id).await?;
            let stored = stored.ok_or_else(|| MatrixError::invalid_param("No such filter"))?;
            Ok(serde_json::from_str(&stored).map_err(|_| MatrixError::internal())?)
        }
        Some(_) => Err(MatrixError::invalid_param("Not a filter").into()),
    }
}
