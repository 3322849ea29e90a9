//! `message`: which event is which remote message.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, Row, SqlError, Statements, Value};
use serde::{Deserialize, Serialize};

use super::Store;

/// What to remember of a message, besides its names on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Which part of its event, or of its remote message, it is.
    pub(crate) part: i64,
    /// The network's name for it, where that was known before.
    pub(crate) remote_id: Option<String>,
    /// Another name of the network's for it ([`RemoteId::also`](crate::network::RemoteId::also)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) also: Option<String>,
    /// The remote user who said it, where one did.
    pub(crate) author: Option<String>,
    /// The name its author goes by.
    pub(crate) author_name: String,
    /// The Matrix user who sent the event.
    pub(crate) sender: String,
    /// Its first words.
    pub(crate) excerpt: Option<String>,
    /// For a reaction: with what.
    pub(crate) reaction: Option<String>,
    /// For a reaction: to which event.
    pub(crate) target: Option<String>,
    /// The file that it brought to the network by a link.
    #[serde(default)]
    pub(crate) media: Option<String>,
}

/// A message as both sides know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRow {
    /// The event.
    pub(crate) event_id: String,
    /// The Matrix room.
    pub(crate) room_id: String,
    /// The rest.
    pub(crate) memory: Memory,
    /// When.
    pub(crate) at: i64,
}

static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO message (event_id, part, room_id, remote_id, author, author_name, sender, excerpt, reaction, target, media, at, also) \
         SELECT value->>0, CAST(value->>1 AS BIGINT), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
         value->>9, value->>10, CAST(value->>11 AS BIGINT), value->>12 FROM {rows} WHERE true ON CONFLICT (event_id, part) DO UPDATE SET \
         remote_id = COALESCE(message.remote_id, excluded.remote_id), also = COALESCE(message.also, excluded.also), \
         excerpt = COALESCE(excluded.excerpt, message.excerpt), media = COALESCE(excluded.media, message.media)",
    )
});

pub(super) fn insert(rows: &[&MessageRow], to: &mut Statements) -> Result<(), SqlError> {
    // One statement may not touch a row twice in PostgreSQL; an echo and a delivery can name the same message.
    let mut once = std::collections::HashMap::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        once.entry((row.event_id.as_str(), row.memory.part))
            .and_modify(|known: &mut usize| {
                if row.memory.remote_id.is_some() {
                    *known = place;
                }
            })
            .or_insert(place);
    }
    let rows: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(place, row)| once.get(&(row.event_id.as_str(), row.memory.part)) == Some(place))
        .map(|(_, row)| {
            let MessageRow { event_id, room_id, memory, at } = row;
            let Memory { part, remote_id, also, author, author_name, sender, excerpt, reaction, target, media } =
                memory;
            (
                event_id,
                part,
                room_id,
                remote_id,
                author,
                author_name,
                sender,
                excerpt,
                reaction,
                target,
                media,
                at,
                also,
            )
        })
        .collect();
    to.add(&INSERT, &rows)
}

static DELETE: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM message WHERE event_id IN (SELECT value->>0 FROM {rows})"));

/// Forgets events.
pub(super) fn delete(events: &[[&str; 1]], to: &mut Statements) -> Result<(), SqlError> {
    to.add(&DELETE, events)
}

fn read(row: &Row) -> Result<MessageRow, SqlError> {
    Ok(MessageRow {
        event_id: row.text(0)?,
        room_id: row.text(2)?,
        memory: Memory {
            part: row.int(1)?,
            remote_id: row.opt_text(3)?,
            also: row.opt_text(12)?,
            author: row.opt_text(4)?,
            author_name: row.text(5)?,
            sender: row.text(6)?,
            excerpt: row.opt_text(7)?,
            reaction: row.opt_text(8)?,
            target: row.opt_text(9)?,
            media: row.opt_text(10)?,
        },
        at: row.int(11)?,
    })
}

impl Store {
    /// The parts of an event that is in this room. An event of another room is not found, whoever refers to it.
    pub(crate) async fn message_by_event(&self, room_id: &str, event_id: &str) -> Result<Vec<MessageRow>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT event_id, part, room_id, remote_id, author, author_name, sender, excerpt, reaction, target, media, at, also \
                 FROM message WHERE event_id = $1 AND room_id = $2 ORDER BY part",
                &[Value::from(event_id), Value::from(room_id)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// The events that are a remote message in this room.
    pub(crate) async fn message_by_remote(&self, room_id: &str, remote_id: &str) -> Result<Vec<MessageRow>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT event_id, part, room_id, remote_id, author, author_name, sender, excerpt, reaction, target, media, at, also \
                 FROM message WHERE room_id = $1 AND (remote_id = $2 OR also = $2) ORDER BY at, part",
                &[Value::from(room_id), Value::from(remote_id)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// When the newest message was said behind which there are `most` newer ones; none where there are not so many.
    pub(crate) async fn message_behind(&self, most: u64) -> Result<Option<i64>, SqlError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = "SELECT at FROM message ORDER BY at DESC LIMIT 1 OFFSET $1";
        self.db.fetch_optional(sql, &[Value::from(most)]).await?.map(|row| row.int(0)).transpose()
    }

    /// Forgets messages from before `before`, at most `limit`, the oldest first; says how many.
    pub(crate) async fn forget_messages(&self, before: i64, limit: i64) -> Result<u64, SqlError> {
        let mut tx = self.db.begin().await?;
        let sql = "DELETE FROM message WHERE (event_id, part) IN \
                   (SELECT event_id, part FROM message WHERE at < $1 ORDER BY at LIMIT $2)";
        let gone = tx.execute(sql, &[Value::from(before), Value::from(limit)]).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// All reactions of a remote user to an event.
    pub(crate) async fn reactions(&self, target: &str, author: &str) -> Result<Vec<MessageRow>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT event_id, part, room_id, remote_id, author, author_name, sender, excerpt, reaction, target, media, at, also \
                 FROM message WHERE target = $1 AND author = $2 AND reaction IS NOT NULL ORDER BY at, event_id",
                &[Value::from(target), Value::from(author)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// The reaction of a remote user to an event.
    pub(crate) async fn reaction(
        &self,
        target: &str,
        author: &str,
        reaction: &str,
    ) -> Result<Option<MessageRow>, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT event_id, part, room_id, remote_id, author, author_name, sender, excerpt, reaction, target, media, at, also \
                 FROM message WHERE target = $1 AND author = $2 AND reaction = $3 ORDER BY at DESC LIMIT 1",
                &[Value::from(target), Value::from(author), Value::from(reaction)],
            )
            .await?;
        row.as_ref().map(read).transpose()
    }
}
