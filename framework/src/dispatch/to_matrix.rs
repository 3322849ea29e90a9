//! The second step of a lane, towards Matrix: say it under the same transaction id until the homeserver has it, or until it comes
//! back to us, which says the same.

mod in_turn;
mod reactions;
mod say;

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use landbridge_axum_ruma::Turn;
use ruma::{EventId, OwnedEventId, RoomId};
use tokio::sync::Semaphore;

use super::{from_remote::Saying, queues::Next};
use crate::{
    bridge::{HomeserverError, members::Members, parts::Parts, rooms::Rooms, virtual_users::VirtualUsers},
    clock::Millis,
    metrics::Outcome,
    network::{Direction, Network, RemoteId},
    store::{Change, DeadLetterRow, MemberRow, Memory, MessageRow, OutboxRow},
};

/// How many rows are taken, or read from the store, at once.
const BATCH: usize = 64;

/// Delivers to Matrix. One for all lanes.
pub(crate) struct ToMatrix<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) members: Arc<Members<N>>,
    pub(crate) users: Arc<VirtualUsers<N>>,
    pub(crate) rooms: Arc<Rooms<N>>,
    /// How many requests may still begin.
    pub(crate) permits: Semaphore,
}

/// What was said.
#[derive(Default)]
struct Said {
    /// The event that it became.
    event_id: Option<OwnedEventId>,
    /// What it changed besides.
    members: Vec<MemberRow>,
    /// What is remembered of it, where that is not what was decided.
    memory: Option<Memory>,
    /// Reactions that it became.
    reactions: Vec<(OwnedEventId, Memory)>,
    /// Reactions that it took back.
    taken_back: Vec<OwnedEventId>,
}

impl Said {
    fn event(event_id: OwnedEventId) -> Self {
        Self { event_id: Some(event_id), ..Self::default() }
    }
}

/// Where and under which names something is said.
struct Place<'a> {
    room_id: &'a RoomId,
    key: &'a str,
    /// Its turn among others, where it does not wait for their answers.
    turn: Option<&'a Turn>,
}

impl<N: Network> ToMatrix<N> {
    pub(crate) fn new(
        parts: &Arc<Parts<N>>,
        users: &Arc<VirtualUsers<N>>,
        members: &Arc<Members<N>>,
        rooms: &Arc<Rooms<N>>,
    ) -> Self {
        Self {
            parts: Arc::clone(parts),
            members: Arc::clone(members),
            users: Arc::clone(users),
            rooms: Arc::clone(rooms),
            permits: Semaphore::new(parts.options.matrix_at_once.max(1)),
        }
    }

