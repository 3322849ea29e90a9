//! The tables `search_text` and `search_cursor`: the one place where the two engines have nothing in common, for each searches texts in
//! its own way.

use landbridge_sql::{Db, SqlError, Value};
use ruma::events::TimelineEventType;

use super::statement::{Statement, statement};
use crate::rooms::{Event, EventNid};

/// The most text of one event that is indexed, in bytes. With another limit the index has to be made anew: see [`remove`].
const MAX_TEXT: usize = 16 * 1024;

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

/// Adds the words of an event, if it has any, and if it is still there when this is written.
pub(crate) fn insert(db: &Db, event: &Event) -> Option<Statement> {
    let text = text_of(event)?;
    let sql = match db {
        Db::Sqlite { .. } => {
            "INSERT INTO search_text (rowid, words) SELECT $1, $2 \
             WHERE EXISTS (SELECT 1 FROM event WHERE nid = $1 AND redacted_by IS NULL)"
        }
        Db::Postgres(_) => {
            "INSERT INTO search_text (nid, words) SELECT $1, to_tsvector('simple', $2) \
             WHERE EXISTS (SELECT 1 FROM event WHERE nid = $1 AND redacted_by IS NULL) ON CONFLICT (nid) DO NOTHING"
        }
    };
    Some(statement!(sql, event.nid.0, text.as_str()))
}

/// Takes the words of an event away, if it has any. SQLite's index keeps no texts and finds what to take away by the words that were
/// added: they must be the same.
pub(crate) fn remove(db: &Db, event: &Event) -> Option<Statement> {
    let text = text_of(event)?;
    Some(match db {
        Db::Sqlite { .. } => statement!(
            "INSERT INTO search_text (search_text, rowid, words) SELECT 'delete', $1, $2 \
             WHERE EXISTS (SELECT 1 FROM search_text_docsize WHERE id = $1)",
            event.nid.0,
            text.as_str()
        ),
        Db::Postgres(_) => statement!("DELETE FROM search_text WHERE nid = $1", event.nid.0),
    })
}

/// The text of an event that is searched, whether it was taken back since or not.
fn text_of(event: &Event) -> Option<String> {
    let field = key_of(event)?;
    let content: serde_json::Value = serde_json::from_str(event.content.get()).ok()?;
    let text = content.get(field)?.as_str()?;
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|at| text.is_char_boundary(*at))?;
    text.get(..end).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The field of an event's content that is searched.
pub(crate) fn key_of(event: &Event) -> Option<&'static str> {
    match event.kind {
        TimelineEventType::RoomMessage => Some("body"),
        TimelineEventType::RoomName => Some("name"),
        TimelineEventType::RoomTopic => Some("topic"),
        _ => None,
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
