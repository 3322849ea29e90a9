//! How long to wait before the next attempt: exponential, capped, with jitter, so that many who failed together do not return together.

use std::time::Duration;

use rand::Rng;

/// Waits of `base`, `2·base`, `4·base`… up to `max`, each shortened at random by up to half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// Waits from `base` to `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The wait before attempt `attempt`, where 1 is the first repetition.
    pub fn delay(&self, attempt: u32, rng: &mut impl Rng) -> Duration {
        let full = self.ceiling(attempt);
        full.mul_f64(0.5 + 0.5 * unit(rng))
    }

    /// The longest that [`Backoff::delay`] can be.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1_u32 << doublings).min(self.max)
    }
}

/// A number from 0 up to but excluding 1.
fn unit(rng: &mut impl Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn grows_to_the_cap_and_stays_within_half() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut rng = StdRng::seed_from_u64(1);
        for attempt in 1..200 {
            let ceiling = Duration::from_secs((1_u64 << (attempt - 1).min(40)).min(60));
            let delay = backoff.delay(attempt, &mut rng);
            assert_eq!(backoff.ceiling(attempt), ceiling);
            assert!(delay <= ceiling && delay >= ceiling / 2, "attempt {attempt}: {delay:?}");
        }
    }

    #[test]
    fn two_that_failed_together_do_not_return_together() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let (mut one, mut other) = (StdRng::seed_from_u64(1), StdRng::seed_from_u64(2));
        assert_ne!(backoff.delay(5, &mut one), backoff.delay(5, &mut other));
    }
}
