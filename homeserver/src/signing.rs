//! The server's signing key: made once, kept in the database; a file can bring one along, or keep a copy.

mod file;

use std::{path::Path, sync::Arc};

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
    /// The key's file cannot be read or written.
    #[error("the signing key {path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
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
    /// Reads the newest key, or makes the first. With a file the key in it is taken, as that of a server that moves; where the file
    /// is not there yet, the key is written to it.
    ///
    /// # Errors
    /// [`KeyError`] where the database or the file fails, or what they hold is no key.
    pub async fn open(store: &Store, file: Option<&Path>, now: MilliSecondsSinceUnixEpoch) -> Result<Self, KeyError> {
        let Some(path) = file else { return Ok(Self::load_or_make(store, now).await?.0) };
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        if let Some(given) = file::read(path).map_err(failed)? {
            return Self::adopt(store, given, now).await;
        }
        let (key, der) = Self::load_or_make(store, now).await?;
        file::write(path, key.pair.version(), &der).map_err(failed)?;
        Ok(key)
    }

    /// Takes a key of a file, and keeps it as the newest.
    async fn adopt(store: &Store, given: file::FileKey, now: MilliSecondsSinceUnixEpoch) -> Result<Self, KeyError> {
        let key = Self::from_der(&given.der, &given.version)?;
        if let Some((known, _)) = Self::newest(store).await?
            && known.id() == key.id()
        {
            let same = known.pair.public_key() == key.pair.public_key();
            let message = "the file holds another key of the same name".to_owned();
            return if same { Ok(known) } else { Err(KeyError::Bad { id: key.id(), message }) };
        }
        let add = AddKey { key_id: given.version, der: given.der, at: i64::from(now.0) };
        store.write(Box::new(add)).await?;
        Ok(key)
    }

    async fn newest(store: &Store) -> Result<Option<(Self, Vec<u8>)>, KeyError> {
        const NEWEST: &str = "SELECT key_id, der FROM server_key ORDER BY created_at DESC, key_id LIMIT 1";
        let row = store.db().fetch_optional(NEWEST, &[]).await.map_err(StoreError::from)?;
        let Some(row) = row else { return Ok(None) };
        let id = row.text(0).map_err(StoreError::from)?;
        let der = row.bytes(1).map_err(StoreError::from)?;
        Ok(Some((Self::from_der(&der, &id)?, der)))
    }

    async fn load_or_make(store: &Store, now: MilliSecondsSinceUnixEpoch) -> Result<(Self, Vec<u8>), KeyError> {
        if let Some(known) = Self::newest(store).await? {
            return Ok(known);
        }
        let der = Ed25519KeyPair::generate();
        let made = Self::from_der(&der, "1")?;
        // The version tells apart the keys of a server that lost its database.
        let version = format!("a_{}", crate::store::hex(&made.pair.public_key()[..4]));
        let add = AddKey { key_id: version.clone(), der: der.to_vec(), at: i64::from(now.0) };
        store.write(Box::new(add)).await?;
        Ok((Self::from_der(&der, &version)?, der.to_vec()))
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
