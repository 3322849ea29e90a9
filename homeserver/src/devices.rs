//! Devices of users: access tokens, encryption keys, messages between devices.

mod keys;
mod to_device;
mod token;

use std::{collections::HashMap, sync::Arc};

use landbridge_sql::SqlError;
use parking_lot::RwLock;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use self::token::{TokenHash, hash_token, new_device_id, new_token};
pub use self::{
    keys::{Keys, MAX_KEYS_PER_UPLOAD},
    to_device::{MAX_TO_DEVICE_RECIPIENTS, TO_DEVICE_PER_SYNC, ToDevice},
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    store::{
        StoreError,
        devices::{self as table, DeviceRow},
        local::Local,
    },
};

/// How many tokens are kept in memory with whom they belong to; at the bound all are forgotten and learnt again.
const KNOWN_TOKENS: usize = 50_000;

/// The devices of this server's users, and their access tokens.
#[derive(Clone)]
pub struct Devices {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: RwLock<Known>,
}

/// Sessions read from the store.
#[derive(Default)]
struct Known {
    sessions: HashMap<TokenHash, Session>,
    /// Grows with each session that ends: what was read before that must not be remembered after it.
    endings: u64,
}

/// Whom an access token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device of the user.
    pub device_id: OwnedDeviceId,
}

/// A device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub device_id: OwnedDeviceId,
    /// What its owner calls it.
    pub display_name: Option<String>,
    /// When its owner last logged in with it, in milliseconds since 1970; `None` for those of application services.
    pub last_seen_ts: Option<i64>,
}

impl Devices {
    pub(crate) fn new(local: Local, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { inner: Arc::new(Inner { local, clock, entropy, known: RwLock::default() }) }
    }

    /// Logs a user in on a device, new or known, and gives the session and its token. The device's older token ends.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn log_in(
        &self,
        user_id: &UserId,
        device_id: Option<&DeviceId>,
        display_name: Option<&str>,
    ) -> Result<(Session, String), StoreError> {
        let device_id: OwnedDeviceId = match device_id {
            Some(id) if !id.as_str().is_empty() => id.to_owned(),
            _ => new_device_id(self.inner.entropy.bytes()).into(),
        };
        let token = new_token(self.inner.entropy.bytes());
        let at = i64::from(self.inner.clock.now().0);
        let (user, device) = (user_id.as_str(), device_id.as_str());
        let statements = vec![
            table::upsert(user, device, display_name, at),
            table::seen(user, device, at),
            table::drop_tokens(user, device),
            table::insert_token(&hash_token(&token), user, device),
        ];
        self.inner.local.write(statements).await?;
        self.forget(|session| session.user_id == *user_id && session.device_id == device_id);
        Ok((Session { user_id: user_id.to_owned(), device_id }, token))
    }

    /// Makes a device without a token, as application services do; says whether it is new.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        display_name: Option<&str>,
    ) -> Result<bool, DeviceError> {
        let known = self.exists(user_id, device_id).await?;
        let at = i64::from(self.inner.clock.now().0);
        self.inner.local.write(vec![table::upsert(user_id.as_str(), device_id.as_str(), display_name, at)]).await?;
        Ok(!known)
    }

    /// The session an access token opens.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn by_token(&self, token: &str) -> Result<Option<Session>, SqlError> {
        let hash = hash_token(token);
        let endings = {
            let known = self.inner.known.read();
            if let Some(session) = known.sessions.get(&hash) {
                return Ok(Some(session.clone()));
            }
            known.endings
        };
        let Some((user_id, device_id)) = table::by_token(self.inner.local.db(), &hash).await? else { return Ok(None) };
        let Ok(user_id) = OwnedUserId::try_from(user_id) else { return Ok(None) };
        let session = Session { user_id, device_id: device_id.into() };
        let mut known = self.inner.known.write();
        if known.endings == endings {
            if known.sessions.len() >= KNOWN_TOKENS {
                known.sessions.clear();
            }
            known.sessions.insert(hash, session.clone());
        }
        Ok(Some(session))
    }

    /// Whether the user has this device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn exists(&self, user_id: &UserId, device_id: &DeviceId) -> Result<bool, SqlError> {
        Ok(self.one(user_id, device_id).await?.is_some())
    }

    /// One device of a user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn one(&self, user_id: &UserId, device_id: &DeviceId) -> Result<Option<Device>, SqlError> {
        Ok(table::one(self.inner.local.db(), user_id.as_str(), device_id.as_str()).await?.map(device))
    }

    /// All devices of a user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_user(&self, user_id: &UserId) -> Result<Vec<Device>, SqlError> {
        let rows = table::of_user(self.inner.local.db(), user_id.as_str()).await?;
        Ok(rows.into_iter().map(device).collect())
    }

    /// Renames a device; says whether there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rename(&self, user_id: &UserId, device_id: &DeviceId, name: &str) -> Result<bool, StoreError> {
        let done = self.inner.local.write(vec![table::rename(user_id.as_str(), device_id.as_str(), name)]).await?;
        Ok(done.rows > 0)
    }

    /// Forgets a device and ends its token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, user_id: &UserId, device_id: &DeviceId) -> Result<(), StoreError> {
        self.inner.local.write(table::delete(user_id.as_str(), device_id.as_str())).await?;
        self.forget(|session| session.user_id == *user_id && session.device_id == *device_id);
        Ok(())
    }

    /// Forgets all devices of a user but one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_all(&self, user_id: &UserId, but: Option<&DeviceId>) -> Result<(), DeviceError> {
        for device in self.of_user(user_id).await? {
            if Some(&*device.device_id) != but {
                self.delete(user_id, &device.device_id).await?;
            }
        }
        Ok(())
    }

    fn forget(&self, which: impl Fn(&Session) -> bool) {
        let mut known = self.inner.known.write();
        known.endings += 1;
        known.sessions.retain(|_, session| !which(session));
    }
}

/// Why a device could not be made or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] SqlError),
    /// The store failed.
    #[error(transparent)]
    Write(#[from] StoreError),
}

fn device(row: DeviceRow) -> Device {
    Device { device_id: row.device_id.into(), display_name: row.display_name, last_seen_ts: row.last_seen_ts }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}
