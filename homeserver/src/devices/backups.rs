//! Backups of room keys, encrypted by clients ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

use std::sync::Arc;

use landbridge_sql::{Row, SqlError};
use ruma::UserId;

use super::DeviceError;
use crate::{
    clock::Clock,
    one_at_a_time::OneAtATime,
    store::{
        backups::{self as table, BackupRow, BackupSessionRow},
        local::{Local, first_number},
    },
};

/// How many backups a user has at most.
pub const MAX_BACKUPS: i64 = 100;

/// How many keys a user has in all backups together before no more are taken. The request that passes it is taken as a whole.
pub const MAX_BACKUP_KEYS: i64 = 500_000;

/// What is known of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its number.
    pub version: i64,
    /// How the keys in it are encrypted.
    pub algorithm: String,
    /// What the algorithm needs, as JSON.
    pub auth_data: String,
    /// Changes whenever the keys in it do.
    pub etag: i64,
    /// How many keys are in it.
    pub count: i64,
}

/// One key of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSession {
    /// The room whose messages it opens.
    pub room_id: String,
    /// The session whose messages it opens.
    pub session_id: String,
    /// The first message it opens.
    pub first_message_index: i64,
    /// Through how many devices it came.
    pub forwarded_count: i64,
    /// Whether the device that made it was verified.
    pub is_verified: bool,
    /// The key itself, encrypted; JSON.
    pub session_data: String,
}

/// Which keys of a backup.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'a> {
    /// Those of a room, or all.
    pub room_id: Option<&'a str>,
    /// One of the room, or all.
    pub session_id: Option<&'a str>,
}

/// The backups of users.
#[derive(Clone, Debug)]
pub struct Backups {
    local: Local,
    clock: Arc<dyn Clock>,
    /// Who puts keys in now: they are counted before.
    keepers: Arc<OneAtATime>,
}

impl Backups {
    pub(crate) fn new(local: Local, clock: Arc<dyn Clock>) -> Self {
        Self { local, clock, keepers: Arc::default() }
    }

    /// Begins a backup and gives its number, greater than any before.
    ///
    /// # Errors
    /// When the store fails, and where the user has too many.
    pub async fn create(&self, user_id: &UserId, algorithm: &str, auth_data: &str) -> Result<i64, DeviceError> {
        let reads = vec![table::ask_count(user_id.as_str()), table::ask_greatest(user_id.as_str())];
        let (user, algorithm, auth_data) = (user_id.to_string(), algorithm.to_owned(), auth_data.to_owned());
        let number = move |found: &[Vec<Row>]| {
            if first_number(found)? >= MAX_BACKUPS {
                return Err(DeviceError::TooMany("There are too many backups"));
            }
            let greatest = found.get(1).and_then(|rows| rows.first()).map(|row| row.opt_int(0)).transpose()?;
            let version = greatest.flatten().unwrap_or(0) + 1;
            let insert = table::insert(&user, version, &algorithm, &auth_data);
            Ok((vec![insert, table::forget_deleted(&user)], version))
        };
        self.local.change_quietly(reads, number).await
    }

    /// The newest backup, or that with this version.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn one(&self, user_id: &UserId, version: Option<i64>) -> Result<Option<Backup>, SqlError> {
        let Some(row) = table::one(self.local.db(), user_id.as_str(), version).await? else { return Ok(None) };
        let count = table::count(self.local.db(), user_id.as_str(), row.version).await?;
        let BackupRow { version, algorithm, auth_data, etag } = row;
        Ok(Some(Backup { version, algorithm, auth_data, etag, count }))
    }

    /// Replaces what a backup's algorithm needs.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_auth_data(&self, user_id: &UserId, version: i64, auth_data: &str) -> Result<(), DeviceError> {
        self.local.write(vec![table::set_auth_data(user_id.as_str(), version, auth_data)]).await?;
        Ok(())
    }

    /// Forgets a backup with its keys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, user_id: &UserId, version: i64) -> Result<(), DeviceError> {
        let at = i64::from(self.clock.now().0);
        self.local.write(table::delete(user_id.as_str(), version, at)).await?;
        Ok(())
    }

    /// Puts keys into a backup, each unless a better one is there.
    ///
    /// # Errors
    /// When the store fails, and where the user has too many; then none is kept.
    pub async fn put(&self, user_id: &UserId, version: i64, keys: Vec<BackupSession>) -> Result<(), DeviceError> {
        let _turn = self.keepers.turn(user_id).await;
        if table::count_of_user(self.local.db(), user_id.as_str()).await? >= MAX_BACKUP_KEYS {
            return Err(DeviceError::TooMany("There are too many keys in your backups"));
        }
        let rows = keys.into_iter().map(|key| {
            let BackupSession { room_id, session_id, first_message_index, forwarded_count, is_verified, session_data } =
                key;
            BackupSessionRow { room_id, session_id, first_message_index, forwarded_count, is_verified, session_data }
        });
        let mut statements: Vec<_> = rows.map(|row| table::put(user_id.as_str(), version, &row)).collect();
        statements.push(table::touch(user_id.as_str(), version));
        self.local.write(statements).await?;
        Ok(())
    }

    /// Takes keys out of a backup.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, user_id: &UserId, version: i64, which: Which<'_>) -> Result<(), DeviceError> {
        let (room_id, session_id) = (which.room_id.unwrap_or_default(), which.session_id.unwrap_or_default());
        let statements = vec![
            table::delete_sessions(user_id.as_str(), version, room_id, session_id),
            table::touch(user_id.as_str(), version),
        ];
        self.local.write(statements).await?;
        Ok(())
    }

    /// Keys of a backup, by room and session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keys(&self, user_id: &UserId, version: i64, which: Which<'_>) -> Result<Vec<BackupSession>, SqlError> {
        let (room_id, session_id) = (which.room_id.unwrap_or_default(), which.session_id.unwrap_or_default());
        let rows = table::sessions(self.local.db(), user_id.as_str(), version, room_id, session_id).await?;
        let key = |row| {
            let BackupSessionRow {
                room_id,
                session_id,
                first_message_index,
                forwarded_count,
                is_verified,
                session_data,
            } = row;
            BackupSession { room_id, session_id, first_message_index, forwarded_count, is_verified, session_data }
        };
        Ok(rows.into_iter().map(key).collect())
    }
}
