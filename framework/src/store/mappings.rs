//! `room_mapping`: which Matrix room is which remote room.

use std::{collections::BTreeMap, sync::LazyLock};

use landbridge_sql::{BatchSql, SqlError, Statements};

use super::Store;

/// One pair of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MappingRow {
    /// The Matrix room.
    pub(crate) room_id: String,
    /// The remote room.
    pub(crate) remote: String,
    /// `portal`, `plumbed` or `direct`.
    pub(crate) kind: String,
    /// The Matrix user whose private conversation it is.
    pub(crate) owner: Option<String>,
    /// Since when.
    pub(crate) at: i64,
    /// Whether its owner is not there any more.
    pub(crate) deserted: bool,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO room_mapping (room_id, remote, kind, owner, at, deserted) \
         SELECT value->>0, value->>1, value->>2, value->>3, CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (room_id) DO UPDATE SET remote = excluded.remote, kind = excluded.kind, owner = excluded.owner, \
         at = excluded.at, deserted = excluded.deserted",
    )
});
static DESERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE room_mapping SET deserted = r.deserted FROM (SELECT value->>0 AS room, CAST(value->>1 AS BIGINT) AS deserted \
         FROM {rows}) AS r WHERE room_mapping.room_id = r.room",
    )
});
static DELETE: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM room_mapping WHERE room_id IN (SELECT value->>0 FROM {rows})"));

pub(super) fn insert(rows: &[&MappingRow], to: &mut Statements) -> Result<(), SqlError> {
    for row in rows {
        to.add(&INSERT, &[(&row.room_id, &row.remote, &row.kind, &row.owner, row.at, i64::from(row.deserted))])?;
    }
    Ok(())
}

pub(super) fn desert(rows: &[&(String, bool)], to: &mut Statements) -> Result<(), SqlError> {
    // The last word on each room: a statement does not see what another of the same commit did to a row.
    let last: BTreeMap<&str, i64> =
        rows.iter().map(|(room_id, deserted)| (room_id.as_str(), i64::from(*deserted))).collect();
    to.add(&DESERT, &last.into_iter().collect::<Vec<_>>())
}

pub(super) fn delete(rooms: &[[&str; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, rooms)
}

impl Store {
    /// All pairs, oldest first.
    pub(crate) async fn mappings(&self) -> Result<Vec<MappingRow>, SqlError> {
        let rows = self
            .db
            .fetch_all("SELECT room_id, remote, kind, owner, at, deserted FROM room_mapping ORDER BY at, room_id", &[])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(MappingRow {
                    room_id: row.text(0)?,
                    remote: row.text(1)?,
                    kind: row.text(2)?,
                    owner: row.opt_text(3)?,
                    at: row.int(4)?,
                    deserted: row.int(5)? != 0,
                })
            })
            .collect()
    }
}
