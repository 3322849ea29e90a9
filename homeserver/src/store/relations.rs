//! The table `relation`: which events relate to which.

use std::{
    collections::HashSet,
    sync::{LazyLock, atomic::AtomicBool, atomic::Ordering},
};

use landbridge_sql::{BatchSql, SqlError, Value};
use parking_lot::RwLock;
use ruma::{EventId, OwnedEventId, UserId};

use super::Store;
use crate::{
    rooms::{Event, EventNid, RoomNid},
    stream::Position,
};

/// A row: room, target, position, child, relation type, event type, sender.
pub(super) type Row<'a> = (i64, OwnedEventId, i64, i64, String, String, &'a str);

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO relation (room, target, position, child, rel_type, type, sender) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT), value->>4, \
         value->>5, value->>6 FROM {rows} WHERE true",
    )
});

/// The row of an event at a place in the log, if it relates to another.
pub(super) fn row(event: &Event, position: i64) -> Option<Row<'_>> {
    let relation = event.relation()?;
    let kind = event.kind.to_string();
    if kind.contains('\0') {
        return None;
    }
    Some((event.room.0, relation.event_id, position, event.nid.0, relation.rel_type, kind, event.sender.as_str()))
}

/// How many targets of relations are kept in memory; beyond that the table is asked for every event.
const RELATED: usize = 100_000;

/// Which events were related to since the start: of those that came after it, all others need not be asked for.
#[derive(Debug)]
pub(super) struct RelatedEvents {
    since: Position,
    targets: RwLock<HashSet<OwnedEventId>>,
    full: AtomicBool,
}

impl RelatedEvents {
    pub(super) fn since(since: Position) -> Self {
        Self { since, targets: RwLock::default(), full: AtomicBool::new(false) }
    }

    pub(super) fn insert(&self, target: OwnedEventId) {
        if self.full.load(Ordering::Relaxed) {
            return;
        }
        let mut targets = self.targets.write();
        if targets.len() >= RELATED {
            self.full.store(true, Ordering::Relaxed);
            *targets = HashSet::new();
        } else {
            targets.insert(target);
        }
    }

    fn may_have(&self, event: &Event) -> bool {
        self.full.load(Ordering::Relaxed)
            || event.position() <= self.since
            || self.targets.read().contains(&event.event_id)
    }
}

/// How many events relate to one in one way.
#[derive(Debug, Clone)]
pub(crate) struct RelationCount {
    pub(crate) target: OwnedEventId,
    pub(crate) rel_type: String,
    pub(crate) count: i64,
}

/// Which events that relate to another are wanted.
#[derive(Debug, Clone)]
pub(crate) struct ChildrenOf<'a> {
    pub(crate) rel_type: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    /// After this place in the log.
    pub(crate) after: i64,
    /// Up to and including this one.
    pub(crate) up_to: i64,
    /// How deep to look: 1 for those that relate to the event itself.
    pub(crate) depth: i64,
    pub(crate) limit: i64,
}

macro_rules! children {
    ($order:literal) => {
        concat!(
            "WITH RECURSIVE tree (child, position, rel_type, type, depth) AS (",
            "SELECT child, position, rel_type, type, CAST(1 AS BIGINT) FROM relation WHERE room = $1 AND target = $2 ",
            "UNION SELECT r.child, r.position, r.rel_type, r.type, t.depth + 1 FROM tree t ",
            "JOIN event e ON e.nid = t.child JOIN relation r ON r.room = $1 AND r.target = e.event_id WHERE t.depth < $3) ",
            "SELECT DISTINCT t.child, t.position FROM tree t JOIN event e ON e.nid = t.child ",
            "WHERE e.redacted_by IS NULL AND t.position > $4 AND t.position <= $5 ",
            "AND (CAST($6 AS TEXT) IS NULL OR t.rel_type = $6) AND (CAST($7 AS TEXT) IS NULL OR t.type = $7) ",
            "ORDER BY t.position ",
            $order,
            " LIMIT $8"
        )
    };
}

