//! One session and how it is.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Millis,
    network::{ConnectionError, ConnectionState, Network},
};

/// How a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// On its way.
    Connecting,
    /// Messages can flow.
    Connected {
        /// The name it goes by on the network.
        name: Option<String>,
    },
    /// Connected, but something does not work.
    Degraded(String),
    /// Gone; it comes back after a wait.
    Waiting {
        /// Why it went.
        reason: String,
        /// How long the wait is.
        wait: Duration,
    },
    /// Refused, and not tried again by itself.
    Refused(ConnectionError),
    /// Ended by us.
    Stopped,
}

impl SessionState {
    /// Whether messages can flow.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. } | Self::Degraded(_))
    }

    /// Whether it is certain that this session will not connect any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Stopped)
    }

    /// The state in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected { .. } => "connected",
            Self::Degraded(_) => "degraded",
            Self::Waiting { .. } => "waiting",
            Self::Refused(_) => "refused",
            Self::Stopped => "stopped",
        }
    }

    pub(super) fn connected_as(&self) -> Option<String> {
        match self {
            Self::Connected { name } => name.clone(),
            Self::Connecting | Self::Degraded(_) | Self::Waiting { .. } | Self::Refused(_) | Self::Stopped => None,
        }
    }
}

impl From<ConnectionState> for SessionState {
    fn from(state: ConnectionState) -> Self {
        match state {
            ConnectionState::Connecting => Self::Connecting,
            ConnectionState::Connected { name } => Self::Connected { name },
            ConnectionState::Degraded(what) => Self::Degraded(what),
            ConnectionState::Disconnected(reason) => Self::Waiting { reason, wait: Duration::ZERO },
        }
    }
}

/// One session.
pub(super) struct Slot<N: Network> {
    pub(super) session: Arc<N::Session>,
    pub(super) state: watch::Sender<SessionState>,
    pub(super) stop: CancellationToken,
    used: AtomicI64,
    task: OnceLock<AbortHandle>,
}

impl<N: Network> Slot<N> {
    pub(super) fn new(session: Arc<N::Session>, stop: CancellationToken, now: Millis) -> Self {
        let state = watch::Sender::new(SessionState::Connecting);
        Self { session, state, stop, used: AtomicI64::new(now.0), task: OnceLock::new() }
    }

    pub(super) fn touch(&self, now: Millis) {
        self.used.fetch_max(now.0, Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> Millis {
        Millis(self.used.load(Ordering::Relaxed))
    }

    pub(super) fn set_task(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    pub(super) fn abort(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}
