//! The sessions: who has one, when it starts, how it comes back, when it ends.

mod options;
mod slot;
mod supervise;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::slot::Slot;
pub use self::{options::SessionOptions, slot::SessionState};
use crate::{
    bridge::Speakers,
    chance::Chance,
    clock::Clock,
    network::{ConnectionState, Identity, IdentityMode, Network, SessionId},
};

/// All sessions of a network. Cheap to clone.
///
/// The relay session starts with the bridge; in [`IdentityMode::AutoPuppet`] a Matrix user gets a session of their own when they
/// first speak, as long as the budget lasts; whoever comes later speaks through the relay. Sessions that are not used end.
pub struct Sessions<N: Network>(Arc<Inner<N>>);

struct Inner<N: Network> {
    network: OnceLock<Arc<N>>,
    options: SessionOptions,
    clock: Arc<dyn Clock>,
    chance: Chance,
    slots: Mutex<HashMap<SessionId, Arc<Slot<N>>>>,
    memory: Mutex<Memory>,
    /// Bounds how many connect at the same time.
    connecting: Arc<Semaphore>,
    changes: broadcast::Sender<(SessionId, SessionState)>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What is known of users beyond their sessions' lives. Bounded: at the bound, all is forgotten, which costs a needless attempt.
#[derive(Default)]
struct Memory {
    names: HashMap<OwnedUserId, String>,
    refused: HashMap<OwnedUserId, String>,
}

const MEMORY: usize = 20_000;

impl<N: Network> Clone for Sessions<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Network> fmt::Debug for Sessions<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("states", &self.states()).finish()
    }
}

