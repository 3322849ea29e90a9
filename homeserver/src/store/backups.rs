//! The tables `key_backup` and `key_backup_session`.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::statement::{Statement, statement};

/// A row of `key_backup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupRow {
    pub(crate) version: i64,
    pub(crate) algorithm: String,
    pub(crate) auth_data: String,
    pub(crate) etag: i64,
}

/// A row of `key_backup_session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupSessionRow {
    pub(crate) room_id: String,
    pub(crate) session_id: String,
    pub(crate) first_message_index: i64,
    pub(crate) forwarded_count: i64,
    pub(crate) is_verified: bool,
    pub(crate) session_data: String,
}

/// Asks for the greatest version a user ever had, deleted ones included; null where there was none.
pub(crate) fn ask_greatest(user_id: &str) -> Statement {
    statement!("SELECT max(version) FROM key_backup WHERE user_id = $1", user_id)
}

/// Asks how many backups a user has.
pub(crate) fn ask_count(user_id: &str) -> Statement {
    statement!("SELECT COUNT(*) FROM key_backup WHERE user_id = $1 AND deleted_at IS NULL", user_id)
}

/// Forgets that there were backups, once there is one with a greater number.
pub(crate) fn forget_deleted(user_id: &str) -> Statement {
    statement!("DELETE FROM key_backup WHERE user_id = $1 AND deleted_at IS NOT NULL", user_id)
}

pub(crate) fn insert(user_id: &str, version: i64, algorithm: &str, auth_data: &str) -> Statement {
    statement!(
        "INSERT INTO key_backup (user_id, version, algorithm, auth_data, etag) VALUES ($1, $2, $3, $4, 0)",
        user_id,
        version,
        algorithm,
        auth_data
    )
}

pub(crate) fn set_auth_data(user_id: &str, version: i64, auth_data: &str) -> Statement {
    statement!("UPDATE key_backup SET auth_data = $3 WHERE user_id = $1 AND version = $2", user_id, version, auth_data)
}

/// Forgets a backup; its number is never given out again.
pub(crate) fn delete(user_id: &str, version: i64, at: i64) -> Vec<Statement> {
    vec![
        statement!("DELETE FROM key_backup_session WHERE user_id = $1 AND version = $2", user_id, version),
        statement!(
            "UPDATE key_backup SET deleted_at = $3, auth_data = '{}' WHERE user_id = $1 AND version = $2",
            user_id,
            version,
            at
        ),
    ]
}

/// The newest backup, or that with this version.
pub(crate) async fn one(db: &Db, user_id: &str, version: Option<i64>) -> Result<Option<BackupRow>, SqlError> {
    let sql = "SELECT version, algorithm, auth_data, etag FROM key_backup \
               WHERE user_id = $1 AND deleted_at IS NULL AND (version = $2 OR $2 < 0) ORDER BY version DESC LIMIT 1";
    let row = db.fetch_optional(sql, &[Value::from(user_id), Value::from(version.unwrap_or(-1))]).await?;
    row.map(|row| {
        Ok(BackupRow { version: row.int(0)?, algorithm: row.text(1)?, auth_data: row.text(2)?, etag: row.int(3)? })
    })
    .transpose()
}

/// Keeps a key unless there is a better one: verified beats unverified, then an earlier first message, then fewer hands.
pub(crate) fn put(user_id: &str, version: i64, row: &BackupSessionRow) -> Statement {
    statement!(
        "INSERT INTO key_backup_session (user_id, version, room_id, session_id, first_message_index, forwarded_count, \
         is_verified, session_data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET \
         first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count, \
         is_verified = excluded.is_verified, session_data = excluded.session_data \
         WHERE excluded.is_verified > key_backup_session.is_verified \
         OR (excluded.is_verified = key_backup_session.is_verified \
         AND (excluded.first_message_index < key_backup_session.first_message_index \
         OR (excluded.first_message_index = key_backup_session.first_message_index \
         AND excluded.forwarded_count < key_backup_session.forwarded_count)))",
        user_id,
        version,
        row.room_id.as_str(),
        row.session_id.as_str(),
        row.first_message_index,
        row.forwarded_count,
        i64::from(row.is_verified),
        row.session_data.as_str()
    )
}

/// Forgets the keys of a backup: all, those of a room, or one. An empty text stands for all.
pub(crate) fn delete_sessions(user_id: &str, version: i64, room_id: &str, session_id: &str) -> Statement {
    statement!(
        "DELETE FROM key_backup_session WHERE user_id = $1 AND version = $2 AND ($3 = '' OR room_id = $3) \
         AND ($4 = '' OR session_id = $4)",
        user_id,
        version,
        room_id,
        session_id
    )
}

/// Notes that the keys of a backup changed.
pub(crate) fn touch(user_id: &str, version: i64) -> Statement {
    statement!("UPDATE key_backup SET etag = etag + 1 WHERE user_id = $1 AND version = $2", user_id, version)
}

pub(crate) async fn count(db: &Db, user_id: &str, version: i64) -> Result<i64, SqlError> {
    let sql = "SELECT count(*) FROM key_backup_session WHERE user_id = $1 AND version = $2";
    db.fetch_optional(sql, &[Value::from(user_id), Value::from(version)]).await?.map_or(Ok(0), |row| row.int(0))
}

/// How many keys a user has in all backups.
pub(crate) async fn count_of_user(db: &Db, user_id: &str) -> Result<i64, SqlError> {
    let sql = "SELECT count(*) FROM key_backup_session WHERE user_id = $1";
    db.fetch_optional(sql, &[Value::from(user_id)]).await?.map_or(Ok(0), |row| row.int(0))
}

/// The keys of a backup: all, those of a room, or one. An empty text stands for all.
pub(crate) async fn sessions(
    db: &Db,
    user_id: &str,
    version: i64,
    room_id: &str,
    session_id: &str,
) -> Result<Vec<BackupSessionRow>, SqlError> {
    let sql = "SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data \
               FROM key_backup_session WHERE user_id = $1 AND version = $2 AND ($3 = '' OR room_id = $3) \
               AND ($4 = '' OR session_id = $4) ORDER BY room_id, session_id";
    let values = [Value::from(user_id), Value::from(version), Value::from(room_id), Value::from(session_id)];
    db.fetch_all(sql, &values).await?.iter().map(session).collect()
}

fn session(row: &Row) -> Result<BackupSessionRow, SqlError> {
    Ok(BackupSessionRow {
        room_id: row.text(0)?,
        session_id: row.text(1)?,
        first_message_index: row.int(2)?,
        forwarded_count: row.int(3)?,
        is_verified: row.int(4)? != 0,
        session_data: row.text(5)?,
    })
}
