//! Which events an application service is told of ([spec])
//!
//! An index of (room, why) is carried along the log with the service's cursor, and stored with it. So what a service is told
//! depends on who was in the room when the event happened, not on who is there when the service comes back from an outage.
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#registration

use std::collections::{HashMap, HashSet};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::registry::Appservice;
use crate::rooms::{Event, Membership};

/// The rooms with joined local users of one service's namespaces.
#[derive(Debug, Default)]
pub(super) struct Interest {
    rooms: HashMap<OwnedRoomId, HashSet<OwnedUserId>>,
}

/// A change of the index, to be stored with the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InterestChange {
    pub(super) room_id: OwnedRoomId,
    pub(super) user_id: OwnedUserId,
    pub(super) joined: bool,
}

impl Interest {
    /// Takes up a stored index.
    pub(super) fn load(pairs: impl IntoIterator<Item = (OwnedRoomId, OwnedUserId)>) -> Self {
        let mut interest = Self::default();
        for (room_id, user_id) in pairs {
            interest.rooms.entry(room_id).or_default().insert(user_id);
        }
        interest
    }

    /// Whether a user of the namespaces is joined to the room.
    pub(super) fn has_member(&self, room_id: &RoomId) -> bool {
        self.rooms.contains_key(room_id)
    }

    /// How many users of the namespaces are joined to the room.
    pub(super) fn members_in(&self, room_id: &RoomId) -> usize {
        self.rooms.get(room_id).map_or(0, HashSet::len)
    }

    /// Whether the service is told of an event by who sent it, whom it is about, or who is in the room.
    pub(super) fn covers(&self, appservice: &Appservice, event: &Event) -> bool {
        appservice.owns_user(&event.sender)
            || member_of(event).is_some_and(|user_id| appservice.owns_user(user_id))
            || self.has_member(&event.room_id)
            || appservice.room(&event.room_id).is_interesting()
    }

    /// Follows an event; gives what changed.
    pub(super) fn follow(&mut self, appservice: &Appservice, event: &Event) -> Option<InterestChange> {
        let user_id = member_of(event).filter(|user_id| appservice.owns_user(user_id))?;
        let joined = event.membership() == Some(Membership::Join);
        let change = InterestChange { room_id: event.room_id.clone(), user_id: user_id.to_owned(), joined };
        self.apply(&change).then_some(change)
    }

    fn apply(&mut self, change: &InterestChange) -> bool {
        if change.joined {
            return self.rooms.entry(change.room_id.clone()).or_default().insert(change.user_id.clone());
        }
        let Some(users) = self.rooms.get_mut(&change.room_id) else { return false };
        let removed = users.remove(&change.user_id);
        if users.is_empty() {
            self.rooms.remove(&change.room_id);
        }
        removed
    }

    /// Undoes changes of a batch that is built anew.
    pub(super) fn undo(&mut self, changes: &[InterestChange]) {
        for change in changes.iter().rev() {
            self.apply(&InterestChange { joined: !change.joined, ..change.clone() });
        }
    }
}

/// Whom a member event is about.
pub(super) fn member_of(event: &Event) -> Option<&UserId> {
    if event.kind != ruma::events::TimelineEventType::RoomMember {
        return None;
    }
    event.state_key.as_deref().and_then(|user_id| <&UserId>::try_from(user_id).ok())
}
