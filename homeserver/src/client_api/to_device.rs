//! Messages from device to device ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid

use std::{collections::HashSet, sync::Arc};

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{api::client::to_device::send_event_to_device::v3 as send_to_device, to_device::DeviceIdOrAllDevices};
use serde_json::{Map, Value, json};

use super::{reply::empty, send::check_type};
use crate::{
    devices::{Devices, MAX_TO_DEVICE_BYTES, MAX_TO_DEVICE_RECIPIENTS, MAX_TO_DEVICE_TOTAL, Message, ToDevice},
    http::{ApiConfig, ApiState, auth::Authed, error::ApiResult},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<send_to_device::Request, _, _, _>(router, send)
}

/// `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`; messages to devices that are not there go nowhere. What one request
/// sends is bounded: 400 `M_INVALID_PARAM` with too many devices, 413 `M_TOO_LARGE` with too long messages.
async fn send(
    State(config): State<Arc<ApiConfig>>,
    State(to_device): State<ToDevice>,
    State(devices): State<Devices>,
    Authed { caller, body }: Authed<send_to_device::Request>,
) -> ApiResult<Json<Value>> {
    let too_many = || MatrixError::invalid_param("Too many devices");
    // Counted before anything is looked up.
    if body.messages.values().map(|targets| targets.len().max(1)).sum::<usize>() > MAX_TO_DEVICE_RECIPIENTS {
        return Err(too_many().into());
    }
    let kind = body.event_type.to_string();
    check_type(&kind)?;
    let mut messages = Vec::new();
    let mut total = 0_usize;
    for (user_id, targets) in body.messages.iter().filter(|(user_id, _)| config.is_local(user_id)) {
        let known: HashSet<String> =
            devices.of_user(user_id).await?.into_iter().map(|device| device.device_id.to_string()).collect();
        for (target, content) in targets {
            let content: Map<String, Value> = serde_json::from_str(content.json().get())
                .map_err(|_| MatrixError::bad_json("The content of a message has to be an object"))?;
            let event = json!({ "type": kind, "sender": caller.user_id, "content": content }).to_string();
            if event.len() > MAX_TO_DEVICE_BYTES {
                return Err(MatrixError::too_large().into());
            }
            let chosen: Vec<&String> = match target {
                DeviceIdOrAllDevices::DeviceId(device_id) => known.get(device_id.as_str()).into_iter().collect(),
                DeviceIdOrAllDevices::AllDevices => known.iter().collect(),
            };
            total = total.saturating_add(event.len().saturating_mul(chosen.len()));
            if messages.len().saturating_add(chosen.len()) > MAX_TO_DEVICE_RECIPIENTS {
                return Err(too_many().into());
            }
            if total > MAX_TO_DEVICE_TOTAL {
                return Err(MatrixError::too_large().into());
            }
            messages.extend(chosen.into_iter().map(|device_id| Message {
                user_id: user_id.clone(),
                device_id: device_id.clone(),
                body: event.clone(),
            }));
        }
    }
    let txn = caller.txn(body.txn_id.as_str());
    to_device.send(&messages, txn.as_ref(), &caller.user_id).await?;
    Ok(empty())
}
