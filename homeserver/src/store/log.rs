//! The writing side of the log: what one commit holds, and what happens in memory once it is durable.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use landbridge_sql::{Apply, BatchSql, Db, Round, SqlError, Tx, WriteError};
use parking_lot::{Mutex, RwLock};
use ruma::{EventId, OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use super::{
    MembershipRow, RoomInfo, StoreError, TxnKey, Write, aliases,
    cache::Cache,
    directory, events, keys, memberships,
    nodes::{self, hex},
    relations::{self, RelatedEvents},
    rooms::{self, CurrentState},
    text,
    txns::{self, TxnFilter},
};
use crate::{
    rooms::{Event, EventNid, KeyIndex, RoomNid, Root, state_tree::Node, state_tree::NodeId},
    stream::Position,
};

/// How many events of the end of the log are kept in memory for those who follow it.
const RECENT: usize = 4096;
/// How many events are kept in memory because they were asked for lately.
const EVENTS: usize = 8192;
/// How many nodes of state trees are kept in memory.
const NODES: usize = 4096;
/// How many places in the indices of rooms are kept in memory.
const KEYS: usize = 8192;
/// Above how many rooms those that nobody holds on to are let go.
const ROOMS: usize = 4096;
/// How many positions are reserved at once.
const RESERVE: i64 = 1 << 20;

pub(super) const BROKEN_CHAIN: &str = "a write before this one failed";

/// One write.
pub(crate) enum Op {
    /// A room's: events, and all that follows from them.
    Room(Box<RoomWrite>),
    /// Any other service's.
    Other(Box<dyn Write>),
    /// Nothing: only a place in the log.
    Tick,
}

/// Everything that one command changes in a room. All of it is written, or nothing.
#[derive(Debug)]
pub(crate) struct RoomWrite {
    pub(crate) room: Arc<RoomInfo>,
    /// This write's number in its room, and that of the write it stands on, which must be the last one committed.
    pub(crate) number: u64,
    pub(crate) after: u64,
    /// Whether the room is made here.
    pub(crate) creates: bool,
    pub(crate) keys: Vec<(KeyIndex, String, String)>,
    pub(crate) nodes: Vec<(NodeId, Arc<Node>)>,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) memberships: Vec<MembershipRow>,
    /// Pairs of a redacted event and its redaction.
    pub(crate) redactions: Vec<(Arc<Event>, EventNid)>,
    pub(crate) txn: Option<(TxnKey, EventNid)>,
    pub(crate) aliases: Vec<(OwnedRoomAliasId, OwnedUserId)>,
    pub(crate) publish: bool,
    /// Where the room stands after this write.
    pub(crate) current: CurrentState,
}

/// An event to be written.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) event: Arc<Event>,
    /// The events before it that are known here.
    pub(crate) parents: Vec<EventNid>,
    /// The room's current state once this event was worked, where that is not simply the state after it.
    pub(crate) resolved: Option<Root>,
}

/// A write that is queued. Await it for the place in the log.
#[derive(Debug)]
pub(crate) struct Writing(pub(super) oneshot::Receiver<Result<Position, WriteError>>);

