//! A Matrix homeserver: the client-server and application-service sides, on SQLite or PostgreSQL.
//!
//! [`Homeserver`] puts the parts together. [`rooms::Rooms`] is what happens in rooms, [`stream::Stream`] the one log that
//! everybody who waits for news follows, [`store::Store`] the only SQL.

mod admin;
pub mod appservice;
mod assemble;
mod client_api;
pub mod clock;
mod deletion;
mod departure;
pub mod devices;
pub mod entropy;
pub mod http;
mod kill;
pub mod media;
pub mod notices;
mod one_at_a_time;
pub mod push;
pub mod rooms;
pub mod search;
pub mod signing;
pub mod store;
pub mod stream;
pub mod sync;
mod upkeep;
pub mod users;

use std::{path::PathBuf, sync::Arc, time::Duration};

use ruma::OwnedServerName;

/// Calling addresses that users chose.
pub use landbridge_outward as outward;

pub use crate::{
    admin::{OPERATOR_TOKEN_FILE, OperatorError, Role},
    client_api::{Contact, Support, Turn},
};
use crate::{
    clock::Clock,
    entropy::SystemEntropy,
    http::{ApiState, RateLimits, Registering, Terms},
    media::{MediaError, MediaStorage},
    notices::NoticesConfig,
    outward::Reach,
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
    /// Where clients reach the server, for `.well-known`; `None` hides that document.
    pub public_url: Option<String>,
    /// Whom to ask about the server, for `.well-known`; `None` hides that document.
    pub support: Option<Support>,
    /// Who may register.
    pub registering: Registering,
    /// Whether guests are admitted, who register without anything.
    pub guests: bool,
    /// Whether application services may have users of this server join rooms without asking them, and fill rooms up, as mautrix looks
    /// for it.
    pub bridge_extensions: bool,
    /// Who speaks for the server.
    pub notices: NoticesConfig,
    /// What has to be agreed to before an account is made.
    pub terms: Vec<Terms>,
    /// How often the same may be tried.
    pub rate_limits: RateLimits,
    /// How long the access token of a client counts that can refresh it.
    pub access_token_lifetime: Duration,
    /// The longest file taken, in bytes.
    pub max_upload_bytes: u64,
    /// Where files are kept.
    pub media_storage: MediaStorage,
    /// Whether new files are given out at the old endpoints, too, which ask for no token. Files from before these were closed to new
    /// ones are given out there in any case.
    pub unauthenticated_media: bool,
    /// How long a file is kept that nobody asks for; `None`: for ever.
    pub media_retention: Option<Duration>,
    /// Which addresses are called to show what linked pages say of themselves; `None`: pages are not fetched.
    pub url_previews: Option<Reach>,
    /// A file with the signing key, as Synapse writes it: taken if it is there, written if it is not. `None`: only the database
    /// has the key.
    pub signing_key: Option<PathBuf>,
    /// A relay for calls.
    pub turn: Option<Turn>,
    /// With what application services are reached that operators add while the server runs; `None`: they are not called.
    pub client: Option<reqwest::Client>,
}

impl Config {
    /// A homeserver that keeps everything in one directory, lets anyone register, and takes files of 50 MiB at most.
    pub fn new(server_name: OwnedServerName, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            server_name,
            data_dir: data_dir.into(),
            database: None,
            public_url: None,
            support: None,
            registering: Registering::Open,
            guests: false,
            bridge_extensions: false,
            notices: NoticesConfig::default(),
            terms: Vec::new(),
            rate_limits: RateLimits::default(),
            access_token_lifetime: Duration::from_secs(3600),
            max_upload_bytes: 50 * 1024 * 1024,
            media_storage: MediaStorage::Disk,
            unauthenticated_media: false,
            media_retention: None,
            url_previews: None,
            signing_key: None,
            turn: None,
            client: None,
        }
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
    /// The operator token cannot be kept.
    #[error(transparent)]
    Operator(#[from] admin::OperatorError),
    /// Files cannot be kept.
    #[error("media: {0}")]
    Media(#[from] MediaError),
    /// Nothing can be called: there is no TLS.
    #[error("calling out: {0}")]
    Outward(#[from] reqwest::Error),
    /// The name of the user who speaks for the server is none.
    #[error("notices: {0}")]
    Notices(#[from] ruma::IdParseError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Password(#[from] users::PasswordError),
}

/// A running homeserver.
#[derive(Debug, Clone)]
pub struct Homeserver {
    store: Store,
    rooms: Rooms,
    stream: Stream,
    api: ApiState,
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
        let key = ServerKey::open(&store, config.signing_key.as_deref(), clock.now()).await?;
        let rooms = Rooms::new(config.server_name.clone(), key, clock.clone(), store.clone());
        let stream = Stream::new(store.clone());
        let api = assemble::api(&config, &store, &rooms, &stream, clock.clone(), Arc::new(SystemEntropy))?;
        api.parts.users.load().await?;
        api.parts.names.load().await?;
        rooms.load_closed().await?;
        api.parts.users.erased().await?.into_iter().for_each(|user_id| rooms.erase(user_id));
        upkeep::start(&config, &api, clock);
        Ok(Self { store, rooms, stream, api })
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
        self.stop_deliveries();
        self.store.close().await;
    }
}
