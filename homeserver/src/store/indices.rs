//! The indices of events by id, by time and by transaction, which are written later than the events.
//!
//! An event goes to the end of its table. Its id and its transaction belong anywhere in an index of them: written with the event, each
//! costs a page of the disk. So they wait in memory until there are some thousand, and then go in sorted, many to a page. The table
//! `indexed` says up to where in the log all are in; what comes after that is read again from the events at the next start.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use landbridge_sql::{BatchSql, Db, SqlError, Step, Value, encode};
use parking_lot::RwLock;
use ruma::EventId;
use serde::Serialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Store, StoreError, TxnKey, Write, txns};
use crate::{
    rooms::{Event, EventNid, RoomNid, Txn},
    stream::Position,
};

/// How many events wait before they are moved.
const DUE: usize = 8192;
/// How many rows go in one commit: others wait behind it.
const SLICE: usize = 512;
/// How many events are read at once at the start.
const PAGE: usize = 1024;

pub(super) static INSERT_IDS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO event_ref (prefix, nid) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT DO NOTHING",
    )
});

pub(super) static INSERT_TIMES: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO event_time (room, ts, nid) SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), \
         CAST(value->>2 AS BIGINT) FROM {rows} WHERE true ON CONFLICT DO NOTHING",
    )
});

pub(super) static DELETE_IDS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "DELETE FROM event_ref WHERE (prefix, nid) IN (SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows})",
    )
});

pub(super) static DELETE_TIMES: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "DELETE FROM event_time WHERE (room, ts, nid) IN (SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), \
         CAST(value->>2 AS BIGINT) FROM {rows})",
    )
});

const SAY: &str = "INSERT INTO indexed (one, position) VALUES (1, $1) \
                   ON CONFLICT (one) DO UPDATE SET position = excluded.position";

/// By what an event is found in the index of ids. Ids are hashes, so it is as good as the whole; what is found is compared.
pub(super) fn prefix(event_id: &EventId) -> &str {
    let mut places = event_id.as_str().char_indices().map(|(at, _)| at).skip(1);
    let start = places.next().unwrap_or(event_id.as_str().len());
    let end = places.nth(11).unwrap_or(event_id.as_str().len());
    event_id.as_str().get(start..end).unwrap_or_default()
}

/// The time of an event as the index has it.
pub(super) fn time(event: &Event) -> i64 {
    i64::from(event.origin_server_ts.0)
}

/// What belongs in the indices.
#[derive(Debug, Default, Clone)]
struct Entries {
    ids: BTreeSet<(Box<str>, EventNid)>,
    times: BTreeSet<(RoomNid, i64, EventNid)>,
    txns: BTreeMap<TxnKey, EventNid>,
    /// The last of them.
    up_to: Position,
}

