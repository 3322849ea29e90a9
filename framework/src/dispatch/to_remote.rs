//! The second step of a lane, towards the network: deliver, in order, and never twice.
//!
//! Before something is said it is claimed: after a crash, a claimed row may have been said, and the session is asked whether it was.
//! Whatever waits is not claimed. Where much waits, and the network confirms late, several are told at once; each is then worked
//! in its turn with what became of it.

pub(super) mod aside;
mod attempt;
mod claims;
mod files;
mod together;

use std::sync::Arc;

use ruma::RoomId;

use self::{
    attempt::session_id,
    claims::{Held, Spoken},
};
use super::{
    commit_patiently,
    outcome::{self, Told},
    queues::Next,
    status::{self, About},
};
use crate::{
    bridge::parts::Parts,
    clock::Millis,
    metrics::Outcome,
    network::{Direction, Network, RemoteId},
    store::{Change, DeadLetterRow, Memory, OutboxRow},
};

/// How many rows are read from the store at once, and about how many are held.
const BATCH: usize = 64;

/// Delivers to the network. One for all lanes.
pub(crate) struct ToRemote<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    /// Since when this life delivers: the time before does not count as waiting.
    pub(crate) since: Millis,
}

/// How a delivery ended.
enum End<N: Network> {
    /// The network has it.
    Delivered(Option<N::Message>),
    /// Our own message came back while its answer was lost: the row is closed already.
    Echoed,
    /// It will not be delivered.
    Failed { tell: Option<Told>, park: Option<String>, why: Outcome },
    /// It waits for a session that others need not wait for, or until its user may say it; then its sender is told this.
    Aside(Option<Told>),
    /// It is not to be said any more; the row is gone.
    Withdrawn,
    /// The store is closed.
    Stopped,
}

impl<N: Network> End<N> {
    fn fault(error: &str) -> Self {
        Self::Failed { tell: Some(outcome::fault()), park: Some(error.to_owned()), why: Outcome::Parked }
    }
}

