//! The three queues of every lane: what was heard, and what is to be said each way. Fed by each commit.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{echoes::UnderWay, queues::Queues};
use crate::{
    network::Direction,
    store::{Committed, InboxRow, Listener, OutboxRow, Store},
};

/// All queues.
pub(crate) struct Lanes {
    /// Heard, to be converted.
    pub(crate) inbox: Queues<InboxRow>,
    /// Decided, to be said to the network.
    pub(crate) to_remote: Queues<OutboxRow>,
    /// Decided, to be said to Matrix.
    pub(crate) to_matrix: Queues<OutboxRow>,
    /// Deliveries whose echo is watched for.
    pub(crate) under_way: UnderWay,
}

/// The lanes that need a worker, of each kind.
#[derive(Debug)]
pub(crate) struct Needy {
    pub(crate) inbox: mpsc::UnboundedReceiver<String>,
    pub(crate) to_remote: mpsc::UnboundedReceiver<String>,
    pub(crate) to_matrix: mpsc::UnboundedReceiver<String>,
}

impl Lanes {
    pub(crate) fn new() -> (Arc<Self>, Needy) {
        let (inbox, needy_inbox) = Queues::new();
        let (to_remote, needy_remote) = Queues::new();
        let (to_matrix, needy_matrix) = Queues::new();
        let lanes = Self { inbox, to_remote, to_matrix, under_way: UnderWay::default() };
        (Arc::new(lanes), Needy { inbox: needy_inbox, to_remote: needy_remote, to_matrix: needy_matrix })
    }

    /// The queue of one direction.
    pub(crate) fn outbox(&self, direction: Direction) -> &Queues<OutboxRow> {
        match direction {
            Direction::ToRemote => &self.to_remote,
            Direction::ToMatrix => &self.to_matrix,
        }
    }

    /// How many lanes have something to do.
    pub(crate) fn len(&self) -> u64 {
        (self.inbox.lanes() + self.to_remote.lanes() + self.to_matrix.lanes()) as u64
    }

    /// Wakes every lane for which the store holds something. To be called once, before anything is heard.
    pub(crate) async fn resume(&self, store: &Store) -> Result<(), landbridge_sql::SqlError> {
        for (lane, newest) in store.inbox_lanes().await? {
            self.inbox.wake(&lane, newest);
        }
        for direction in [Direction::ToRemote, Direction::ToMatrix] {
            for (lane, newest) in store.outbox_lanes(direction).await? {
                self.outbox(direction).wake(&lane, newest);
            }
        }
        Ok(())
    }
}

impl Listener for Lanes {
    fn committed(&self, done: &Committed) {
        for row in &done.inbox {
            self.inbox.push(row);
        }
        for row in &done.outbox {
            self.outbox(row.direction).push(row);
        }
        for (row, name) in &done.closed {
            self.under_way.heard(&row.idem, name.as_deref());
        }
    }
}
