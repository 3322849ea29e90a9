//! The table `report`.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::statement::{Statement, statement};

/// What a report is about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    pub(crate) room_id: Option<&'a str>,
    pub(crate) event_id: Option<&'a str>,
    pub(crate) user_id: Option<&'a str>,
}

pub(crate) fn insert(reporter: &str, about: About<'_>, reason: &str, at: i64) -> Statement {
    statement!(
        "INSERT INTO report (reporter, room_id, event_id, user_id, reason, reported_at) VALUES ($1, $2, $3, $4, $5, $6)",
        reporter,
        about.room_id,
        about.event_id,
        about.user_id,
        reason,
        at
    )
}

/// A row of `report`.
#[derive(Clone, Debug)]
pub(crate) struct ReportRow {
    pub(crate) id: i64,
    pub(crate) reporter: String,
    pub(crate) room_id: Option<String>,
    pub(crate) event_id: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) reason: String,
    pub(crate) reported_at: i64,
}

/// The reports after one, the oldest first.
pub(crate) async fn page(db: &Db, after: i64, limit: i64) -> Result<Vec<ReportRow>, SqlError> {
    let sql = "SELECT id, reporter, room_id, event_id, user_id, reason, reported_at FROM report \
               WHERE id > $1 ORDER BY id LIMIT $2";
    db.fetch_all(sql, &[Value::from(after), Value::from(limit)]).await?.iter().map(report).collect()
}

fn report(row: &Row) -> Result<ReportRow, SqlError> {
    Ok(ReportRow {
        id: row.int(0)?,
        reporter: row.text(1)?,
        room_id: row.opt_text(2)?,
        event_id: row.opt_text(3)?,
        user_id: row.opt_text(4)?,
        reason: row.text(5)?,
        reported_at: row.int(6)?,
    })
}

pub(crate) fn delete(id: i64) -> Statement {
    statement!("DELETE FROM report WHERE id = $1", id)
}
