//! `seen` and `cursor`: what was heard before, and which places in the order may be in use.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use landbridge_sql::{BatchSql, SqlError, Statements, Value};

use super::Heard;

/// Those of some marks that were seen before.
pub(super) static FIND: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT mark FROM seen WHERE mark IN (SELECT value->>0 FROM {rows})"));
static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("INSERT INTO seen (mark, at) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true")
});
/// How far some streams were heard.
pub(super) static FIND_CURSOR: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("SELECT stream, position FROM cursor WHERE stream IN (SELECT value->>0 FROM {rows})")
});
static SET_CURSOR: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO cursor (stream, position) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (stream) DO UPDATE SET position = excluded.position",
    )
});

static REACH: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO cursor (stream, position) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (stream) DO UPDATE SET position = \
         CASE WHEN excluded.position > cursor.position THEN excluded.position ELSE cursor.position END",
    )
});

/// The stream whose position is the first place in the order that is not reserved.
pub(super) const PLACES: &str = "\u{1f}places";

/// Reserves the places in the order that stand before `end`.
pub(super) fn reserve(end: i64, to: &mut Statements) -> Result<(), SqlError> {
    to.add(&REACH, &[(PLACES, end)])
}

/// The marks by which what was heard is recognised.
pub(super) fn marks<'a>(heard: &[&'a Heard]) -> Vec<[&'a str; 1]> {
    let marks = heard
        .iter()
        .flat_map(|one| one.together.iter().map(String::as_str).chain(one.rows.iter().map(|row| row.mark.as_str())));
    marks.filter(|mark| !mark.is_empty()).map(|mark| [mark]).collect()
}

/// The numbered streams of what was heard.
pub(super) fn streams<'a>(heard: &[&'a Heard]) -> Vec<[&'a str; 1]> {
    heard.iter().filter_map(|one| one.cursor.as_ref()).map(|(stream, _)| [stream.as_str()]).collect()
}

/// Which rows of each `Heard` are new; marks and positions are remembered in the same transaction. `seen` holds those of [`marks`] that
/// were seen before ([`FIND`]), `positions` how far [`streams`] were heard ([`FIND_CURSOR`]).
pub(super) fn sift(
    heard: &[&Heard],
    mut seen: HashSet<String>,
    mut positions: HashMap<String, i64>,
    to: &mut Statements,
) -> Result<Vec<Vec<bool>>, SqlError> {
    let (mut marks, mut moved, mut verdicts) = (Vec::new(), HashMap::new(), Vec::with_capacity(heard.len()));
    for one in heard {
        let at = one.rows.first().map_or(0, |row| row.at);
        let mut verdict = vec![true; one.rows.len()];
        if let Some((stream, position)) = &one.cursor {
            let known = positions.entry(stream.clone()).or_insert(i64::MIN);
            if *position <= *known {
                verdict.fill(false);
            } else {
                *known = *position;
                moved.insert(stream.as_str(), *position);
            }
        }
        if let Some(together) = &one.together {
            if seen.insert(together.clone()) {
                marks.push((together.as_str(), at));
            } else {
                verdict.fill(false);
            }
        }
        for (row, new) in one.rows.iter().zip(&mut verdict) {
            if *new && !row.mark.is_empty() {
                *new = seen.insert(row.mark.clone());
                if *new {
                    marks.push((row.mark.as_str(), row.at));
                }
            }
        }
        verdicts.push(verdict);
    }
    to.add(&INSERT, &marks)?;
    let moved: Vec<(&str, i64)> = moved.into_iter().collect();
    to.add(&SET_CURSOR, &moved)?;
    let mut reached: HashMap<&str, i64> = HashMap::new();
    for (stream, position) in heard.iter().filter_map(|one| one.reached.as_ref()) {
        let known = reached.entry(stream.as_str()).or_insert(*position);
        *known = (*known).max(*position);
    }
    let reached: Vec<(&str, i64)> = reached.into_iter().collect();
    to.add(&REACH, &reached)?;
    Ok(verdicts)
}

impl super::Store {
    /// How far a stream was heard.
    pub(crate) async fn position(&self, stream: &str) -> Result<Option<i64>, SqlError> {
        let row =
            self.db.fetch_optional("SELECT position FROM cursor WHERE stream = $1", &[Value::from(stream)]).await?;
        row.map(|row| row.int(0)).transpose()
    }

    /// Forgets what was heard before `before`, at most `limit` marks; says how many.
    pub(crate) async fn forget_seen(&self, before: i64, limit: i64) -> Result<u64, SqlError> {
        let mut tx = self.db.begin().await?;
        let gone = tx
            .execute(
                "DELETE FROM seen WHERE mark IN (SELECT mark FROM seen WHERE at < $1 LIMIT $2)",
                &[Value::from(before), Value::from(limit)],
            )
            .await?;
        tx.commit().await?;
        Ok(gone)
    }
}
