//! `GET /_matrix/client/v3/sync` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

use std::time::Duration;

use axum::{Router, extract::State};
use landbridge_axum_ruma::{MatrixError, RumaReply, mount};
use ruma::{
    UserId,
    api::client::{
        filter::FilterDefinition,
        sync::sync_events::v3::{self as sync_events, Filter},
    },
};

use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    sync::{Sync, SyncRequest},
    users::AccountData,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<sync_events::Request, _, _, _>(router, sync)
}

async fn sync(
    State(sync): State<Sync>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<sync_events::Request>,
) -> ApiResult<RumaReply<sync_events::Response>> {
    let since = body.since.as_deref().filter(|since| !since.is_empty()).map(str::parse).transpose();
    let since = since.map_err(|_| MatrixError::invalid_param("since is not a token of this server"))?;
    let filter = filter(&account_data, &caller.user_id, body.filter).await?;
    let request = SyncRequest {
        user_id: caller.user_id,
        device_id: caller.device_id,
        since,
        filter,
        full_state: body.full_state,
        use_state_after: body.use_state_after,
        timeout: body.timeout.unwrap_or(Duration::ZERO),
    };
    Ok(RumaReply(sync.sync(request).await?))
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
