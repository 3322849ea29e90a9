//! How much a user has not read ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications

mod notes;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex as SyncMutex;
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::{sync::Mutex, task::JoinHandle};

use self::notes::{Note, Notes};
use super::Judge;
use crate::{
    http::error::ApiError,
    rooms::{Event, Rooms},
    store::{cache::Cache, local::Local, pushers as table},
    stream::Position,
    sync::Receipts,
};

/// How many events of a room are looked at once to count; older ones are not counted.
const LOOKED_AT: usize = 1000;

/// How many unread notifications of one room are told apart; beyond it the oldest are forgotten, so no count is greater.
const MAX_NOTES: usize = 1000;

/// Of how many pairs of user and room counts are kept in memory.
const KEPT: usize = 100_000;

/// How long counts wait to be stored: what is not stored is counted again.
const STORED_EVERY: Duration = Duration::from_secs(5);

/// How much is stored at once: a thousand users who have a thousand notifications each come to tens of megabytes.
const STORED_BYTES: usize = 64 * 1024;

/// Of how many pairs of user and room it is stored at once.
const STORED_ROWS: usize = 500;

/// How many unread notifications there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub notifications: u64,
    /// Those that stand out.
    pub highlights: u64,
}

impl Counts {
    fn add(&mut self, note: &Note<'_>) {
        self.notifications += 1;
        self.highlights += u64::from(note.highlight);
    }
}

/// What is unread in one room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomCounts {
    /// In the main timeline.
    pub main: Counts,
    /// In threads that have something unread, by their roots.
    pub threads: BTreeMap<OwnedEventId, Counts>,
}

impl RoomCounts {
    /// Everywhere in the room.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.threads.values().fold(self.main, |sum, counts| Counts {
            notifications: sum.notifications + counts.notifications,
            highlights: sum.highlights + counts.highlights,
        })
    }
}

/// Counts what users have not read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Unread {
    inner: Arc<Inner>,
}

type Key = (OwnedUserId, OwnedRoomId);
type Shared = Arc<Mutex<Entry>>;
type Dirty = Arc<SyncMutex<HashMap<Key, Shared>>>;

struct Inner {
    rooms: Rooms,
    receipts: Receipts,
    judge: Judge,
    local: Local,
    entries: Cache<Key, Shared>,
    dirty: Dirty,
    /// How often each user that has pushers has read something.
    reads: SyncMutex<HashMap<OwnedUserId, u64>>,
    storing: JoinHandle<()>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unread").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.storing.abort();
    }
}

/// What is known of one user in one room.
#[derive(Debug, Default)]
struct Entry {
    loaded: bool,
    /// Counted up to here.
    until: Position,
    notes: Notes,
    /// Read up to where: everywhere (empty), in the main timeline (`main`), in a thread (its root).
    read: HashMap<String, i64>,
}

impl Entry {
    fn read_up_to(&mut self, thread: &str, position: i64) {
        let mark = self.read.entry(thread.to_owned()).or_insert(i64::MIN);
        *mark = position.max(*mark);
        let Self { notes, read, .. } = self;
        notes.retain(|note| !is_read(read, note));
    }

    fn add(&mut self, note: &Note<'_>) {
        if !is_read(&self.read, note) {
            self.notes.push(note);
        }
    }

    fn counts(&self) -> RoomCounts {
        let mut counts = RoomCounts::default();
        for note in self.notes.iter() {
            match note.thread {
                Some(root) => match counts.threads.get_mut(root) {
                    Some(of_thread) => of_thread.add(&note),
                    None => counts.threads.entry(root.to_owned()).or_default().add(&note),
                },
                None => counts.main.add(&note),
            }
        }
        counts
    }
}

fn is_read(read: &HashMap<String, i64>, note: &Note<'_>) -> bool {
    let up_to = |thread: &str| read.get(thread).is_some_and(|mark| note.position <= *mark);
    up_to("") || up_to(note.thread.map_or("main", EventId::as_str))
}

