//! Stands in place of the framework behind a network: it only writes down what it is told.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    clock::Millis,
    network::{
        ConnectionState, Dedupe, Host, Ingested, Network, Presence, RemoteEvent, SessionId,
        host::{Backend, Closed},
    },
};

/// Something that was ingested.
type Heard<N> = (SessionId, RemoteEvent<N>, Dedupe<<N as Network>::Message>);

/// What was ingested, and what the sessions said of themselves.
pub struct Recorder<N: Network> {
    /// What happened.
    pub events: Mutex<Vec<Heard<N>>>,
    /// How connections are.
    pub states: Mutex<Vec<(SessionId, ConnectionState)>>,
    /// What is kept nowhere, in words.
    pub ephemeral: Mutex<Vec<String>>,
    /// How far every room was heard.
    pub heard_until: Mutex<Option<Millis>>,
    changed: Notify,
}

impl<N: Network> std::fmt::Debug for Recorder<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("events", &self.events.lock())
            .field("states", &self.states.lock())
            .field("ephemeral", &self.ephemeral.lock())
            .finish_non_exhaustive()
    }
}

impl<N: Network> Default for Recorder<N> {
    fn default() -> Self {
        Self {
            events: Mutex::default(),
            states: Mutex::default(),
            ephemeral: Mutex::default(),
            heard_until: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

impl<N: Network> Recorder<N> {
    /// One that nothing was told yet, and the host that tells it.
    pub fn new() -> (Arc<Self>, Host<N>) {
        let recorder = Arc::new(Self::default());
        let backend: Arc<dyn Backend<N>> = recorder.clone();
        (recorder, Host::new(backend))
    }

    /// Waits until `find` finds something in what was told so far.
    ///
    /// # Panics
    /// When that takes too long.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub async fn until<T>(&self, what: &str, find: impl Fn(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = find(self) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(20), waiting).await {
            Ok(found) => found,
            Err(_) => panic!("waited for {what}; got {self:#?}"),
        }
    }

    /// Waits for an event.
    pub async fn event<T>(&self, what: &str, find: impl Fn(&RemoteEvent<N>) -> Option<T>) -> T {
        self.until(what, |all| all.events.lock().iter().find_map(|(_, event, _)| find(event))).await
    }

    /// Waits until a session is connected, and says under which nick.
    pub async fn connected(&self, id: &SessionId) -> String {
        self.until("a connection", |all| {
            let states = all.states.lock();
            match states.iter().rev().find(|(session, _)| session == id)? {
                (_, ConnectionState::Connected { name }) => name.clone(),
                _ => None,
            }
        })
        .await
    }
}

#[async_trait]
impl<N: Network> Backend<N> for Recorder<N> {
    async fn ingest(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Ingested, Closed> {
        self.events.lock().push((session.clone(), event, dedupe));
        self.changed.notify_waiters();
        Ok(Ingested::New)
    }

    fn state(&self, session: &SessionId, state: ConnectionState) {
        self.states.lock().push((session.clone(), state));
        self.changed.notify_waiters();
    }

    fn typing(&self, _: &SessionId, _: N::Room, who: N::User, typing: bool) {
        self.ephemeral.lock().push(format!("{who:?} types: {typing}"));
        self.changed.notify_waiters();
    }

    fn presence(&self, _: &SessionId, who: N::User, presence: Presence, status: Option<String>) {
        let status = status.map(|status| format!(": {status}")).unwrap_or_default();
        self.ephemeral.lock().push(format!("{who:?} is {presence:?}{status}"));
        self.changed.notify_waiters();
    }

    async fn heard_until(&self, _: &N::Room) -> Result<Option<Millis>, Closed> {
        Ok(*self.heard_until.lock())
    }

    async fn rooms(&self) -> Result<Vec<N::Room>, Closed> {
        Ok(Vec::new())
    }
}
