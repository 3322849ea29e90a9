//! The table `receipt`: the newest receipt of each user, kind and thread in a room.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::{
    lately::Topic,
    statement::{Cell, Statement, statement},
};

/// A row of `receipt`.
#[derive(Clone, Debug)]
pub(crate) struct ReceiptRow {
    pub(crate) room_id: String,
    pub(crate) user_id: String,
    pub(crate) kind: String,
    pub(crate) thread: String,
    pub(crate) event_id: String,
    pub(crate) ts: i64,
    pub(crate) pos: i64,
}

pub(crate) fn put(row: &ReceiptRow) -> Statement {
    statement!(
        "INSERT INTO receipt (room_id, user_id, kind, thread, event_id, ts, pos) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (room_id, user_id, kind, thread) DO UPDATE SET \
         event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos",
        row.room_id.as_str(),
        row.user_id.as_str(),
        row.kind.as_str(),
        row.thread.as_str(),
        row.event_id.as_str(),
        row.ts,
        Cell::Position
    )
    .about(Topic::Receipts, Some(0))
}

/// Receipts of all rooms with `after < pos <= until`, oldest first.
pub(crate) async fn between(db: &Db, after: i64, until: i64, limit: i64) -> Result<Vec<ReceiptRow>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT room_id, user_id, kind, thread, event_id, ts, pos FROM receipt WHERE pos > $1 AND pos <= $2 \
             ORDER BY pos LIMIT $3",
            &[Value::from(after), Value::from(until), Value::from(limit)],
        )
        .await?;
    rows.iter().map(receipt).collect()
}

/// Receipts of one user in one room.
pub(crate) async fn of_user(db: &Db, room_id: &str, user_id: &str) -> Result<Vec<ReceiptRow>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT room_id, user_id, kind, thread, event_id, ts, pos FROM receipt WHERE room_id = $1 AND user_id = $2",
            &[Value::from(room_id), Value::from(user_id)],
        )
        .await?;
    rows.iter().map(receipt).collect()
}

/// Receipts of one room with `after < pos <= until`, oldest first.
pub(crate) async fn of_room_between(
    db: &Db,
    room_id: &str,
    after: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<ReceiptRow>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT room_id, user_id, kind, thread, event_id, ts, pos FROM receipt WHERE (room_id, pos) > ($1, $2) \
             AND (room_id, pos) <= ($1, $3) ORDER BY room_id, pos LIMIT $4",
            &[Value::from(room_id), Value::from(after), Value::from(until), Value::from(limit)],
        )
        .await?;
    rows.iter().map(receipt).collect()
}

/// Receipts of one room with `pos <= until`, newest `limit` of them.
pub(crate) async fn of_room(db: &Db, room_id: &str, until: i64, limit: i64) -> Result<Vec<ReceiptRow>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT room_id, user_id, kind, thread, event_id, ts, pos FROM receipt WHERE (room_id, pos) >= ($1, 0) \
             AND (room_id, pos) <= ($1, $2) ORDER BY room_id DESC, pos DESC LIMIT $3",
            &[Value::from(room_id), Value::from(until), Value::from(limit)],
        )
        .await?;
    rows.iter().map(receipt).collect()
}

fn receipt(row: &Row) -> Result<ReceiptRow, SqlError> {
    Ok(ReceiptRow {
        room_id: row.text(0)?,
        user_id: row.text(1)?,
        kind: row.text(2)?,
        thread: row.text(3)?,
        event_id: row.text(4)?,
        ts: row.int(5)?,
        pos: row.int(6)?,
    })
}
