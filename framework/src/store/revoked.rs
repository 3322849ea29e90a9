//! `revoked_media`: files whose links were taken back.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Statements, Tx, Value};

use super::Store;

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO revoked_media (mxc, at) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (mxc) DO NOTHING",
    )
});

static FILES: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("SELECT media FROM message WHERE media IS NOT NULL AND event_id IN (SELECT value->>0 FROM {rows})")
});
static UNLINK: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("UPDATE message SET media = NULL WHERE event_id IN (SELECT value->>0 FROM {rows})"));
static INSERT_UNUSED: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO revoked_media (mxc, at) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} \
         WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.media = value->>0) ON CONFLICT (mxc) DO NOTHING",
    )
});

/// Takes back the links to the files of these events, unless another event brought the same file.
pub(super) async fn take_back(events: &[&(String, i64)], tx: &mut Tx<'_>) -> Result<(), SqlError> {
    let Some((_, at)) = events.last() else { return Ok(()) };
    let events: Vec<[&str; 1]> = events.iter().map(|(event_id, _)| [event_id.as_str()]).collect();
    let mut files = Vec::new();
    for row in tx.fetch_rows(&FILES, &events).await? {
        files.push((row.text(0)?, *at));
    }
    if files.is_empty() {
        return Ok(());
    }
    tx.execute_rows(&UNLINK, &events).await?;
    tx.execute_rows(&INSERT_UNUSED, &files).await.map(drop)
}

pub(super) fn insert(rows: &[&(String, i64)], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&INSERT, rows)
}

impl Store {
    /// Whether the links to a file were taken back.
    pub(crate) async fn is_revoked(&self, mxc: &str) -> Result<bool, SqlError> {
        let sql = "SELECT at FROM revoked_media WHERE mxc = $1";
        Ok(self.db.fetch_optional(sql, &[Value::from(mxc)]).await?.is_some())
    }
}
