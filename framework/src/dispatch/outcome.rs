//! What each failure means for the user: the one place where that is decided.

use std::time::Duration;

use crate::network::{Reject, SendError};

/// What is done about an operation that may have been said or not, when nobody can tell which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnsure {
    /// It is parked, and its sender is told that it may not have been delivered. It is never doubled.
    #[default]
    Tell,
    /// It is said again. It is never lost, but may be doubled.
    SayAgain,
}

/// What to do about a failed delivery to the network.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Final. The sender is told this; the operation is parked where that helps.
    Fail {
        /// What the sender is told; nothing where nobody needs to know.
        tell: Option<String>,
        /// Whether somebody can do something about it, and try again.
        park: bool,
    },
    /// Certainly not said: wait this long (for the connection, where no time is given), and try again. Nobody is told yet.
    Wait(Option<Duration>),
    /// Find out whether it was said.
    FindOut,
}

/// The fixed mapping from an error to what is done about it.
pub(super) fn verdict(network: &str, error: &SendError) -> Verdict {
    match error {
        SendError::Unsupported => Verdict::Fail { tell: Some(format!("{network} cannot do this.")), park: false },
        SendError::Rejected(reject) => Verdict::Fail { tell: told(network, reject), park: false },
        SendError::RetryAfter(wait) => Verdict::Wait(Some(*wait)),
        SendError::Disconnected | SendError::LoggedOut => Verdict::Wait(None),
        SendError::MaybeSent(_) => Verdict::FindOut,
        SendError::Bug(_) => Verdict::Fail { tell: Some(fault()), park: true },
    }
}

/// What the sender is told of a rejection.
pub(super) fn told(network: &str, reject: &Reject) -> Option<String> {
    match reject {
        Reject::Ignore => None,
        other => Some(format!("Not delivered to {network}: {other}.")),
    }
}

/// What the sender is told of a fault of ours.
pub(super) fn fault() -> String {
    "Not delivered: a fault in the bridge. Its operator can see it and try again.".to_owned()
}

/// What the sender is told when nobody can tell whether it was said.
pub(super) fn unsure(network: &str) -> String {
    format!("This may not have been delivered to {network}.")
}

/// What the sender is told when it could not be said for too long.
pub(super) fn too_old(network: &str, last_error: &str) -> String {
    format!("Not delivered to {network}: {last_error}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_final_is_told() {
        let fails = |error: &SendError| matches!(verdict("IRC", error), Verdict::Fail { tell: Some(_), .. });
        assert!(fails(&SendError::Rejected(Reject::Forbidden("banned".to_owned()))));
        assert!(fails(&SendError::Bug("index".to_owned())));
        assert!(!fails(&SendError::Rejected(Reject::Ignore)));
        assert!(!fails(&SendError::Disconnected));
        assert!(!fails(&SendError::RetryAfter(Duration::from_secs(1))));
        assert_eq!(verdict("IRC", &SendError::MaybeSent(String::new())), Verdict::FindOut);
    }
}
