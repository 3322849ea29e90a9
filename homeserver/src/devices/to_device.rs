//! Messages between devices, kept until the receiving device has seen them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging

use landbridge_sql::SqlError;
use ruma::{DeviceId, UserId};

use super::DeviceError;
use crate::store::{device_keys as table, local::Local};

/// How many devices one request may send to.
pub const MAX_TO_DEVICE_RECIPIENTS: usize = 10_000;

/// How many messages one sync carries; the rest comes with the next.
pub const TO_DEVICE_PER_SYNC: usize = 100;

/// The messages that wait for devices.
#[derive(Clone, Debug)]
pub struct ToDevice {
    local: Local,
}

impl ToDevice {
    pub(crate) const fn new(local: Local) -> Self {
        Self { local }
    }

    /// Queues messages: user id, device id, and the event as JSON.
    ///
    /// # Errors
    /// When the store fails; then none is queued.
    pub async fn send(&self, messages: &[(String, String, String)]) -> Result<(), DeviceError> {
        let statements: Vec<_> = (0..)
            .zip(messages)
            .map(|(number, (user, device, body))| table::put_to_device(user, device, number, body))
            .collect();
        if !statements.is_empty() {
            self.local.write(statements).await?;
        }
        Ok(())
    }

    /// Messages of a device with `after < position <= until`, oldest first. Those of one request share a position and come
    /// together; a sync that is cut short says up to which position it went.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn between(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        after: i64,
        until: i64,
    ) -> Result<Vec<(i64, String)>, SqlError> {
        table::to_device_between(
            self.local.db(),
            user_id.as_str(),
            device_id.as_str(),
            after,
            until,
            TO_DEVICE_PER_SYNC as i64,
        )
        .await
    }

    /// Forgets what a device has seen: everything up to the position it syncs from.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn seen(&self, user_id: &UserId, device_id: &DeviceId, until: i64) -> Result<(), DeviceError> {
        self.local.write(vec![table::delete_to_device(user_id.as_str(), device_id.as_str(), until)]).await?;
        Ok(())
    }
}