impl<N: Network> ToRemote<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>) -> Self {
        Self { parts: Arc::clone(parts), since: parts.clock.now() }
    }

    /// Works a lane until it has nothing to do.
    pub(crate) async fn run(self: Arc<Self>, lane: String) {
        let mut held = Held::new();
        loop {
            if held.rows.is_empty() && !self.refill(&lane, &mut held).await {
                return;
            }
            let Some(row) = held.rows.front().cloned() else { continue };
            if self.note_claims(&mut held).await.is_none() {
                return;
            }
            self.tell_together(&mut held).await;
            let mut end = self.deliver(&row, &mut held).await;
            if matches!(end, End::Stopped) {
                return;
            }
            // A file may have been stored for it.
            let row = held.rows.pop_front().unwrap_or(row);
            held.claimed = held.claimed.saturating_sub(1);
            if let End::Aside(tell) = &mut end
                && self.put_aside(&row, tell.take()).await.is_none()
            {
                return;
            }
            if self.finish(&lane, &row, end, &mut held).await.is_none() {
                return;
            }
        }
    }

    /// Takes what is next. Says no when the lane has been let go.
    async fn refill(&self, lane: &str, held: &mut Held<N>) -> bool {
        match self.parts.lanes.to_remote.take(lane, BATCH) {
            Next::Idle => return false,
            Next::Rows(rows) => {
                if held.rows.is_empty() {
                    held.claimed = rows.iter().take_while(|row| row.claimed && row.fresh).count();
                }
                held.rows.extend(rows);
                if held.claimed > 0 {
                    self.parts.kill.pass("remote.claimed").await;
                }
            }
            Next::Load { after, left } => {
                let way = Direction::ToRemote;
                match self.parts.store.outbox_of(way, lane, after, BATCH as i64).await {
                    Ok(rows) => {
                        rows.iter().for_each(|row| self.recall_name(row));
                        self.parts.lanes.to_remote.loaded(lane, rows, BATCH, left);
                    }
                    Err(error) => {
                        tracing::warn!(lane, %error, "a lane cannot be read; waiting");
                        tokio::time::sleep(self.parts.options.first_wait).await;
                    }
                }
            }
        }
        true
    }

    /// Whoever says this may have no session in this life yet: it is to go by the name that they had.
    fn recall_name(&self, row: &OutboxRow) {
        let user_id = session_id(&row.session).and_then(|id| id.user_id().map(ToOwned::to_owned));
        let memory = row.memory.as_deref().and_then(|memory| serde_json::from_str::<Memory>(memory).ok());
        if let (Some(user_id), Some(memory)) = (user_id, memory)
            && !memory.author_name.is_empty()
        {
            self.parts.speakers.was_called(&user_id, &memory.author_name);
        }
    }

    /// What became of a row, and the claim on the next ones, in one commit. Waits for it only where something is claimed.
    async fn finish(&self, lane: &str, row: &OutboxRow, end: End<N>, held: &mut Held<N>) -> Option<()> {
        let mut change = Change::default();
        let room_id = RoomId::parse(&row.room_id).ok();
        match end {
            End::Delivered(id) => {
                // The last part of a message says that all of it crossed.
                let is_last = held.rows.front().is_none_or(|next| next.source != row.source);
                if let (Some(room_id), true, true) = (&room_id, is_last, row.memory.is_some()) {
                    let row =
                        self.about(row, room_id).map(|about| status::crossed::<N>(self.parts.options.status, about));
                    change.outbox.extend(row.into_iter().flatten().flatten());
                }
                self.parts.metrics.outcome(N::INFO.id, Direction::ToRemote, Outcome::Delivered);
                self.parts.metrics.latency(
                    N::INFO.id,
                    Direction::ToRemote,
                    self.parts.clock.now().since(Millis(row.at)),
                );
                change.outbox_done.push(row.seq);
                change.messages.extend(row.to_remember(id.map(|id| id.encode()).as_deref()));
            }
            End::Failed { tell, park, why } => {
                self.parts.metrics.outcome(N::INFO.id, Direction::ToRemote, why);
                change.outbox_done.push(row.seq);
                if let (Some(told), Some(room_id)) = (tell, &room_id) {
                    let rows = self
                        .about(row, room_id)
                        .map(|about| status::failed::<N>(self.parts.options.status, about, told));
                    change.outbox.extend(rows.into_iter().flatten().flatten());
                }
                let now = self.parts.clock.now();
                change.park.extend(park.map(|error| DeadLetterRow::undelivered(row, error, row.attempts + 1, now)));
            }
            End::Echoed => self.parts.metrics.outcome(N::INFO.id, Direction::ToRemote, Outcome::Delivered),
            End::Aside(_) | End::Withdrawn | End::Stopped => {}
        }
        if held.rows.len() < BATCH / 2 && self.parts.lanes.to_remote.waiting(lane) > 0 {
            self.refill(lane, held).await;
        }
        if held.claimed > 0 || held.is_claiming() {
            // The next ones are claimed already; what is forgotten in a crash is found out then.
            self.parts.store.later(change, self.parts.options.first_wait).await.ok()?;
            if held.claimed == 0 {
                self.claimed_ahead(held).await?;
            }
            return self.claim_ahead(lane, held).await;
        }
        self.claim(&mut change, lane, held);
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        self.parts.kill.pass("remote.committed").await;
        if held.claimed > 0 {
            self.parts.kill.pass("remote.claimed").await;
        }
        Some(())
    }

    /// The message that a row is about, where it is about one.
    fn about<'a>(&'a self, row: &'a OutboxRow, room_id: &'a RoomId) -> Option<About<'a>> {
        let event_id = row.source.as_deref()?;
        Some(About { bridge: &self.parts.bridge, lane: &row.lane, room_id, event_id, at: row.at })
    }
}

/// Whether a row may have been said by an earlier life of the bridge, which claimed it.
fn in_doubt(row: &OutboxRow) -> bool {
    row.claimed && !row.fresh
}
