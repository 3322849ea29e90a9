//! A clock that tests turn by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::clock::{Clock, Millis};

/// Stands still until a test turns it. Clones show the same time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    /// Shows noon of 1 January 2026.
    fn default() -> Self {
        Self::at(Millis(1_767_268_800_000))
    }
}

impl TestClock {
    /// Shows this time.
    pub fn at(now: Millis) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Turns it forward.
    pub fn advance(&self, by: Duration) {
        self.0.store((self.now() + by).0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}