impl<N: Network> Sessions<N> {
    /// None yet: a network is made with a host, which stands on this. [`Sessions::start`] begins.
    pub fn new(options: SessionOptions, clock: Arc<dyn Clock>, chance: Chance) -> Self {
        Self(Arc::new(Inner {
            network: OnceLock::new(),
            connecting: Arc::new(Semaphore::new(options.connects_at_once.max(1))),
            options,
            clock,
            chance,
            slots: Mutex::default(),
            memory: Mutex::default(),
            changes: broadcast::channel(256).0,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Starts the relay session. Does nothing the second time.
    pub fn start(&self, network: Arc<N>) {
        if self.0.network.set(network).is_err() {
            return;
        }
        self.open(SessionId::Relay, Identity::Relay);
        let sessions = self.clone();
        let every = (self.0.options.idle_after / 4).max(Duration::from_secs(1));
        self.0.tasks.spawn(async move {
            while sessions.0.stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                sessions.reap_idle();
            }
        });
    }

    /// Every session and how it is.
    pub fn states(&self) -> Vec<(SessionId, SessionState)> {
        self.0.slots.lock().iter().map(|(id, slot)| (id.clone(), slot.state.borrow().clone())).collect()
    }

    /// How many sessions are in each state, and whether the relay is connected: for health and metrics.
    pub fn summary(&self) -> (BTreeMap<String, usize>, bool) {
        let mut counts = BTreeMap::new();
        let mut relay = false;
        for (id, state) in self.states() {
            relay |= id == SessionId::Relay && state.is_connected();
            *counts.entry(state.name().to_owned()).or_default() += 1;
        }
        (counts, relay)
    }

    /// Tells of every change of any session. Who reads too slowly misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<(SessionId, SessionState)> {
        self.0.changes.subscribe()
    }

    /// Ends the session of a user who left or was put out. One who speaks again gets another.
    pub fn end(&self, user_id: &UserId) {
        if let Some(slot) = self.slot(&SessionId::User(user_id.to_owned())) {
            slot.stop.cancel();
        }
    }

    /// Forgets that a user's session was refused: the next time they speak, it is tried again.
    pub fn pardon(&self, user_id: &UserId) {
        self.0.memory.lock().refused.remove(user_id);
    }

    /// Lets all sessions say goodbye, for at most `drain`; what has not ended by then is ended.
    pub async fn stop(&self, drain: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(drain, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
        for slot in self.0.slots.lock().values() {
            slot.abort();
        }
    }

    /// The state of one session, to be waited on.
    fn slot(&self, id: &SessionId) -> Option<Arc<Slot<N>>> {
        self.0.slots.lock().get(id).cloned()
    }

    /// The session of a user, made if the budget allows.
    fn own(&self, user_id: &UserId, display_name: Option<&str>) -> Option<Arc<Slot<N>>> {
        if self.0.options.mode != IdentityMode::AutoPuppet || self.0.stop.is_cancelled() {
            return None;
        }
        let id = SessionId::User(user_id.to_owned());
        if let Some(slot) = self.slot(&id) {
            slot.touch(self.0.clock.now());
            // One that says goodbye must be gone before the next comes: until then the relay speaks.
            return (!slot.stop.is_cancelled()).then_some(slot);
        }
        let display_name = self.remember(user_id, display_name)?;
        if self.0.slots.lock().len() > self.0.options.max_puppets {
            return None;
        }
        self.open(id, Identity::AutoPuppet { user_id: user_id.to_owned(), display_name })
    }

    /// Whether no session is opened, because none is yet or everything stops.
    fn rests(&self) -> bool {
        self.0.network.get().is_none() || self.0.stop.is_cancelled()
    }

    /// The name a user goes by, unless their session was refused.
    fn remember(&self, user_id: &UserId, display_name: Option<&str>) -> Option<String> {
        let mut memory = self.0.memory.lock();
        if memory.refused.contains_key(user_id) {
            return None;
        }
        if memory.names.len() >= MEMORY {
            memory.names.clear();
        }
        if let Some(name) = display_name {
            memory.names.insert(user_id.to_owned(), name.to_owned());
        }
        Some(memory.names.get(user_id).map_or_else(|| user_id.localpart().to_owned(), Clone::clone))
    }

    fn open(&self, id: SessionId, identity: Identity) -> Option<Arc<Slot<N>>> {
        let network = self.0.network.get()?;
        let mut slots = self.0.slots.lock();
        if let Some(slot) = slots.get(&id) {
            return Some(Arc::clone(slot));
        }
        let session = Arc::new(network.session(id.clone(), identity));
        let slot = Arc::new(Slot::new(session, self.0.stop.child_token(), self.0.clock.now()));
        slots.insert(id.clone(), Arc::clone(&slot));
        drop(slots);
        let task = self.0.tasks.spawn(self.clone().supervise(id, Arc::clone(&slot)));
        slot.set_task(task.abort_handle());
        Some(slot)
    }

    /// Ends the sessions of users who have said nothing for long.
    fn reap_idle(&self) {
        let (now, idle) = (self.0.clock.now(), self.0.options.idle_after);
        for (id, slot) in &*self.0.slots.lock() {
            if id.user_id().is_some() && now.since(slot.last_used()) >= idle && !slot.stop.is_cancelled() {
                tracing::info!(session.id = %id, "a session that nobody uses ends");
                slot.stop.cancel();
            }
        }
    }

    /// A user's session that has ended makes room for another; the relay's stays, to show how it ended.
    fn forget(&self, id: &SessionId, slot: &Arc<Slot<N>>) {
        let mut slots = self.0.slots.lock();
        if id.user_id().is_some() && slots.get(id).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            slots.remove(id);
        }
    }

    fn refuse(&self, id: &SessionId, reason: &str) {
        let Some(user_id) = id.user_id() else { return };
        let mut memory = self.0.memory.lock();
        if memory.refused.len() >= MEMORY {
            memory.refused.clear();
        }
        memory.refused.insert(user_id.to_owned(), reason.to_owned());
    }
}

#[async_trait]
impl<N: Network> Speakers<N> for Sessions<N> {
    async fn speaker(&self, user_id: &UserId, display_name: &str) -> SessionId {
        let rested = self.rests();
        let has_own = self.own(user_id, Some(display_name)).is_some()
            // Not yet, or not any more, because everything starts or stops: what they say waits for their session.
            || ((rested || self.rests())
                && self.0.options.mode == IdentityMode::AutoPuppet
                && self.remember(user_id, Some(display_name)).is_some());
        if has_own { SessionId::User(user_id.to_owned()) } else { SessionId::Relay }
    }

    fn was_called(&self, user_id: &UserId, name: &str) {
        let mut memory = self.0.memory.lock();
        if memory.names.len() < MEMORY && !memory.names.contains_key(user_id) {
            memory.names.insert(user_id.to_owned(), name.to_owned());
        }
    }

    async fn session(&self, id: &SessionId) -> Option<Arc<N::Session>> {
        let slot = match id {
            SessionId::User(user_id) => self.own(user_id, None),
            SessionId::Relay | SessionId::Gateway => self.slot(id),
        };
        slot.map(|slot| Arc::clone(&slot.session))
    }

    fn running(&self, id: &SessionId) -> Option<Arc<N::Session>> {
        let slot = self.slot(id)?;
        let connected = slot.state.borrow().is_connected();
        connected.then(|| Arc::clone(&slot.session))
    }

    fn is_refused(&self, id: &SessionId) -> bool {
        id.user_id().is_some_and(|user_id| self.0.memory.lock().refused.contains_key(user_id))
    }

    async fn connected(&self, id: &SessionId) {
        let Some(slot) = self.slot(id) else { return };
        let mut state = slot.state.subscribe();
        // The sender lives as long as `slot`.
        let _ = state.wait_for(|state| state.is_connected() || state.is_final()).await;
    }

    fn names(&self) -> Vec<(OwnedUserId, String)> {
        let slots = self.0.slots.lock();
        let named =
            slots.iter().filter_map(|(id, slot)| Some((id.user_id()?.to_owned(), slot.state.borrow().connected_as()?)));
        named.collect()
    }

    fn heard(&self, id: &SessionId, state: ConnectionState) {
        if let Some(slot) = self.slot(id) {
            self.change(id, &slot, state.into());
        }
    }
}
