//! `virtual_user`: who is registered, and the profile they were given.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Statements, Value};

use super::Store;

/// A virtual user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserRow {
    /// The remote user.
    pub(crate) remote: String,
    /// The display name that was set last.
    pub(crate) name: Option<String>,
    /// The picture that was set last.
    pub(crate) avatar: Option<String>,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO virtual_user (remote, name, avatar) SELECT value->>0, value->>1, value->>2 FROM {rows} WHERE true \
         ON CONFLICT (remote) DO UPDATE SET name = excluded.name, avatar = excluded.avatar",
    )
});

pub(super) fn insert(rows: &[&UserRow], to: &mut Statements) -> Result<(), SqlError> {
    // Newest last wins, and one statement may not touch a row twice.
    let mut newest = std::collections::BTreeMap::new();
    for row in rows {
        newest.insert(&row.remote, (&row.name, &row.avatar));
    }
    let rows: Vec<_> = newest.into_iter().map(|(remote, (name, avatar))| (remote, name, avatar)).collect();
    to.add(&INSERT, &rows)
}

impl Store {
    /// A virtual user, if registered.
    pub(crate) async fn user(&self, remote: &str) -> Result<Option<UserRow>, SqlError> {
        let row = self
            .db
            .fetch_optional("SELECT remote, name, avatar FROM virtual_user WHERE remote = $1", &[Value::from(remote)])
            .await?;
        row.map(|row| Ok(UserRow { remote: row.text(0)?, name: row.opt_text(1)?, avatar: row.opt_text(2)? }))
            .transpose()
    }
}
