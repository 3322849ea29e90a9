//! Time, passed in: nothing else in this crate asks the system what time it is.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// Says what time it is.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 00:00 UTC.
    fn now(&self) -> MilliSecondsSinceUnixEpoch;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        let millis = std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        milliseconds(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// A clock that a test turns by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `millis`.
    pub fn at(millis: u64) -> Self {
        Self(AtomicU64::new(millis))
    }

    /// Turns the clock forward.
    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        milliseconds(self.0.load(Ordering::SeqCst))
    }
}

/// Clamps to the greatest time that canonical JSON can hold (2⁵³ − 1).
pub(crate) fn milliseconds(value: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::new(value).unwrap_or(UInt::MAX))
}
