//! `dead_letter`: what could not be delivered.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Db, Row, SqlError, Statements, Value};

use super::{
    inbox::{direction, direction_text},
    outbox::OutboxRow,
};
use crate::{
    bridge::dead_letters::{DeadLetter, Stage},
    clock::Millis,
    network::Direction,
};

/// Something to park. Its number is the place in the order that its row had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetterRow {
    /// The `seq` of the row.
    pub(crate) number: i64,
    /// Its lane.
    pub(crate) lane: String,
    /// Which way it went.
    pub(crate) direction: Direction,
    /// At which step it failed.
    pub(crate) stage: Stage,
    /// The row, as JSON.
    pub(crate) input: String,
    /// Why.
    pub(crate) error: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was parked.
    pub(crate) at: i64,
}

impl DeadLetterRow {
    /// What was not delivered.
    pub(crate) fn undelivered(row: &OutboxRow, error: String, attempts: u32, at: Millis) -> Self {
        Self {
            number: row.seq,
            lane: row.lane.clone(),
            direction: row.direction,
            stage: Stage::Deliver,
            input: serde_json::to_string(row).unwrap_or_default(),
            error,
            attempts,
            at: at.0,
        }
    }
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO dead_letter (number, lane, direction, stage, input, error, attempts, at, retry) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, value->>3, value->>4, value->>5, CAST(value->>6 AS BIGINT), \
         CAST(value->>7 AS BIGINT), 0 FROM {rows} WHERE true ON CONFLICT (number) DO NOTHING",
    )
});
static DELETE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("DELETE FROM dead_letter WHERE number IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})")
});

fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Convert => "convert",
        Stage::Deliver => "deliver",
    }
}

pub(super) fn insert(rows: &[&DeadLetterRow], to: &mut Statements) -> Result<(), SqlError> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let DeadLetterRow { number, lane, input, error, attempts, at, .. } = row;
            (number, lane, direction_text(row.direction), stage_text(row.stage), input, error, attempts, at)
        })
        .collect();
    to.add(&INSERT, &rows)
}

pub(super) fn delete(numbers: &[[i64; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, numbers)
}

fn read(row: &Row) -> Result<DeadLetter, SqlError> {
    Ok(DeadLetter {
        id: row.int(0)?,
        lane: row.text(1)?,
        direction: direction(&row.text(2)?),
        stage: if row.text(3)? == "convert" { Stage::Convert } else { Stage::Deliver },
        input: row.text(4)?,
        error: row.text(5)?,
        attempts: u32::try_from(row.int(6)?).unwrap_or(u32::MAX),
        at: Millis(row.int(7)?),
    })
}

/// All dead letters, oldest first; at most `limit`.
pub(crate) async fn list(db: &Db, limit: i64) -> Result<Vec<DeadLetter>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT number, lane, direction, stage, input, error, attempts, at FROM dead_letter WHERE retry = 0 \
             ORDER BY number LIMIT $1",
            &[Value::from(limit)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// One dead letter.
pub(crate) async fn show(db: &Db, number: i64) -> Result<Option<DeadLetter>, SqlError> {
    let row = db
        .fetch_optional(
            "SELECT number, lane, direction, stage, input, error, attempts, at FROM dead_letter WHERE number = $1 AND retry = 0",
            &[Value::from(number)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Marks a dead letter, or all, to be tried again by the bridge that runs, or runs next. Says how many.
pub(crate) async fn retry(db: &Db, number: Option<i64>) -> Result<u64, SqlError> {
    let mut tx = db.begin().await?;
    let sql = "UPDATE dead_letter SET retry = 1 WHERE retry = 0 AND ($1 IS NULL OR number = $1)";
    let count = tx.execute(sql, &[Value::Int(number)]).await?;
    tx.commit().await?;
    Ok(count)
}

/// Forgets a dead letter, or all. Says how many.
pub(crate) async fn drop(db: &Db, number: Option<i64>) -> Result<u64, SqlError> {
    let mut tx = db.begin().await?;
    let sql = "DELETE FROM dead_letter WHERE retry = 0 AND ($1 IS NULL OR number = $1)";
    let count = tx.execute(sql, &[Value::Int(number)]).await?;
    tx.commit().await?;
    Ok(count)
}

impl super::Store {
    /// The dead letters that somebody wants to be tried again.
    pub(crate) async fn dead_letters_to_retry(&self) -> Result<Vec<DeadLetter>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT number, lane, direction, stage, input, error, attempts, at FROM dead_letter WHERE retry = 1 \
                 ORDER BY number LIMIT 100",
                &[],
            )
            .await?;
        rows.iter().map(read).collect()
    }
}
