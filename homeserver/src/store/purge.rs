//! Forgetting what was said in a room before a place in the log.
//!
//! State stays, for everything later stands on it; so do events that something kept refers to: redactions of what stays, what
//! somebody has read up to, and the forward extremities.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use landbridge_sql::{BatchSql, Db, SqlError, Tx, Value};
use ruma::OwnedEventId;

use super::{
    RoomInfo, Store, StoreError, TxnKey, Write,
    indices::{DELETE_IDS, DELETE_TIMES, prefix, time},
    search,
    statement::Statement,
};
use crate::{
    rooms::{Event, EventNid},
    stream::Position,
};

/// How many events go in one commit: nobody waits long behind it, though each word is taken out of the index of the search by itself.
const PER_COMMIT: i64 = 100;

/// State has a place in the index of its room.
const FIND: &str = "SELECT nid FROM event WHERE (room, position) > ($1, $2) AND (room, position) < ($1, $3) AND key_idx IS NULL \
    AND event_id NOT IN (SELECT event_id FROM receipt WHERE room_id = $4) ORDER BY room, position LIMIT $5";

static EVENTS: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM event WHERE nid IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})"));

static RELATIONS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "DELETE FROM relation WHERE (room, target, position) IN \
         (SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT) FROM {rows})",
    )
});

static TXNS: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM txn WHERE key IN (SELECT {bytes:0} FROM {rows})"));

/// One commit of it.
pub(super) struct Purge {
    nids: Vec<[i64; 1]>,
    ids: Vec<(String, i64)>,
    times: Vec<(i64, i64, i64)>,
    relations: Vec<(i64, OwnedEventId, i64)>,
    txns: Vec<[String; 1]>,
    /// Take the words out of the index of the search.
    words: Vec<Statement>,
}

impl Purge {
    pub(super) fn of(db: &Db, events: &[Arc<Event>]) -> Self {
        let relation = |event: &Arc<Event>| Some((event.room.0, event.relation()?.event_id, event.position().0));
        Self {
            nids: events.iter().map(|event| [event.nid.0]).collect(),
            ids: events.iter().map(|event| (prefix(&event.event_id).to_owned(), event.nid.0)).collect(),
            times: events.iter().map(|event| (event.room.0, time(event), event.nid.0)).collect(),
            relations: events.iter().filter_map(relation).collect(),
            txns: events.iter().filter_map(|event| Some([TxnKey::of(event)?.hex()])).collect(),
            words: events.iter().filter_map(|event| search::remove(db, event)).collect(),
        }
    }
}

#[async_trait]
impl Write for Purge {
    async fn write(&self, tx: &mut Tx<'_>, position: Position) -> Result<(), SqlError> {
        for words in &self.words {
            tx.execute_step(words.step(position.0)).await?;
        }
        tx.execute_rows(&RELATIONS, &self.relations).await?;
        tx.execute_rows(&TXNS, &self.txns).await?;
        tx.execute_rows(&DELETE_IDS, &self.ids).await?;
        tx.execute_rows(&DELETE_TIMES, &self.times).await?;
        tx.execute_rows(&EVENTS, &self.nids).await.map(drop)
    }

    fn wakes(&self) -> bool {
        false
    }
}

impl Store {
    /// Forgets the message events of a room before a place in the log; says how many. A stop in between leaves the rest.
    pub(crate) async fn purge_history(&self, room: &RoomInfo, before: Position) -> Result<u64, StoreError> {
        let heads = self.events(&room.current().extremities).await?;
        let before = heads.iter().map(|head| head.position()).fold(before.min(self.head()), Position::min);
        // What is in its history counts as the oldest.
        let (mut after, mut purged) = (Position::FIRST, 0);
        loop {
            let values = [
                Value::from(room.nid.0),
                Value::from(after.0),
                Value::from(before.0),
                Value::from(room.room_id.as_str()),
                Value::from(PER_COMMIT),
            ];
            let rows = self.db.fetch_all(FIND, &values).await?;
            let nids = rows.iter().map(|row| Ok(EventNid(row.int(0)?))).collect::<Result<Vec<_>, SqlError>>()?;
            let mut events = self.events(&nids).await?;
            let Some(last) = events.last() else { return Ok(purged) };
            after = last.position();
            // What they redact may stay.
            events.retain(|event| event.redacts.is_none());
            if events.is_empty() {
                continue;
            }
            let _still = self.log.unindexed.stand_still().await;
            self.write(Box::new(Purge::of(&self.db, &events))).await?;
            self.log.forget(&events);
            purged += events.len() as u64;
        }
    }
}
