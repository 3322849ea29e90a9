//! The tables `search_text`, `search_cursor` and `search_history`: the one place where the two engines have nothing in common, for each searches texts in
//! its own way.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Db, SqlError, Value};
use ruma::events::TimelineEventType;

use super::statement::{Statement, statement};
use crate::rooms::{Event, EventNid, RoomNid};

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

/// Down to which place the history of a room was read; 0: not at all.
pub(crate) async fn history_cursor(db: &Db, room: RoomNid) -> Result<i64, SqlError> {
    let row = db.fetch_optional("SELECT pos FROM search_history WHERE room = $1", &[Value::from(room.0)]).await?;
    row.map_or(Ok(0), |row| row.int(0))
}

pub(crate) fn history_moved(room: RoomNid, pos: i64) -> Statement {
    statement!(
        "INSERT INTO search_history (room, pos) VALUES ($1, $2) ON CONFLICT (room) DO UPDATE SET pos = excluded.pos",
        room.0,
        pos
    )
}

/// The rooms whose history was not read to its beginning.
pub(crate) async fn rooms_behind(db: &Db) -> Result<Vec<RoomNid>, SqlError> {
    let sql = "SELECT h.room FROM room_history h LEFT JOIN search_history s ON s.room = h.room \
               WHERE EXISTS (SELECT 1 FROM event e WHERE e.room = h.room AND e.position < COALESCE(s.pos, 0))";
    let rows = db.fetch_all(sql, &[]).await?;
    rows.iter().map(|row| Ok(RoomNid(row.int(0)?))).collect()
}

static INSERT_SQLITE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO search_text (rowid, words) SELECT CAST(value->>0 AS BIGINT), value->>1 FROM {rows} \
         WHERE EXISTS (SELECT 1 FROM event WHERE nid = CAST(value->>0 AS BIGINT) AND redacted_by IS NULL)",
    )
});

static INSERT_POSTGRES: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO search_text (nid, words) SELECT CAST(value->>0 AS BIGINT), to_tsvector('simple', value->>1) FROM {rows} \
         WHERE EXISTS (SELECT 1 FROM event WHERE nid = CAST(value->>0 AS BIGINT) AND redacted_by IS NULL) \
         ON CONFLICT (nid) DO NOTHING",
    )
});

/// Adds the words of those events that have any, and that are still there when this is written.
///
/// # Errors
/// Where there is no JSON form of a text.
pub(crate) fn insert<'a>(db: &Db, events: impl Iterator<Item = &'a Event>) -> Result<Option<Statement>, SqlError> {
    let sql = match db {
        Db::Sqlite { .. } => &INSERT_SQLITE,
        Db::Postgres(_) => &INSERT_POSTGRES,
    };
    let rows: Vec<(i64, String)> = events.filter_map(|event| Some((event.nid.0, text_of(event)?))).collect();
    if rows.is_empty() { Ok(None) } else { Statement::rows(sql, &rows).map(Some) }
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
    /// Newest first, of what is in the log.
    Recent,
    /// Newest first, of what is in the histories of rooms; all of it is older than what is in the log.
    RecentHistory,
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
            let sql = sqlite!("e.nid", "AND e.position > 0 ORDER BY s.rowid DESC LIMIT $3 OFFSET $4");
            db.fetch_all(sql, &with(&quoted)).await?
        }
        (Db::Sqlite { .. }, Order::RecentHistory) => {
            let sql = sqlite!("e.nid", "AND e.position < 0 ORDER BY e.position DESC LIMIT $3 OFFSET $4");
            db.fetch_all(sql, &with(&quoted)).await?
        }
        (Db::Sqlite { .. }, Order::Rank) => {
            db.fetch_all(sqlite!("e.nid", "ORDER BY s.rank, s.rowid DESC LIMIT $3 OFFSET $4"), &with(&quoted)).await?
        }
        (Db::Postgres(_), Order::Recent) => {
            let sql = postgres!("e.nid", "AND e.position > 0 ORDER BY s.nid DESC LIMIT $3 OFFSET $4");
            db.fetch_all(sql, &with(&plain)).await?
        }
        (Db::Postgres(_), Order::RecentHistory) => {
            let sql = postgres!("e.nid", "AND e.position < 0 ORDER BY e.position DESC LIMIT $3 OFFSET $4");
            db.fetch_all(sql, &with(&plain)).await?
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

/// The words as SQLite's query language takes them: in quotation marks nothing of them means anything.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("\"{}\"", word.replace('"', ""));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
