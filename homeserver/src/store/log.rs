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
use landbridge_sql::{Apply, BatchSql, Db, Round, SqlError, Step, Tx, WriteError};
use parking_lot::{Mutex, RwLock};
use ruma::{OwnedRoomAliasId, OwnedUserId, UserId, events::TimelineEventType};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use super::{
    MembershipRow, RoomInfo, StoreError, TxnKey, Write, aliases,
    cache::Cache,
    directory,
    event_cache::EventCache,
    events, keys, memberships,
    nodes::{self, hex},
    relations::{self, RelatedEvents},
    room_cache::RoomCache,
    rooms::{self, CurrentState},
    text,
    txns::{self, TxnFilter},
};
use crate::{
    rooms::{Event, EventNid, KeyIndex, RoomNid, Root, state_tree::Node, state_tree::NodeId},
    stream::{Concern, Position, Waiters},
};

/// How many events of the end of the log are kept in memory for those who follow it, and how many bytes of them.
const RECENT: usize = 4096;
const RECENT_BYTES: usize = 8 << 20;
/// How many bytes of nodes of state trees are kept in memory.
const NODES: usize = 4 << 20;
/// How many bytes of places in the indices of rooms are kept in memory.
const KEYS: usize = 2 << 20;
/// How many positions are reserved at once.
const RESERVE: i64 = 1 << 20;

/// How many statements of other services one call of the engine may hold: each sequence of them is compiled and kept.
const MAX_STEPS: usize = 16;

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
    pub(super) waiters: Arc<Waiters>,
}

/// The end of the log.
#[derive(Debug, Default)]
struct Recent {
    /// Everything in the log after this is in `events`.
    complete_after: Position,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > RECENT || self.bytes > RECENT_BYTES {
            let Some(dropped) = self.events.pop_front() else { return };
            self.bytes -= dropped.weight();
            self.complete_after = dropped.position();
        }
    }
}

impl Recent {
    fn forget(&mut self, gone: &HashSet<EventNid>) {
        self.events.retain(|event| !gone.contains(&event.nid));
        self.bytes = self.events.iter().map(|event| event.weight()).sum();
    }
}

impl Log {
    pub(super) async fn open(db: &Db) -> Result<Self, SqlError> {
        let reserved = match db.fetch_optional("SELECT reserved FROM log_head WHERE one = 1", &[]).await? {
            Some(row) => row.int(0)?,
            None => 0,
        };
        // Positions up to `reserved` may have been shown to a client without being written anywhere.
        let head = Position(reserved);
        db.commit_round(vec![Step::Rows(&RESERVE_SQL, format!("[[{}]]", reserved + RESERVE))]).await?;
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
            recent: RwLock::new(Recent { complete_after: head, ..Recent::default() }),
            events: EventCache::new(),
            nodes: Cache::weighed(NODES, |id, node| size_of_val(id) + node.weight()),
            rooms: RoomCache::default(),
            keys: Cache::weighed(KEYS, |(room, name), index| size_of_val(room) + name.len() + size_of_val(index) + 40),
            waiters: Arc::default(),
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
        self.recent.write().forget(&gone);
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
                recent.push(event.clone());
                if let Some(relation) = event.relation() {
                    self.related.insert(relation.event_id);
                }
            }
            self.events.insert(event.clone());
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
    fn steps(self) -> Result<Vec<Step<'static>>, SqlError> {
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
        let mut steps = Vec::new();
        add(&mut steps, &rooms::INSERT, &self.rooms)?;
        add(&mut steps, &rooms::UPDATE, &current)?;
        add(&mut steps, &keys::INSERT, &self.keys)?;
        add(&mut steps, &nodes::INSERT, &self.nodes)?;
        add(&mut steps, &events::INSERT, &self.events)?;
        add(&mut steps, &events::INSERT_EDGE, &self.edges)?;
        add(&mut steps, &relations::INSERT, &self.relations)?;
        add(&mut steps, &memberships::UPSERT, &memberships)?;
        add(&mut steps, &events::REDACT, &redactions)?;
        add(&mut steps, &txns::INSERT, &self.txns)?;
        add(&mut steps, &aliases::INSERT, &self.aliases)?;
        add(&mut steps, &directory::INSERT, &self.published)?;
        add(&mut steps, &RESERVE_SQL, self.reserve.as_slice())?;
        Ok(steps)
    }
}

fn add<T: Serialize>(steps: &mut Vec<Step<'static>>, sql: &'static BatchSql, rows: &[T]) -> Result<(), SqlError> {
    if !rows.is_empty() {
        steps.push(Step::Rows(sql, serde_json::to_string(rows).map_err(SqlError::Encode)?));
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
        for step in rows.steps()? {
            tx.execute_step(step).await?;
        }
        for (op, position) in ops.iter().zip(&done) {
            if let Op::Other(write) = op {
                write.write(tx, *position).await?;
            }
        }
        Ok(done)
    }

    fn prepare<'a>(&self, ops: &'a [Op]) -> Result<Option<Round<'a, Position>>, SqlError> {
        let (rows, done) = self.gather(ops)?;
        let mut others = Vec::new();
        for (op, position) in ops.iter().zip(&done) {
            let Op::Other(write) = op else { continue };
            match write.steps(*position) {
                Some(steps) if others.len() + steps.len() <= MAX_STEPS => others.extend(steps),
                _ => return Ok(None),
            }
        }
        let mut steps = rows.steps()?;
        steps.extend(others);
        Ok(Some(Round { steps, done }))
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
        // After the head: who begins to wait in between sees by it that there is something to read.
        self.waiters.wake(ops.iter().zip(done).flat_map(|(op, position)| concerns(op, *position)));
    }
}

/// Whom an operation concerns that ends at `end`, each with the place before it.
fn concerns(op: &Op, end: Position) -> Vec<(Concern<'_>, Position)> {
    let before = Position(end.0 - Log::width(op));
    match op {
        Op::Room(write) => {
            let shown = write.events.iter().map(|new| &new.event).filter(|event| event.flags.in_timeline());
            let members = shown.filter(|event| event.kind == TimelineEventType::RoomMember);
            let users = members.filter_map(|event| <&UserId>::try_from(event.state_key.as_deref()?).ok());
            std::iter::once(Concern::Room(write.room.nid))
                .chain(users.map(Concern::User))
                .map(|concern| (concern, before))
                .collect()
        }
        _ if before == end => Vec::new(),
        Op::Other(_) | Op::Tick => vec![(Concern::Everyone, before)],
    }
}
