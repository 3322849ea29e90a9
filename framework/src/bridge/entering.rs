//! Being in the remote rooms that are mapped.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    mappings::{MappingKind, RoomMapping, remote_lane},
    parts::Parts,
    rooms::Rooms,
};
use crate::{
    dispatch::{answer, commit_patiently},
    network::{Network, RemoteId, SendError, Session as _, SessionId},
    store::Change,
};

/// Enters the mapped rooms whenever the relay has connected.
pub(super) struct Entering<N: Network> {
    parts: Arc<Parts<N>>,
    rooms: Arc<Rooms<N>>,
    wait: Duration,
}

impl<N: Network> Entering<N> {
    pub(super) fn new(parts: &Arc<Parts<N>>, rooms: &Arc<Rooms<N>>) -> Self {
        Self { parts: Arc::clone(parts), rooms: Arc::clone(rooms), wait: parts.options.first_wait }
    }

    /// Takes each session that connects, until nobody can connect any more.
    pub(super) async fn run(self, mut connections: mpsc::UnboundedReceiver<SessionId>) {
        let mut entering = CancellationToken::new();
        let this = Arc::new(self);
        let mut running = JoinSet::new();
        while let Some(session) = connections.recv().await {
            if session != SessionId::Relay {
                continue;
            }
            // The connection before this one is gone.
            entering.cancel();
            entering = CancellationToken::new();
            let (this, token) = (Arc::clone(&this), entering.clone());
            running.spawn(async move {
                let _ = token.run_until_cancelled(this.all()).await;
            });
            while running.try_join_next().is_some() {}
        }
    }

    async fn all(&self) {
        for mapping in self.rooms.parts.mappings.all() {
            if mapping.kind != MappingKind::Direct {
                self.one(&mapping).await;
            }
        }
    }

    async fn one(&self, mapping: &RoomMapping<N::Room>) {
        let mut wait = self.wait;
        loop {
            let Some(relay) = self.rooms.parts.speakers.session(&SessionId::Relay).await else { return };
            match relay.enter(&mapping.remote).await {
                Ok(()) | Err(SendError::Unsupported | SendError::Disconnected | SendError::LoggedOut) => return,
                Err(SendError::RetryAfter(wait)) => tokio::time::sleep(wait).await,
                Err(SendError::MaybeSent(_)) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_mins(5));
                }
                Err(error) => {
                    tracing::warn!(remote.room = ?mapping.remote, %error, "a remote room cannot be entered");
                    return self.tell(mapping, &error).await;
                }
            }
        }
    }

    async fn tell(&self, mapping: &RoomMapping<N::Room>, error: &SendError) {
        let (remote, now) = (mapping.remote.encode(), self.parts.clock.now().0);
        let text = format!("{remote} on {} cannot be entered: {error}.", N::INFO.name);
        let lane = remote_lane(&mapping.remote);
        // Once an hour is enough.
        let key = format!("{}", now / 3_600_000);
        let row = answer::<N>(&format!("{}{key}", self.parts.bridge), lane, &mapping.room_id, None, text, now);
        let change = Change { outbox: row.into_iter().collect(), ..Change::default() };
        // `None` when the store is closed.
        let _ = commit_patiently(&self.parts.store, change, self.wait).await;
    }
}
