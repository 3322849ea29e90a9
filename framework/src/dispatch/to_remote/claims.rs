//! Who claims what: before something is said it is claimed, and that must be durable.
//!
//! A lane with little to say claims one row at a time. A busy one claims several, and the next ones while these are being said, so
//! that it does not wait for the disk. After a crash each of them may have been said, so their number is bounded:
//! [`Network::IN_DOUBT`].

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{ToRemote, in_doubt};
use crate::{
    dispatch::{commit_patiently, echoes::Watch},
    network::{Confirmation, Landed, Network, SendError},
    store::{Change, OutboxRow, Pending},
};

/// A lane with more than this to say claims several at once.
const BUSY: usize = 8;
/// How many are claimed at once in a busy lane: two thirds of those that may be in doubt.
fn at_once<N: Network>() -> usize {
    (N::IN_DOUBT - ahead::<N>()).max(1)
}
/// With no more than this many claimed, a busy lane claims the next ones.
fn ahead<N: Network>() -> usize {
    N::IN_DOUBT / 3
}

/// What a lane holds.
pub(super) struct Held<N: Network> {
    pub(super) rows: VecDeque<Arc<OutboxRow>>,
    /// How many of the first rows are claimed.
    pub(super) claimed: usize,
    /// The claim on those behind them, on its way to the disk.
    claiming: Option<Claiming>,
    /// What becomes of first rows that were told together and may have been said, by their number.
    pub(super) told: HashMap<i64, Spoken<N>>,
    /// Whether some of the last that were to be told together were not: what follows waits until those before them have had their turn.
    pub(super) stopped: bool,
    /// What was found out about rows that an earlier life claimed, by their number.
    pub(super) found: HashMap<i64, Landed<N::Message>>,
    /// For how long what stands in this lane is kept, if it is because its user may not say it.
    pub(super) keep: Duration,
}

impl<N: Network> Held<N> {
    pub(super) fn new() -> Self {
        Self {
            rows: VecDeque::new(),
            claimed: 0,
            claiming: None,
            told: HashMap::new(),
            stopped: false,
            found: HashMap::new(),
            keep: Duration::ZERO,
        }
    }

    /// Whether rows behind the claimed ones are being claimed.
    pub(super) fn is_claiming(&self) -> bool {
        self.claiming.is_some()
    }

    /// The first rows behind some that may be told together: claimed by us, of one session or of sessions that share one link, never tried
    /// before.
    pub(super) fn together(&self, behind: usize, most: usize) -> Vec<Arc<OutboxRow>> {
        let alike = |first: &OutboxRow, row: &OutboxRow| {
            (N::SHARED_LINK || row.session == first.session) && !in_doubt(row) && row.attempts == 0
        };
        let Some(first) = self.rows.get(behind) else { return Vec::new() };
        let claimed = self.rows.iter().take(self.claimed).skip(behind);
        claimed.take(most).take_while(|row| alike(first, row)).cloned().collect()
    }
}

/// What becomes of one of several that were told together.
pub(super) struct Spoken<N: Network> {
    pub(super) watch: Watch,
    pub(super) said: Confirmation<N>,
}

/// A claim on its way to the disk.
struct Claiming {
    /// How many rows it is on.
    rows: usize,
    commit: Pending,
}

impl<N: Network> ToRemote<N> {
    /// Which rows behind the first `skip` to claim: one, or several where much waits. A row that an earlier life claimed stays as it is.
    fn next_claim(&self, lane: &str, held: &Held<N>, skip: usize) -> Vec<i64> {
        let most = if self.is_busy(lane, held, skip) { at_once::<N>() } else { 1 };
        held.rows.iter().skip(skip).take(most).take_while(|row| !in_doubt(row)).map(|row| row.seq).collect()
    }

    fn is_busy(&self, lane: &str, held: &Held<N>, skip: usize) -> bool {
        let left = held.rows.len().saturating_sub(skip);
        left > BUSY || left + self.parts.lanes.to_remote.waiting(lane) > BUSY
    }

    /// Claims the first rows as a part of this change. The claim stands when that is committed.
    pub(super) fn claim(&self, change: &mut Change, lane: &str, held: &mut Held<N>) {
        change.claim = self.next_claim(lane, held, 0);
        held.claimed = change.claim.len();
    }

    /// Claims the first rows and waits until that is durable. `None` when the store is closed.
    pub(super) async fn claim_now(&self, held: &mut Held<N>) -> Option<()> {
        self.claimed_ahead(held).await?;
        let lane = held.rows.front().map(|row| row.lane.clone()).unwrap_or_default();
        let mut change = Change::default();
        self.claim(&mut change, &lane, held);
        // The first row may have been claimed by an earlier life, found unsaid, and released since: in memory it still looks like one in
        // doubt, which no claim takes, but now it is to be said.
        if let (0, Some(first)) = (held.claimed, held.rows.front()) {
            change.claim.push(first.seq);
            held.claimed = 1;
        }
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        self.parts.kill.pass("remote.claimed").await;
        Some(())
    }

    /// In a busy lane, begins to claim what comes behind that which is claimed already. `None` when the store is closed.
    pub(super) async fn claim_ahead(&self, lane: &str, held: &mut Held<N>) -> Option<()> {
        if held.claimed > ahead::<N>() || held.claiming.is_some() || !self.is_busy(lane, held, held.claimed) {
            return Some(());
        }
        let claim = self.next_claim(lane, held, held.claimed);
        if !claim.is_empty() {
            let rows = claim.len();
            let commit = self.parts.store.enqueue(Change { claim, ..Change::default() }).await.ok()?;
            held.claiming = Some(Claiming { rows, commit });
        }
        Some(())
    }

    /// Takes note of the claim under way if it has become durable. `None` when the store is closed.
    pub(super) async fn note_claims(&self, held: &mut Held<N>) -> Option<()> {
        match &held.claiming {
            Some(claiming) if !claiming.commit.is_empty() => self.claimed_ahead(held).await,
            _ => Some(()),
        }
    }

    /// Waits until the claim under way is durable. `None` when the store is closed.
    pub(super) async fn claimed_ahead(&self, held: &mut Held<N>) -> Option<()> {
        let Some(Claiming { rows, commit }) = held.claiming.take() else { return Some(()) };
        if !matches!(commit.await, Ok(Ok(_))) {
            let claim = held.rows.iter().skip(held.claimed).take(rows).map(|row| row.seq).collect();
            commit_patiently(&self.parts.store, Change { claim, ..Change::default() }, self.parts.options.first_wait)
                .await?;
        }
        held.claimed += rows;
        self.parts.kill.pass("remote.claimed").await;
        Some(())
    }

    /// Certainly not said: a crash while waiting leaves nothing to find out. `None` when the store is closed.
    pub(super) async fn release(
        &self,
        row: &OutboxRow,
        attempt: u32,
        error: &SendError,
        held: &mut Held<N>,
    ) -> Option<()> {
        // A release must not be overtaken by the claim that it takes back.
        self.claimed_ahead(held).await?;
        let mut release = vec![(row.seq, attempt, error.to_string())];
        let others = held.rows.iter().skip(1).take(held.claimed.saturating_sub(1));
        let others = others.filter(|row| !held.told.contains_key(&row.seq));
        release.extend(others.map(|row| (row.seq, row.attempts, "waits for the one before".to_owned())));
        held.claimed = 0;
        self.parts.store.later(Change { release, ..Change::default() }, self.parts.options.first_wait).await.ok()
    }
}