static COUNTS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "SELECT r.target, r.rel_type, COUNT(*) FROM (SELECT CAST(value->>0 AS BIGINT) AS room, value->>1 AS target FROM {rows}) w \
         JOIN relation r ON r.room = w.room AND r.target = w.target JOIN event e ON e.nid = r.child \
         WHERE e.redacted_by IS NULL GROUP BY r.target, r.rel_type",
    )
});

const BAD: SqlError = SqlError::Refused("a relation's row cannot be read");

impl Store {
    /// In which ways, and how often, others relate to these events. Costs nothing where it is known that none does.
    pub(crate) async fn relation_counts<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<Vec<RelationCount>, SqlError> {
        let asked: Vec<(i64, &str)> = events
            .filter(|event| self.log.related.may_have(event))
            .map(|event| (event.room.0, event.event_id.as_str()))
            .collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.db.fetch_rows(&COUNTS, &asked).await?;
        rows.iter()
            .map(|row| {
                let target = row.text(0)?.try_into().map_err(|_| BAD)?;
                Ok(RelationCount { target, rel_type: row.text(1)?, count: row.int(2)? })
            })
            .collect()
    }

    /// The events that relate to one, newest first or oldest first; redacted ones are left out.
    pub(crate) async fn children(
        &self,
        room: RoomNid,
        target: &EventId,
        wanted: &ChildrenOf<'_>,
        newest_first: bool,
    ) -> Result<Vec<EventNid>, SqlError> {
        let values = [
            Value::from(room.0),
            Value::from(target.as_str()),
            Value::from(wanted.depth),
            Value::from(wanted.after),
            Value::from(wanted.up_to.min(self.head().0)),
            Value::from(wanted.rel_type),
            Value::from(wanted.kind),
            Value::from(wanted.limit),
        ];
        let rows = if newest_first {
            self.db.fetch_all(children!("DESC"), &values).await?
        } else {
            self.db.fetch_all(children!("ASC"), &values).await?
        };
        rows.iter().map(|row| Ok(EventNid(row.int(0)?))).collect()
    }

    /// The reactions of a user to an event.
    pub(crate) async fn annotations(
        &self,
        room: RoomNid,
        target: &EventId,
        user: &UserId,
    ) -> Result<Vec<EventNid>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT r.child FROM relation r JOIN event e ON e.nid = r.child WHERE r.room = $1 AND r.target = $2 \
                 AND r.rel_type = 'm.annotation' AND r.sender = $3 AND e.redacted_by IS NULL",
                &[Value::from(room.0), Value::from(target.as_str()), Value::from(user.as_str())],
            )
            .await?;
        rows.iter().map(|row| Ok(EventNid(row.int(0)?))).collect()
    }

    /// How many events of each sender are in a thread.
    pub(crate) async fn thread_senders(
        &self,
        room: RoomNid,
        root: &EventId,
    ) -> Result<Vec<(ruma::OwnedUserId, i64)>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT r.sender, COUNT(*) FROM relation r JOIN event e ON e.nid = r.child WHERE r.room = $1 AND r.target = $2 \
                 AND r.rel_type = 'm.thread' AND e.redacted_by IS NULL GROUP BY r.sender",
                &[Value::from(room.0), Value::from(root.as_str())],
            )
            .await?;
        rows.iter().map(|row| Ok((row.text(0)?.try_into().map_err(|_| BAD)?, row.int(1)?))).collect()
    }

    /// The threads of a room whose last event is before a place in the log, those with the newest event first: the root and the
    /// place of the last event of each.
    pub(crate) async fn threads(
        &self,
        room: RoomNid,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(OwnedEventId, i64)>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT r.target, MAX(r.position) AS latest FROM relation r JOIN event e ON e.nid = r.child \
                 WHERE r.room = $1 AND r.rel_type = 'm.thread' AND e.redacted_by IS NULL \
                 GROUP BY r.target HAVING MAX(r.position) < $2 ORDER BY latest DESC LIMIT $3",
                &[Value::from(room.0), Value::from(before), Value::from(limit)],
            )
            .await?;
        rows.iter().map(|row| Ok((row.text(0)?.try_into().map_err(|_| BAD)?, row.int(1)?))).collect()
    }
}
