//! The events that are kept in memory because they were made or asked for lately.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use ruma::EventId;

use super::cache::Cache;
use crate::rooms::{Event, EventNid};

/// How many bytes of events are kept.
const BYTES: usize = 12 << 20;
/// How many ids are kept with the numbers of their events.
const IDS: usize = 16_384;
/// How many redactions are kept.
const REDACTED: usize = 1024;

/// Events by number and by id.
#[derive(Debug)]
pub(super) struct EventCache {
    by_nid: Cache<EventNid, Arc<Event>>,
    /// By the hash of the id: what is found is compared, so two ids of one hash do no harm.
    by_id: Cache<u64, EventNid>,
    hasher: RandomState,
    /// Lately redacted: a row may have been read before the redaction and arrive here after it.
    redacted: Cache<EventNid, EventNid>,
}

impl EventCache {
    pub(super) fn new() -> Self {
        Self {
            by_nid: Cache::weighed(BYTES, |_, event| event.weight()),
            by_id: Cache::new(IDS),
            hasher: RandomState::new(),
            redacted: Cache::new(REDACTED),
        }
    }

    pub(super) fn get(&self, nid: EventNid) -> Option<Arc<Event>> {
        self.by_nid.get(&nid)
    }

    pub(super) fn get_by_id(&self, event_id: &EventId) -> Option<Arc<Event>> {
        let nid = self.by_id.get(&self.hasher.hash_one(event_id))?;
        self.by_nid.get(&nid).filter(|event| event.event_id == event_id)
    }

    /// Keeps one `Arc` per event: what is here already wins, because its redaction may be newer than the row that was read.
    pub(super) fn insert_read(&self, event: Arc<Event>) -> Arc<Event> {
        if let Some(known) = self.by_nid.get(&event.nid) {
            return known;
        }
        self.insert(event.clone());
        if let Some(by) = self.redacted.get(&event.nid) {
            event.set_redacted_by(by);
        }
        event
    }

    pub(super) fn redact(&self, target: &Event, by: EventNid) {
        self.redacted.insert(target.nid, by);
        target.set_redacted_by(by);
        if let Some(cached) = self.by_nid.get(&target.nid) {
            cached.set_redacted_by(by);
        }
    }

    /// Lets go of an event that is not in the database any more.
    pub(super) fn forget(&self, event: &Event) {
        self.by_nid.remove(&event.nid);
        self.by_id.remove(&self.hasher.hash_one(&*event.event_id));
    }

    pub(super) fn insert(&self, event: Arc<Event>) {
        self.by_id.insert(self.hasher.hash_one(&*event.event_id), event.nid);
        self.by_nid.insert(event.nid, event);
    }
}
