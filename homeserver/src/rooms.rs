//! Rooms: everything that happens in them, and everything that is known of them.
//!
//! [`Rooms`] is the one service. What changes a room goes through that room's task (`rooms/actor.rs`), which owns its forward
//! extremities and current state: build, authorise and sign happen there without a lock, and the next event is built while the
//! commit of the one before is still running. What reads a room reads snapshots.

mod actor;
mod aliases;
mod authorize;
mod build;
mod client_event;
mod create;
mod directory;
mod error;
mod event;
mod key_index;
mod members;
mod membership;
mod messages;
mod receive;
mod redact;
mod resolve;
mod send;
mod state;
pub(crate) mod state_tree;
mod version;
mod visibility;

use std::sync::Arc;

use ruma::{OwnedServerName, RoomId, RoomVersionId, ServerName};

pub(crate) use self::event::EventMeta;
pub use self::{
    client_event::{ClientEventFormat, ClientEventOptions},
    create::NewRoom,
    directory::PublicRoom,
    error::RoomError,
    event::{Event, EventFlags, EventNid, EventTxn, KeyIndex, RoomNid},
    members::{JoinedMember, RoomMembership},
    membership::{MemberProfile, Membership, MembershipChange},
    messages::{Direction, MessagesPage, MessagesQuery, TimelineSlice},
    send::{Outgoing, Sent, Txn},
    state_tree::Root,
    version::{DEFAULT_ROOM_VERSION, SUPPORTED_ROOM_VERSIONS},
};
use crate::{clock::Clock, signing::ServerKey, store::Store};

/// The service of rooms. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server_name: OwnedServerName,
    key: ServerKey,
    clock: Arc<dyn Clock>,
    store: Store,
    tasks: actor::RoomTasks,
}

impl Rooms {
    pub(crate) fn new(server_name: OwnedServerName, key: ServerKey, clock: Arc<dyn Clock>, store: Store) -> Self {
        Self { inner: Arc::new(Inner { server_name, key, clock, store, tasks: actor::RoomTasks::default() }) }
    }

    /// The name of this server.
    pub fn server_name(&self) -> &ServerName {
        &self.inner.server_name
    }

    /// The version of a room, or `None` where there is no such room here.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn version(&self, room_id: &RoomId) -> Result<Option<RoomVersionId>, RoomError> {
        Ok(self.inner.store.room(room_id).await?.map(|room| room.version.clone()))
    }
}
