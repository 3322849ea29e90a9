//! `outbox`: decided, not yet delivered.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Row, SqlError, Statements, Value};
use serde::{Deserialize, Serialize};

use super::{
    Store,
    change::{Standing, Withdrawal},
    inbox::{direction, direction_text},
};
use crate::network::Direction;

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboxRow {
    /// Its place in the order; given at the commit.
    pub(crate) seq: i64,
    /// The room whose lane it stands in.
    pub(crate) lane: String,
    /// Which way it goes.
    pub(crate) direction: Direction,
    /// Which session says it; empty towards Matrix.
    pub(crate) session: String,
    /// The key that is the same in every attempt, as hexadecimal digits.
    pub(crate) idem: String,
    /// The Matrix room.
    pub(crate) room_id: String,
    /// The operation, as JSON.
    pub(crate) op: String,
    /// The Matrix event it comes from, where it comes from one.
    pub(crate) source: Option<String>,
    /// What to remember of it once it is delivered, as JSON of a [`Memory`](super::Memory).
    pub(crate) memory: Option<String>,
    /// Whether it may have been said already.
    pub(crate) claimed: bool,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Why it was not delivered yet.
    pub(crate) last_error: Option<String>,
    /// When its cause was heard.
    pub(crate) at: i64,
    /// Whether it comes straight from its commit, so that a claim in it is this life's: never said before.
    #[serde(skip)]
    pub(crate) fresh: bool,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO outbox (seq, lane, direction, session, idem, room_id, op, source, memory, state, attempts, last_error, at) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
         CAST(value->>9 AS BIGINT), CAST(value->>10 AS BIGINT), value->>11, CAST(value->>12 AS BIGINT) \
         FROM {rows} WHERE true ON CONFLICT (idem) DO NOTHING",
    )
});
static DELETE: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM outbox WHERE seq IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})"));
static CLAIM: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("UPDATE outbox SET state = 1 WHERE seq IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})")
});
static RELEASE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE outbox SET state = 0, attempts = r.attempts, last_error = r.error FROM (SELECT CAST(value->>0 AS BIGINT) AS seq, \
         CAST(value->>1 AS BIGINT) AS attempts, value->>2 AS error FROM {rows}) AS r WHERE outbox.seq = r.seq",
    )
});
static REWRITE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE outbox SET op = r.op, memory = COALESCE(r.memory, outbox.memory) FROM (SELECT CAST(value->>0 AS BIGINT) AS seq, \
         value->>1 AS op, value->>2 AS memory FROM {rows}) AS r WHERE outbox.seq = r.seq",
    )
});
static MOVE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE outbox SET lane = r.lane FROM (SELECT CAST(value->>0 AS BIGINT) AS seq, value->>1 AS lane FROM {rows}) AS r \
         WHERE outbox.seq = r.seq",
    )
});
static WITHDRAW: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "DELETE FROM outbox WHERE direction = 'to_remote' AND state = 0 AND EXISTS (SELECT 1 FROM {rows} WHERE \
         (outbox.lane = value->>0 OR substr(outbox.lane, 1, length(value->>1)) = value->>1) \
         AND (value->>2 IS NULL OR outbox.source = value->>2))",
    )
});
static FOLLOW: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE outbox SET room_id = r.room FROM (SELECT value->>0 AS old, value->>1 AS room FROM {rows}) AS r \
         WHERE outbox.direction = 'to_matrix' AND outbox.room_id = r.old",
    )
});
/// The rows under these keys; [`read`] reads them.
pub(super) static BY_KEY: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "SELECT seq, lane, direction, session, idem, room_id, op, source, memory, state, attempts, last_error, at FROM outbox \
         WHERE idem IN (SELECT value->>0 FROM {rows})",
    )
});

pub(super) fn insert(rows: &[&OutboxRow], to: &mut Statements) -> Result<(), SqlError> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let OutboxRow { seq, lane, session, idem, room_id, op, source, memory, attempts, last_error, at, .. } = row;
            let (direction, state) = (direction_text(row.direction), i64::from(row.claimed));
            (seq, lane, direction, session, idem, room_id, op, source, memory, state, attempts, last_error, at)
        })
        .collect();
    to.add(&INSERT, &rows)
}

pub(super) fn delete(seqs: &[[i64; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, seqs)
}

pub(super) fn claim(seqs: &[[i64; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&CLAIM, seqs)
}

pub(super) fn release(rows: &[&(i64, u32, String)], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&RELEASE, rows)
}

pub(super) fn rewrite(rows: &[&(i64, String, Option<String>)], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&REWRITE, rows)
}

