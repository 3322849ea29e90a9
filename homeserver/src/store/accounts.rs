//! The tables `account` and `account_data`.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Db, Row, SqlError, Value};

use super::{
    lately::Topic,
    statement::{Cell, Statement, statement},
};
use crate::users::Profile;

/// A row of `account`, without the profile.
#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) password_hash: Option<String>,
    pub(crate) deactivated: bool,
}

/// What an operator sees of an account.
#[derive(Clone, Debug)]
pub(crate) struct AccountDetails {
    pub(crate) user_id: String,
    pub(crate) appservice_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) deactivated_at: Option<i64>,
    pub(crate) role: Option<String>,
    pub(crate) displayname: Option<String>,
}

const DETAILS: &str = "SELECT user_id, appservice_id, created_at, deactivated_at, role, displayname \
                       FROM account WHERE user_id = $1";
const PAGE: &str = "SELECT user_id, appservice_id, created_at, deactivated_at, role, displayname \
                    FROM account WHERE user_id > $1 AND lower(user_id) LIKE $2 AND (appservice_id IS NULL OR $3 = 1) \
                    ORDER BY user_id LIMIT $4";

fn details_of(row: &Row) -> Result<AccountDetails, SqlError> {
    Ok(AccountDetails {
        user_id: row.text(0)?,
        appservice_id: row.opt_text(1)?,
        created_at: row.int(2)?,
        deactivated_at: row.opt_int(3)?,
        role: row.opt_text(4)?,
        displayname: row.opt_text(5)?,
    })
}

pub(crate) async fn details(db: &Db, user_id: &str) -> Result<Option<AccountDetails>, SqlError> {
    db.fetch_optional(DETAILS, &[Value::from(user_id)]).await?.map(|row| details_of(&row)).transpose()
}

/// Accounts after `after` whose id contains `term` (already lower case); those of application services if `services`.
pub(crate) async fn page(
    db: &Db,
    after: &str,
    term: &str,
    services: bool,
    limit: i64,
) -> Result<Vec<AccountDetails>, SqlError> {
    let pattern = format!("%{}%", term.replace(['%', '_', '\\'], ""));
    let values = [Value::from(after), Value::from(&pattern), Value::from(i64::from(services)), Value::from(limit)];
    db.fetch_all(PAGE, &values).await?.iter().map(details_of).collect()
}

/// Accounts that may not do everything: user id, locked, suspended.
pub(crate) async fn restricted(db: &Db) -> Result<Vec<(String, bool, bool)>, SqlError> {
    let sql =
        "SELECT user_id, locked_at, suspended_at FROM account WHERE locked_at IS NOT NULL OR suspended_at IS NOT NULL";
    let rows = db.fetch_all(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.opt_int(1)?.is_some(), row.opt_int(2)?.is_some()))).collect()
}

pub(crate) fn set_locked(user_id: &str, at: Option<i64>) -> Statement {
    statement!("UPDATE account SET locked_at = $2 WHERE user_id = $1", user_id, at)
}

pub(crate) fn set_suspended(user_id: &str, at: Option<i64>) -> Statement {
    statement!("UPDATE account SET suspended_at = $2 WHERE user_id = $1", user_id, at)
}

pub(crate) fn set_role(user_id: &str, role: Option<&str>) -> Statement {
    statement!("UPDATE account SET role = $2 WHERE user_id = $1", user_id, role)
}

/// Forgets what a closed account says of its owner.
pub(crate) fn erase(user_id: &str, at: i64) -> Vec<Statement> {
    vec![
        statement!(
            "UPDATE account SET erased_at = $2, displayname = NULL, avatar_url = NULL WHERE user_id = $1",
            user_id,
            at
        ),
        super::profile_fields::forget(user_id),
        statement!("DELETE FROM account_data WHERE user_id = $1", user_id),
        statement!("DELETE FROM filter WHERE user_id = $1", user_id),
        statement!("DELETE FROM cross_signing_key WHERE user_id = $1", user_id),
        statement!("DELETE FROM key_backup_session WHERE user_id = $1", user_id),
        statement!("DELETE FROM key_backup WHERE user_id = $1", user_id),
    ]
}

