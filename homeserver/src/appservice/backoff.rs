//! How long to wait before an application service is tried again.

use std::time::Duration;

/// The longest wait between two tries.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// Doubles from half a second to [`LONGEST`], with jitter, so that many services that fell together do not rise together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Takes note of one more failure and says how long to wait. `chance` is in `0.0..1.0`: the wait is between half of
    /// the step and the whole of it.
    pub fn next(&mut self, chance: f64) -> Duration {
        let step = Duration::from_millis(500).saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }

    /// Forgets all failures: the service answered.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..12).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 250);
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.next(1.0), LONGEST);
    }
}
