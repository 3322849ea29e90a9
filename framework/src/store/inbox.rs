//! `inbox`: heard, not yet converted.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Row, SqlError, Statements, Value};
use serde::{Deserialize, Serialize};

use super::Store;
use crate::network::Direction;

/// One thing heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InboxRow {
    /// Its place in the order; given at the commit.
    pub(crate) seq: i64,
    /// The room whose lane it stands in.
    pub(crate) lane: String,
    /// Which way it goes.
    pub(crate) direction: Direction,
    /// The session that heard it, where one did.
    pub(crate) session: Option<String>,
    /// How it is recognised when it is heard again; empty where it cannot be.
    pub(crate) mark: String,
    /// The event, as JSON.
    pub(crate) body: String,
    /// When it was heard.
    pub(crate) at: i64,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO inbox (seq, lane, origin, session, mark, body, at) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, value->>3, value->>4, value->>5, CAST(value->>6 AS BIGINT) \
         FROM {rows} WHERE true",
    )
});
static DELETE: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM inbox WHERE seq IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})"));

pub(super) fn insert(rows: &[&InboxRow], to: &mut Statements) -> Result<(), SqlError> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.seq, &row.lane, direction_text(row.direction), &row.session, &row.mark, &row.body, row.at))
        .collect();
    to.add(&INSERT, &rows)
}

pub(super) fn delete(seqs: &[[i64; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, seqs)
}

/// How a direction is stored.
pub(super) fn direction_text(direction: Direction) -> &'static str {
    match direction {
        Direction::ToRemote => "to_remote",
        Direction::ToMatrix => "to_matrix",
    }
}

/// Reads what [`direction_text`] wrote.
pub(super) fn direction(text: &str) -> Direction {
    if text == "to_remote" { Direction::ToRemote } else { Direction::ToMatrix }
}

fn read(row: &Row) -> Result<InboxRow, SqlError> {
    Ok(InboxRow {
        seq: row.int(0)?,
        lane: row.text(1)?,
        direction: direction(&row.text(2)?),
        session: row.opt_text(3)?,
        mark: row.text(4)?,
        body: row.text(5)?,
        at: row.int(6)?,
    })
}

impl Store {
    /// Reads on in a lane, behind `after`.
    pub(crate) async fn inbox_of(&self, lane: &str, after: i64, limit: i64) -> Result<Vec<InboxRow>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT seq, lane, origin, session, mark, body, at FROM inbox WHERE lane = $1 AND seq > $2 \
                 ORDER BY seq LIMIT $3",
                &[Value::from(lane), Value::from(after), Value::from(limit)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// The lanes that have something in the inbox, each with its newest place in the order.
    pub(crate) async fn inbox_lanes(&self) -> Result<Vec<(String, i64)>, SqlError> {
        let rows = self.db.fetch_all("SELECT lane, MAX(seq) FROM inbox GROUP BY lane", &[]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
    }

    /// How many rows the inbox holds, and when the oldest was heard.
    pub(crate) async fn inbox_backlog(&self) -> Result<(i64, Option<i64>), SqlError> {
        let row = self.db.fetch_optional("SELECT COUNT(*), MIN(at) FROM inbox", &[]).await?;
        row.map_or(Ok((0, None)), |row| Ok((row.int(0)?, row.opt_int(1)?)))
    }
}
