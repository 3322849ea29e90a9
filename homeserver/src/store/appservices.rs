//! The tables of what has been delivered to application services: `appservice_cursor`, `appservice_txn`,
//! `appservice_member` and `appservice_refused`.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Db, SqlError, Value};

use super::{
    names,
    statement::{Statement, statement},
};

/// How far an application service has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CursorRow {
    /// Everything up to here has been acknowledged or was of no interest.
    pub(crate) pos: i64,
    /// Begins each transaction id: random, so that ids of a rebuilt database never repeat older ones.
    pub(crate) epoch: String,
    /// The number of the next transaction.
    pub(crate) next_txn: i64,
    /// The namespaces for which `appservice_member` was made.
    pub(crate) namespaces: String,
}

/// A transaction that has been sent and not been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TxnRow {
    pub(crate) txn_id: String,
    /// What the cursor becomes when it is acknowledged.
    pub(crate) end_pos: i64,
    pub(crate) events: i64,
    /// The last message to a device in it, and how many there are: taken with it.
    pub(crate) to_device_end: (i64, i64),
    pub(crate) to_device: i64,
    pub(crate) body: Vec<u8>,
}

pub(crate) async fn cursor(db: &Db, id: &str) -> Result<Option<CursorRow>, SqlError> {
    db.fetch_optional(
        "SELECT pos, epoch, next_txn, namespaces FROM appservice_cursor WHERE appservice_id = $1",
        &[Value::from(id)],
    )
    .await?
    .map(|row| Ok(CursorRow { pos: row.int(0)?, epoch: row.text(1)?, next_txn: row.int(2)?, namespaces: row.text(3)? }))
    .transpose()
}

/// How far each application service has got that was ever served, as it is stored.
pub(crate) async fn cursors(db: &Db) -> Result<Vec<(String, i64)>, SqlError> {
    let rows = db.fetch_all("SELECT appservice_id, pos FROM appservice_cursor", &[]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
}

pub(crate) fn put_cursor(id: &str, cursor: &CursorRow) -> Statement {
    statement!(
        "INSERT INTO appservice_cursor (appservice_id, pos, epoch, next_txn, namespaces) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (appservice_id) DO UPDATE SET pos = excluded.pos, epoch = excluded.epoch, \
         next_txn = excluded.next_txn, namespaces = excluded.namespaces",
        id,
        cursor.pos,
        cursor.epoch.as_str(),
        cursor.next_txn,
        cursor.namespaces.as_str()
    )
}

pub(crate) async fn in_flight(db: &Db, id: &str) -> Result<Option<TxnRow>, SqlError> {
    db.fetch_optional(
        "SELECT txn_id, end_pos, events, body, to_device_pos, to_device_number, to_device FROM appservice_txn \
         WHERE appservice_id = $1",
        &[Value::from(id)],
    )
    .await?
    .map(|row| {
        Ok(TxnRow {
            txn_id: row.text(0)?,
            end_pos: row.int(1)?,
            events: row.int(2)?,
            body: row.bytes(3)?,
            to_device_end: (row.int(4)?, row.int(5)?),
            to_device: row.int(6)?,
        })
    })
    .transpose()
}

pub(crate) fn freeze(id: &str, txn: &TxnRow) -> Statement {
    statement!(
        "INSERT INTO appservice_txn (appservice_id, txn_id, end_pos, events, body, to_device_pos, to_device_number, to_device) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id,
        txn.txn_id.as_str(),
        txn.end_pos,
        txn.events,
        txn.body.clone(),
        txn.to_device_end.0,
        txn.to_device_end.1,
        txn.to_device
    )
}

pub(crate) fn thaw(id: &str) -> Statement {
    statement!("DELETE FROM appservice_txn WHERE appservice_id = $1", id)
}

/// Keeps what a service will never take, so that nothing vanishes without a trace.
pub(crate) fn refuse(id: &str, txn: &TxnRow, status: i64, at: i64) -> Statement {
    statement!(
        "INSERT INTO appservice_refused (appservice_id, txn_id, status, body, refused_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (appservice_id, txn_id) DO NOTHING",
        id,
        txn.txn_id.as_str(),
        status,
        txn.body.clone(),
        at
    )
}

/// Why an application service cares about rooms, as of its cursor: pairs of room and user id or alias.
pub(crate) async fn members(db: &Db, id: &str) -> Result<Vec<(String, String)>, SqlError> {
    let rows =
        db.fetch_all("SELECT room_id, who FROM appservice_member WHERE appservice_id = $1", &[Value::from(id)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

static ADD_MEMBERS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO appservice_member (appservice_id, room_id, who) \
         SELECT value->>0, value->>1, value->>2 FROM {rows} WHERE true ON CONFLICT (appservice_id, room_id, who) DO NOTHING",
    )
});

static REMOVE_MEMBERS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "DELETE FROM appservice_member WHERE (appservice_id, room_id, who) IN \
         (SELECT value->>0, value->>1, value->>2 FROM {rows})",
    )
});

/// Rooms with users in them, as triples that begin with the application service's id.
pub(crate) fn add_members(rows: &[(&str, &str, &str)]) -> Result<Statement, SqlError> {
    Statement::rows(&ADD_MEMBERS, rows)
}

/// The same, no longer there.
pub(crate) fn remove_members(rows: &[(&str, &str, &str)]) -> Result<Statement, SqlError> {
    Statement::rows(&REMOVE_MEMBERS, rows)
}

pub(crate) fn clear_members(id: &str) -> Statement {
    statement!("DELETE FROM appservice_member WHERE appservice_id = $1", id)
}

/// Registrations that were added while the server ran: id and JSON.
pub(crate) async fn registrations(db: &Db) -> Result<Vec<(String, String)>, SqlError> {
    let rows = db.fetch_all("SELECT appservice_id, body FROM appservice_registration ORDER BY added_at", &[]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

pub(crate) fn put_registration(id: &str, body: &str, at: i64) -> Statement {
    statement!(
        "INSERT INTO appservice_registration (appservice_id, body, added_at) VALUES ($1, $2, $3) \
         ON CONFLICT (appservice_id) DO UPDATE SET body = excluded.body",
        id,
        body,
        at
    )
}

pub(crate) fn delete_registration(id: &str) -> Statement {
    statement!("DELETE FROM appservice_registration WHERE appservice_id = $1", id)
}

/// Forgets what was delivered to a service that is gone for good.
pub(crate) fn forget(id: &str) -> Vec<Statement> {
    vec![
        statement!("DELETE FROM appservice_cursor WHERE appservice_id = $1", id),
        thaw(id),
        clear_members(id),
        names::forget(id),
        statement!("UPDATE to_device SET appservice_id = NULL WHERE appservice_id = $1", id),
    ]
}

pub(crate) async fn is_paused(db: &Db, id: &str) -> Result<bool, SqlError> {
    let sql = "SELECT paused_at FROM appservice_paused WHERE appservice_id = $1";
    Ok(db.fetch_optional(sql, &[Value::from(id)]).await?.is_some())
}

/// Since when nothing is delivered to a service; `None`: it is.
pub(crate) fn set_paused(id: &str, at: Option<i64>) -> Statement {
    match at {
        Some(at) => statement!(
            "INSERT INTO appservice_paused (appservice_id, paused_at) VALUES ($1, $2) \
             ON CONFLICT (appservice_id) DO NOTHING",
            id,
            at
        ),
        None => statement!("DELETE FROM appservice_paused WHERE appservice_id = $1", id),
    }
}
