//! `job`: what takes several steps and must be finished after a restart.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Statements};

use super::Store;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobRow {
    /// Its name: one job of a name at a time.
    pub(crate) name: String,
    /// What to do, as JSON.
    pub(crate) data: String,
    /// Since when.
    pub(crate) at: i64,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO job (name, data, at) SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (name) DO UPDATE SET data = excluded.data",
    )
});
static DELETE: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM job WHERE name IN (SELECT value->>0 FROM {rows})"));

pub(super) fn insert(rows: &[&JobRow], to: &mut Statements) -> Result<(), SqlError> {
    for row in rows {
        to.add(&INSERT, &[(&row.name, &row.data, row.at)])?;
    }
    Ok(())
}

pub(super) fn delete(names: &[[&str; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, names)
}

impl Store {
    /// All jobs, oldest first.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobRow>, SqlError> {
        let rows = self.db.fetch_all("SELECT name, data, at FROM job ORDER BY at, name", &[]).await?;
        rows.iter().map(|row| Ok(JobRow { name: row.text(0)?, data: row.text(1)?, at: row.int(2)? })).collect()
    }
}
