//! What could not be delivered, kept with its input, its error and its attempts.

use landbridge_sql::{Db, Durability, SqlError};
use serde::{Deserialize, Serialize};

use crate::{clock::Millis, network::Direction, store};

/// Something that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// The lane it stood in.
    pub lane: String,
    /// Which way it was going.
    pub direction: Direction,
    /// At which step it failed.
    pub stage: Stage,
    /// What it was: the stored input as JSON.
    pub input: String,
    /// Why it failed.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked.
    pub at: Millis,
}

/// At which step something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It could not be converted: a retry converts it again.
    Convert,
    /// It could not be delivered: a retry repeats the stored operation under the stored key.
    Deliver,
}

/// The dead letters of a bridge, running or not: what the command line shows and changes.
#[derive(Debug)]
pub struct DeadLetters(Db);

impl DeadLetters {
    /// Opens the store of a bridge. A bridge may run on it at the same time.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn open(database: &str) -> Result<Self, SqlError> {
        store::open(database, Durability::Full).await.map(Self)
    }

    /// The oldest, at most `limit`.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn list(&self, limit: u32) -> Result<Vec<DeadLetter>, SqlError> {
        store::dead_letters::list(&self.0, i64::from(limit)).await
    }

    /// One of them.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn show(&self, id: i64) -> Result<Option<DeadLetter>, SqlError> {
        store::dead_letters::show(&self.0, id).await
    }

    /// Has one, or all, tried again: within seconds where the bridge runs, else when it starts. Says how many.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn retry(&self, id: Option<i64>) -> Result<u64, SqlError> {
        store::dead_letters::retry(&self.0, id).await
    }

    /// Forgets one, or all. Says how many.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn drop(&self, id: Option<i64>) -> Result<u64, SqlError> {
        store::dead_letters::drop(&self.0, id).await
    }

    /// Closes the store.
    pub async fn close(self) {
        self.0.close().await;
    }
}
