//! `seen` and `cursor`: what was heard before.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use landbridge_sql::{BatchSql, SqlError, Tx, Value};

use super::Heard;

static FIND: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT mark FROM seen WHERE mark IN (SELECT value->>0 FROM {rows})"));
static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new("INSERT INTO seen (mark, at) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true")
});
static FIND_CURSOR: LazyLock<BatchSql> = LazyLock::new(|| {
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

/// Which rows of each `Heard` are new; marks and positions are remembered in the same transaction.
pub(super) async fn sift(heard: &[&Heard], tx: &mut Tx<'_>) -> Result<Vec<Vec<bool>>, SqlError> {
    let mut seen = known_marks(heard, tx).await?;
    let mut positions = known_positions(heard, tx).await?;
    let (mut marks, mut moved, mut verdicts) = (Vec::new(), HashMap::new(), Vec::with_capacity(heard.len()));
    for one in heard {
        let at = one.rows.first().map_or(0, |row| row.at);
        let mut verdict = vec![true; one.rows.len()];
        if let Some((stream, position)) = &one.cursor {
            let known = positions.entry(stream.as_str()).or_insert(i64::MIN);
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
    tx.execute_rows(&INSERT, &marks).await?;
    let moved: Vec<(&str, i64)> = moved.into_iter().collect();
    tx.execute_rows(&SET_CURSOR, &moved).await?;
    let mut reached: HashMap<&str, i64> = HashMap::new();
    for (stream, position) in heard.iter().filter_map(|one| one.reached.as_ref()) {
        let known = reached.entry(stream.as_str()).or_insert(*position);
        *known = (*known).max(*position);
    }
    let reached: Vec<(&str, i64)> = reached.into_iter().collect();
    tx.execute_rows(&REACH, &reached).await?;
    Ok(verdicts)
}

async fn known_marks(heard: &[&Heard], tx: &mut Tx<'_>) -> Result<HashSet<String>, SqlError> {
    let marks: Vec<[&str; 1]> = heard
        .iter()
        .flat_map(|one| one.together.iter().map(String::as_str).chain(one.rows.iter().map(|row| row.mark.as_str())))
        .filter(|mark| !mark.is_empty())
        .map(|mark| [mark])
        .collect();
    tx.fetch_rows(&FIND, &marks).await?.iter().map(|row| row.text(0)).collect()
}

async fn known_positions<'a>(heard: &[&'a Heard], tx: &mut Tx<'_>) -> Result<HashMap<&'a str, i64>, SqlError> {
    let streams: Vec<[&'a str; 1]> =
        heard.iter().filter_map(|one| one.cursor.as_ref()).map(|(stream, _)| [stream.as_str()]).collect();
    let mut positions = HashMap::new();
    for row in tx.fetch_rows(&FIND_CURSOR, &streams).await? {
        let stream = row.text(0)?;
        if let Some([known]) = streams.iter().find(|[known]| *known == stream) {
            positions.insert(*known, row.int(1)?);
        }
    }
    Ok(positions)
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
