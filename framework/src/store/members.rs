//! `member`: what virtual users should be in rooms, and what they are.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Statements};

use super::Store;

/// What a virtual user is in a room, or is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// In it.
    Joined,
    /// Not in it.
    #[default]
    Left,
    /// Kept out of it by the network, and so in Matrix, until the network lets them in again.
    Banned,
}

impl MemberState {
    fn word(self) -> &'static str {
        match self {
            Self::Joined => "join",
            Self::Left => "leave",
            Self::Banned => "ban",
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "join" => Self::Joined,
            "ban" => Self::Banned,
            _ => Self::Left,
        }
    }
}

/// A virtual user in a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberRow {
    /// The Matrix room.
    pub(crate) room_id: String,
    /// The remote user.
    pub(crate) remote: String,
    /// The name they go by.
    pub(crate) name: String,
    /// What they should be there.
    pub(crate) wanted: MemberState,
    /// Why they should not be in it.
    pub(crate) reason: Option<String>,
    /// What they are.
    pub(crate) actual: MemberState,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO member (room_id, remote, name, wanted, reason, actual) \
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM {rows} WHERE true \
         ON CONFLICT (room_id, remote) DO UPDATE SET name = excluded.name, wanted = excluded.wanted, reason = excluded.reason, \
         actual = excluded.actual",
    )
});
static DELETE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("DELETE FROM member WHERE (room_id, remote) IN (SELECT value->>0, value->>1 FROM {rows})")
});

pub(super) fn insert(rows: &[&MemberRow], to: &mut Statements) -> Result<(), SqlError> {
    let mut newest = std::collections::BTreeMap::new();
    for row in rows {
        newest.insert((&row.room_id, &row.remote), *row);
    }
    let rows: Vec<_> = newest
        .into_values()
        .map(|row| (&row.room_id, &row.remote, &row.name, row.wanted.word(), &row.reason, row.actual.word()))
        .collect();
    to.add(&INSERT, &rows)
}

pub(super) fn delete(rows: &[&(String, String)], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, rows)
}

impl Store {
    /// All virtual users in rooms.
    pub(crate) async fn members(&self) -> Result<Vec<MemberRow>, SqlError> {
        let rows = self.db.fetch_all("SELECT room_id, remote, name, wanted, reason, actual FROM member", &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(MemberRow {
                    room_id: row.text(0)?,
                    remote: row.text(1)?,
                    name: row.text(2)?,
                    wanted: MemberState::read(&row.text(3)?),
                    reason: row.opt_text(4)?,
                    actual: MemberState::read(&row.text(5)?),
                })
            })
            .collect()
    }
}
