//! A Matrix homeserver: the client-server and application-service sides, on SQLite or PostgreSQL.
//!
//! [`Homeserver`] puts the parts together. [`rooms::Rooms`] is what happens in rooms, [`stream::Stream`] the one log that
//! everybody who waits for news follows, [`store::Store`] the only SQL.

pub mod clock;
pub mod rooms;
pub mod signing;
pub mod store;
pub mod stream;

use std::{path::PathBuf, sync::Arc};

use ruma::OwnedServerName;

use crate::{
    clock::Clock,
    rooms::Rooms,
    signing::{KeyError, ServerKey},
    store::Store,
    stream::Stream,
};

/// How to run a homeserver.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name in all ids of this server.
    pub server_name: OwnedServerName,
    /// Where media and, by default, the database are kept. Made where it is not there.
    pub data_dir: PathBuf,
    /// The database, `sqlite:PATH` or `postgres://…`; `None`: `homeserver.db` in `data_dir`.
    pub database: Option<String>,
}

impl Config {
    /// A homeserver that keeps everything in one directory.
    pub fn new(server_name: OwnedServerName, data_dir: impl Into<PathBuf>) -> Self {
        Self { server_name, data_dir: data_dir.into(), database: None }
    }
}

/// Why a homeserver does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be made.
    #[error("{path}: {source}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("database: {0}")]
    Database(#[from] landbridge_sql::SqlError),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A running homeserver.
#[derive(Debug, Clone)]
pub struct Homeserver {
    store: Store,
    rooms: Rooms,
    stream: Stream,
}

impl Homeserver {
    /// Opens the database, makes it where there is none, and starts the services.
    ///
    /// # Errors
    /// [`OpenError`] says which part failed.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        tokio::fs::create_dir_all(&config.data_dir)
            .await
            .map_err(|source| OpenError::DataDir { path: config.data_dir.clone(), source })?;
        let address =
            config.database.clone().unwrap_or_else(|| Store::sqlite_address(&config.data_dir.join("homeserver.db")));
        let store = Store::open(&address).await?;
        let key = ServerKey::load_or_make(&store, clock.now()).await?;
        let rooms = Rooms::new(config.server_name.clone(), key, clock, store.clone());
        let stream = Stream::new(store.clone());
        Ok(Self { store, rooms, stream })
    }

    /// The rooms.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The log.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for what is being written and closes the database.
    pub async fn shutdown(&self) {
        self.store.close().await;
    }
}
