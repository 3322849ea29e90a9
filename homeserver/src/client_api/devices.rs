//! Devices of a user ([spec], [appservice])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#device-management
//! [appservice]: https://spec.matrix.org/v1.19/application-service-api/#device-management

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    DeviceId,
    api::client::device::{
        delete_device::v3 as delete_device, delete_devices::v3 as delete_devices, get_device::v3 as get_device,
        get_devices::v3 as get_devices, update_device::v3 as update_device,
    },
};
use serde_json::{Value, json};

use super::{keys::may_be_called, reply::empty};
use crate::{
    devices::{Device, Devices, Keys, MAX_DEVICE_ID_BYTES, MAX_DEVICE_NAME_BYTES},
    http::{
        ApiState,
        auth::Authed,
        error::ApiResult,
        uia::{Challenge, Uia, UiaError},
    },
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_devices::Request, _, _, _>(router, list);
    let router = mount::<get_device::Request, _, _, _>(router, one);
    let router = mount::<update_device::Request, _, _, _>(router, update);
    let router = mount::<delete_device::Request, _, _, _>(router, delete);
    mount::<delete_devices::Request, _, _, _>(router, delete_many)
}

/// What a device may be called by clients. Ids are otherwise opaque; what no one can type or see makes none.
pub(super) fn is_device_id(device_id: &DeviceId) -> Result<(), MatrixError> {
    let id = device_id.as_str();
    if id.is_empty() || id.len() > MAX_DEVICE_ID_BYTES || id.contains(char::is_control) {
        return Err(MatrixError::invalid_param("The device id is not allowed"));
    }
    Ok(())
}

/// What an owner may call a device: anything that is not endless.
pub(super) fn is_device_name(name: Option<&str>) -> Result<(), MatrixError> {
    if name.is_some_and(|name| name.len() > MAX_DEVICE_NAME_BYTES) {
        return Err(MatrixError::invalid_param("The device's name is too long"));
    }
    Ok(())
}

/// The device that somebody asks to enter on, and its name. An empty id asks for a new one, as none does.
pub(super) fn is_device(device_id: Option<&DeviceId>, name: Option<&str>) -> Result<(), MatrixError> {
    if let Some(device_id) = device_id.filter(|id| !id.as_str().is_empty()) {
        is_device_id(device_id)?;
    }
    is_device_name(name)
}

fn shown(device: &Device) -> Value {
    // With nulls: matrix-nio wants every field.
    json!({
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ts": device.last_seen_ts,
        "last_seen_ip": null,
    })
}

/// `GET /_matrix/client/v3/devices`
async fn list(
    State(devices): State<Devices>,
    Authed { caller, .. }: Authed<get_devices::Request>,
) -> ApiResult<Json<Value>> {
    let devices: Vec<Value> = devices.of_user(&caller.user_id).await?.iter().map(shown).collect();
    Ok(Json(json!({ "devices": devices })))
}

fn no_device() -> MatrixError {
    MatrixError::not_found("The user has no such device")
}

/// `GET /_matrix/client/v3/devices/{deviceId}`
async fn one(
    State(devices): State<Devices>,
    Authed { caller, body }: Authed<get_device::Request>,
) -> ApiResult<Json<Value>> {
    let device = devices.one(&caller.user_id, &body.device_id).await?.ok_or_else(no_device)?;
    Ok(Json(shown(&device)))
}

/// `PUT /_matrix/client/v3/devices/{deviceId}`; application services make devices with it, which is answered 201.
async fn update(
    State(devices): State<Devices>,
    State(keys): State<Keys>,
    Authed { caller, body }: Authed<update_device::Request>,
) -> ApiResult<Response> {
    let name = body.display_name.as_deref();
    is_device_id(&body.device_id)?;
    is_device_name(name)?;
    if caller.appservice.is_some() {
        may_be_called(&devices, &keys, &caller.user_id, &body.device_id).await?;
        let new = devices.create(&caller.user_id, &body.device_id, name).await?;
        let status = if new { StatusCode::CREATED } else { StatusCode::OK };
        return Ok((status, empty()).into_response());
    }
    let known = match name {
        Some(name) => devices.rename(&caller.user_id, &body.device_id, name).await?,
        None => devices.exists(&caller.user_id, &body.device_id).await?,
    };
    if known { Ok(empty().into_response()) } else { Err(no_device().into()) }
}

/// `DELETE /_matrix/client/v3/devices/{deviceId}`
async fn delete(
    State(devices): State<Devices>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<delete_device::Request>,
) -> Result<Json<Value>, UiaError> {
    if caller.appservice.is_none() {
        uia.require(Challenge::password("delete devices", &caller.user_id), body.auth.as_ref()).await?;
    }
    devices.delete(&caller.user_id, &body.device_id).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/delete_devices`
async fn delete_many(
    State(devices): State<Devices>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<delete_devices::Request>,
) -> Result<Json<Value>, UiaError> {
    if caller.appservice.is_none() {
        uia.require(Challenge::password("delete devices", &caller.user_id), body.auth.as_ref()).await?;
    }
    for device_id in &body.devices {
        devices.delete(&caller.user_id, device_id).await?;
    }
    Ok(empty())
}