impl Entries {
    fn forget(&mut self, event: &Event) {
        self.ids.remove(&(prefix(&event.event_id).into(), event.nid));
        self.times.remove(&(event.room, time(event), event.nid));
        if let Some(key) = TxnKey::of(event) {
            self.txns.remove(&key);
        }
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// What waits: the newer of it, and what is on its way into the indices.
#[derive(Debug, Default)]
struct Waiting {
    newer: Entries,
    moving: Arc<Entries>,
}

impl Waiting {
    fn both(&self) -> [&Entries; 2] {
        [&self.newer, &self.moving]
    }
}

/// One commit of the move.
enum Slice {
    Rows(&'static BatchSql, String),
    Done(Position),
}

impl Write for Slice {
    fn steps(&self, _: Position) -> Option<Vec<Step<'_>>> {
        Some(vec![match self {
            Self::Rows(sql, rows) => Step::Rows(sql, rows.clone()),
            Self::Done(position) => Step::One { sql: SAY, values: vec![Value::from(position.0)], touched: None },
        }])
    }

    fn wakes(&self) -> bool {
        false
    }
}

/// What is in the log and not in the indices yet.
#[derive(Debug)]
pub(super) struct Unindexed {
    waiting: RwLock<Waiting>,
    /// How many events are moved at once, and how many there are when that is done next.
    every: AtomicUsize,
    due: AtomicUsize,
    /// Held by who moves them, and by who deletes events: what is deleted must not be moved afterwards.
    alone: Arc<Mutex<()>>,
}

impl Unindexed {
    pub(super) fn new() -> Self {
        Self {
            waiting: RwLock::default(),
            every: AtomicUsize::new(DUE),
            due: AtomicUsize::new(0),
            alone: Arc::default(),
        }
    }

    /// Takes in what was written to the end of the log.
    pub(super) fn note<'a>(&self, events: impl Iterator<Item = &'a Event>, txn: Option<(TxnKey, EventNid)>) {
        let newer = &mut self.waiting.write().newer;
        for event in events {
            newer.ids.insert((prefix(&event.event_id).into(), event.nid));
            newer.times.insert((event.room, time(event), event.nid));
            newer.up_to = newer.up_to.max(event.position());
        }
        newer.txns.extend(txn);
    }

    /// Lets go of events that are not in the database any more.
    pub(super) fn forget(&self, events: &[Arc<Event>]) {
        let mut waiting = self.waiting.write();
        events.iter().for_each(|event| waiting.newer.forget(event));
        if !waiting.moving.is_empty() {
            let moving = Arc::make_mut(&mut waiting.moving);
            events.iter().for_each(|event| moving.forget(event));
        }
    }

    /// The numbers of events whose ids begin like this one.
    pub(super) fn by_id(&self, event_id: &EventId) -> Vec<EventNid> {
        let prefix: Box<str> = prefix(event_id).into();
        let all = (prefix.clone(), EventNid(i64::MIN))..=(prefix, EventNid(i64::MAX));
        let waiting = self.waiting.read();
        waiting.both().iter().flat_map(|entries| entries.ids.range(all.clone())).map(|(_, nid)| *nid).collect()
    }

    pub(super) fn txn(&self, key: &TxnKey) -> Option<EventNid> {
        self.waiting.read().both().iter().find_map(|entries| entries.txns.get(key).copied())
    }

    /// The first events of a room's timeline at or after a time, or the last at or before it.
    fn by_time(&self, room: RoomNid, ts: i64, earlier: bool, limit: usize) -> Vec<(i64, EventNid)> {
        let (first, last) = (EventNid(i64::MIN), EventNid(i64::MAX));
        let found = |(_, ts, nid): &(RoomNid, i64, EventNid)| (*ts, *nid);
        let waiting = self.waiting.read();
        let of = |entries: &Entries| -> Vec<_> {
            if earlier {
                entries.times.range((room, i64::MIN, first)..=(room, ts, last)).rev().take(limit).map(found).collect()
            } else {
                entries.times.range((room, ts, first)..=(room, i64::MAX, last)).take(limit).map(found).collect()
            }
        };
        waiting.both().into_iter().flat_map(of).collect()
    }

    fn is_due(&self) -> bool {
        let due = self.due.load(Ordering::Relaxed).max(self.every.load(Ordering::Relaxed));
        self.waiting.read().newer.ids.len() >= due
    }

    /// What is to be moved now: what could not be moved the last time, else all that waits. Only for who is alone.
    fn take(&self) -> Arc<Entries> {
        let mut waiting = self.waiting.write();
        if waiting.moving.is_empty() {
            waiting.moving = Arc::new(std::mem::take(&mut waiting.newer));
        }
        waiting.moving.clone()
    }

    /// Says whether what was taken is in the indices now.
    fn taken(&self, moved: bool) {
        let mut waiting = self.waiting.write();
        let done = if moved { std::mem::take(&mut waiting.moving) } else { Arc::default() };
        let newer = waiting.newer.ids.len();
        drop(waiting);
        drop(done);
        let again = newer + self.every.load(Ordering::Relaxed);
        self.due.store(if moved { 0 } else { again }, Ordering::Relaxed);
    }

    /// Waits until nothing is moved, and lets nothing be moved while this is held.
    pub(super) async fn stand_still(&self) -> OwnedMutexGuard<()> {
        self.alone.clone().lock_owned().await
    }
}

/// The place in the log up to which everything is in the indices.
pub(super) async fn indexed(db: &Db) -> Result<Position, SqlError> {
    let row = db.fetch_optional("SELECT position FROM indexed WHERE one = 1", &[]).await?;
    Ok(row.map(|row| row.int(0)).transpose()?.map_or(Position::START, Position))
}

impl Store {
    /// Reads what was in the log and not in the indices when the server stopped.
    pub(super) async fn read_unindexed(&self) -> Result<(), SqlError> {
        let mut after = indexed(&self.db).await?;
        loop {
            let events = self.log_rows(after, Position::END, PAGE).await?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.position();
            for event in &events {
                let txn = TxnKey::of(event).map(|key| (key, event.nid));
                // They may reach the table behind where it is being read for the filter.
                txn.iter().for_each(|(key, _)| self.log.txns.insert(key));
                self.log.unindexed.note(std::iter::once(&**event), txn);
            }
        }
    }

