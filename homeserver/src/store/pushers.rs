//! The tables `pusher` and `unread`.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Db, Row, SqlError, Value};

use super::statement::{Statement, statement};

/// A row of `pusher`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PusherRow {
    pub(crate) user_id: String,
    pub(crate) app_id: String,
    pub(crate) pushkey: String,
    pub(crate) device_id: String,
    pub(crate) body: String,
    pub(crate) created_at: i64,
    pub(crate) pos: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT user_id, app_id, pushkey, device_id, body, created_at, pos FROM pusher ", $rest)
    };
}

fn pusher(row: &Row) -> Result<PusherRow, SqlError> {
    Ok(PusherRow {
        user_id: row.text(0)?,
        app_id: row.text(1)?,
        pushkey: row.text(2)?,
        device_id: row.text(3)?,
        body: row.text(4)?,
        created_at: row.int(5)?,
        pos: row.int(6)?,
    })
}

/// Adds a pusher; one that is known keeps its place in the log.
pub(crate) fn put(row: &PusherRow) -> Statement {
    statement!(
        "INSERT INTO pusher (user_id, app_id, pushkey, device_id, body, created_at, pos) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET device_id = excluded.device_id, body = excluded.body, \
         created_at = excluded.created_at",
        row.user_id.as_str(),
        row.app_id.as_str(),
        row.pushkey.as_str(),
        row.device_id.as_str(),
        row.body.as_str(),
        row.created_at,
        row.pos
    )
}

/// Asks how many other pushers a user has.
pub(crate) fn ask_others(user_id: &str, app_id: &str, pushkey: &str) -> Statement {
    statement!(
        "SELECT COUNT(*) FROM pusher WHERE user_id = $1 AND (app_id <> $2 OR pushkey <> $3)",
        user_id,
        app_id,
        pushkey
    )
}

/// Removes the pushers that others have with the same key.
pub(crate) fn drop_others(user_id: &str, app_id: &str, pushkey: &str) -> Statement {
    statement!("DELETE FROM pusher WHERE user_id <> $1 AND app_id = $2 AND pushkey = $3", user_id, app_id, pushkey)
}

pub(crate) fn delete(user_id: &str, app_id: &str, pushkey: &str) -> Statement {
    statement!("DELETE FROM pusher WHERE user_id = $1 AND app_id = $2 AND pushkey = $3", user_id, app_id, pushkey)
}

/// Removes the pushers that a device made.
pub(crate) fn drop_of_device(user_id: &str, device_id: &str) -> Statement {
    statement!("DELETE FROM pusher WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}

pub(crate) fn moved(user_id: &str, app_id: &str, pushkey: &str, pos: i64) -> Statement {
    statement!(
        "UPDATE pusher SET pos = $4 WHERE user_id = $1 AND app_id = $2 AND pushkey = $3",
        user_id,
        app_id,
        pushkey,
        pos
    )
}

pub(crate) async fn all(db: &Db) -> Result<Vec<PusherRow>, SqlError> {
    db.fetch_all(select!(""), &[]).await?.iter().map(pusher).collect()
}

pub(crate) async fn of_user(db: &Db, user_id: &str) -> Result<Vec<PusherRow>, SqlError> {
    let rows = db.fetch_all(select!("WHERE user_id = $1 ORDER BY app_id, pushkey"), &[Value::from(user_id)]).await?;
    rows.iter().map(pusher).collect()
}

pub(crate) async fn one(db: &Db, user_id: &str, app_id: &str, pushkey: &str) -> Result<Option<PusherRow>, SqlError> {
    let values = [Value::from(user_id), Value::from(app_id), Value::from(pushkey)];
    let row = db.fetch_optional(select!("WHERE user_id = $1 AND app_id = $2 AND pushkey = $3"), &values).await?;
    row.as_ref().map(pusher).transpose()
}

/// How far a user's unread messages in a room were counted, and what was found.
pub(crate) async fn unread(db: &Db, user_id: &str, room_id: &str) -> Result<Option<(i64, String)>, SqlError> {
    db.fetch_optional(
        "SELECT until, notes FROM unread WHERE user_id = $1 AND room_id = $2",
        &[Value::from(user_id), Value::from(room_id)],
    )
    .await?
    .map(|row| Ok((row.int(0)?, row.text(1)?)))
    .transpose()
}

/// A row of `unread`: user, room, how far it was counted, and what was found.
pub(crate) type UnreadRow = (String, String, i64, String);

static PUT_UNREAD: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO unread (user_id, room_id, until, notes) \
         SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT), value->>3 FROM {rows} \
         WHERE EXISTS (SELECT 1 FROM room WHERE room_id = value->>1) \
         ON CONFLICT (user_id, room_id) DO UPDATE SET until = excluded.until, notes = excluded.notes",
    )
});

pub(crate) fn put_unread(rows: &[UnreadRow]) -> Result<Statement, SqlError> {
    Statement::rows(&PUT_UNREAD, rows)
}