/// Adds a user; [`super::StoreError::Conflict`] when there is one.
pub(crate) fn insert(user_id: &str, password_hash: Option<&str>, appservice_id: Option<&str>, at: i64) -> Statement {
    statement!(
        "INSERT INTO account (user_id, password_hash, appservice_id, created_at, displayname) VALUES ($1, $2, $3, $4, $5)",
        user_id,
        password_hash,
        appservice_id,
        at,
        None::<&str>
    )
}

/// Adds a guest, who has no password.
pub(crate) fn insert_guest(user_id: &str, at: i64) -> Statement {
    statement!("INSERT INTO account (user_id, created_at, guest) VALUES ($1, $2, 1)", user_id, at)
}

/// Makes a user of a guest; touches no row where it is none.
pub(crate) fn upgrade_guest(user_id: &str, password_hash: &str) -> Statement {
    statement!(
        "UPDATE account SET guest = 0, password_hash = $2 WHERE user_id = $1 AND guest = 1 AND deactivated_at IS NULL",
        user_id,
        password_hash
    )
}

/// Those of some users who are guests.
pub(crate) async fn guests(db: &Db, users: &[[&str; 1]]) -> Result<Vec<String>, SqlError> {
    static GUESTS: LazyLock<BatchSql> = LazyLock::new(|| {
        BatchSql::new("SELECT user_id FROM account WHERE guest = 1 AND user_id IN (SELECT value->>0 FROM {rows})")
    });
    db.fetch_rows(&GUESTS, users).await?.iter().map(|row| row.text(0)).collect()
}

/// Those who had themselves erased.
pub(crate) async fn erased(db: &Db) -> Result<Vec<String>, SqlError> {
    let rows = db.fetch_all("SELECT user_id FROM account WHERE erased_at IS NOT NULL", &[]).await?;
    rows.iter().map(|row| row.text(0)).collect()
}

pub(crate) async fn read(db: &Db, user_id: &str) -> Result<Option<AccountRow>, SqlError> {
    let row = db
        .fetch_optional("SELECT password_hash, deactivated_at FROM account WHERE user_id = $1", &[Value::from(user_id)])
        .await?;
    row.map(|row| Ok(AccountRow { password_hash: row.opt_text(0)?, deactivated: row.opt_int(1)?.is_some() }))
        .transpose()
}

pub(crate) async fn profile(db: &Db, user_id: &str) -> Result<Option<Profile>, SqlError> {
    let row = db
        .fetch_optional("SELECT displayname, avatar_url FROM account WHERE user_id = $1", &[Value::from(user_id)])
        .await?;
    row.map(|row| Ok(Profile { displayname: row.opt_text(0)?, avatar_url: row.opt_text(1)? })).transpose()
}

pub(crate) fn set_displayname(user_id: &str, value: Option<&str>) -> Statement {
    statement!("UPDATE account SET displayname = $2 WHERE user_id = $1", user_id, value)
}

pub(crate) fn set_avatar_url(user_id: &str, value: Option<&str>) -> Statement {
    statement!("UPDATE account SET avatar_url = $2 WHERE user_id = $1", user_id, value)
}

pub(crate) fn set_password(user_id: &str, hash: &str) -> Statement {
    statement!("UPDATE account SET password_hash = $2 WHERE user_id = $1", user_id, hash)
}

pub(crate) fn deactivate(user_id: &str, at: i64) -> Statement {
    statement!("UPDATE account SET deactivated_at = $2, password_hash = NULL WHERE user_id = $1", user_id, at)
}

/// Closed accounts that are in rooms or have devices all the same; for those of application services, these can still act.
pub(crate) async fn half_closed(db: &Db) -> Result<Vec<String>, SqlError> {
    let sql = "SELECT a.user_id FROM account a WHERE a.deactivated_at IS NOT NULL AND a.appservice_id IS NULL AND (\
               EXISTS (SELECT 1 FROM device d WHERE d.user_id = a.user_id) OR EXISTS (SELECT 1 FROM membership m \
               WHERE m.user_id = a.user_id AND m.membership IN ('join', 'invite', 'knock')))";
    db.fetch_all(sql, &[]).await?.iter().map(|row| row.text(0)).collect()
}

