//! What is not to be seen any more: history that an operator purges, and what those said who had themselves erased.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::{
    OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::{Event, EventNid, Membership, RoomError, Rooms, Root};
use crate::stream::Position;

/// How far the history of a room is purged.
#[derive(Debug, Clone)]
pub enum PurgeBefore {
    /// What came before the first event that was sent at this time or later, in milliseconds since 1970.
    Time(i64),
    /// What came before an event.
    Event(ruma::OwnedEventId),
}

impl Rooms {
    /// Forgets the message events of a room up to a place; says how many. State stays, and what it takes to stay sound: see
    /// ARCHITECTURE.md.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room or event.
    pub async fn purge_history(&self, room_id: &RoomId, before: PurgeBefore) -> Result<u64, RoomError> {
        let room = self.known_room(room_id).await?;
        let store = &self.context.store;
        let before = match before {
            PurgeBefore::Time(ts) => store.first_since(room.nid, ts).await?.unwrap_or(Position::END),
            PurgeBefore::Event(event_id) => {
                let event = store.event(&event_id).await?.filter(|event| event.room == room.nid);
                let event = event.filter(|event| event.flags.in_timeline());
                event.ok_or(RoomError::NotFound("There is no such event in the room"))?.position()
            }
        };
        Ok(store.purge_history(&room, before).await?)
    }

    /// From now on, those who were not there when this user said something see only that something was said
    /// (<https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate>).
    pub(crate) fn erase(&self, user_id: OwnedUserId) {
        self.context.erased.write().insert(user_id);
    }

    fn is_erased(&self, user_id: &UserId) -> bool {
        self.context.erased.read().contains(user_id)
    }

    /// Which of some events, and of those that they refer to, a reader sees only that they were: by their numbers.
    pub(super) async fn blanked(
        &self,
        events: &[Arc<Event>],
        related: &HashMap<EventNid, Arc<Event>>,
        reader: Option<&UserId>,
    ) -> Result<HashSet<EventNid>, RoomError> {
        let mut blank = HashSet::new();
        let Some(reader) = reader.filter(|_| !self.context.erased.read().is_empty()) else { return Ok(blank) };
        let mut looked_at: Vec<Arc<Event>> = events.to_vec();
        looked_at.extend(related.values().cloned());
        looked_at.retain(|event| event.sender != reader && self.is_erased(&event.sender));
        // Many messages stand on the same state.
        let mut known: HashMap<Root, bool> = HashMap::new();
        for event in looked_at {
            let was_there = match known.get(&event.state_before) {
                Some(was_there) => *was_there,
                None => self.was_there(&event, reader).await?,
            };
            known.insert(event.state_before, was_there);
            if !was_there {
                blank.insert(event.nid);
            }
        }
        Ok(blank)
    }

    /// How a reader stood to the room at each event, what the event changed included
    /// (<https://spec.matrix.org/v1.19/client-server-api/#room-event-format>).
    pub(super) async fn stood(
        &self,
        events: &[Arc<Event>],
        reader: &UserId,
    ) -> Result<HashMap<EventNid, Membership>, RoomError> {
        let mut stood = HashMap::with_capacity(events.len());
        let mut known: HashMap<Root, Membership> = HashMap::new();
        for event in events {
            let own =
                event.kind == TimelineEventType::RoomMember && event.state_key.as_deref() == Some(reader.as_str());
            let membership = match (own.then(|| event.membership()).flatten(), known.get(&event.state_before)) {
                (Some(membership), _) | (None, Some(&membership)) => membership,
                (None, None) => self.membership_before(event, reader).await?.unwrap_or(Membership::Leave),
            };
            if !own {
                known.insert(event.state_before, membership);
            }
            stood.insert(event.nid, membership);
        }
        Ok(stood)
    }

    async fn was_there(&self, event: &Event, reader: &UserId) -> Result<bool, RoomError> {
        Ok(self.membership_before(event, reader).await? == Some(Membership::Join))
    }

    async fn membership_before(&self, event: &Event, reader: &UserId) -> Result<Option<Membership>, RoomError> {
        let kind = StateEventType::RoomMember;
        let member = self.state_event_at(&event.room_id, event.state_before, &kind, reader.as_str()).await?;
        Ok(member.and_then(|member| member.membership()))
    }
}