    /// Works a lane until it has nothing to do.
    pub(crate) async fn run(self: Arc<Self>, lane: String) {
        loop {
            match self.parts.lanes.to_matrix.take(&lane, BATCH) {
                Next::Idle => return,
                Next::Load { after, left } => {
                    match self.parts.store.outbox_of(Direction::ToMatrix, &lane, after, BATCH as i64).await {
                        Ok(rows) => self.parts.lanes.to_matrix.loaded(&lane, rows, BATCH, left),
                        Err(error) => {
                            tracing::warn!(lane, %error, "a lane cannot be read; waiting");
                            tokio::time::sleep(self.parts.options.first_wait).await;
                        }
                    }
                }
                Next::Rows(rows) => {
                    if self.deliver_all(rows.into()).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Delivers some rows, in order. `None` when the store is closed.
    async fn deliver_all(&self, mut rows: VecDeque<Arc<OutboxRow>>) -> Option<()> {
        while let Some(row) = rows.front().cloned() {
            match self.deliver_in_turn(&rows).await? {
                0 => {
                    self.deliver(&row).await?;
                    rows.pop_front();
                }
                done => drop(rows.drain(..done.min(rows.len()))),
            }
        }
        Some(())
    }

    /// Delivers one row, however long that takes. `None` when the store is closed.
    async fn deliver(&self, row: &OutboxRow) -> Option<()> {
        let saying: Saying<N::User, N::Message> = match serde_json::from_str(&row.op) {
            Ok(saying) => saying,
            Err(error) => return self.park(row, 0, format!("the stored operation cannot be read: {error}")).await,
        };
        let Ok(room_id) = RoomId::parse(&row.room_id) else {
            return self.park(row, 0, "the stored room cannot be read".to_owned()).await;
        };
        self.parts.kill.pass("matrix.started").await;
        let (mut room_id, mut row) = (room_id, Cow::Borrowed(row));
        let mut watch = self.parts.lanes.under_way.watch(&row.idem);
        let (mut wait, mut attempts) = (self.parts.options.first_wait, 0);
        loop {
            attempts += 1;
            if let Some(moved) = self.parts.mappings.moved(&room_id) {
                row.to_mut().room_id = moved.to_string();
                room_id = moved;
            }
            let place = Place { room_id: &room_id, key: &row.idem, turn: None };
            let said = tokio::select! {
                biased;
                // Our own event came back: the homeserver has it, and its row is closed.
                Ok(_) = &mut watch.echo => return Some(()),
                said = self.say(&saying, &place) => said,
            };
            let for_how_long = match said {
                Ok(said) => {
                    self.parts.kill.pass("matrix.delivered").await;
                    return self.finish(&row, said).await;
                }
                Err(HomeserverError::Limited(for_how_long)) => for_how_long,
                Err(error @ HomeserverError::Unavailable(_)) => {
                    tracing::warn!(room.id = row.room_id, seq = row.seq, %error, attempts, "waiting for the homeserver");
                    None
                }
                Err(_) if self.parts.mappings.is_moving(&room_id) => None,
                Err(error) => return self.park(&row, attempts, error.to_string()).await,
            };
            let at_least = for_how_long.unwrap_or(self.parts.options.first_wait);
            tokio::select! {
                Ok(_) = &mut watch.echo => return Some(()),
                () = tokio::time::sleep(at_least) => {}
            }
            tokio::select! {
                Ok(_) = &mut watch.echo => return Some(()),
                () = tokio::time::sleep(wait.saturating_sub(at_least)) => {}
                // It is there again: no need to wait longer.
                () = self.parts.alive.notified() => {}
            }
            wait = (wait * 2).min(self.parts.options.longest_wait);
        }
    }

    /// Remembers what was said. Not waited for: what is forgotten in a crash is said again under the same transaction id.
    async fn finish(&self, row: &OutboxRow, said: Said) -> Option<()> {
        // The next word on these reactions is compared with what is stored.
        let waits = !said.reactions.is_empty() || !said.taken_back.is_empty();
        let woken: Vec<N::User> = said.members.iter().filter_map(|row| N::User::decode(&row.remote)).collect();
        let change = self.closing(row, said);
        if waits {
            super::commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        } else {
            self.parts.store.later(change, self.parts.options.first_wait).await.ok()?;
        }
        self.parts.kill.pass("matrix.committed").await;
        if let Ok(room_id) = RoomId::parse(&row.room_id) {
            for user in woken {
                self.members.wake(&room_id, &user);
            }
        }
        Some(())
    }

    /// What is stored when something was said.
    fn closing(&self, row: &OutboxRow, said: Said) -> Change {
        self.parts.metrics.outcome(N::INFO.id, Direction::ToMatrix, Outcome::Delivered);
        self.parts.metrics.latency(N::INFO.id, Direction::ToMatrix, self.parts.clock.now().since(Millis(row.at)));
        let Said { event_id, members, memory, reactions, taken_back } = said;
        let remember = |event_id: &EventId, memory| MessageRow {
            event_id: event_id.to_string(),
            room_id: row.room_id.clone(),
            memory,
            at: row.at,
        };
        let remembered = match (memory, &event_id) {
            (Some(memory), Some(event_id)) => Some(remember(event_id, memory)),
            _ => row.to_remember(event_id.as_deref().map(EventId::as_str)),
        };
        let reactions = reactions.into_iter().map(|(event_id, memory)| remember(&event_id, memory));
        Change {
            outbox_done: vec![row.seq],
            messages: remembered.into_iter().chain(reactions).collect(),
            messages_gone: taken_back.iter().map(ToString::to_string).collect(),
            members,
            ..Change::default()
        }
    }

    async fn park(&self, row: &OutboxRow, attempts: u32, error: String) -> Option<()> {
        tracing::error!(lane = row.lane, seq = row.seq, error, "something for Matrix is parked");
        self.parts.metrics.outcome(N::INFO.id, Direction::ToMatrix, Outcome::Parked);
        let parked = DeadLetterRow::undelivered(row, error, attempts, self.parts.clock.now());
        let change = Change { outbox_done: vec![row.seq], park: vec![parked], ..Change::default() };
        super::commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await.map(drop)
    }
}