impl Unread {
    pub(crate) fn new(rooms: Rooms, receipts: Receipts, judge: Judge, local: Local) -> Self {
        let dirty = Dirty::default();
        let storing = tokio::spawn(store(local.clone(), dirty.clone()));
        let entries = Cache::new(KEPT);
        let reads = SyncMutex::default();
        Self { inner: Arc::new(Inner { rooms, receipts, judge, local, entries, dirty, reads, storing }) }
    }

    /// What a joined user has not read in a room, of everything up to a place in the log.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_room(&self, user: &UserId, room_id: &RoomId, until: Position) -> Result<RoomCounts, ApiError> {
        let (key, entry) = self.entry(user, room_id);
        let mut held = entry.lock().await;
        self.load(&mut held, user, room_id).await?;
        if until > held.until {
            self.count(&mut held, user, room_id, until).await?;
            self.inner.dirty.lock().insert(key, entry.clone());
        }
        Ok(held.counts())
    }

    /// Whether an event of a room, at a place in the log and in a thread, was read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_read(
        &self,
        user: &UserId,
        room_id: &RoomId,
        thread: Option<OwnedEventId>,
        position: Position,
    ) -> Result<bool, ApiError> {
        let (_, entry) = self.entry(user, room_id);
        let mut held = entry.lock().await;
        self.load(&mut held, user, room_id).await?;
        Ok(is_read(&held.read, &Note { position: position.0, highlight: false, thread: thread.as_deref() }))
    }

    /// Notes that a user reads up to an event; to be called before the receipt is stored, so that who is woken by it sees the
    /// counts go down.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reads(
        &self,
        user: &UserId,
        room_id: &RoomId,
        thread: &str,
        event_id: &EventId,
    ) -> Result<(), ApiError> {
        let Some(position) = self.position_of(room_id, event_id).await? else { return Ok(()) };
        let (key, entry) = self.entry(user, room_id);
        let mut held = entry.lock().await;
        self.load(&mut held, user, room_id).await?;
        held.read_up_to(thread, position.0);
        self.inner.dirty.lock().insert(key, entry.clone());
        if let Some(reads) = self.inner.reads.lock().get_mut(user) {
            *reads += 1;
        }
        Ok(())
    }

    /// How often a user read something since this was first asked.
    pub(super) fn times_read(&self, user: &UserId) -> u64 {
        *self.inner.reads.lock().entry(user.to_owned()).or_insert(0)
    }

    async fn position_of(&self, room_id: &RoomId, event_id: &EventId) -> Result<Option<Position>, ApiError> {
        let event = self.inner.rooms.event(event_id).await?.filter(|event| event.room_id == room_id);
        Ok(event.filter(|event| event.flags.in_timeline()).map(|event| event.position()))
    }

    fn entry(&self, user: &UserId, room_id: &RoomId) -> (Key, Shared) {
        let key = (user.to_owned(), room_id.to_owned());
        let entry = self.inner.entries.get(&key).unwrap_or_else(|| {
            let entry = Shared::default();
            self.inner.entries.insert(key.clone(), entry.clone());
            entry
        });
        (key, entry)
    }

    async fn load(&self, entry: &mut Entry, user: &UserId, room_id: &RoomId) -> Result<(), ApiError> {
        if entry.loaded {
            return Ok(());
        }
        let stored = table::unread(self.inner.local.db(), user.as_str(), room_id.as_str()).await?;
        if let Some((until, notes)) = stored {
            entry.until = Position(until);
            entry.notes = Notes::from_stored(&notes);
        } else {
            entry.until = self.inner.rooms.joined_since(room_id, user).await?.unwrap_or(Position::START);
        }
        for receipt in self.inner.receipts.of_user(room_id, user).await? {
            if let Some(event_id) = receipt.event_id()
                && let Some(position) = self.position_of(room_id, &event_id).await?
            {
                entry.read_up_to(receipt.thread(), position.0);
            }
        }
        entry.loaded = true;
        Ok(())
    }

    /// Counts on from where it was counted to.
    async fn count(&self, entry: &mut Entry, user: &UserId, room_id: &RoomId, until: Position) -> Result<(), ApiError> {
        let slice = self.inner.rooms.timeline(room_id, entry.until, until, LOOKED_AT).await?;
        for event in &slice.events {
            self.look_at(entry, user, event).await?;
        }
        entry.notes.forget_oldest(MAX_NOTES);
        entry.until = until;
        Ok(())
    }

    async fn look_at(&self, entry: &mut Entry, user: &UserId, event: &Event) -> Result<(), ApiError> {
        let position = event.position().0;
        if let Some(target) = &event.redacts
            && let Some(redacted) = self.position_of(&event.room_id, target).await?
        {
            entry.notes.retain(|note| note.position != redacted.0);
        }
        if event.state_key.as_deref() == Some(user.as_str()) && self.inner.rooms.is_arrival(event).await? {
            // What was said before one came in is not news.
            entry.notes.clear();
            return Ok(());
        }
        if event.sender == user {
            if !event.is_state() {
                // Who speaks has read what came before.
                let thread = self.inner.rooms.thread_of(event).await?;
                entry.read_up_to(thread.as_ref().map_or("main", |root| root.as_str()), position);
            }
            return Ok(());
        }
        if let Some(verdict) = self.inner.judge.verdict(user, event).await? {
            let thread = self.inner.rooms.thread_of(event).await?;
            entry.add(&Note { position, highlight: verdict.highlight(), thread: thread.as_deref() });
        }
        Ok(())
    }
}