pub(super) fn move_to(rows: &[&(i64, String)], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&MOVE, rows)
}

pub(super) fn withdraw(gone: &[&Withdrawal], to: &mut Statements) -> Result<(), SqlError> {
    let rows = gone.iter().map(|gone| match &gone.lanes {
        Standing::Only(lane) => (Some(lane), None, &gone.source),
        Standing::From(prefix) => (None, Some(prefix), &gone.source),
    });
    to.add(&WITHDRAW, &rows.collect::<Vec<_>>())
}

pub(super) fn follow(rows: &[&(String, String)], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&FOLLOW, rows)
}

/// A row of the table.
pub(super) fn read(row: &Row) -> Result<OutboxRow, SqlError> {
    Ok(OutboxRow {
        seq: row.int(0)?,
        lane: row.text(1)?,
        direction: direction(&row.text(2)?),
        session: row.text(3)?,
        idem: row.text(4)?,
        room_id: row.text(5)?,
        op: row.text(6)?,
        source: row.opt_text(7)?,
        memory: row.opt_text(8)?,
        claimed: row.int(9)? != 0,
        attempts: u32::try_from(row.int(10)?).unwrap_or(u32::MAX),
        last_error: row.opt_text(11)?,
        at: row.int(12)?,
        fresh: false,
    })
}

impl Store {
    /// In which lane the row with this key waits, if it does.
    pub(crate) async fn outbox_lane(&self, idem: &str) -> Result<Option<String>, SqlError> {
        let row = self.db.fetch_optional("SELECT lane FROM outbox WHERE idem = $1", &[Value::from(idem)]).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Whether a row is there still.
    pub(crate) async fn outbox_holds(&self, seq: i64) -> Result<bool, SqlError> {
        let row = self.db.fetch_optional("SELECT seq FROM outbox WHERE seq = $1", &[Value::from(seq)]).await?;
        Ok(row.is_some())
    }

    /// How many rows stand in a lane towards the network.
    pub(crate) async fn outbox_count(&self, lane: &str) -> Result<usize, SqlError> {
        let count = "SELECT COUNT(*) FROM outbox WHERE direction = 'to_remote' AND lane = $1";
        let row = self.db.fetch_optional(count, &[Value::from(lane)]).await?;
        Ok(row.map(|row| row.int(0)).transpose()?.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
    }

    /// Reads on in a lane, behind `after`.
    pub(crate) async fn outbox_of(
        &self,
        way: Direction,
        lane: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<OutboxRow>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT seq, lane, direction, session, idem, room_id, op, source, memory, state, attempts, last_error, at \
                 FROM outbox WHERE direction = $1 AND lane = $2 AND seq > $3 ORDER BY seq LIMIT $4",
                &[Value::from(direction_text(way)), Value::from(lane), Value::from(after), Value::from(limit)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// The lanes that have something to say, each with its newest place in the order.
    pub(crate) async fn outbox_lanes(&self, way: Direction) -> Result<Vec<(String, i64)>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT lane, MAX(seq) FROM outbox WHERE direction = $1 GROUP BY lane",
                &[Value::from(direction_text(way))],
            )
            .await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
    }

    /// How many rows the outbox holds, and when the cause of the oldest was heard.
    pub(crate) async fn outbox_backlog(&self) -> Result<(i64, Option<i64>), SqlError> {
        let row = self.db.fetch_optional("SELECT COUNT(*), MIN(at) FROM outbox", &[]).await?;
        row.map_or(Ok((0, None)), |row| Ok((row.int(0)?, row.opt_int(1)?)))
    }
}

impl OutboxRow {
    /// What to remember once it is delivered under `name`: an event id towards Matrix, a remote id towards the network.
    pub(crate) fn to_remember(&self, name: Option<&str>) -> Option<super::MessageRow> {
        let mut memory: super::Memory = serde_json::from_str(self.memory.as_deref()?).ok()?;
        let event_id = match self.direction {
            Direction::ToMatrix => name?.to_owned(),
            Direction::ToRemote => {
                if let Some(name) = name {
                    memory.remote_id = Some(name.to_owned());
                }
                self.source.clone()?
            }
        };
        Some(super::MessageRow { event_id, room_id: self.room_id.clone(), memory, at: self.at })
    }
}
