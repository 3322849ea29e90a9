//! `picture`: which content of the network's is stored where in Matrix.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Statements, Value};

use super::Store;

/// A picture that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PictureRow {
    /// The network's hash of its content.
    pub(crate) hash: String,
    /// Where Matrix has it.
    pub(crate) mxc: String,
    /// Since when.
    pub(crate) at: i64,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO picture (hash, mxc, at) SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (hash) DO NOTHING",
    )
});

pub(super) fn insert(rows: &[&PictureRow], to: &mut Statements) -> Result<(), SqlError> {
    let rows: Vec<_> = rows.iter().map(|row| (&row.hash, &row.mxc, row.at)).collect();
    to.add(&INSERT, &rows)
}

impl Store {
    /// Where Matrix has a picture, if it has it.
    pub(crate) async fn picture(&self, hash: &str) -> Result<Option<String>, SqlError> {
        let row = self.db.fetch_optional("SELECT mxc FROM picture WHERE hash = $1", &[Value::from(hash)]).await?;
        row.map(|row| row.text(0)).transpose()
    }
}