/// Stores what changed, now and then.
async fn store(local: Local, dirty: Dirty) {
    loop {
        tokio::time::sleep(STORED_EVERY).await;
        let changed = std::mem::take(&mut *dirty.lock());
        let (mut rows, mut bytes) = (Vec::<table::UnreadRow>::new(), 0);
        let mut changed = changed.into_iter().peekable();
        while let Some(((user, room_id), entry)) = changed.next() {
            let entry = entry.lock().await;
            let notes = entry.notes.to_stored();
            bytes += notes.len();
            rows.push((user.into(), room_id.into(), entry.until.0, notes));
            drop(entry);
            if bytes < STORED_BYTES && rows.len() < STORED_ROWS && changed.peek().is_some() {
                continue;
            }
            let Ok(statement) = table::put_unread(&rows) else { break };
            if let Err(error) = local.write(vec![statement]).await {
                tracing::debug!(%error, "unread counts were not stored; they will be counted again");
                break;
            }
            (rows, bytes) = (Vec::new(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_event_id};

    use super::*;

    fn note(position: i64, thread: Option<&EventId>) -> Note<'_> {
        Note { position, highlight: position % 2 == 0, thread }
    }

    #[test]
    fn receipts_clear_what_they_are_about() {
        let root = event_id!("$root");
        let mut entry = Entry::default();
        for position in 1..=6 {
            entry.add(&note(position, (position > 3).then_some(root)));
        }
        assert_eq!(entry.counts().total(), Counts { notifications: 6, highlights: 3 });
        entry.read_up_to("main", 2);
        entry.read_up_to("main", 1);
        assert_eq!(entry.counts().main, Counts { notifications: 1, highlights: 0 });
        entry.read_up_to("$root", 5);
        let thread = entry.counts().threads[&owned_event_id!("$root")];
        assert_eq!(thread, Counts { notifications: 1, highlights: 1 });
        // What comes late is read already.
        entry.add(&note(2, None));
        entry.add(&note(5, Some(root)));
        assert_eq!(entry.counts().total().notifications, 2);
        entry.read_up_to("", 6);
        assert_eq!(entry.counts(), RoomCounts::default());
    }
}