impl Writing {
    pub(crate) async fn committed(self) -> Result<Position, StoreError> {
        match self.0.await {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

/// Events by number and by id.
#[derive(Debug)]
pub(super) struct EventCache {
    by_nid: Cache<EventNid, Arc<Event>>,
    by_id: Cache<OwnedEventId, Arc<Event>>,
    /// Lately redacted: a row may have been read before the redaction and arrive here after it.
    redacted: Cache<EventNid, EventNid>,
}

impl EventCache {
    pub(super) fn get(&self, nid: EventNid) -> Option<Arc<Event>> {
        self.by_nid.get(&nid)
    }

    pub(super) fn get_by_id(&self, event_id: &EventId) -> Option<Arc<Event>> {
        self.by_id.get(event_id)
    }

    /// Keeps one `Arc` per event: what is here already wins, because its redaction may be newer than the row that was read.
    pub(super) fn insert_read(&self, event: Arc<Event>) -> Arc<Event> {
        if let Some(known) = self.by_nid.get(&event.nid) {
            return known;
        }
        self.insert(event.clone());
        if let Some(by) = self.redacted.get(&event.nid) {
            event.set_redacted_by(by);
        }
        event
    }

    fn redact(&self, target: &Event, by: EventNid) {
        self.redacted.insert(target.nid, by);
        target.set_redacted_by(by);
        if let Some(cached) = self.by_nid.get(&target.nid) {
            cached.set_redacted_by(by);
        }
    }

    fn forget(&self, event: &Event) {
        self.by_nid.remove(&event.nid);
        self.by_id.remove(&event.event_id);
    }

    fn insert(&self, event: Arc<Event>) {
        self.by_nid.insert(event.nid, event.clone());
        self.by_id.insert(event.event_id.clone(), event);
    }
}

/// Rooms by id and by number: one [`RoomInfo`] per room that anyone holds on to.
#[derive(Debug, Default)]
pub(super) struct RoomCache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<OwnedRoomId, Arc<RoomInfo>>,
    by_nid: HashMap<RoomNid, Arc<RoomInfo>>,
}

impl RoomCache {
    pub(super) fn get(&self, room_id: &RoomId) -> Option<Arc<RoomInfo>> {
        self.0.lock().by_id.get(room_id).cloned()
    }

    pub(super) fn get_by_nid(&self, nid: RoomNid) -> Option<Arc<RoomInfo>> {
        self.0.lock().by_nid.get(&nid).cloned()
    }

    pub(super) fn insert_read(&self, room: Arc<RoomInfo>) -> Arc<RoomInfo> {
        let mut known = self.0.lock();
        if let Some(room) = known.by_nid.get(&room.nid) {
            return room.clone();
        }
        if known.by_nid.len() >= ROOMS {
            // Two references are ours; a third means that somebody counts on being told of the next commit.
            known.by_id.retain(|_, room| Arc::strong_count(room) > 2);
            let Known { by_id, by_nid } = &mut *known;
            by_nid.retain(|_, room| by_id.contains_key(&room.room_id));
        }
        known.by_id.insert(room.room_id.clone(), room.clone());
        known.by_nid.insert(room.nid, room.clone());
        room
    }
}

/// The log: the applying side of the writer, and what is kept in memory of what it wrote.
#[derive(Debug)]
pub(crate) struct Log {
    head: watch::Sender<Position>,
    reserved: AtomicI64,
    next_event: AtomicI64,
    next_room: AtomicI64,
    /// The number of the last write committed, per room that was written lately.
    chains: Mutex<HashMap<RoomNid, u64>>,
    recent: RwLock<Recent>,
    pub(super) events: EventCache,
    pub(super) nodes: Cache<NodeId, Arc<Node>>,
    pub(super) rooms: RoomCache,
    /// Places of pairs, each written as length of the type, type and state key, in the indices of rooms.
    pub(super) keys: Cache<(RoomNid, String), KeyIndex>,
    pub(super) txns: TxnFilter,
    pub(super) related: RelatedEvents,
}

#[derive(Debug, Default)]
struct Recent {
    /// Everything in the log after this is in `events`.
    complete_after: Position,
    events: VecDeque<Arc<Event>>,
}

impl Log {
    pub(super) async fn open(db: &Db) -> Result<Self, SqlError> {
        let reserved = match db.fetch_optional("SELECT reserved FROM log_head WHERE one = 1", &[]).await? {
            Some(row) => row.int(0)?,
            None => 0,
        };
        // Positions up to `reserved` may have been shown to a client without being written anywhere.
        let head = Position(reserved);
        db.commit_batches(vec![(&RESERVE_SQL, format!("[[{}]]", reserved + RESERVE))]).await?;
        let greatest = async |sql: &'static str| -> Result<i64, SqlError> {
            db.fetch_optional(sql, &[]).await?.map_or(Ok(0), |row| Ok(row.opt_int(0)?.unwrap_or(0)))
        };
        let next_event = greatest("SELECT max(nid) FROM event").await? + 1;
        Ok(Self {
            head: watch::Sender::new(head),
            reserved: AtomicI64::new(reserved + RESERVE),
            next_event: AtomicI64::new(next_event),
            next_room: AtomicI64::new(greatest("SELECT max(nid) FROM room").await? + 1),
            chains: Mutex::default(),
            recent: RwLock::new(Recent { complete_after: head, events: VecDeque::new() }),
            events: EventCache { by_nid: Cache::new(EVENTS), by_id: Cache::new(EVENTS), redacted: Cache::new(1024) },
            nodes: Cache::new(NODES),
            rooms: RoomCache::default(),
            keys: Cache::new(KEYS),
            // There are no more transaction ids than events.
            txns: TxnFilter::new(usize::try_from(next_event).unwrap_or(0)),
            related: RelatedEvents::since(head),
        })
    }

    pub(super) fn head(&self) -> Position {
        *self.head.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// The events after `after` up to `up_to`, where all of them are in memory.
    pub(super) fn recent(&self, after: Position, up_to: Position, limit: usize) -> Option<Vec<Arc<Event>>> {
        let recent = self.recent.read();
        if after < recent.complete_after {
            return None;
        }
        let start = recent.events.partition_point(|event| event.position() <= after);
        let events = recent.events.range(start..).take_while(|event| event.position() <= up_to).take(limit);
        Some(events.cloned().collect())
    }

    /// Lets go of events that are not in the database any more.
    pub(super) fn forget(&self, events: &[Arc<Event>]) {
        let gone: HashSet<EventNid> = events.iter().map(|event| event.nid).collect();
        self.recent.write().events.retain(|event| !gone.contains(&event.nid));
        events.iter().for_each(|event| self.events.forget(event));
    }

    /// How many positions an operation takes.
    fn width(op: &Op) -> i64 {
        match op {
            Op::Room(write) => {
                let shown = write.events.iter().filter(|new| new.event.flags.in_timeline()).count();
                i64::try_from(shown).unwrap_or(0)
            }
            Op::Other(write) => i64::from(write.wakes()),
            Op::Tick => 1,
        }
    }

    /// Refuses a write that stands on another which was not committed.
    fn check_chains(&self, ops: &[Op]) -> Result<(), SqlError> {
        let committed = self.chains.lock();
        let mut now: HashMap<RoomNid, u64> = HashMap::new();
        for op in ops {
            let Op::Room(write) = op else { continue };
            let last = now.get(&write.room.nid).or_else(|| committed.get(&write.room.nid)).copied().unwrap_or(0);
            if write.after != last {
                return Err(SqlError::Refused(BROKEN_CHAIN));
            }
            now.insert(write.room.nid, write.number);
        }
        Ok(())
    }

    fn remember(&self, write: &RoomWrite, mut position: Position) {
        let mut recent = self.recent.write();
        for NewEvent { event, .. } in &write.events {
            if event.flags.in_timeline() {
                position.0 += 1;
                event.set_position(position);
                recent.events.push_back(event.clone());
                if let Some(relation) = event.relation() {
                    self.related.insert(relation.event_id);
                }
            }
            self.events.insert(event.clone());
        }
        while recent.events.len() > RECENT {
            if let Some(dropped) = recent.events.pop_front() {
                recent.complete_after = dropped.position();
            }
        }
        drop(recent);
        for (id, node) in &write.nodes {
            self.nodes.insert(*id, node.clone());
        }
        for (target, by) in &write.redactions {
            self.events.redact(target, *by);
        }
        write.room.set_current(write.current.clone());
        if write.creates {
            self.rooms.insert_read(write.room.clone());
        }
        if let Some((key, _)) = &write.txn {
            self.txns.insert(key);
        }
        self.chains.lock().insert(write.room.nid, write.number);
    }
}

/// What a room's task needs of the log.
impl super::Store {
    /// A number for a new event.
    pub(crate) fn next_event_nid(&self) -> EventNid {
        EventNid(self.log.next_event.fetch_add(1, Ordering::Relaxed))
    }

    /// A number for a new room.
    pub(crate) fn next_room_nid(&self) -> RoomNid {
        RoomNid(self.log.next_room.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of the room's last committed write; 0 where none is remembered.
    pub(crate) fn last_write(&self, room: RoomNid) -> u64 {
        self.log.chains.lock().get(&room).copied().unwrap_or(0)
    }

    /// Forgets the number of the room's last write: its task ends and nothing of it is queued.
    pub(crate) fn forget_writes(&self, room: RoomNid) {
        self.log.chains.lock().remove(&room);
    }
}

static RESERVE_SQL: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO log_head (one, reserved) SELECT 1, CAST(value->>0 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (one) DO UPDATE SET reserved = excluded.reserved",
    )
});

/// The rows of one round, gathered by table.
#[derive(Default)]
struct Rows<'a> {
    rooms: Vec<(i64, &'a str, &'a str, String, String)>,
    current: HashMap<i64, (String, String)>,
    keys: Vec<(i64, u32, Cow<'a, str>, Cow<'a, str>)>,
    nodes: Vec<(String, String)>,
    events: Vec<EventRow<'a>>,
    relations: Vec<relations::Row<'a>>,
    edges: Vec<(i64, i64)>,
    memberships: HashMap<(i64, &'a str), (&'a MembershipRow, i64)>,
    redactions: HashMap<i64, i64>,
    txns: Vec<(String, i64)>,
    aliases: Vec<(&'a str, i64, &'a str)>,
    published: Vec<(&'static str, i64)>,
    reserve: Option<[i64; 1]>,
}

type EventRow<'a> = (
    i64,
    &'a str,
    i64,
    Option<i64>,
    i64,
    String,
    Option<String>,
    Option<u32>,
    Option<i64>,
    Option<Cow<'a, str>>,
    Option<Cow<'a, str>>,
    &'a str,
    i64,
);

impl<'a> Rows<'a> {
    fn add(&mut self, write: &'a RoomWrite, mut position: Position) {
        let room = write.room.nid.0;
        let extremities: Vec<i64> = write.current.extremities.iter().map(|nid| nid.0).collect();
        let current = (hex(write.current.root.as_bytes()), serde_json::to_string(&extremities).unwrap_or_default());
        if write.creates {
            let (root, extremities) = current.clone();
            self.rooms.push((room, write.room.room_id.as_str(), write.room.version.as_str(), root, extremities));
        }
        self.current.insert(room, current);
        self.keys
            .extend(write.keys.iter().map(|(index, kind, key)| (room, index.0, text::encode(kind), text::encode(key))));
        self.nodes.extend(write.nodes.iter().map(|(id, node)| (hex(&id.0), hex(&node.encode()))));
        let mut positions: HashMap<EventNid, i64> = HashMap::new();
        for NewEvent { event, parents, resolved } in &write.events {
            let place = event.flags.in_timeline().then(|| {
                position.0 += 1;
                position.0
            });
            positions.insert(event.nid, place.unwrap_or(position.0));
            self.events.push((
                event.nid.0,
                event.event_id.as_str(),
                room,
                place,
                event.flags.to_bits(),
                hex(event.state_before.as_bytes()),
                resolved.map(|root| hex(root.as_bytes())),
                event.key.map(|key| key.0),
                event.replaces.map(|nid| nid.0),
                event.txn.as_ref().map(|txn| text::encode(&txn.device)),
                event.txn.as_ref().map(|txn| text::encode(&txn.txn_id)),
                &event.json,
                i64::from(event.origin_server_ts.0),
            ));
            self.relations.extend(place.and_then(|place| relations::row(event, place)));
            self.edges.extend(parents.iter().map(|parent| (event.nid.0, parent.0)));
        }
        for row in &write.memberships {
            let place = positions.get(&row.event).copied().unwrap_or(position.0);
            self.memberships.insert((room, row.user.as_str()), (row, place));
        }
        self.redactions.extend(write.redactions.iter().map(|(target, by)| (target.nid.0, by.0)));
        self.txns.extend(write.txn.iter().map(|(key, nid)| (key.hex(), nid.0)));
        self.aliases.extend(write.aliases.iter().map(|(alias, creator)| (alias.as_str(), room, creator.as_str())));
        self.published.extend(write.publish.then_some(("", room)));
    }

