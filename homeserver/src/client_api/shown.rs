//! Events as the caller of an endpoint sees them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedUserId, RoomId, api::client::filter::RoomEventFilter, events::StateEventType};
use serde_json::value::RawValue;

use crate::{
    http::{auth::Caller, error::ApiResult},
    rooms::{ClientEventFormat, ClientEventOptions, Event, Onlooker, Rooms, Root},
    sync::EventFilter,
    users::AccountData,
};

/// One who reads, and what its reading stands on.
pub(super) struct Reader<'a> {
    rooms: &'a Rooms,
    caller: &'a Caller,
    ignored: Arc<BTreeSet<OwnedUserId>>,
}

impl<'a> Reader<'a> {
    pub(super) async fn new(rooms: &'a Rooms, account_data: &AccountData, caller: &'a Caller) -> ApiResult<Self> {
        Ok(Self { rooms, caller, ignored: account_data.ignored(&caller.user_id).await? })
    }

    pub(super) fn onlooker(&self) -> Onlooker<'_> {
        Onlooker { user: &self.caller.user_id, ignored: &self.ignored }
    }

    fn options(&self) -> ClientEventOptions<'_> {
        ClientEventOptions { format: ClientEventFormat::Full, reader: self.caller.reader() }
    }

    /// Timeline events, with what others made of them.
    pub(super) async fn shown(&self, events: &[Arc<Event>]) -> ApiResult<Vec<Box<RawValue>>> {
        Ok(self.rooms.aggregated_events(events, self.options(), self.onlooker()).await?)
    }

    /// State events.
    pub(super) async fn state(&self, events: &[Arc<Event>]) -> ApiResult<Vec<Box<RawValue>>> {
        Ok(self.rooms.client_events(events, self.options()).await?)
    }

    /// Leaves out what a filter does not admit, and messages of those whom the reader ignores.
    pub(super) fn keep(&self, filter: &RoomEventFilter, events: &mut Vec<Arc<Event>>) {
        let filter = EventFilter::new(filter);
        events.retain(|event| filter.admits(event) && (event.is_state() || !self.ignored.contains(&event.sender)));
    }

    /// The member events of those who sent events, as of a state; of those who speak in the room's history, as of there
    /// ([spec](https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members)).
    pub(super) async fn members_of(
        &self,
        room_id: &RoomId,
        root: Root,
        events: impl IntoIterator<Item = &Arc<Event>>,
    ) -> ApiResult<Vec<Arc<Event>>> {
        let mut senders: BTreeMap<&OwnedUserId, Root> = BTreeMap::new();
        for event in events {
            if event.position().is_history() {
                senders.insert(&event.sender, event.state_before);
            } else {
                senders.entry(&event.sender).or_insert(root);
            }
        }
        let mut members = Vec::with_capacity(senders.len());
        for (sender, root) in senders {
            let kind = StateEventType::RoomMember;
            members.extend(self.rooms.state_event_at(room_id, root, &kind, sender.as_str()).await?);
        }
        Ok(members)
    }
}
