//! A device that nobody is logged in on, kept to hear what is meant for the user's next one ([MSC3814])
//!
//! To others it is a device like any other. A client that can open it reads the messages that waited for it; they stay until it goes.
//!
//! [MSC3814]: https://github.com/matrix-org/matrix-spec-proposals/pull/3814

use landbridge_sql::SqlError;
use ruma::{DeviceId, OwnedDeviceId, UserId};

use super::{Devices, keys::stored};
use crate::store::{StoreError, dehydrated as table, devices};

/// What a client uploads of it. Everything but the id and the name is JSON, keys are by key id.
#[derive(Clone, Copy, Debug)]
pub struct NewDehydrated<'a> {
    /// Its id.
    pub device_id: &'a DeviceId,
    /// What it is called.
    pub display_name: Option<&'a str>,
    /// What clients need to use it; only they can read that.
    pub data: &'a str,
    /// Its device keys.
    pub device_keys: &'a str,
    /// Its one-time keys.
    pub one_time: &'a [(String, String)],
    /// Its fallback keys.
    pub fallback: &'a [(String, String)],
}

impl Devices {
    /// Makes a user's dehydrated device; the one before goes, with all that waited for it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn dehydrate(&self, user_id: &UserId, new: NewDehydrated<'_>) -> Result<(), StoreError> {
        let (user, device) = (user_id.as_str(), new.device_id.as_str());
        let mut statements = table::delete(user);
        statements.push(devices::upsert(user, device, new.display_name, self.now()));
        statements.push(table::insert(user, device, new.data));
        statements.extend(stored(user_id, new.device_id, Some(new.device_keys), new.one_time, new.fallback));
        self.inner.local.write(statements).await.map(drop)
    }

    /// A user's dehydrated device: its id, and what clients need to use it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn dehydrated(&self, user_id: &UserId) -> Result<Option<(OwnedDeviceId, String)>, SqlError> {
        let found = table::of_user(self.inner.local.db(), user_id.as_str()).await?;
        Ok(found.map(|(device_id, data)| (device_id.into(), data)))
    }

    /// Forgets a user's dehydrated device; says whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_dehydrated(&self, user_id: &UserId) -> Result<bool, StoreError> {
        Ok(self.inner.local.write(table::delete(user_id.as_str())).await?.rows > 0)
    }
}
