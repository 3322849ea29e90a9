//! Messages from device to device ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use parking_lot::Mutex;
use ruma::{api::client::to_device::send_event_to_device::v3 as send_to_device, to_device::DeviceIdOrAllDevices};
use serde_json::{Value, json};

use super::reply::empty;
use crate::{
    devices::{Devices, MAX_TO_DEVICE_RECIPIENTS, ToDevice},
    http::{ApiConfig, ApiState, auth::Authed, error::ApiResult},
};

/// How many transaction ids are remembered; an older repetition is sent again, which receivers of encrypted messages notice.
const REMEMBERED: usize = 10_000;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let send = move |config, to_device, devices, request| send(seen.clone(), config, to_device, devices, request);
    mount::<send_to_device::Request, _, _, _>(router, send)
}

/// The newest transaction ids.
#[derive(Default)]
struct Seen {
    set: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn add(&mut self, key: String) {
        if self.set.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

/// `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`
async fn send(
    seen: Arc<Mutex<Seen>>,
    State(config): State<Arc<ApiConfig>>,
    State(to_device): State<ToDevice>,
    State(devices): State<Devices>,
    Authed { caller, body }: Authed<send_to_device::Request>,
) -> ApiResult<Json<Value>> {
    let who = caller.txn(body.txn_id.as_str()).map(|txn| format!("{} {} {}", caller.user_id, txn.device, txn.id));
    if who.as_ref().is_some_and(|who| seen.lock().set.contains(who)) {
        return Ok(empty());
    }
    let kind = body.event_type.to_string();
    let mut messages = Vec::new();
    for (user_id, of_devices) in body.messages.iter().filter(|(user_id, _)| config.is_local(user_id)) {
        for (target, content) in of_devices {
            let content: Value = serde_json::from_str(content.json().get()).unwrap_or_default();
            let event = json!({ "type": kind, "sender": caller.user_id, "content": content }).to_string();
            let targets = match target {
                DeviceIdOrAllDevices::DeviceId(device_id) => vec![device_id.to_string()],
                DeviceIdOrAllDevices::AllDevices => {
                    devices.of_user(user_id).await?.into_iter().map(|device| device.device_id.to_string()).collect()
                }
            };
            messages.extend(targets.into_iter().map(|device| (user_id.to_string(), device, event.clone())));
            if messages.len() > MAX_TO_DEVICE_RECIPIENTS {
                return Err(MatrixError::invalid_param("Too many devices").into());
            }
        }
    }
    to_device.send(&messages).await?;
    if let Some(who) = who {
        seen.lock().add(who);
    }
    Ok(empty())
}
