//! The tables `registration_token`, `openid_token` and `login_token`: what lets somebody in, once or for a while.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::statement::{Statement, statement};

/// A row of `registration_token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistrationTokenRow {
    pub(crate) token: String,
    pub(crate) uses_allowed: Option<i64>,
    pub(crate) completed: i64,
    pub(crate) expires_at: Option<i64>,
}

/// Adds a token; [`super::StoreError::Conflict`] when there is one.
pub(crate) fn insert(row: &RegistrationTokenRow, at: i64) -> Statement {
    statement!(
        "INSERT INTO registration_token (token, uses_allowed, completed, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)",
        row.token.as_str(),
        row.uses_allowed,
        row.completed,
        row.expires_at,
        at
    )
}

/// Counts one use; touches no row where the token is unknown, used up or out of date.
pub(crate) fn take(token: &str, now: i64) -> Statement {
    statement!(
        "UPDATE registration_token SET completed = completed + 1 WHERE token = $1 \
         AND (uses_allowed IS NULL OR completed < uses_allowed) AND (expires_at IS NULL OR expires_at > $2)",
        token,
        now
    )
}

/// Takes a use back.
pub(crate) fn give_back(token: &str) -> Statement {
    statement!("UPDATE registration_token SET completed = completed - 1 WHERE token = $1 AND completed > 0", token)
}

pub(crate) fn update(token: &str, uses_allowed: Option<i64>, expires_at: Option<i64>) -> Statement {
    statement!(
        "UPDATE registration_token SET uses_allowed = $2, expires_at = $3 WHERE token = $1",
        token,
        uses_allowed,
        expires_at
    )
}

pub(crate) fn delete(token: &str) -> Statement {
    statement!("DELETE FROM registration_token WHERE token = $1", token)
}

pub(crate) async fn one(db: &Db, token: &str) -> Result<Option<RegistrationTokenRow>, SqlError> {
    let sql = "SELECT token, uses_allowed, completed, expires_at FROM registration_token WHERE token = $1";
    db.fetch_optional(sql, &[Value::from(token)]).await?.map(|row| registration_token(&row)).transpose()
}

/// The tokens, the oldest first.
pub(crate) async fn all(db: &Db, limit: i64) -> Result<Vec<RegistrationTokenRow>, SqlError> {
    let sql =
        "SELECT token, uses_allowed, completed, expires_at FROM registration_token ORDER BY created_at, token LIMIT $1";
    db.fetch_all(sql, &[Value::from(limit)]).await?.iter().map(registration_token).collect()
}

fn registration_token(row: &Row) -> Result<RegistrationTokenRow, SqlError> {
    Ok(RegistrationTokenRow {
        token: row.text(0)?,
        uses_allowed: row.opt_int(1)?,
        completed: row.int(2)?,
        expires_at: row.opt_int(3)?,
    })
}

/// Adds an OpenID token and forgets those that are out of date.
pub(crate) fn insert_openid(hash: &[u8], user_id: &str, expires_at: i64, now: i64) -> Vec<Statement> {
    vec![
        statement!("DELETE FROM openid_token WHERE expires_at <= $1", now),
        statement!(
            "INSERT INTO openid_token (token_hash, user_id, expires_at) VALUES ($1, $2, $3)",
            hash.to_vec(),
            user_id,
            expires_at
        ),
    ]
}

/// Whose OpenID token this is, and until when it counts.
pub(crate) async fn openid(db: &Db, hash: &[u8]) -> Result<Option<(String, i64)>, SqlError> {
    db.fetch_optional("SELECT user_id, expires_at FROM openid_token WHERE token_hash = $1", &[Value::from(hash)])
        .await?
        .map(|row| Ok((row.text(0)?, row.int(1)?)))
        .transpose()
}

/// Adds a login token and forgets those that are out of date.
pub(crate) fn insert_login(hash: &[u8], user_id: &str, device_id: &str, expires_at: i64, now: i64) -> Vec<Statement> {
    vec![
        statement!("DELETE FROM login_token WHERE expires_at <= $1", now),
        statement!(
            "INSERT INTO login_token (token_hash, user_id, device_id, expires_at) VALUES ($1, $2, $3, $4)",
            hash.to_vec(),
            user_id,
            device_id,
            expires_at
        ),
    ]
}

/// Whose login token this is.
pub(crate) async fn login(db: &Db, hash: &[u8]) -> Result<Option<String>, SqlError> {
    let sql = "SELECT user_id FROM login_token WHERE token_hash = $1";
    db.fetch_optional(sql, &[Value::from(hash)]).await?.map(|row| row.text(0)).transpose()
}

/// Uses a login token up; touches no row where it was used before or is out of date.
pub(crate) fn take_login(hash: &[u8], now: i64) -> Statement {
    statement!("DELETE FROM login_token WHERE token_hash = $1 AND expires_at > $2", hash.to_vec(), now)
}

/// Forgets the login tokens that a device got.
pub(crate) fn drop_logins_of(user_id: &str, device_id: &str) -> Statement {
    statement!("DELETE FROM login_token WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}
