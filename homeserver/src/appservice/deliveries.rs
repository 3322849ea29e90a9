//! Starts and stops the delivery to application services.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{
    batch::{AliasInterest, Sources},
    names::Names,
    queue::Queue,
    registry::{AddError, Appservice, Appservices},
};
use crate::{
    clock::Clock,
    devices::Keys,
    entropy::Entropy,
    rooms::Rooms,
    store::{StoreError, appservices as table, local::Local},
    stream::Stream,
    sync::{Presences, Receipts, Typing},
    users::{CreateUserError, Users},
};

/// One task for each application service. The tasks end with the last handle.
#[derive(Clone, Debug)]
pub struct Deliveries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    appservices: Appservices,
    sources: Sources,
    local: Local,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// By the service's id.
    tasks: Mutex<HashMap<String, JoinHandle<()>>>,
    /// What looks for new services.
    watchers: Mutex<Vec<JoinHandle<()>>>,
}

/// See [`Deliveries::downgrade`].
pub(super) struct WeakDeliveries(Weak<Inner>);

impl WeakDeliveries {
    pub(super) fn upgrade(&self) -> Option<Deliveries> {
        self.0.upgrade().map(|inner| Deliveries { inner })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        for task in self.watchers.lock().drain(..) {
            task.abort();
        }
        for (_, task) in self.tasks.lock().drain() {
            task.abort();
        }
    }
}

impl Deliveries {
    #[expect(clippy::too_many_arguments, reason = "a constructor lists what it uses")]
    pub(crate) fn new(
        appservices: Appservices,
        stream: Stream,
        rooms: Rooms,
        users: Users,
        receipts: Receipts,
        typing: Typing,
        presences: Presences,
        keys: Keys,
        names: Names,
        local: Local,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let aliases = AliasInterest::default();
        let sources =
            Sources { stream, rooms, users, receipts, typing, presences, keys, local: local.clone(), aliases, names };
        let (tasks, watchers) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { appservices, sources, local, clock, entropy, tasks, watchers }) }
    }

    /// Adds an application service, makes its own user if there is none yet, and begins to deliver to it where it left off.
    ///
    /// # Errors
    /// When its id or token is another's, or the store fails.
    pub async fn add(&self, appservice: Appservice) -> Result<Arc<Appservice>, AddError> {
        let appservice = Arc::new(appservice);
        self.inner.appservices.add(appservice.clone())?;
        if let Err(error) = self.start(&appservice).await {
            self.inner.appservices.remove(appservice.id());
            return Err(error);
        }
        Ok(appservice)
    }

    /// Once this returns, whatever happens is delivered.
    async fn start(&self, appservice: &Arc<Appservice>) -> Result<(), AddError> {
        match self.inner.sources.users.create(appservice.sender(), None, Some(appservice.id())).await {
            Ok(()) | Err(CreateUserError::InUse) => {}
            Err(error) => return Err(AddError::Store(error.to_string())),
        }
        if !appservice.is_reachable() {
            return Ok(());
        }
        let paused = table::is_paused(self.inner.local.db(), appservice.id()).await;
        appservice.set_paused(paused.map_err(|error| AddError::Store(error.to_string()))?);
        let queue = Queue {
            appservice: appservice.clone(),
            sources: self.inner.sources.clone(),
            local: self.inner.local.clone(),
            clock: self.inner.clock.clone(),
            entropy: self.inner.entropy.clone(),
        };
        let (progress, flight) = queue.begin().await.map_err(|error| AddError::Store(error.to_string()))?;
        // The task holds no `Deliveries`, so dropping the last of them ends it.
        let task = tokio::spawn(queue.run(progress, flight));
        self.inner.tasks.lock().insert(appservice.id().to_owned(), task);
        Ok(())
    }

    /// Takes an application service out: it is told nothing more and can do nothing more. Its place in the log is kept, so that
    /// one that comes back under the same id goes on there. Says whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        let known = self.inner.appservices.by_id(id).is_some();
        self.inner.appservices.remove(id);
        if let Some(task) = self.inner.tasks.lock().remove(id) {
            task.abort();
        }
        known
    }

    /// Lets nothing be delivered to a service, or everything again, also after the next start. What happens meanwhile waits; what
    /// is in flight comes to its end. Says whether there is such a service.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pause(&self, id: &str, paused: bool) -> Result<bool, StoreError> {
        let Some(appservice) = self.inner.appservices.by_id(id) else { return Ok(false) };
        let at = paused.then(|| i64::from(self.inner.clock.now().0));
        self.inner.local.write(vec![table::set_paused(id, at)]).await?;
        appservice.set_paused(paused);
        Ok(true)
    }

    /// A handle that keeps no deliveries alive.
    pub(super) fn downgrade(&self) -> WeakDeliveries {
        WeakDeliveries(Arc::downgrade(&self.inner))
    }

    /// Runs something until [`Self::stop`].
    pub(crate) fn keep(&self, watcher: JoinHandle<()>) {
        self.inner.watchers.lock().push(watcher);
    }

    /// Tells that the aliases of a room changed.
    pub fn aliases_changed(&self, room_id: &ruma::RoomId) {
        self.inner.sources.aliases.changed(room_id);
    }

    /// Stops delivering. What is in flight is sent again, the same, at the next start.
    pub fn stop(&self) {
        self.inner.stop();
    }
}
