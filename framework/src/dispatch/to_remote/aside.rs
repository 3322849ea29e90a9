//! What stands aside, so that it holds up nobody else in its room: what waits for a session of its own, and what its user may not say yet.

use std::{sync::Arc, time::Duration};

use ruma::RoomId;

use super::{End, ToRemote, in_doubt};
use crate::{
    dispatch::{
        commit_patiently,
        outcome::{self, Told},
        status,
    },
    metrics::Outcome,
    network::{Network, OpKind, RemoteOp},
    store::{Change, OutboxRow},
};

/// Stands between a lane and the session whose rows stand aside.
const ASIDE: char = '\u{1f}';

/// How much of one session's is kept in a room until it may be said; what is beyond that is not kept, and its sender told.
const MOST_KEPT: usize = 100;

/// The lane in which what a session has to say in a room stands aside.
pub(crate) fn aside_lane(lane: &str, session: &str) -> String {
    format!("{lane}{ASIDE}{session}")
}

/// With what the lanes begin in which anything of a room stands aside.
pub(crate) fn aside_lanes(lane: &str) -> String {
    aside_lane(lane, "")
}

/// Whether a row stands aside.
pub(super) fn stands_aside(row: &OutboxRow) -> bool {
    row.lane.contains(ASIDE)
}

impl<N: Network> ToRemote<N> {
    /// Whether what this session said before stands aside: then this follows it there.
    pub(super) fn is_aside(&self, row: &OutboxRow) -> bool {
        let aside = || self.parts.lanes.to_remote.contains(&aside_lane(&row.lane, &row.session));
        !stands_aside(row) && !in_doubt(row) && aside()
    }

    /// How a row ends in its lane that follows others aside. Where all sessions share one link, those wait until they may be said, and
    /// whatever is no message need not wait for that.
    pub(super) async fn follows(&self, row: &OutboxRow, op: &RemoteOp<N>) -> Option<End<N>> {
        if !self.is_aside(row) || (N::SHARED_LINK && matches!(op.kind, OpKind::Control)) {
            return None;
        }
        Some(if N::SHARED_LINK && !self.has_place(row).await { Self::kept_no_more() } else { End::Aside(None) })
    }

    /// How a row ends in its lane that may not be said yet.
    pub(super) async fn kept(&self, row: &OutboxRow, why: &str, keep: Duration) -> End<N> {
        if self.has_place(row).await {
            End::Aside(Some(outcome::withheld(N::INFO.name, why, keep)))
        } else {
            Self::kept_no_more()
        }
    }

    /// Whether there is a place left beside its lane.
    async fn has_place(&self, row: &OutboxRow) -> bool {
        match self.parts.store.outbox_count(&aside_lane(&row.lane, &row.session)).await {
            Ok(count) => count < MOST_KEPT,
            // A store that cannot be read for a moment loses nothing because of it.
            Err(_) => true,
        }
    }

    fn kept_no_more() -> End<N> {
        let tell = Some(outcome::keeps_no_more(N::INFO.name, MOST_KEPT));
        End::Failed { tell, park: None, why: Outcome::Refused }
    }

    /// Puts a row aside, behind whatever of its session stands there, and tells its sender.
    pub(super) async fn put_aside(&self, row: &OutboxRow, tell: Option<Told>) -> Option<()> {
        let lane = aside_lane(&row.lane, &row.session);
        tracing::info!(lane = row.lane, session.id = row.session, "what cannot be said yet stands aside");
        let room_id = RoomId::parse(&row.room_id).ok();
        let about = room_id.as_deref().and_then(|room_id| self.about(row, room_id));
        let told = about.zip(tell).map(|(about, told)| status::kept::<N>(self.parts.options.status, about, told));
        let change = Change {
            release: vec![(row.seq, row.attempts, "stands aside".to_owned())],
            move_to: vec![(row.seq, lane.clone())],
            outbox: told.into_iter().flatten().flatten().collect(),
            ..Change::default()
        };
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        let moved = OutboxRow { lane, claimed: false, fresh: true, ..row.clone() };
        self.parts.lanes.to_remote.push(&Arc::new(moved));
        Some(())
    }

    /// Whether a row that stands aside and is claimed was withdrawn before it was claimed: then it is not said.
    pub(super) async fn is_withdrawn(&self, row: &OutboxRow) -> bool {
        stands_aside(row) && matches!(self.parts.store.outbox_holds(row.seq).await, Ok(false))
    }
}
