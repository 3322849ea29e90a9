//! `note`: what a network notes for itself.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Statements, Value};

use super::Store;

/// A note. An empty text is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteRow {
    /// What it belongs to.
    pub(crate) topic: String,
    /// What it is called there.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
    /// Since when.
    pub(crate) at: i64,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO note (topic, name, text, at) SELECT value->>0, value->>1, value->>2, CAST(value->>3 AS BIGINT) FROM {rows} \
         WHERE true ON CONFLICT (topic, name) DO UPDATE SET text = excluded.text, at = excluded.at",
    )
});

/// One statement for each: a later note of the same name replaces the earlier one.
pub(super) fn insert(rows: &[&NoteRow], to: &mut Statements) -> Result<(), SqlError> {
    for row in rows {
        to.add(&INSERT, &[(&row.topic, &row.name, &row.text, row.at)])?;
    }
    Ok(())
}

impl Store {
    /// The notes of a topic: their names, and what they say.
    pub(crate) async fn notes(&self, topic: &str) -> Result<Vec<(String, String)>, SqlError> {
        let sql = "SELECT name, text FROM note WHERE topic = $1 AND text <> '' ORDER BY name";
        let rows = self.db.fetch_all(sql, &[Value::from(topic)]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
    }

    /// One note.
    pub(crate) async fn note(&self, topic: &str, name: &str) -> Result<Option<String>, SqlError> {
        let sql = "SELECT text FROM note WHERE topic = $1 AND name = $2 AND text <> ''";
        let row = self.db.fetch_optional(sql, &[Value::from(topic), Value::from(name)]).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Forgets notes from before `before`, at most `limit`, the oldest first; says how many.
    pub(crate) async fn forget_notes(&self, before: i64, limit: i64) -> Result<u64, SqlError> {
        let mut tx = self.db.begin().await?;
        let sql =
            "DELETE FROM note WHERE (topic, name) IN (SELECT topic, name FROM note WHERE at < $1 ORDER BY at LIMIT $2)";
        let gone = tx.execute(sql, &[Value::from(before), Value::from(limit)]).await?;
        tx.commit().await?;
        Ok(gone)
    }
}
