//! The server's signing key: made once, kept in the database.

use std::sync::Arc;

use async_trait::async_trait;
use landbridge_sql::{SqlError, Tx, Value};
use ruma::{MilliSecondsSinceUnixEpoch, serde::Base64, signatures::Ed25519KeyPair};

use crate::{
    store::{Store, StoreError, Write},
    stream::Position,
};

/// The key that signs this server's events.
#[derive(Clone)]
pub struct ServerKey {
    pair: Arc<Ed25519KeyPair>,
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored key cannot be read.
    #[error("the stored signing key {id} cannot be read: {message}")]
    Bad {
        /// Which.
        id: String,
        /// Why.
        message: String,
    },
}

struct AddKey {
    key_id: String,
    der: Vec<u8>,
    at: i64,
}

#[async_trait]
impl Write for AddKey {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        let values = [Value::from(&self.key_id), Value::from(&self.der), Value::from(self.at)];
        tx.execute("INSERT INTO server_key (key_id, der, created_at) VALUES ($1, $2, $3)", &values).await.map(drop)
    }

    fn wakes(&self) -> bool {
        false
    }
}

impl ServerKey {
    /// Reads the newest key, or makes the first.
    ///
    /// # Errors
    /// [`KeyError`] where the database fails or what it holds is no key.
    pub async fn load_or_make(store: &Store, now: MilliSecondsSinceUnixEpoch) -> Result<Self, KeyError> {
        const NEWEST: &str = "SELECT key_id, der FROM server_key ORDER BY created_at DESC, key_id LIMIT 1";
        let row = store.db().fetch_optional(NEWEST, &[]).await.map_err(StoreError::from)?;
        if let Some(row) = row {
            let id = row.text(0).map_err(StoreError::from)?;
            return Self::from_der(&row.bytes(1).map_err(StoreError::from)?, &id);
        }
        let der = Ed25519KeyPair::generate();
        let made = Self::from_der(&der, "1")?;
        // The version tells apart the keys of a server that lost its database.
        let version = format!("a_{}", crate::store::hex(&made.pair.public_key()[..4]));
        let add = AddKey { key_id: version.clone(), der: der.to_vec(), at: i64::from(now.0) };
        store.write(Box::new(add)).await?;
        Self::from_der(&der, &version)
    }

    fn from_der(der: &[u8], version: &str) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_der(der, version.to_owned())
            .map_err(|error| KeyError::Bad { id: version.to_owned(), message: error.to_string() })?;
        Ok(Self { pair: Arc::new(pair) })
    }

    /// The key's id: `ed25519:a_0123abcd`.
    pub fn id(&self) -> String {
        format!("ed25519:{}", self.pair.version())
    }

    /// The public half.
    pub fn public(&self) -> Base64 {
        Base64::new(self.pair.public_key().to_vec())
    }

    pub(crate) fn pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }
}
