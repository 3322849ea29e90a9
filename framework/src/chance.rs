//! Randomness is passed in, as time is: from the system, or from a seed that makes a test repeatable.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{SeedableRng as _, rngs::StdRng};

use crate::matrix::Backoff;

/// Chance, for jitter: nothing that must not be guessed is made of it. Clones draw from the same.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// Seeded by the system.
    pub fn from_system() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_rng(&mut rand::rng()))))
    }

    /// The same for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// The wait before attempt `attempt`, where 1 is the first repetition.
    pub fn delay(&self, backoff: &Backoff, attempt: u32) -> Duration {
        backoff.delay(attempt, &mut *self.0.lock())
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_it_all() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let delays = |chance: Chance| (1..20).map(|attempt| chance.delay(&backoff, attempt)).collect::<Vec<_>>();
        assert_eq!(delays(Chance::from_seed(1)), delays(Chance::from_seed(1)));
        assert_ne!(delays(Chance::from_seed(1)), delays(Chance::from_seed(2)));
    }
}
