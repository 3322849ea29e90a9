//! What people see of a user ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

use landbridge_sql::SqlError;
use ruma::UserId;
use serde_json::{Map, Value};

use super::Users;
use crate::store::{StoreError, profile_fields as table};

/// How large the fields may be together that are neither name nor avatar, in bytes of JSON. With these two a profile stays below the
/// 64 KiB that the specification allows.
const MAX_FIELDS_BYTES: i64 = 52_000;

/// A user's profile. Empty strings count as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The display name.
    pub displayname: Option<String>,
    /// The avatar, an `mxc://` URI.
    pub avatar_url: Option<String>,
}

impl Users {
    /// What a user says beside name and avatar.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fields(&self, user_id: &UserId) -> Result<Map<String, Value>, SqlError> {
        let stored = table::of_user(self.inner.local.db(), user_id.as_str()).await?;
        Ok(stored.into_iter().filter_map(|(name, value)| Some((name, serde_json::from_str(&value).ok()?))).collect())
    }

    /// Sets a field that is neither name nor avatar; `false` where the profile would become too large.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_field(&self, user_id: &UserId, name: &str, value: &Value) -> Result<bool, StoreError> {
        let statement = table::put(user_id.as_str(), name, &value.to_string(), MAX_FIELDS_BYTES);
        Ok(self.inner.local.write(vec![statement]).await?.rows > 0)
    }

    /// Removes such a field, if it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_field(&self, user_id: &UserId, name: &str) -> Result<(), StoreError> {
        self.inner.local.write(vec![table::delete(user_id.as_str(), name)]).await.map(drop)
    }
}
