//! Stored filters ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::api::client::filter::{
    EventFormat, FilterDefinition, create_filter::v3 as create_filter, get_filter::v3 as get_filter,
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    users::{AccountData, MAX_FILTER_BYTES},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<create_filter::Request, _, _, _>(router, create);
    mount::<get_filter::Request, _, _, _>(router, read)
}

/// Refuses a filter that asks for what there is not.
pub(super) fn is_filter(filter: &FilterDefinition) -> Result<(), MatrixError> {
    if matches!(filter.event_format, EventFormat::Client | EventFormat::Federation) {
        return Ok(());
    }
    Err(MatrixError::invalid_param("event_format is neither client nor federation"))
}

/// `POST /_matrix/client/v3/user/{userId}/filter`
async fn create(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<create_filter::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    is_filter(&body.filter)?;
    let filter = serde_json::to_string(&body.filter).map_err(|_| MatrixError::bad_json("Not a filter"))?;
    if filter.len() > MAX_FILTER_BYTES {
        return Err(MatrixError::too_large().into());
    }
    let filter_id = account_data.put_filter(&body.user_id, &filter).await?;
    Ok(Json(json!({ "filter_id": filter_id })))
}

/// `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
async fn read(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_filter::Request>,
) -> ApiResult<Json<Box<RawValue>>> {
    caller.must_be(&body.user_id)?;
    let filter = account_data.filter(&body.user_id, &body.filter_id).await?;
    let filter = filter.ok_or_else(|| MatrixError::not_found("No such filter"))?;
    Ok(Json(RawValue::from_string(filter).map_err(|_| MatrixError::internal())?))
}
