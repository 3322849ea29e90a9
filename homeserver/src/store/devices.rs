//! The tables `device` and `access_token`.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::statement::{Statement, statement};

/// A row of `device`.
#[derive(Clone, Debug)]
pub(crate) struct DeviceRow {
    pub(crate) device_id: String,
    pub(crate) display_name: Option<String>,
    pub(crate) last_seen_ts: Option<i64>,
}

/// Adds a device, or leaves it as it is; a name given replaces the one it had.
pub(crate) fn upsert(user_id: &str, device_id: &str, display_name: Option<&str>, at: i64) -> Statement {
    statement!(
        "INSERT INTO device (user_id, device_id, display_name, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = COALESCE(excluded.display_name, device.display_name)",
        user_id,
        device_id,
        display_name,
        at
    )
}

/// Notes when a device was last used to log in.
pub(crate) fn seen(user_id: &str, device_id: &str, at: i64) -> Statement {
    statement!("UPDATE device SET last_seen_at = $3 WHERE user_id = $1 AND device_id = $2", user_id, device_id, at)
}

/// A device has one token: the old ones of a device that logs in again end here.
pub(crate) fn drop_tokens(user_id: &str, device_id: &str) -> Statement {
    statement!("DELETE FROM access_token WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}

pub(crate) fn insert_token(hash: &[u8], user_id: &str, device_id: &str) -> Statement {
    statement!(
        "INSERT INTO access_token (token_hash, user_id, device_id) VALUES ($1, $2, $3)",
        hash.to_vec(),
        user_id,
        device_id
    )
}

/// Forgets a device with its tokens, keys and waiting messages.
pub(crate) fn delete(user_id: &str, device_id: &str) -> Vec<Statement> {
    vec![
        drop_tokens(user_id, device_id),
        statement!("DELETE FROM device_keys WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        statement!("DELETE FROM one_time_key WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        statement!("DELETE FROM to_device WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        statement!("DELETE FROM device WHERE user_id = $1 AND device_id = $2", user_id, device_id),
    ]
}

/// Renames a device; touches no row where there is none.
pub(crate) fn rename(user_id: &str, device_id: &str, display_name: &str) -> Statement {
    statement!(
        "UPDATE device SET display_name = $3 WHERE user_id = $1 AND device_id = $2",
        user_id,
        device_id,
        display_name
    )
}

/// Whose token this is: the user and the device.
pub(crate) async fn by_token(db: &Db, hash: &[u8]) -> Result<Option<(String, String)>, SqlError> {
    db.fetch_optional("SELECT user_id, device_id FROM access_token WHERE token_hash = $1", &[Value::from(hash)])
        .await?
        .map(|row| Ok((row.text(0)?, row.text(1)?)))
        .transpose()
}

pub(crate) async fn of_user(db: &Db, user_id: &str) -> Result<Vec<DeviceRow>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT device_id, display_name, last_seen_at FROM device WHERE user_id = $1 ORDER BY device_id",
            &[Value::from(user_id)],
        )
        .await?;
    rows.iter().map(device).collect()
}

pub(crate) async fn one(db: &Db, user_id: &str, device_id: &str) -> Result<Option<DeviceRow>, SqlError> {
    db.fetch_optional(
        "SELECT device_id, display_name, last_seen_at FROM device WHERE user_id = $1 AND device_id = $2",
        &[Value::from(user_id), Value::from(device_id)],
    )
    .await?
    .map(|row| device(&row))
    .transpose()
}

fn device(row: &Row) -> Result<DeviceRow, SqlError> {
    Ok(DeviceRow { device_id: row.text(0)?, display_name: row.opt_text(1)?, last_seen_ts: row.opt_int(2)? })
}
