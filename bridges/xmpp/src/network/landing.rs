//! A message of ours on its way to its room, and what comes back.

use std::sync::Arc;

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::shared::Shared;
use crate::stanza::StanzaError;

/// A message of ours on its way to its room and back. Dropped, nobody waits for it any more.
pub(super) struct Landing {
    shared: Arc<Shared>,
    id: String,
    back: oneshot::Receiver<Result<Option<String>, StanzaError>>,
}

/// What came back.
pub(super) enum Back {
    /// The message, for everybody to see, with the id that the room's archive gave it.
    Said(Option<String>),
    /// An error.
    Refused(StanzaError),
    /// Nothing: the link went down.
    Cut,
    /// Nothing in the time given.
    Silence,
}

impl Landing {
    /// Waits from now on for the message of this id. Begins before it is sent.
    pub(super) fn of(shared: &Arc<Shared>, id: &str) -> Self {
        Self { shared: Arc::clone(shared), id: id.to_owned(), back: shared.await_landing(id) }
    }

    /// Waits for what comes back, until then at most.
    pub(super) async fn back(mut self, until: Instant) -> Back {
        match timeout_at(until, &mut self.back).await {
            Ok(Ok(Ok(archive))) => Back::Said(archive),
            Ok(Ok(Err(error))) => Back::Refused(error),
            Ok(Err(_)) => Back::Cut,
            Err(_) => Back::Silence,
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.give_up_landing(&self.id);
    }
}
