//! The short way from what was heard to what is to be said: a message of which it can be told at once what it becomes is not kept as it
//! was heard, but as that. It then takes one commit until it is said, not two, and nobody hands it on in between.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use super::convert::{Converter, Kept, guarded};
use crate::{
    network::{Direction, Network},
    store::{Heard, InboxRow, OutboxRow},
};

/// For how many lanes it is remembered what their conversions stand on.
const KEPT: usize = 8;

/// Decides before anything is kept.
pub(crate) struct Decider<N: Network> {
    converter: Arc<Converter<N>>,
    /// What the latest lanes stand on, the last used at the end.
    kept: Mutex<VecDeque<(String, Kept<N>)>>,
}

impl<N: Network> Decider<N> {
    pub(crate) fn new(converter: &Arc<Converter<N>>) -> Self {
        Self { converter: Arc::clone(converter), kept: Mutex::default() }
    }

    /// Decides what it can of what is about to be kept, without waiting for anything. In each room nothing overtakes what it cannot decide:
    /// neither what waits there to be converted, nor what stands before it here.
    pub(crate) fn decide(&self, heard: &mut [Heard]) {
        let mut undecided: HashSet<String> = HashSet::new();
        let mut lanes: HashMap<String, Kept<N>> = HashMap::new();
        for heard in heard {
            for (index, row) in heard.rows.iter().enumerate() {
                if undecided.contains(&row.lane) {
                    continue;
                }
                let mut kept = lanes.remove(&row.lane).unwrap_or_else(|| self.begin(&row.lane));
                // A panic is told where it happens again, beside what is kept.
                if let Ok(Some(rows)) = guarded(|| self.one(row, &mut kept)) {
                    kept.idle &= rows.is_empty();
                    heard.decided.insert(index, rows);
                } else {
                    undecided.insert(row.lane.clone());
                }
                lanes.insert(row.lane.clone(), kept);
            }
        }
        let mut known = self.kept.lock();
        known.extend(lanes);
        let surplus = known.len().saturating_sub(KEPT);
        known.drain(..surplus);
    }

    fn begin(&self, lane: &str) -> Kept<N> {
        let mut known = self.kept.lock();
        let found = known.iter().position(|(of, _)| of == lane).and_then(|index| known.remove(index));
        drop(known);
        let mut kept = found.map_or_else(|| self.converter.kept(), |(_, kept)| kept);
        let parts = &self.converter.parts;
        kept.context.puppets = parts.speakers.names();
        kept.idle = !parts.lanes.to_remote.contains(lane);
        kept
    }

    fn one(&self, row: &InboxRow, kept: &mut Kept<N>) -> Option<Vec<OutboxRow>> {
        if self.converter.parts.lanes.inbox.contains(&row.lane) {
            return None;
        }
        let change = match row.direction {
            Direction::ToRemote => self.converter.decide_from_matrix(row, kept).now_or_never(),
            Direction::ToMatrix => self.converter.decide_from_remote(row, kept).now_or_never(),
        };
        change??.only_outbox()
    }
}
