//! Which pushers cannot reach their gateways, for operators.

use std::sync::Arc;

use parking_lot::Mutex;
use ruma::MilliSecondsSinceUnixEpoch;

/// A gateway that a pusher tries in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Where the gateway is to be.
    pub url: String,
    /// Since when.
    pub since: MilliSecondsSinceUnixEpoch,
    /// How often it was tried in a row.
    pub failures: u32,
    /// Why it did not work the last time.
    pub why: String,
}

/// What one pusher last met with. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    failing: Arc<Mutex<Option<Failing>>>,
}

impl Trouble {
    /// The gateway did not take a notification.
    pub(super) fn failed(&self, url: &str, now: MilliSecondsSinceUnixEpoch, why: &str) {
        let mut failing = self.failing.lock();
        let (since, failures) = failing.as_ref().map_or((now, 0), |before| (before.since, before.failures));
        let (url, why) = (url.to_owned(), why.to_owned());
        *failing = Some(Failing { url, since, failures: failures.saturating_add(1), why });
    }

    /// It took one.
    pub(super) fn is_over(&self) {
        *self.failing.lock() = None;
    }

    /// What is wrong, if something is.
    pub(super) fn now(&self) -> Option<Failing> {
        self.failing.lock().clone()
    }
}
