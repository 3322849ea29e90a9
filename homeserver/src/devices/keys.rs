//! End-to-end encryption keys of devices, kept and handed out; the server reads none of them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#key-management-api

use std::{collections::BTreeMap, sync::Arc};

use landbridge_sql::{Row, SqlError};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Map, Value};

use super::{DeviceError, signatures::add_signatures};
use crate::{
    store::{
        cache::Cache,
        device_keys as table,
        lately::Topic,
        local::{Local, first_number},
        statement::Statement,
    },
    stream::Position,
};

/// How many one-time keys one upload may hold.
pub const MAX_KEYS_PER_UPLOAD: usize = 1000;

/// How many one-time keys wait for a device at most; clients keep some fifty.
pub const MAX_ONE_TIME_KEYS: i64 = 5_000;

/// How many algorithms a device has fallback keys for at most.
pub const MAX_FALLBACK_KEYS: i64 = 100;

/// Of how many devices the counts of their keys are kept in memory.
const DEVICES: usize = 10_000;

/// Device keys, one-time keys, fallback keys and cross-signing keys.
#[derive(Clone, Debug)]
pub struct Keys {
    local: Local,
    /// What was counted of devices, each with the end of the log before that.
    counts: Arc<Cache<(OwnedUserId, OwnedDeviceId), Counted>>,
}

type Counted = (Position, Arc<Counts>);

/// What keys a device has left for others.
#[derive(Debug)]
struct Counts {
    /// Unclaimed one-time keys, by algorithm.
    one_time: BTreeMap<String, u32>,
    /// The algorithms of fallback keys that nobody took yet.
    fallback: Vec<String>,
}

impl Keys {
    pub(crate) fn new(local: Local) -> Self {
        Self { local, counts: Arc::new(Cache::new(DEVICES)) }
    }

    async fn counts(&self, user_id: &UserId, device_id: &DeviceId) -> Result<Arc<Counts>, SqlError> {
        let device = (user_id.to_owned(), device_id.to_owned());
        if let Some((at, known)) = self.counts.get(&device)
            && !self.local.may_have(Topic::KeyCounts, user_id.as_str(), at)
        {
            return Ok(known);
        }
        let (db, user, head) = (self.local.db(), user_id.as_str(), self.local.head());
        let counted = table::one_time_key_counts(db, user, device_id.as_str()).await?;
        let one_time =
            counted.into_iter().map(|(algorithm, count)| (algorithm, u32::try_from(count).unwrap_or(u32::MAX)));
        let fallback = table::unused_fallback_keys(db, user, device_id.as_str()).await?;
        let counts = Arc::new(Counts { one_time: one_time.collect(), fallback });
        self.counts.insert(device, (head, counts.clone()));
        Ok(counts)
    }

    /// Stores what a device uploads. Keys are JSON; one-time and fallback keys are by key id, `algorithm:name`.
    ///
    /// # Errors
    /// When the store fails, and where the device has too many; then none is stored.
    pub async fn upload(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        device_keys: Option<&str>,
        one_time: &[(String, String)],
        fallback: &[(String, String)],
    ) -> Result<(), DeviceError> {
        let statements = stored(user_id, device_id, device_keys, one_time, fallback);
        if one_time.is_empty() && fallback.is_empty() {
            if !statements.is_empty() {
                self.local.write(statements).await?;
            }
            return Ok(());
        }
        let (user, device) = (user_id.as_str(), device_id.as_str());
        let reads = vec![table::ask_one_time_keys(user, device), table::ask_fallback_keys(user, device)];
        let more = [one_time.len(), fallback.len()].map(|more| i64::try_from(more).unwrap_or(i64::MAX));
        let store = move |found: &[Vec<Row>]| {
            let there = [first_number(found)?, first_number(found.get(1..).unwrap_or_default())?];
            let mut bounds = there.iter().zip(more).zip([MAX_ONE_TIME_KEYS, MAX_FALLBACK_KEYS]);
            if bounds.any(|((there, more), most)| more > 0 && there.saturating_add(more) > most) {
                return Err(DeviceError::TooMany("There are too many keys"));
            }
            Ok((statements.clone(), ()))
        };
        self.local.change(reads, store).await
    }

