//! Errors of the seam, sorted by what must be done about them. What the user sees of each is decided in one place of the framework.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a thing cannot cross. Final: trying again is pointless. The text form is shown to the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// The text is longer than the network takes.
    #[error("the message is too long: {max} bytes are the most")]
    TooLong {
        /// The most it takes, in bytes.
        max: usize,
    },
    /// The file is larger than the network takes.
    #[error("the file is too large: {max} bytes are the most")]
    MediaTooLarge {
        /// The most it takes, in bytes.
        max: u64,
    },
    /// The network refused it.
    #[error("{0}")]
    Forbidden(String),
    /// We are not in the room.
    #[error("not in the room: {0}")]
    NotInRoom(String),
    /// What it refers to is not known there.
    #[error("the message it refers to is not known on the other side")]
    UnknownTarget,
    /// A rule of the bridge forbids it.
    #[error("{0}")]
    Policy(String),
    /// The network has nothing of the kind.
    #[error("{0} cannot be sent there")]
    Unsupported(String),
    /// Nobody needs to know.
    #[error("ignored")]
    Ignore,
}

/// Why a delivery did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The network cannot do this. Final; the sender is told.
    #[error("the network cannot do this")]
    Unsupported,
    /// The network refused. Final; the sender is told why.
    #[error("refused: {0}")]
    Rejected(Reject),
    /// Not now: the lane waits this long and tries again.
    #[error("asked to wait {}s", .0.as_secs())]
    RetryAfter(Duration),
    /// Not connected, and certainly not said: the lane waits for the connection.
    #[error("not connected")]
    Disconnected,
    /// Certainly not said: whoever speaks may say nothing there now, but may later. It is kept, and with it what they say there
    /// meanwhile, until [`Session::may_speak`](super::Session::may_speak) returns or some time has passed, when it is tried again; nobody
    /// else in the room waits for that. The sender is told.
    #[error("{why}")]
    Withheld {
        /// Why not now, for its sender.
        why: String,
        /// For how long it is kept, counted from when it was heard.
        keep: Duration,
    },
    /// The account is not valid any more: the lane waits for a login; the user is told once.
    #[error("logged out")]
    LoggedOut,
    /// It may have been said or not: [`Session::reconcile`](super::Session::reconcile) decides.
    #[error("it may have been sent: {0}")]
    MaybeSent(String),
    /// A fault in the bridge. The operation is parked; the lane goes on.
    #[error("a fault in the bridge: {0}")]
    Bug(String),
}

impl SendError {
    /// Whether it will not be tried again.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Unsupported | Self::Rejected(_) | Self::Bug(_))
    }

    /// Whether it was certainly not said, and is to be tried again in its place.
    pub fn is_not_yet(&self) -> bool {
        matches!(self, Self::RetryAfter(_) | Self::Disconnected | Self::LoggedOut)
    }
}

/// Why a connection ended, or never was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// Worth trying again soon.
    #[error("{0}")]
    Transient(String),
    /// The network wants us to come back later.
    #[error("asked to come back later: {reason}")]
    Throttled {
        /// What it said.
        reason: String,
        /// When to come back, where it said so.
        after: Option<Duration>,
    },
    /// The credentials were refused. Not tried again until they change.
    #[error("the credentials were refused: {0}")]
    BadCredentials(String),
    /// We are not welcome. Not tried again by itself.
    #[error("banned: {0}")]
    Banned(String),
    /// Another connection took our place.
    #[error("replaced by another connection")]
    Replaced,
    /// The configuration cannot work.
    #[error("the configuration cannot work: {0}")]
    Config(String),
}

/// A fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigIssue {
    /// The path of the key, such as `irc.servers[0].port`.
    pub path: String,
    /// Whether the bridge cannot start with it.
    pub fatal: bool,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl ConfigIssue {
    /// A fault with which the bridge cannot start.
    pub fn fatal(path: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.into(), fatal: true, problem: problem.into(), fix: fix.into() }
    }

    /// A fault that the bridge can live with.
    pub fn warning(path: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.into(), fatal: false, problem: problem.into(), fix: fix.into() }
    }
}

impl std::fmt::Display for ConfigIssue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.path, self.problem, self.fix)
    }
}

impl std::error::Error for ConfigIssue {}
