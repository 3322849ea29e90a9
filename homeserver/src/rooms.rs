//! Rooms: everything that happens in them, and everything that is known of them.
//!
//! [`Rooms`] is the one service. What changes a room goes through that room's task (`rooms/actor.rs`), which owns its forward
//! extremities and current state: build, authorise and sign happen there without a lock, and the next event is built while the
//! commit of the one before is still running. What reads a room reads snapshots.

mod actor;
mod aggregate;
mod aliases;
mod annotations;
mod authorize;
mod backfill;
mod build;
mod client_event;
mod core;
mod create;
mod deletion;
mod directory;
mod encryption;
mod error;
mod event;
mod fresh;
mod history;
mod key_index;
mod members;
mod membership;
pub(crate) mod mentions;
mod messages;
mod push_facts;
mod receive;
mod redact;
mod relations;
mod resolve;
mod send;
mod spaces;
mod state;
pub(crate) mod state_tree;
mod timestamps;
mod upgrade;
mod version;
mod visibility;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, ServerName};

pub(crate) use self::event::EventMeta;
pub use self::{
    aggregate::Onlooker,
    aliases::MAX_ALIASES,
    backfill::{Backfill, BackfillEvent, BackfillPlace},
    client_event::{ClientEventFormat, ClientEventOptions},
    create::NewRoom,
    directory::PublicRoom,
    error::RoomError,
    event::{Event, EventFlags, EventNid, EventTxn, KeyIndex, RoomNid},
    history::PurgeBefore,
    members::{JoinedMember, RoomMembership},
    membership::{MemberProfile, Membership, MembershipChange},
    messages::{Direction, MessagesPage, MessagesQuery, TimelineSlice},
    push_facts::PushFacts,
    redact::Redaction,
    relations::{Relation, RelationsPage, RelationsQuery, ThreadsPage, ThreadsQuery},
    send::{Outgoing, Sent, Txn},
    spaces::Walk,
    state_tree::Root,
    upgrade::Upgrade,
    version::{DEFAULT_ROOM_VERSION, SUPPORTED_ROOM_VERSIONS},
};
use crate::{
    clock::{self, Clock},
    one_at_a_time::OneAtATime,
    signing::ServerKey,
    store::Store,
};

/// The service of rooms. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rooms {
    context: Arc<Context>,
    tasks: Arc<actor::RoomTasks>,
}

/// What every part of the service needs.
#[derive(Debug)]
struct Context {
    server_name: OwnedServerName,
    key: ServerKey,
    clock: Arc<dyn Clock>,
    store: Store,
    /// When the last room was made: no two are made in the same millisecond.
    last_made: AtomicU64,
    /// Who had themselves erased: few, so that all are kept.
    erased: RwLock<HashSet<OwnedUserId>>,
    /// Which rooms are blocked, and which are being deleted.
    closed: RwLock<deletion::Closed>,
    /// Who makes an alias now, as far as these are counted.
    alias_makers: OneAtATime,
}

impl Context {
    /// The time, but never the same twice: the id of a room follows from its create event since version 12, so two rooms that one
    /// user makes of the same request at the same time would be the same room.
    fn unique_now(&self) -> MilliSecondsSinceUnixEpoch {
        let now = u64::from(self.clock.now().0);
        let last = self.last_made.update(Ordering::Relaxed, Ordering::Relaxed, |last| now.max(last + 1));
        clock::milliseconds(now.max(last + 1))
    }
}

impl Rooms {
    pub(crate) fn new(server_name: OwnedServerName, key: ServerKey, clock: Arc<dyn Clock>, store: Store) -> Self {
        let (last_made, erased, closed) = (AtomicU64::new(0), RwLock::default(), RwLock::default());
        let alias_makers = OneAtATime::default();
        let context = Arc::new(Context { server_name, key, clock, store, last_made, erased, closed, alias_makers });
        Self { tasks: Arc::new(actor::RoomTasks::new(context.clone())), context }
    }

    /// The name of this server.
    pub fn server_name(&self) -> &ServerName {
        &self.context.server_name
    }

    /// The key that signs this server's events.
    pub fn signing_key(&self) -> &ServerKey {
        &self.context.key
    }

    /// The version of a room, or `None` where there is no such room here.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn version(&self, room_id: &RoomId) -> Result<Option<RoomVersionId>, RoomError> {
        Ok(self.context.store.room(room_id).await?.map(|room| room.version.clone()))
    }
}
