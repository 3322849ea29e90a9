//! What one commit can hold.

use std::sync::Arc;

use landbridge_sql::WriteError;
use ruma::{OwnedRoomAliasId, OwnedUserId};
use tokio::sync::oneshot;

use crate::{
    rooms::{Event, EventNid, KeyIndex, Root},
    store::{MembershipRow, NewStates, RoomInfo, StoreError, TxnKey, Write, names::EventName, rooms::CurrentState},
    stream::Position,
};

/// One write.
pub(crate) enum Op {
    /// A room's: events, and all that follows from them.
    Room(Box<RoomWrite>),
    /// Any other service's.
    Other(Box<dyn Write>),
    /// Nothing: only a place in the log.
    Tick,
}

/// Everything that one command changes in a room. All of it is written, or nothing.
#[derive(Debug)]
pub(crate) struct RoomWrite {
    pub(crate) room: Arc<RoomInfo>,
    /// This write's number in its room, and that of the write it stands on, which must be the last one committed.
    pub(crate) number: u64,
    pub(crate) after: u64,
    /// Whether the room is made here.
    pub(crate) creates: bool,
    pub(crate) keys: Vec<(KeyIndex, String, String)>,
    pub(crate) states: NewStates,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) memberships: Vec<MembershipRow>,
    /// Pairs of a redacted event and its redaction.
    pub(crate) redactions: Vec<(Arc<Event>, EventNid)>,
    pub(crate) txn: Option<(TxnKey, EventNid)>,
    /// What application services call events that they named.
    pub(crate) names: Vec<EventName>,
    /// Where the room's history stands from now on, where it had none before.
    pub(crate) history: Option<Position>,
    pub(crate) aliases: Vec<(OwnedRoomAliasId, OwnedUserId)>,
    pub(crate) publish: bool,
    /// Where the room stands after this write.
    pub(crate) current: CurrentState,
}

impl RoomWrite {
    /// Whether the event with this number is one that goes to the end of the log.
    pub(crate) fn is_news(&self, nid: EventNid) -> bool {
        self.events.iter().any(|new| new.event.nid == nid && new.is_news())
    }
}

/// An event to be written.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) event: Arc<Event>,
    /// Its place in the room's history, for one that does not go to the end of the log.
    pub(crate) place: Option<Position>,
    /// The room's current state once this event was worked, where that is not simply the state after it.
    pub(crate) resolved: Option<Root>,
}

impl NewEvent {
    /// Whether it goes to the end of the log.
    pub(crate) fn is_news(&self) -> bool {
        self.place.is_none() && self.event.flags.in_timeline()
    }
}

/// A write that is queued. Await it for the place in the log.
#[derive(Debug)]
pub(crate) struct Writing(pub(in crate::store) oneshot::Receiver<Result<Position, WriteError>>);

impl Writing {
    pub(crate) async fn committed(self) -> Result<Position, StoreError> {
        match self.0.await {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StoreError::Closed),
        }
    }
}
