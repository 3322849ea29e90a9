//! A fixed number of locks for any number of keys.

use std::hash::{BuildHasher as _, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

const STRIPES: usize = 128;

/// Locks by key: equal keys exclude each other; unequal ones nearly never do.
#[derive(Debug)]
pub(crate) struct Stripes {
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Stripes {
    fn default() -> Self {
        Self { locks: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Stripes {
    pub(crate) async fn lock(&self, key: impl Hash) -> MutexGuard<'_, ()> {
        let stripe = usize::try_from(self.hasher.hash_one(key) % STRIPES as u64).unwrap_or(0);
        self.locks[stripe].lock().await
    }
}
