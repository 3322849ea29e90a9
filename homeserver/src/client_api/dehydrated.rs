//! The device that hears what is meant for a user's next one ([MSC3814])
//!
//! [MSC3814]: https://github.com/matrix-org/matrix-spec-proposals/pull/3814

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::{
    OwnedDeviceId, UserId,
    encryption::{DeviceKeys, OneTimeKey},
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    devices::{is_device_id, is_device_name},
    keys::{by_id, is_no_key, keys_of},
};
use crate::{
    devices::{Devices, Keys, NewDehydrated, ToDevice},
    http::{ApiState, auth::Caller, error::ApiResult, path::PathArgs},
    stream::{Position, Stream},
};

/// The most that clients may keep of a device, in bytes of JSON: a few hundred keys take a tenth of it.
const MAX_DATA_BYTES: usize = 256 * 1024;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let base = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
    router.route(base, get(one).put(upload).delete(remove)).route(&format!("{base}/{{device_id}}/events"), post(events))
}

fn none() -> MatrixError {
    MatrixError::not_found("There is no dehydrated device")
}

#[derive(Deserialize)]
struct New {
    device_id: OwnedDeviceId,
    device_data: Map<String, Value>,
    initial_device_display_name: Option<String>,
    device_keys: Raw<DeviceKeys>,
    #[serde(default)]
    one_time_keys: BTreeMap<String, Raw<OneTimeKey>>,
    #[serde(default)]
    fallback_keys: BTreeMap<String, Raw<OneTimeKey>>,
}

/// `PUT …/dehydrated_device`; the one before goes.
async fn upload(
    State(devices): State<Devices>,
    State(keys): State<Keys>,
    caller: Caller,
    JsonBody(new): JsonBody<New>,
) -> ApiResult<Json<Value>> {
    let user_id = &*caller.user_id;
    if !new.device_data.get("algorithm").is_some_and(Value::is_string) {
        return Err(MatrixError::bad_json("device_data has no algorithm").into());
    }
    let data = Value::from(new.device_data).to_string();
    if data.len() > MAX_DATA_BYTES {
        return Err(MatrixError::too_large().into());
    }
    is_device_name(new.initial_device_display_name.as_deref())?;
    may_be_dehydrated(&devices, &keys, user_id, &new.device_id).await?;
    let device_keys = keys_of(&new.device_keys, user_id, &new.device_id)?;
    let device = NewDehydrated {
        device_id: &new.device_id,
        display_name: new.initial_device_display_name.as_deref(),
        data: &data,
        device_keys: &device_keys,
        one_time: &by_id(&new.one_time_keys)?,
        fallback: &by_id(&new.fallback_keys)?,
    };
    devices.dehydrate(user_id, device).await?;
    Ok(Json(json!({ "device_id": new.device_id })))
}

/// Nobody else is called so: neither a device that is in use, whose keys would be lost, nor a key.
async fn may_be_dehydrated(
    devices: &Devices,
    keys: &Keys,
    user_id: &UserId,
    device_id: &OwnedDeviceId,
) -> ApiResult<()> {
    is_device_id(device_id)?;
    is_no_key(keys, user_id, device_id).await?;
    let is_new = devices.dehydrated(user_id).await?.is_none_or(|(known, _)| known != *device_id);
    if is_new && devices.exists(user_id, device_id).await? {
        return Err(MatrixError::invalid_param("Another device is called so").into());
    }
    Ok(())
}

/// `GET …/dehydrated_device`
async fn one(State(devices): State<Devices>, caller: Caller) -> ApiResult<Json<Value>> {
    let (device_id, data) = devices.dehydrated(&caller.user_id).await?.ok_or_else(none)?;
    let data: Value = serde_json::from_str(&data).unwrap_or_default();
    Ok(Json(json!({ "device_id": device_id, "device_data": data })))
}

/// `DELETE …/dehydrated_device`
async fn remove(State(devices): State<Devices>, caller: Caller) -> ApiResult<Json<Value>> {
    let (device_id, _) = devices.dehydrated(&caller.user_id).await?.ok_or_else(none)?;
    devices.drop_dehydrated(&caller.user_id).await?;
    Ok(Json(json!({ "device_id": device_id })))
}

#[derive(Deserialize)]
struct From {
    next_batch: Option<String>,
}

/// `POST …/dehydrated_device/{deviceId}/events`; what was told stays, for a client that goes away halfway leaves it to the next.
async fn events(
    State(devices): State<Devices>,
    State(to_device): State<ToDevice>,
    State(stream): State<Stream>,
    caller: Caller,
    PathArgs((device_id,)): PathArgs<(OwnedDeviceId,)>,
    JsonBody(from): JsonBody<From>,
) -> ApiResult<Json<Value>> {
    if devices.dehydrated(&caller.user_id).await?.is_none_or(|(known, _)| known != device_id) {
        return Err(MatrixError::forbidden("This is not the dehydrated device").into());
    }
    let after = match from.next_batch.as_deref() {
        None => Position::START,
        Some(token) => token.parse().map_err(|_| MatrixError::invalid_param("next_batch is not one of this server"))?,
    };
    let waiting = to_device.between(&caller.user_id, &device_id, after.0, stream.position().0).await?;
    let next = waiting.last().map_or(after, |(position, _)| Position(*position));
    let events: Vec<Box<RawValue>> =
        waiting.into_iter().filter_map(|(_, body)| RawValue::from_string(body).ok()).collect();
    Ok(Json(json!({ "events": events, "next_batch": next.to_string() })))
}
