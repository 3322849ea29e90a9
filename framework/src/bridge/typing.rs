//! Who types: latest wins, nothing is stored, and what comes too fast is left out.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::{SetOnce, mpsc};

use super::{Homeserver, Names, mappings::Mappings};
use crate::network::Network;

/// How many changes may wait; at the bound, further ones are left out.
const QUEUE: usize = 64;

/// Takes what sessions say of who types.
pub(crate) struct Typing<N: Network> {
    mappings: Mappings<N::Room>,
    names: Arc<Names>,
    network: Arc<SetOnce<Arc<N>>>,
    queue: mpsc::Sender<(OwnedUserId, OwnedRoomId, bool)>,
}

impl<N: Network> Typing<N> {
    /// Makes it, and the future that tells the homeserver.
    pub(crate) fn new(
        mappings: Mappings<N::Room>,
        names: Arc<Names>,
        network: Arc<SetOnce<Arc<N>>>,
        homeserver: Arc<dyn Homeserver>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, mut changes) = mpsc::channel::<(OwnedUserId, OwnedRoomId, bool)>(QUEUE);
        let telling = async move {
            while let Some((user, room, typing)) = changes.recv().await {
                if let Err(error) = homeserver.typing(&user, &room, typing).await {
                    tracing::debug!(%error, "a typing notification was refused");
                }
            }
        };
        (Self { mappings, names, network, queue }, telling)
    }

    pub(crate) fn set(&self, room: N::Room, who: N::User, typing: bool) {
        let Some(network) = self.network.get() else { return };
        let (Some(mapping), Some(user)) = (self.mappings.by_remote(&room), self.names.user_id(&**network, &who)) else {
            return;
        };
        // Full: the next change tells as much.
        let _ = self.queue.try_send((user, mapping.room_id.clone(), typing));
    }
}