    /// Devices whose one-time or fallback keys were uploaded or claimed with `after < position <= until`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn counts_between(&self, after: i64, until: i64) -> Result<Vec<(String, String)>, SqlError> {
        if !self.local.may_have_any(Topic::KeyCounts, Position(after)) {
            return Ok(Vec::new());
        }
        table::counts_between(self.local.db(), after, until).await
    }

    /// Stores cross-signing keys by kind: `master`, `self_signing`, `user_signing`. Says `false`, and stores none, where the user has other
    /// keys by now than `known`, which are those that were judged.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn upload_cross_signing(
        &self,
        user_id: &UserId,
        known: &Map<String, Value>,
        keys: Vec<(&'static str, String)>,
    ) -> Result<bool, DeviceError> {
        let user = user_id.to_string();
        let of_kind = |(kind, key): (&String, &Value)| (kind.clone(), key["keys"].clone());
        let known: BTreeMap<String, Value> = known.iter().map(of_kind).collect();
        let store = move |found: &[Vec<Row>]| {
            let mut there = BTreeMap::new();
            for row in found.iter().flatten() {
                // As who judged read them: what is no JSON is no key.
                if let Ok(key) = serde_json::from_str::<Value>(&row.text(1)?) {
                    there.insert(row.text(0)?, key["keys"].clone());
                }
            }
            if there != known {
                return Ok((Vec::new(), false));
            }
            let mut statements: Vec<_> =
                keys.iter().map(|(kind, body)| table::put_cross_signing_key(&user, kind, body)).collect();
            statements.push(table::changed(&user));
            Ok((statements, true))
        };
        self.local.change(vec![table::ask_cross_signing_keys(user_id.as_str())], store).await
    }

    /// Adds signatures of `by` to a key. Says `false`, and adds none, where the key is not there any more as `signed` has it, but for the
    /// signatures on it.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn add_signatures(
        &self,
        user_id: &UserId,
        key: SignedKey,
        signed: Value,
        by: &UserId,
        new: Map<String, Value>,
    ) -> Result<bool, DeviceError> {
        let (user, by) = (user_id.to_string(), by.to_owned());
        let read = match &key {
            SignedKey::Device(device_id) => table::ask_device_keys(&user, device_id),
            SignedKey::Master => table::ask_cross_signing_key(&user, MASTER),
        };
        let signed = what_is_signed(signed);
        let add = move |found: &[Vec<Row>]| {
            let stored = found.first().and_then(|rows| rows.first()).map(|row| row.text(0)).transpose()?;
            let Some(mut there) = stored.map(|stored| body_of(&stored)) else { return Ok((Vec::new(), false)) };
            if what_is_signed(there.clone()) != signed {
                return Ok((Vec::new(), false));
            }
            add_signatures(&mut there, &by, &new);
            let there = there.to_string();
            let put = match &key {
                SignedKey::Device(device_id) => table::put_device_keys(&user, device_id, &there),
                SignedKey::Master => table::put_cross_signing_key(&user, MASTER, &there),
            };
            Ok((vec![put, table::changed(&user)], true))
        };
        self.local.change(vec![read], add).await
    }

    /// The device keys of a user by device id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_user(&self, user_id: &UserId) -> Result<Vec<(String, String)>, SqlError> {
        table::device_keys(self.local.db(), user_id.as_str()).await
    }

    /// The cross-signing keys of a user by kind.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cross_signing_of(&self, user_id: &UserId) -> Result<Vec<(String, String)>, SqlError> {
        table::cross_signing_keys(self.local.db(), user_id.as_str()).await
    }

    /// Takes one key of each of these devices: key id and JSON, `None` where there is none. A one-time key is given once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim(
        &self,
        wanted: Vec<(String, String, String)>,
    ) -> Result<Vec<Option<(String, String)>>, DeviceError> {
        Ok(self.local.claim(wanted).await?)
    }

    /// How many unclaimed one-time keys a device has, by algorithm.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn one_time_counts(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<BTreeMap<String, u32>, SqlError> {
        Ok(self.counts(user_id, device_id).await?.one_time.clone())
    }

    /// The algorithms for which a device has a fallback key that nobody took yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unused_fallback(&self, user_id: &UserId, device_id: &DeviceId) -> Result<Vec<String>, SqlError> {
        Ok(self.counts(user_id, device_id).await?.fallback.clone())
    }

    /// Users whose keys changed with `after < position <= until`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn changed_between(&self, after: i64, until: i64) -> Result<Vec<String>, SqlError> {
        if !self.local.may_have(Topic::DeviceLists, "", Position(after)) {
            return Ok(Vec::new());
        }
        table::changed_between(self.local.db(), after, until).await
    }
}

/// A key that others sign.
#[derive(Clone, Debug)]
pub(crate) enum SignedKey {
    /// The keys of the device with this id.
    Device(String),
    /// The master key.
    Master,
}

const MASTER: &str = "master";

fn body_of(stored: &str) -> Value {
    serde_json::from_str(stored).unwrap_or_default()
}

/// What the signatures on a key are of.
fn what_is_signed(mut key: Value) -> Value {
    if let Some(key) = key.as_object_mut() {
        key.remove("signatures");
        key.remove("unsigned");
    }
    key
}

/// What stores the keys that a device uploads.
pub(super) fn stored(
    user_id: &UserId,
    device_id: &DeviceId,
    device_keys: Option<&str>,
    one_time: &[(String, String)],
    fallback: &[(String, String)],
) -> Vec<Statement> {
    let (user, device) = (user_id.as_str(), device_id.as_str());
    let mut statements = Vec::new();
    if let Some(keys) = device_keys {
        statements.push(table::put_device_keys(user, device, keys));
        statements.push(table::changed(user));
    }
    statements.extend(one_time.iter().map(|(id, body)| table::put_one_time_key(user, device, id, body)));
    statements.extend(fallback.iter().map(|(id, body)| table::put_fallback_key(user, device, id, body)));
    if !one_time.is_empty() || !fallback.is_empty() {
        statements.push(table::count_changed(user, device));
    }
    statements
}