/// Users whose id or name starts with or contains `term` (already lower case), for the user directory.
pub(crate) async fn search(db: &Db, term: &str, limit: i64) -> Result<Vec<(String, Profile)>, SqlError> {
    let pattern = format!("%{}%", term.replace(['%', '_', '\\'], ""));
    let rows = db
        .fetch_all(
            "SELECT user_id, displayname, avatar_url FROM account WHERE appservice_id IS NULL AND deactivated_at IS NULL \
             AND (lower(user_id) LIKE $1 OR lower(displayname) LIKE $1) ORDER BY user_id LIMIT $2",
            &[Value::from(&pattern), Value::from(limit)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.text(0)?, Profile { displayname: row.opt_text(1)?, avatar_url: row.opt_text(2)? })))
        .collect()
}

/// One thing a user has stored; `room_id` is empty for global account data.
#[derive(Clone, Debug)]
pub(crate) struct AccountDataRow {
    pub(crate) room_id: String,
    pub(crate) kind: String,
    pub(crate) content: String,
}

pub(crate) fn put_account_data(user_id: &str, room_id: &str, kind: &str, content: &str) -> Statement {
    statement!(
        "INSERT INTO account_data (user_id, room_id, kind, content, pos) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (user_id, room_id, kind) DO UPDATE SET content = excluded.content, pos = excluded.pos",
        user_id,
        room_id,
        kind,
        content,
        Cell::Position
    )
    .about(Topic::AccountData, Some(0))
}

const ACCOUNT_DATA: &str = "SELECT content FROM account_data WHERE user_id = $1 AND room_id = $2 AND kind = $3";

/// Asks for the content of one event; for [`super::local::Local::change`].
pub(crate) fn ask_account_data(user_id: &str, room_id: &str, kind: &str) -> Statement {
    statement!(ACCOUNT_DATA, user_id, room_id, kind)
}

/// Asks how many other events of account data a user has, and how many bytes their contents have.
pub(crate) fn ask_other_account_data(user_id: &str, room_id: &str, kind: &str) -> Statement {
    statement!(
        "SELECT COUNT(*), COALESCE(SUM(octet_length(content)), 0) FROM account_data \
         WHERE user_id = $1 AND (room_id <> $2 OR kind <> $3)",
        user_id,
        room_id,
        kind
    )
}

/// Asks how many other filters a user has.
pub(crate) fn ask_other_filters(user_id: &str, filter_id: &str) -> Statement {
    statement!("SELECT COUNT(*) FROM filter WHERE user_id = $1 AND filter_id <> $2", user_id, filter_id)
}

pub(crate) async fn account_data(
    db: &Db,
    user_id: &str,
    room_id: &str,
    kind: &str,
) -> Result<Option<String>, SqlError> {
    db.fetch_optional(ACCOUNT_DATA, &[Value::from(user_id), Value::from(room_id), Value::from(kind)])
        .await?
        .map(|row| row.text(0))
        .transpose()
}

/// Everything a user stored with `after < pos <= until`.
pub(crate) async fn account_data_between(
    db: &Db,
    user_id: &str,
    after: i64,
    until: i64,
) -> Result<Vec<AccountDataRow>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT room_id, kind, content FROM account_data WHERE user_id = $1 AND pos > $2 AND pos <= $3 ORDER BY pos",
            &[Value::from(user_id), Value::from(after), Value::from(until)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok(AccountDataRow { room_id: row.text(0)?, kind: row.text(1)?, content: row.text(2)? }))
        .collect()
}

pub(crate) fn put_filter(user_id: &str, filter_id: &str, body: &str) -> Statement {
    statement!(
        "INSERT INTO filter (user_id, filter_id, body) VALUES ($1, $2, $3) ON CONFLICT (user_id, filter_id) DO NOTHING",
        user_id,
        filter_id,
        body
    )
}

pub(crate) async fn filter(db: &Db, user_id: &str, filter_id: &str) -> Result<Option<String>, SqlError> {
    db.fetch_optional(
        "SELECT body FROM filter WHERE user_id = $1 AND filter_id = $2",
        &[Value::from(user_id), Value::from(filter_id)],
    )
    .await?
    .map(|row| row.text(0))
    .transpose()
}

/// All user ids.
pub(crate) async fn all_ids(db: &Db) -> Result<Vec<String>, SqlError> {
    let rows = db.fetch_all("SELECT user_id FROM account", &[]).await?;
    rows.iter().map(|row| row.text(0)).collect()
}
