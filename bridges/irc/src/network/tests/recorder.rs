//! A framework that only writes down what it is told.

use std::sync::Arc;

use async_trait::async_trait;
use landbridge::network::{
    ConnectionState, Dedupe, Host, Ingested, Network as _, Presence, RemoteEvent, SessionId,
    host::{Backend, Closed},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    IrcNetwork,
    config::IrcConfig,
    convert::ids::{IrcRoom, IrcUser},
};

/// Something that was ingested.
type Heard = (SessionId, RemoteEvent<IrcNetwork>, Dedupe<String>);

/// What was ingested, and what the sessions said of themselves.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) events: Mutex<Vec<Heard>>,
    pub(super) states: Mutex<Vec<(SessionId, ConnectionState)>>,
    /// What is kept nowhere, in words.
    pub(super) ephemeral: Mutex<Vec<String>>,
    changed: Notify,
}

impl Recorder {
    /// Waits until `find` finds something in what was told so far.
    pub(super) async fn until<T>(&self, what: &str, find: impl Fn(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = find(self) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await {
            Ok(found) => found,
            Err(_) => panic!("waited for {what}; got {:#?} {:#?}", self.events.lock(), self.states.lock()),
        }
    }

    /// Waits for an event.
    pub(super) async fn event<T>(&self, what: &str, find: impl Fn(&RemoteEvent<IrcNetwork>) -> Option<T>) -> T {
        self.until(what, |all| all.events.lock().iter().find_map(|(_, event, _)| find(event))).await
    }

    /// Waits until a session is connected, and says under which nick.
    pub(super) async fn connected(&self, id: &SessionId) -> String {
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
impl Backend<IrcNetwork> for Recorder {
    async fn ingest(
        &self,
        session: &SessionId,
        event: RemoteEvent<IrcNetwork>,
        dedupe: Dedupe<String>,
    ) -> Result<Ingested, Closed> {
        self.events.lock().push((session.clone(), event, dedupe));
        self.changed.notify_waiters();
        Ok(Ingested::New)
    }

    fn state(&self, session: &SessionId, state: ConnectionState) {
        self.states.lock().push((session.clone(), state));
        self.changed.notify_waiters();
    }

    fn typing(&self, _: &SessionId, _: IrcRoom, who: IrcUser, typing: bool) {
        self.ephemeral.lock().push(format!("{who:?} types: {typing}"));
        self.changed.notify_waiters();
    }

    fn presence(&self, _: &SessionId, who: IrcUser, presence: Presence, status: Option<String>) {
        let status = status.map(|status| format!(": {status}")).unwrap_or_default();
        self.ephemeral.lock().push(format!("{who:?} is {presence:?}{status}"));
        self.changed.notify_waiters();
    }

    async fn rooms(&self) -> Result<Vec<IrcRoom>, Closed> {
        Ok(Vec::new())
    }
}

/// A network with this configuration (JSON, `servers` added if it has none), and its recorder.
pub(super) async fn network(config: &str) -> (IrcNetwork, Arc<Recorder>) {
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    if config.get("servers").is_none() {
        config["servers"] = serde_json::json!([{ "host": "127.0.0.1", "port": 1, "tls": false }]);
    }
    let config: IrcConfig = serde_json::from_value(config).unwrap();
    let recorder = Arc::new(Recorder::default());
    let backend: Arc<dyn Backend<IrcNetwork>> = recorder.clone();
    (IrcNetwork::start(config, Host::new(backend)).await.unwrap(), recorder)
}