    /// The statements that write all of it, each with its rows.
    fn batches(self) -> Result<Vec<(&'static BatchSql, String)>, SqlError> {
        let created: Vec<i64> = self.rooms.iter().map(|row| row.0).collect();
        let current: Vec<(i64, String, String)> = self
            .current
            .into_iter()
            .filter(|(room, _)| !created.contains(room))
            .map(|(room, (root, extremities))| (room, root, extremities))
            .collect();
        let memberships: Vec<(i64, &str, &str, &str, i64, i64)> = self
            .memberships
            .into_iter()
            .map(|((room, user), (row, position))| {
                (room, user, row.membership.as_str(), row.sender.as_str(), row.event.0, position)
            })
            .collect();
        let redactions: Vec<(i64, i64)> = self.redactions.into_iter().collect();
        let mut batches = Vec::new();
        add(&mut batches, &rooms::INSERT, &self.rooms)?;
        add(&mut batches, &rooms::UPDATE, &current)?;
        add(&mut batches, &keys::INSERT, &self.keys)?;
        add(&mut batches, &nodes::INSERT, &self.nodes)?;
        add(&mut batches, &events::INSERT, &self.events)?;
        add(&mut batches, &events::INSERT_EDGE, &self.edges)?;
        add(&mut batches, &relations::INSERT, &self.relations)?;
        add(&mut batches, &memberships::UPSERT, &memberships)?;
        add(&mut batches, &events::REDACT, &redactions)?;
        add(&mut batches, &txns::INSERT, &self.txns)?;
        add(&mut batches, &aliases::INSERT, &self.aliases)?;
        add(&mut batches, &directory::INSERT, &self.published)?;
        add(&mut batches, &RESERVE_SQL, self.reserve.as_slice())?;
        Ok(batches)
    }
}

fn add<T: Serialize>(
    batches: &mut Vec<(&'static BatchSql, String)>,
    sql: &'static BatchSql,
    rows: &[T],
) -> Result<(), SqlError> {
    if !rows.is_empty() {
        batches.push((sql, serde_json::to_string(rows).map_err(SqlError::Encode)?));
    }
    Ok(())
}

impl Log {
    /// The rows of a round, and the place in the log after each of its operations.
    fn gather<'a>(&self, ops: &'a [Op]) -> Result<(Rows<'a>, Vec<Position>), SqlError> {
        self.check_chains(ops)?;
        let mut position = self.head();
        let mut done = Vec::with_capacity(ops.len());
        let mut rows = Rows::default();
        for op in ops {
            if let Op::Room(write) = op {
                rows.add(write, position);
            }
            position.0 += Self::width(op);
            done.push(position);
        }
        if position.0 + RESERVE / 2 > self.reserved.load(Ordering::Relaxed) {
            rows.reserve = Some([position.0 + RESERVE]);
        }
        Ok((rows, done))
    }
}

#[async_trait]
impl Apply for Log {
    type Op = Op;
    type Done = Position;

