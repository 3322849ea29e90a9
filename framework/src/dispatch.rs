//! From what was heard to what is said: inbox → lanes → outbox.
//!
//! Everything heard is durable before it is acknowledged ([`intake`], [`Host::ingest`](crate::Host::ingest)), and everything said is
//! durable before it is said. Between the two stands one lane per room, in which conversions happen in the order of hearing; what
//! they decide is delivered in that order by two streams, one towards the network and one towards Matrix, so that a network that
//! is down does not hide what Matrix can still be told.

mod convert;
pub(crate) mod decide;
mod echoes;
pub(crate) mod ephemeral;
mod from_matrix;
mod from_remote;
pub(crate) mod inbox;
pub(crate) mod ingest;
pub mod intake;
mod keys;
pub mod kill;
pub(crate) mod lanes;
mod nth_equal;
pub(crate) mod numbers;
pub mod outcome;
mod queues;
mod revive;
mod status;
mod to_matrix;
mod to_remote;
mod work;

use std::time::Duration;

use landbridge_sql::WriteError;

pub(crate) use self::{
    convert::Converter, revive::revive, status::answer, to_matrix::ToMatrix, to_remote::ToRemote,
    to_remote::aside::aside_lanes, work::work,
};
pub use self::{
    intake::{AcceptError, Backlog, Intake, Transaction},
    kill::{KILL_POINTS, Kill},
    outcome::{StatusForm, WhenUnsure},
};
use crate::store::{Change, Committed, Store};

/// How the dispatcher behaves.
#[derive(Debug, Clone)]
pub struct DispatchOptions {
    /// Something that cannot be said to the network for this long (while the bridge is up) is parked, and its sender told.
    pub max_age: Duration,
    /// What waits for a user's own session to connect for this long stands aside, and holds up nobody else in its room.
    pub puppet_patience: Duration,
    /// What is done when nobody can tell whether something was said.
    pub when_unsure: WhenUnsure,
    /// How the sender of a message hears what became of it.
    pub status: StatusForm,
    /// The first wait before something is tried again; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How many requests to the homeserver run at the same time.
    pub matrix_at_once: usize,
}

impl Default for DispatchOptions {
    fn default() -> Self {
        Self {
            max_age: Duration::from_mins(10),
            puppet_patience: Duration::from_secs(10),
            when_unsure: WhenUnsure::Tell,
            status: StatusForm::Notices,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_mins(1),
            matrix_at_once: 32,
        }
    }
}

/// Commits a change, however long that takes: while the disk is full or the database away, it is tried again. `None` when the store
/// is closed.
pub(crate) async fn commit_patiently(store: &Store, change: Change, retry: Duration) -> Option<Committed> {
    let mut failures = 0_u32;
    loop {
        match store.commit(change.clone()).await {
            Ok(done) => return Some(done),
            Err(WriteError::Closed) => return None,
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    tracing::error!(%error, failures, "the store keeps nothing; waiting");
                }
                tokio::time::sleep(retry).await;
            }
        }
    }
}
