//! Messages between devices, kept until the receiving device has seen them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging

use std::sync::Arc;

use landbridge_sql::SqlError;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use sha2::{Digest as _, Sha256};

use super::{DeviceError, backlog::Backlog};
use crate::{
    appservice::Appservices,
    clock::Clock,
    rooms::Txn,
    store::{StoreError, cache::Cache, device_keys as table, lately::Topic, local::Local},
    stream::Position,
};

/// How many devices one request may send to.
pub const MAX_TO_DEVICE_RECIPIENTS: usize = 10_000;

/// The longest message to a device, in bytes: the event as the device gets it.
pub const MAX_TO_DEVICE_BYTES: usize = 64 * 1024;

/// How much one request may store for all the devices that it sends to, in bytes.
pub const MAX_TO_DEVICE_TOTAL: usize = 16 * 1024 * 1024;

/// How many messages one sync carries; the rest comes with the next.
pub const TO_DEVICE_PER_SYNC: usize = 100;

/// Of how many devices is remembered that nothing waits for them.
const DEVICES: usize = 10_000;

/// How long a request is remembered, in milliseconds: a repetition within a day sends nothing.
const REMEMBERED: i64 = 24 * 60 * 60 * 1000;

/// A message on its way to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose device.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: String,
    /// The event as JSON.
    pub body: String,
}

/// The messages that wait for devices, and for the application services that own their users.
#[derive(Clone, Debug)]
pub struct ToDevice {
    local: Local,
    appservices: Appservices,
    clock: Arc<dyn Clock>,
    backlog: Arc<Backlog>,
    /// Devices for which nothing waited, each with the end of the log before that was looked up.
    nothing: Arc<Cache<(OwnedUserId, OwnedDeviceId), Position>>,
}

impl ToDevice {
    pub(crate) fn new(local: Local, appservices: Appservices, clock: Arc<dyn Clock>) -> Self {
        let backlog = Arc::new(Backlog::new(local.clone()));
        Self { local, appservices, clock, backlog, nothing: Arc::new(Cache::new(DEVICES)) }
    }

    /// Queues messages. `txn` names the request: made again, it queues nothing, also after a restart. Where more wait for a device than
    /// may, the oldest go.
    ///
    /// # Errors
    /// When the store fails; then none is queued.
    pub async fn send(&self, messages: &[Message], txn: Option<&Txn>, by: &UserId) -> Result<(), DeviceError> {
        let now = i64::from(self.clock.now().0);
        let mut statements = Vec::new();
        let mut kept = Vec::new();
        if let Some(txn) = txn {
            statements.push(table::forget_txns(now - REMEMBERED));
            statements.push(table::put_txn(&txn_key(by, txn), now));
        }
        for (number, message) in (0..).zip(messages) {
            let service = self.appservices.for_to_device(&message.user_id);
            let whom = (message.user_id.as_str(), message.device_id.as_str());
            if service.is_none() {
                kept.push(message);
            }
            statements.push(table::put_to_device(whom, number, &message.body, service.as_ref().map(|s| s.id())));
        }
        if statements.is_empty() {
            return Ok(());
        }
        match self.local.write(statements).await {
            Err(StoreError::Conflict) if txn.is_some() => return Ok(()),
            written => written.map(drop)?,
        }
        // They are queued: what is left to do for others is no failure of this request.
        if let Err(error) = self.backlog.grew(&kept).await {
            tracing::warn!(%error, "what waits for devices was not cut short");
        }
        Ok(())
    }

    /// Drops what waits beyond the bound for devices that are not known to be within it.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn cut_short(&self) -> Result<(), DeviceError> {
        self.backlog.sweep().await
    }

    /// How many messages were dropped since the start, because more waited for their devices than may.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.backlog.dropped()
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
        let device = (user_id.to_owned(), device_id.to_owned());
        if let Some(at) = self.nothing.get(&device)
            && !self.local.may_have(Topic::ToDevice, user_id.as_str(), at)
        {
            return Ok(Vec::new());
        }
        let head = self.local.head();
        let found = table::to_device_between(
            self.local.db(),
            user_id.as_str(),
            device_id.as_str(),
            after,
            until,
            TO_DEVICE_PER_SYNC as i64,
        )
        .await?;
        if found.is_empty() && after == 0 && until >= head.0 {
            self.nothing.insert(device, head);
        }
        Ok(found)
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

fn txn_key(by: &UserId, txn: &Txn) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [by.as_str(), &txn.device, &txn.id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}