    async fn apply(&self, ops: &[Op], tx: &mut Tx<'_>) -> Result<Vec<Position>, SqlError> {
        let (rows, done) = self.gather(ops)?;
        for (sql, rows) in rows.batches()? {
            tx.execute_encoded(sql, rows).await?;
        }
        for (op, position) in ops.iter().zip(&done) {
            if let Op::Other(write) = op {
                write.write(tx, *position).await?;
            }
        }
        Ok(done)
    }

    fn prepare(&self, ops: &[Op]) -> Result<Option<Round<Position>>, SqlError> {
        if ops.iter().any(|op| matches!(op, Op::Other(_))) {
            return Ok(None);
        }
        let (rows, done) = self.gather(ops)?;
        Ok(Some(Round { batches: rows.batches()?, done }))
    }

    fn committed(&self, ops: &[Op], done: &[Position]) {
        for (op, position) in ops.iter().zip(done) {
            match op {
                Op::Room(write) => self.remember(write, Position(position.0 - Self::width(op))),
                Op::Other(write) => write.committed(*position),
                Op::Tick => {}
            }
        }
        let Some(&last) = done.last() else { return };
        let reserved = self.reserved.load(Ordering::Relaxed);
        if last.0 + RESERVE / 2 > reserved {
            self.reserved.store(last.0 + RESERVE, Ordering::Relaxed);
        }
        self.head.send_if_modified(|head| {
            let moved = last > *head;
            *head = last.max(*head);
            moved
        });
    }
}
