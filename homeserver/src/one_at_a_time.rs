//! Turns for what one user may not do twice at once: what is counted first and written then.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use ruma::UserId;
use tokio::sync::{Mutex, MutexGuard};

/// How many turns there are. Users who share one wait for each other, which costs them a moment and nothing else.
const TURNS: usize = 64;

/// Turns of users.
#[derive(Debug)]
pub(crate) struct OneAtATime([Mutex<()>; TURNS]);

impl Default for OneAtATime {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl OneAtATime {
    /// Waits for the turn of a user, which lasts as long as the guard.
    pub(crate) async fn turn(&self, user: &UserId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.0.get(number).unwrap_or(&self.0[0]).lock().await
    }
}
