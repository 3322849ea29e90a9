//! The writing side of the log: how a round is written, and what happens in memory once it is durable.

mod op;
mod recent;
mod rows;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use landbridge_sql::{Apply, Db, Round, SqlError, Step, Tx};
use parking_lot::{Mutex, RwLock};
use ruma::{OwnedUserId, UserId, events::TimelineEventType};
use tokio::sync::watch;

pub(super) use self::op::Op;
pub(crate) use self::op::{NewEvent, RoomWrite, Writing};
use self::{
    recent::Recent,
    rows::{RESERVE_SQL, Rows},
};
use super::{
    cache::Cache,
    event_cache::EventCache,
    indices::Unindexed,
    lately::{Lately, Topic},
    relations::RelatedEvents,
    room_cache::RoomCache,
    txns::TxnFilter,
};
use crate::{
    rooms::{Direction, Event, EventNid, KeyIndex, RoomMembership, RoomNid, state_tree::Node, state_tree::NodeId},
    stream::{Concern, Position, Waiters},
};

/// How many bytes of nodes of state trees are kept in memory.
const NODES: usize = 4 << 20;
/// How many bytes of places in the indices of rooms are kept in memory.
const KEYS: usize = 2 << 20;
/// How many bytes of memberships are kept in memory.
const STANDINGS: usize = 4 << 20;
/// How many positions are reserved at once.
const RESERVE: i64 = 1 << 20;

/// How many statements of other services one call of the engine may hold: each sequence of them is compiled and kept.
const MAX_STEPS: usize = 16;

pub(super) const BROKEN_CHAIN: &str = "a write before this one failed";

/// The log: the applying side of the writer, and what is kept in memory of what it wrote.
#[derive(Debug)]
pub(crate) struct Log {
    head: watch::Sender<Position>,
    reserved: AtomicI64,
    next_event: AtomicI64,
    next_room: AtomicI64,
    /// The lowest place that was given to an event of a room's history.
    last_history: AtomicI64,
    /// The number of the last write committed, per room that was written lately.
    chains: Mutex<HashMap<RoomNid, u64>>,
    recent: RwLock<Recent>,
    pub(super) events: EventCache,
    pub(super) nodes: Cache<NodeId, Arc<Node>>,
    pub(super) rooms: RoomCache,
    /// Places of pairs, each written as length of the type, type and state key, in the indices of rooms.
    pub(super) keys: Cache<(RoomNid, String), KeyIndex>,
    pub(super) txns: TxnFilter,
    pub(super) unindexed: Unindexed,
    pub(super) related: RelatedEvents,
    pub(super) waiters: Arc<Waiters>,
    pub(super) lately: Arc<Lately>,
    /// Memberships of users who synced lately, each with the end of the log before they were read.
    pub(super) standings: Cache<OwnedUserId, (Position, Arc<[RoomMembership]>)>,
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
            last_history: AtomicI64::new(greatest("SELECT min(position) FROM event WHERE position < 0").await?.min(0)),
            chains: Mutex::default(),
            recent: RwLock::new(Recent::after(head)),
            events: EventCache::new(),
            nodes: Cache::weighed(NODES, |id, node| size_of_val(id) + node.weight()),
            rooms: RoomCache::default(),
            keys: Cache::weighed(KEYS, |(room, name), index| size_of_val(room) + name.len() + size_of_val(index) + 40),
            waiters: Arc::default(),
            lately: Arc::new(Lately::after(head)),
            standings: Cache::weighed(STANDINGS, |user, (_, rooms)| {
                2 * user.as_str().len() + rooms.len() * (size_of::<RoomMembership>() + 120)
            }),
            // There are no more transaction ids than events.
            txns: TxnFilter::new(usize::try_from(next_event).unwrap_or(0)),
            unindexed: Unindexed::new(),
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
        self.recent.read().between(after, up_to, limit)
    }

    /// The events of a room after `after` up to `up_to`, the first `limit` in a direction, where all of them are in memory.
    pub(super) fn recent_of_room(
        &self,
        room: RoomNid,
        (after, up_to): (Position, Position),
        direction: Direction,
        limit: usize,
    ) -> Option<Vec<Arc<Event>>> {
        self.recent.read().of_room(room, after, up_to, direction, limit)
    }

    /// Lets go of events that are not in the database any more.
    pub(super) fn forget(&self, events: &[Arc<Event>]) {
        let gone: HashSet<EventNid> = events.iter().map(|event| event.nid).collect();
        self.recent.write().forget(&gone);
        self.unindexed.forget(events);
        events.iter().for_each(|event| self.events.forget(event));
    }

    /// How many positions an operation takes.
    fn width(op: &Op) -> i64 {
        match op {
            Op::Room(write) => {
                let shown = write.events.iter().filter(|new| new.is_news()).count();
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
        let before = position;
        let mut recent = self.recent.write();
        for new in &write.events {
            let event = &new.event;
            if let Some(place) = new.place {
                event.set_position(place);
            } else if new.is_news() {
                position.0 += 1;
                event.set_position(position);
                recent.push(event.clone());
            }
            if event.flags.in_timeline()
                && let Some(relation) = event.relation()
            {
                self.related.insert(relation.event_id);
            }
            self.events.insert(event.clone());
        }
        for (target, by) in &write.redactions {
            recent.redact(target, *by);
        }
        drop(recent);
        let news = write.events.iter().filter(|new| new.is_news()).map(|new| &*new.event);
        self.unindexed.note(news, write.txn.filter(|(_, nid)| write.is_news(*nid)));
        for (id, node) in &write.states.made {
            self.nodes.insert(*id, node.clone());
        }
        for (target, by) in &write.redactions {
            self.events.redact(target, *by);
        }
        // Where nothing of it is shown, it has no place of its own, and is newer than what was read at the end of the log.
        position.0 += i64::from(position == before);
        for member in &write.memberships {
            self.lately.note(Topic::Memberships, member.user.as_str(), position);
        }
        if !write.keys.is_empty() {
            write.room.has_new_keys();
        }
        write.room.set_current(write.current.clone());
        if let Some(place) = write.history {
            write.room.set_history(place);
        }
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

    /// As many places for events of a room's history, all of them before those that were given out earlier: the first of them.
    pub(crate) fn next_history_places(&self, count: i64) -> Position {
        Position(self.log.last_history.fetch_sub(count, Ordering::Relaxed) - count)
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
            let shown = write.events.iter().filter(|new| new.is_news()).map(|new| &new.event);
            let members = shown.filter(|event| event.kind == TimelineEventType::RoomMember);
            let users = members.filter_map(|event| <&UserId>::try_from(event.state_key.as_deref()?).ok());
            std::iter::once(Concern::Room(write.room.nid))
                .chain(users.map(Concern::User))
                .map(|concern| (concern, before))
                .collect()
        }
        _ if before == end => Vec::new(),
        Op::Other(write) => match write.concerns() {
            Some((user, rooms)) => {
                let rooms = rooms.iter().map(|room| (Concern::Room(*room), before));
                std::iter::once((Concern::User(user), before)).chain(rooms).collect()
            }
            None => vec![(Concern::Everyone, before)],
        },
        Op::Tick => vec![(Concern::Everyone, before)],
    }
}
