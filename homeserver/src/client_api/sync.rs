//! `GET /_matrix/client/v3/sync` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{FromRef as _, FromRequest, FromRequestParts as _, Request, State},
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

use super::filters::is_filter;
use crate::{
    appservice::Appservices,
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::{ApiError, ApiResult},
        path::QueryArgs,
    },
    sync::{Presences, PresentAs, Sync, SyncRequest, everything},
    users::AccountData,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<sync_events::Request, _, _, _>(router, sync)
}

/// The presence that a client asks for.
#[derive(Deserialize)]
struct SetPresence {
    set_presence: Option<PresenceState>,
}

async fn sync(State(sync): State<Sync>, Asked(request): Asked) -> ApiResult<Response> {
    let response = sync.sync(request).await?;
    let has_left = !response.rooms.leave.is_empty();
    let reply = RumaReply(*response).into_response();
    Ok(if has_left { Box::pin(with_state_of_left_rooms(reply)).await } else { reply })
}

/// What somebody asks for. A request that waits keeps this, and nothing of how it was found out.
struct Asked(Box<SyncRequest>);

impl FromRequest<ApiState> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> ApiResult<Self> {
        Box::pin(asked(request, state)).await.map(Self)
    }
}

async fn asked(request: Request, state: &ApiState) -> ApiResult<Box<SyncRequest>> {
    let (mut head, body) = request.into_parts();
    let QueryArgs(SetPresence { set_presence }) = QueryArgs::from_request_parts(&mut head, state).await?;
    let request = Request::from_parts(head, body);
    let Authed { caller, body } = Authed::<sync_events::Request>::from_request(request, state).await?;
    note_presence(&Presences::from_ref(state), &Appservices::from_ref(state), &caller, set_presence).await?;
    let since = body.since.as_deref().filter(|since| !since.is_empty()).map(str::parse).transpose();
    let since = since.map_err(|_| MatrixError::invalid_param("since is not a token of this server"))?;
    Ok(Box::new(SyncRequest {
        filter: filter(&AccountData::from_ref(state), &caller.user_id, body.filter).await?,
        user_id: caller.user_id,
        device_id: caller.device_id,
        since,
        full_state: body.full_state,
        use_state_after: body.use_state_after,
        timeout: body.timeout.unwrap_or(Duration::ZERO),
    }))
}

/// Notes that somebody is there who syncs: online, unless the client asks for something else. Of users of application services, which may
/// sync for them at any time, nothing is concluded.
pub(super) async fn note_presence(
    presences: &Presences,
    appservices: &Appservices,
    caller: &Caller,
    asked: Option<PresenceState>,
) -> ApiResult<()> {
    if caller.appservice.is_some() || (asked.is_none() && appservices.is_user_exclusive(&caller.user_id, None)) {
        return Ok(());
    }
    let presence = asked.as_ref().map_or(Some(PresentAs::Online), PresentAs::from_state);
    let presence = presence.ok_or_else(|| MatrixError::invalid_param("set_presence is no presence"))?;
    Ok(presences.synced(&caller.user_id, caller.device_id.as_deref(), presence).await?)
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
async fn filter(
    account_data: &AccountData,
    user_id: &UserId,
    filter: Option<Filter>,
) -> ApiResult<Arc<FilterDefinition>> {
    match filter {
        None => Ok(everything()),
        Some(Filter::FilterDefinition(filter)) => {
            is_filter(&filter)?;
            Ok(Arc::new(filter))
        }
        Some(Filter::FilterId(id)) => {
            let stored = account_data.filter(user_id, &id).await?;
            let stored = stored.ok_or_else(|| MatrixError::invalid_param("No such filter"))?;
            Ok(serde_json::from_str(&stored).map(Arc::new).map_err(|_| MatrixError::internal())?)
        }
        Some(_) => Err(MatrixError::invalid_param("Not a filter").into()),
    }
}
