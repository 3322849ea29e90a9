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

/// How the sender of a message hears what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusForm {
    /// A notice in the room, where it did not cross.
    #[default]
    Notices,
    /// An event `com.beeper.message_send_status` that says of each message whether it crossed: some clients show it beside the message,
    /// others show nothing.
    Events,
    /// Both.
    Both,
}

impl StatusForm {
    pub(super) fn has_notices(self) -> bool {
        matches!(self, Self::Notices | Self::Both)
    }

    pub(super) fn has_events(self) -> bool {
        matches!(self, Self::Events | Self::Both)
    }
}

/// What the sender is told of a message that did not cross.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// In words.
    pub(super) text: String,
    /// In a word that programs know.
    pub(super) reason: &'static str,
    /// Whether it certainly did not cross, and may if it is sent again.
    pub(super) retriable: bool,
}

impl Told {
    fn new(text: String, reason: &'static str, retriable: bool) -> Self {
        Self { text, reason, retriable }
    }
}

/// What to do about a failed delivery to the network.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Final. The sender is told this; the operation is parked where that helps.
    Fail {
        /// What the sender is told; nothing where nobody needs to know.
        tell: Option<Told>,
        /// Whether somebody can do something about it, and try again.
        park: bool,
    },
    /// Certainly not said: wait this long (for the connection, where no time is given), and try again. Nobody is told yet.
    Wait(Option<Duration>),
    /// Find out whether it was said.
    FindOut,
    /// Certainly not said: its sender may not, for this reason. Kept for this long, and the sender told.
    Keep {
        /// Why not, for its sender.
        why: String,
        /// For how long, counted from when it was heard.
        keep: Duration,
    },
}

/// What programs know of a reason.
const UNSUPPORTED: &str = "com.beeper.unsupported_event";
const NOT_HANDLED: &str = "m.event_not_handled";

/// The fixed mapping from an error to what is done about it.
pub(super) fn verdict(network: &str, error: &SendError) -> Verdict {
    match error {
        SendError::Unsupported => {
            let told = Told::new(format!("{network} cannot do this."), UNSUPPORTED, false);
            Verdict::Fail { tell: Some(told), park: false }
        }
        SendError::Rejected(reject) => Verdict::Fail { tell: told(network, reject), park: false },
        SendError::RetryAfter(wait) => Verdict::Wait(Some(*wait)),
        SendError::Disconnected | SendError::LoggedOut => Verdict::Wait(None),
        SendError::MaybeSent(_) => Verdict::FindOut,
        SendError::Withheld { why, keep } => Verdict::Keep { why: why.clone(), keep: *keep },
        SendError::Bug(_) => Verdict::Fail { tell: Some(fault()), park: true },
    }
}

/// What the sender is told of a rejection.
pub(super) fn told(network: &str, reject: &Reject) -> Option<Told> {
    let reason = match reject {
        Reject::Ignore => return None,
        Reject::Unsupported(_) => UNSUPPORTED,
        Reject::Forbidden(_) | Reject::NotInRoom(_) | Reject::Policy(_) => "m.no_permission",
        Reject::TooLong { .. } | Reject::MediaTooLarge { .. } | Reject::UnknownTarget => NOT_HANDLED,
    };
    Some(Told::new(format!("Not delivered to {network}: {reject}."), reason, false))
}

/// What the sender is told of a fault of ours.
pub(super) fn fault() -> Told {
    let text = "Not delivered: a fault in the bridge. Its operator can see it and try again.".to_owned();
    Told::new(text, NOT_HANDLED, false)
}

/// What the sender is told when nobody can tell whether it was said.
pub(super) fn unsure(network: &str) -> Told {
    Told::new(format!("This may not have been delivered to {network}."), "m.foreign_network_error", false)
}

/// What the sender is told when it could not be said for too long.
pub(super) fn too_old(network: &str, last_error: &str) -> Told {
    Told::new(format!("Not delivered to {network}: {last_error}."), "m.bridge_unavailable", true)
}

/// What the sender is told of what is kept until they may say it.
pub(super) fn withheld(network: &str, why: &str, keep: Duration) -> Told {
    let most = in_words(keep);
    let text = format!(
        "Not delivered to {network} yet: {why}. It is kept until you may, for {most} at most, and so is what you say meanwhile."
    );
    Told::new(text, "m.no_permission", false)
}

/// What the sender is told of what was kept, and could not be said in all that time.
pub(super) fn kept_too_long(network: &str, why: &str, keep: Duration) -> Told {
    let text = format!("Not delivered to {network}, and given up after {}: {why}.", in_words(keep));
    Told::new(text, "m.no_permission", true)
}

/// What the sender is told of what is not kept, because so much of theirs is.
pub(super) fn keeps_no_more(network: &str, most: usize) -> Told {
    let text =
        format!("Not delivered to {network}: {most} of your messages are kept there already, until you may say them.");
    Told::new(text, "m.no_permission", true)
}

/// A time, as people say it.
fn in_words(time: Duration) -> String {
    let (count, unit) = match time.as_secs() {
        seconds @ 0..=119 => (seconds, "second"),
        seconds @ 120..=7199 => (seconds.div_ceil(60), "minute"),
        seconds => (seconds.div_ceil(3600), "hour"),
    };
    if count == 1 { format!("a {unit}") } else { format!("{count} {unit}s") }
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

    #[test]
    fn times_are_told_as_people_say_them() {
        let said = [0, 1, 119, 120, 3600, 7200, 86_400].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(said, ["0 seconds", "a second", "119 seconds", "2 minutes", "60 minutes", "2 hours", "24 hours"]);
    }
}