    /// Moves what waits into the indices where there is enough of it, beside whatever else happens.
    pub(super) fn index_if_due(&self) {
        if !self.log.unindexed.is_due() {
            return;
        }
        let Ok(alone) = self.log.unindexed.alone.clone().try_lock_owned() else { return };
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.move_entries(&alone).await {
                tracing::warn!(%error, "the indices of events fall behind; it is tried again later");
            }
        });
    }

    /// Moves all that waits into the indices.
    pub(super) async fn index(&self) -> Result<(), StoreError> {
        let alone = self.log.unindexed.stand_still().await;
        // What could not be moved before, and what came since.
        self.move_entries(&alone).await?;
        self.move_entries(&alone).await
    }

    async fn move_entries(&self, _alone: &OwnedMutexGuard<()>) -> Result<(), StoreError> {
        let entries = self.log.unindexed.take();
        if entries.is_empty() {
            return Ok(());
        }
        let moved = self.write_entries(&entries).await;
        self.log.unindexed.taken(moved.is_ok());
        moved
    }

    async fn write_entries(&self, entries: &Entries) -> Result<(), StoreError> {
        let ids: Vec<(&str, i64)> = entries.ids.iter().map(|(prefix, nid)| (&**prefix, nid.0)).collect();
        let times: Vec<(i64, i64, i64)> = entries.times.iter().map(|(room, ts, nid)| (room.0, *ts, nid.0)).collect();
        let txns: Vec<(String, i64)> = entries.txns.iter().map(|(key, nid)| (key.hex(), nid.0)).collect();
        self.write_slices(&INSERT_IDS, &ids).await?;
        self.write_slices(&INSERT_TIMES, &times).await?;
        self.write_slices(&txns::INSERT, &txns).await?;
        self.write(Box::new(Slice::Done(entries.up_to))).await.map(drop)
    }

    async fn write_slices<T: Serialize>(&self, sql: &'static BatchSql, rows: &[T]) -> Result<(), StoreError> {
        for rows in rows.chunks(SLICE) {
            self.write(Box::new(Slice::Rows(sql, encode(rows)?))).await?;
        }
        Ok(())
    }

    /// Events of a room's timeline by how close they are to a time: the last at or before it, or the first at or after it. Of several
    /// of one time, those count as earlier that came here earlier.
    pub(crate) async fn event_by_time(
        &self,
        room: RoomNid,
        ts: i64,
        earlier: bool,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<EventNid>, SqlError> {
        // First what waits: what is moved in between is found twice, and not missed.
        let mut found: BTreeSet<_> = self.log.unindexed.by_time(room, ts, earlier, skip + limit).into_iter().collect();
        let sql = if earlier {
            "SELECT ts, nid FROM event_time WHERE room = $1 AND ts <= $2 ORDER BY ts DESC, nid DESC LIMIT $3"
        } else {
            "SELECT ts, nid FROM event_time WHERE room = $1 AND ts >= $2 ORDER BY ts, nid LIMIT $3"
        };
        let all = i64::try_from(skip + limit).unwrap_or(i64::MAX);
        for row in self.db.fetch_all(sql, &[Value::from(room.0), Value::from(ts), Value::from(all)]).await? {
            found.insert((row.int(0)?, EventNid(row.int(1)?)));
        }
        let nids = found.into_iter().map(|(_, nid)| nid);
        Ok(if earlier { nids.rev().skip(skip).take(limit).collect() } else { nids.skip(skip).take(limit).collect() })
    }

    /// The place in the log of the first event of a room that was sent at a time or later; `None`: there is none.
    pub(crate) async fn first_since(&self, room: RoomNid, ts: i64) -> Result<Option<Position>, StoreError> {
        self.index().await?;
        let sql =
            "SELECT min(e.position) FROM event_time t JOIN event e ON e.nid = t.nid WHERE t.room = $1 AND t.ts >= $2";
        let row = self.db.fetch_optional(sql, &[Value::from(room.0), Value::from(ts)]).await?;
        Ok(row.map(|row| row.opt_int(0)).transpose()?.flatten().map(Position))
    }
}

impl TxnKey {
    /// What named the request that led to an event.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let txn = event.txn.as_ref()?;
        let txn = Txn { device: txn.device.clone(), id: txn.txn_id.clone() };
        Some(Self::new(&event.sender, &event.room_id, &event.kind.to_string(), &txn))
    }
}

#[cfg(test)]
mod tests;
