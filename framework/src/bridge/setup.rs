//! What a bridge is started with.

use std::time::Duration;

use landbridge_sql::{Durability, SqlError};

use super::{Names, Permissions};
use crate::{
    chance::Chance,
    dispatch::{DispatchOptions, Kill},
    metrics::Metrics,
    network::ConfigIssue,
    sessions::SessionOptions,
};

/// What a bridge stands on.
#[derive(Debug)]
pub struct Setup {
    /// Names the bridge in the keys of what it says: must never change.
    pub bridge_id: String,
    /// Tells this registration from any other: transaction ids count anew with each. The registration's tokens, say; only a hash of
    /// it is stored.
    pub epoch: String,
    /// Where the bridge stores: `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// What survives a power cut.
    pub durability: Durability,
    /// What virtual users and portals are called.
    pub names: Names,
    /// How sessions are handled.
    pub sessions: SessionOptions,
    /// How things are delivered.
    pub dispatch: DispatchOptions,
    /// Rooms to be joined to remote rooms.
    pub plumbed: Vec<Plumb>,
    /// What the bot is called; its name stays as it is where nothing is said.
    pub display_name: Option<String>,
    /// Who may give the bot which command.
    pub permissions: Permissions,
    /// For how long messages are remembered.
    pub retention: Retention,
    /// For jitter.
    pub chance: Chance,
    /// Where things are counted.
    pub metrics: Metrics,
    /// Where a test kills it.
    pub kill: Kill,
}

/// For how long it is remembered which event is which remote message: as long as something can answer, change or take back a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How old a message may be.
    pub keep_for: Duration,
    /// How many are remembered, the newest first.
    pub keep_most: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_for: Duration::from_hours(24 * 90), keep_most: 1_000_000 }
    }
}

/// A Matrix room that the configuration joins to a remote room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plumb {
    /// The Matrix room. The bot must be invited, or the room public.
    pub room: ruma::OwnedRoomOrAliasId,
    /// The remote room, as a human would type it.
    pub remote: String,
}

/// Why a bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] SqlError),
    /// The network's configuration.
    #[error("{0}")]
    Config(ConfigIssue),
}
