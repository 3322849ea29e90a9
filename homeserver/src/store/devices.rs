//! The tables `device`, `access_token` and `refresh_token`.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::{
    lately::Topic,
    statement::{Statement, statement},
};

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

/// Notes when a device was last used.
pub(crate) fn seen(user_id: &str, device_id: &str, at: i64) -> Statement {
    statement!("UPDATE device SET last_seen_at = $3 WHERE user_id = $1 AND device_id = $2", user_id, device_id, at)
}

/// A device has one token: the old ones of a device that logs in again end here.
pub(crate) fn drop_tokens(user_id: &str, device_id: &str) -> Vec<Statement> {
    vec![
        statement!("DELETE FROM access_token WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        statement!("DELETE FROM refresh_token WHERE user_id = $1 AND device_id = $2", user_id, device_id),
    ]
}

/// Ends the tokens of a device that came after a generation.
pub(crate) fn drop_newer(user_id: &str, device_id: &str, than: i64) -> Vec<Statement> {
    vec![
        statement!(
            "DELETE FROM access_token WHERE user_id = $1 AND device_id = $2 AND generation > $3",
            user_id,
            device_id,
            than
        ),
        statement!(
            "DELETE FROM refresh_token WHERE user_id = $1 AND device_id = $2 AND generation > $3",
            user_id,
            device_id,
            than
        ),
    ]
}

/// Ends the tokens of a device that came before a generation.
pub(crate) fn drop_older(user_id: &str, device_id: &str, than: i64) -> Vec<Statement> {
    vec![
        statement!(
            "DELETE FROM access_token WHERE user_id = $1 AND device_id = $2 AND generation < $3",
            user_id,
            device_id,
            than
        ),
        statement!(
            "DELETE FROM refresh_token WHERE user_id = $1 AND device_id = $2 AND generation < $3",
            user_id,
            device_id,
            than
        ),
    ]
}

/// A row of `access_token` or `refresh_token`.
#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    /// Grows with each refresh.
    pub(crate) generation: i64,
    /// In milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

pub(crate) fn insert_token(hash: &[u8], token: &TokenRow) -> Statement {
    statement!(
        "INSERT INTO access_token (token_hash, user_id, device_id, generation, expires_at) VALUES ($1, $2, $3, $4, $5)",
        hash.to_vec(),
        token.user_id.as_str(),
        token.device_id.as_str(),
        token.generation,
        token.expires_at
    )
}

pub(crate) fn insert_refresh(hash: &[u8], token: &TokenRow) -> Statement {
    statement!(
        "INSERT INTO refresh_token (token_hash, user_id, device_id, generation) VALUES ($1, $2, $3, $4)",
        hash.to_vec(),
        token.user_id.as_str(),
        token.device_id.as_str(),
        token.generation
    )
}

/// Forgets a device with its tokens, keys and waiting messages, and tells that the user's devices changed.
pub(crate) fn delete(user_id: &str, device_id: &str) -> Vec<Statement> {
    let mut statements = drop_tokens(user_id, device_id);
    statements.extend([
        super::pushers::drop_of_device(user_id, device_id),
        super::grants::drop_logins_of(user_id, device_id),
        super::dehydrated::forget(user_id, device_id),
        statement!("DELETE FROM device_keys WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        statement!("DELETE FROM one_time_key WHERE user_id = $1 AND device_id = $2", user_id, device_id)
            .about(Topic::KeyCounts, Some(0)),
        statement!("DELETE FROM fallback_key WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        statement!("DELETE FROM to_device WHERE user_id = $1 AND device_id = $2", user_id, device_id),
        super::device_keys::changed(user_id),
        statement!("DELETE FROM device WHERE user_id = $1 AND device_id = $2", user_id, device_id),
    ]);
    statements
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

/// Whose access token this is, whether that is a guest, and when the device was last seen.
pub(crate) async fn by_token(db: &Db, hash: &[u8]) -> Result<Option<(TokenRow, bool, Option<i64>)>, SqlError> {
    let sql = "SELECT t.user_id, t.device_id, t.generation, t.expires_at, a.guest, d.last_seen_at FROM access_token t \
               JOIN account a ON a.user_id = t.user_id \
               LEFT JOIN device d ON d.user_id = t.user_id AND d.device_id = t.device_id WHERE t.token_hash = $1";
    let row = db.fetch_optional(sql, &[Value::from(hash)]).await?;
    row.map(|row| Ok((token(&row, row.opt_int(3)?)?, row.int(4)? == 1, row.opt_int(5)?))).transpose()
}

/// Whose refresh token this is.
pub(crate) async fn by_refresh(db: &Db, hash: &[u8]) -> Result<Option<TokenRow>, SqlError> {
    let sql = "SELECT user_id, device_id, generation FROM refresh_token WHERE token_hash = $1";
    let row = db.fetch_optional(sql, &[Value::from(hash)]).await?;
    row.map(|row| token(&row, None)).transpose()
}

fn token(row: &Row, expires_at: Option<i64>) -> Result<TokenRow, SqlError> {
    Ok(TokenRow { user_id: row.text(0)?, device_id: row.text(1)?, generation: row.int(2)?, expires_at })
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

/// Asks how many other devices a user has.
pub(crate) fn ask_others(user_id: &str, device_id: &str) -> Statement {
    statement!("SELECT COUNT(*) FROM device WHERE user_id = $1 AND device_id <> $2", user_id, device_id)
}

/// The devices of a user that were not seen for longest, where there are more than `most`; the dehydrated one is none of them.
pub(crate) async fn superfluous(db: &Db, user_id: &str, most: i64) -> Result<Vec<String>, SqlError> {
    let sql = "SELECT device_id FROM device WHERE user_id = $1 \
               AND device_id NOT IN (SELECT device_id FROM dehydrated_device WHERE user_id = $1) \
               ORDER BY COALESCE(last_seen_at, created_at) DESC, device_id LIMIT 1000 OFFSET $2";
    let rows = db.fetch_all(sql, &[Value::from(user_id), Value::from(most)]).await?;
    rows.iter().map(|row| row.text(0)).collect()
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
