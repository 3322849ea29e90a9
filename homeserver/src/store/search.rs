//! The tables `search_text` and `search_cursor`: the one place where the two engines have nothing in common, for each searches texts in
//! its own way.

use landbridge_sql::{Db, SqlError, Value};

use super::statement::{Statement, statement};
use crate::rooms::EventNid;

/// How far the log was read.
pub(crate) async fn cursor(db: &Db) -> Result<i64, SqlError> {
    let row = db.fetch_optional("SELECT pos FROM search_cursor WHERE one = 1", &[]).await?;
    row.map_or(Ok(0), |row| row.int(0))
}

pub(crate) fn moved(pos: i64) -> Statement {
    statement!(
        "INSERT INTO search_cursor (one, pos) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET pos = excluded.pos",
        pos
    )
}

pub(crate) fn insert(db: &Db, nid: EventNid, text: &str) -> Statement {
    match db {
        Db::Sqlite { .. } => statement!("INSERT INTO search_text (rowid, words) VALUES ($1, $2)", nid.0, text),
        Db::Postgres(_) => statement!(
            "INSERT INTO search_text (nid, words) VALUES ($1, to_tsvector('simple', $2)) ON CONFLICT (nid) DO NOTHING",
            nid.0,
            text
        ),
    }
}

/// In which order events are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Newest first.
    Recent,
    /// Those that fit best first.
    Rank,
}

macro_rules! sqlite {
    ($what:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM search_text s JOIN event e ON e.nid = s.rowid JOIN room r ON r.nid = e.room ",
            "WHERE search_text MATCH $1 AND e.redacted_by IS NULL AND r.room_id IN (SELECT value FROM json_each($2)) ",
            $rest
        )
    };
}

macro_rules! postgres {
    ($what:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM search_text s JOIN event e ON e.nid = s.nid JOIN room r ON r.nid = e.room ",
            "WHERE s.words @@ plainto_tsquery('simple', $1) AND e.redacted_by IS NULL ",
            "AND r.room_id IN (SELECT value FROM json_array_elements_text($2::json)) ",
            $rest
        )
    };
}

/// The events that hold all of these words, in some rooms: `limit` of them after the first `skip`.
pub(crate) async fn find(
    db: &Db,
    words: &[String],
    rooms: &str,
    order: Order,
    skip: i64,
    limit: i64,
) -> Result<Vec<EventNid>, SqlError> {
    let (quoted, plain) = (quoted(words), words.join(" "));
    let with = |text| [Value::Text(Some(text)), Value::from(rooms), Value::from(limit), Value::from(skip)];
    let rows = match (db, order) {
        (Db::Sqlite { .. }, Order::Recent) => {
            db.fetch_all(sqlite!("e.nid", "ORDER BY s.rowid DESC LIMIT $3 OFFSET $4"), &with(&quoted)).await?
        }
        (Db::Sqlite { .. }, Order::Rank) => {
            db.fetch_all(sqlite!("e.nid", "ORDER BY s.rank, s.rowid DESC LIMIT $3 OFFSET $4"), &with(&quoted)).await?
        }
        (Db::Postgres(_), Order::Recent) => {
            db.fetch_all(postgres!("e.nid", "ORDER BY s.nid DESC LIMIT $3 OFFSET $4"), &with(&plain)).await?
        }
        (Db::Postgres(_), Order::Rank) => {
            let sql = postgres!(
                "e.nid",
                "ORDER BY ts_rank(s.words, plainto_tsquery('simple', $1)) DESC, s.nid DESC LIMIT $3 OFFSET $4"
            );
            db.fetch_all(sql, &with(&plain)).await?
        }
    };
    rows.iter().map(|row| Ok(EventNid(row.int(0)?))).collect()
}

/// How many events hold all of these words, as far as `most`.
pub(crate) async fn count(db: &Db, words: &[String], rooms: &str, most: i64) -> Result<i64, SqlError> {
    let (quoted, plain) = (quoted(words), words.join(" "));
    let with = |text| [Value::Text(Some(text)), Value::from(rooms), Value::from(most)];
    let row = match db {
        Db::Sqlite { .. } => {
            let sql = concat!("SELECT COUNT(*) FROM (", sqlite!("1", "LIMIT $3"), ")");
            db.fetch_optional(sql, &with(&quoted)).await?
        }
        Db::Postgres(_) => {
            let sql = concat!("SELECT COUNT(*) FROM (", postgres!("1", "LIMIT $3"), ") AS found");
            db.fetch_optional(sql, &with(&plain)).await?
        }
    };
    row.map_or(Ok(0), |row| row.int(0))
}

/// The words as SQLite's query language takes them: in quotation marks nothing of them means anything.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("\"{}\"", word.replace('"', ""));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
