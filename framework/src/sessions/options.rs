//! How sessions are handled.

use std::time::Duration;

use crate::{matrix::Backoff, network::IdentityMode};

/// How sessions are handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// How Matrix users appear: [`IdentityMode::Relay`] or [`IdentityMode::AutoPuppet`].
    pub mode: IdentityMode,
    /// How many Matrix users may have a session of their own at a time; the others speak through the relay.
    pub max_puppets: usize,
    /// A user's session ends when they have said nothing for this long.
    pub idle_after: Duration,
    /// How many sessions may be connecting at a time.
    pub connects_at_once: usize,
    /// The waits after a connection was lost.
    pub backoff: Backoff,
    /// The waits after the network asked to come back later without saying when, or put another in our place.
    pub patience: Backoff,
    /// A connection that lasted this long counts as good: the next loss starts from the first wait again.
    pub stable_after: Duration,
    /// How long a session that we end may take to say goodbye.
    pub goodbye: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            mode: IdentityMode::Relay,
            max_puppets: 200,
            idle_after: Duration::from_hours(48),
            connects_at_once: 4,
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_mins(5)),
            patience: Backoff::new(Duration::from_mins(1), Duration::from_mins(30)),
            stable_after: Duration::from_mins(1),
            goodbye: Duration::from_secs(10),
        }
    }
}
