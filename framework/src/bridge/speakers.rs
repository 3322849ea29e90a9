//! Who speaks on the network for a Matrix user.

use std::sync::Arc;

use async_trait::async_trait;
use ruma::UserId;

use crate::network::{ConnectionState, Network, SessionId};

/// The running sessions, as the dispatcher sees them.
#[async_trait]
pub trait Speakers<N: Network>: Send + Sync + 'static {
    /// Which session speaks for a Matrix user; makes and starts one where the mode says so. Falls back to the relay for a user whose
    /// session was refused (banned, bad credentials) or who is over the budget.
    async fn speaker(&self, user_id: &UserId, display_name: &str) -> SessionId;

    /// The name that a user went by when they said something in an earlier life: for their session, until they are heard again.
    fn was_called(&self, user_id: &UserId, name: &str) {
        let _ = (user_id, name);
    }

    /// A session by its id; starts it where it is not running. `None` where it cannot be had any more.
    async fn session(&self, id: &SessionId) -> Option<Arc<N::Session>>;

    /// A session that is connected now; none is started for it.
    fn running(&self, id: &SessionId) -> Option<Arc<N::Session>> {
        let _ = id;
        None
    }

    /// Whether a session was refused for good (banned, bad credentials). One that is only not there (not yet, or not any more because
    /// the bridge is stopping) is not refused: what it has to say waits.
    fn is_refused(&self, id: &SessionId) -> bool {
        let _ = id;
        false
    }

    /// Waits until a session is connected (at once, if it is). Returns also when it is certain that it will not be.
    async fn connected(&self, id: &SessionId);

    /// The names that Matrix users with a session of their own go by on the network, for mentions.
    fn names(&self) -> Vec<(ruma::OwnedUserId, String)>;

    /// What a session says of its connection.
    fn heard(&self, id: &SessionId, state: ConnectionState);
}
