//! The end of the log, in memory, for those who follow it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use crate::{
    rooms::{Event, EventNid},
    stream::Position,
};

/// How many events are kept, and how many bytes of them.
const RECENT: usize = 4096;
const RECENT_BYTES: usize = 8 << 20;

/// The end of the log.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Everything in the log after this is in `events`.
    complete_after: Position,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Recent {
    /// The end of a log that goes on after `head`.
    pub(super) fn after(head: Position) -> Self {
        Self { complete_after: head, ..Self::default() }
    }

    /// The events after `after` up to `up_to`, where all of them are here.
    pub(super) fn between(&self, after: Position, up_to: Position, limit: usize) -> Option<Vec<Arc<Event>>> {
        if after < self.complete_after {
            return None;
        }
        let start = self.events.partition_point(|event| event.position() <= after);
        let events = self.events.range(start..).take_while(|event| event.position() <= up_to).take(limit);
        Some(events.cloned().collect())
    }

    /// Lets go of these events.
    pub(super) fn forget(&mut self, gone: &HashSet<EventNid>) {
        self.events.retain(|event| !gone.contains(&event.nid));
        self.bytes = self.events.iter().map(|event| event.weight()).sum();
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > RECENT || self.bytes > RECENT_BYTES {
            let Some(dropped) = self.events.pop_front() else { return };
            self.bytes -= dropped.weight();
            self.complete_after = dropped.position();
        }
    }
}
