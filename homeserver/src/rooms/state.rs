//! Reading a room's state, now and at any place in its history.

use std::sync::Arc;

use ruma::{OwnedEventId, RoomId, UserId, events::StateEventType};
use serde_json::value::RawValue;

use super::{
    Event, EventNid, Membership, RoomError, RoomMembership, Rooms, Root, authorize, directory::text_field, state_tree,
};
use crate::{store::RoomInfo, stream::Position};

impl Rooms {
    /// One state event of a room, now. Visibility is not looked at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_event(
        &self,
        room_id: &RoomId,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(None) };
        self.state_event_in(&room, room.root(), kind, state_key).await
    }

    /// The whole state of a room, now. Visibility is not looked at.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn state(&self, room_id: &RoomId) -> Result<Vec<Arc<Event>>, RoomError> {
        let room = self.known_room(room_id).await?;
        self.state_at(room.root()).await
    }

    /// The state of a room as `user` may read it: now while joined (or where the room is world readable), as it was on leaving
    /// for one who left.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] for anyone else, also where there is no such room.
    pub async fn readable_state(&self, room_id: &RoomId, user: &UserId) -> Result<Root, RoomError> {
        let refused = || RoomError::Forbidden("You are not in the room".into());
        let room = self.context.store.room(room_id).await?.ok_or_else(refused)?;
        let known = self.membership(room_id, user).await?;
        if known.as_ref().is_some_and(|known| known.membership == Membership::Join) {
            return Ok(room.root());
        }
        if let Some(known) = known.filter(|known| !known.forgotten)
            && let Some(out) = self.went_out(&room, &known, user).await?
        {
            return self.root_at(room_id, out).await;
        }
        if self.is_world_readable(&room).await? { Ok(room.root()) } else { Err(refused()) }
    }

    /// One event of a state.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_event_at(
        &self,
        room_id: &RoomId,
        root: Root,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(None) };
        self.state_event_in(&room, root, kind, state_key).await
    }

    /// All events of a state.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_at(&self, root: Root) -> Result<Vec<Arc<Event>>, RoomError> {
        let entries = state_tree::entries(&self.context.store, root).await?;
        let nids: Vec<EventNid> = entries.into_iter().map(|(_, nid)| nid).collect();
        Ok(self.context.store.events(&nids).await?)
    }

    /// The events of a state of a room but for those of its members. Costs what there is of them, not how many members there are.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn state_without_members(&self, room_id: &RoomId, root: Root) -> Result<Vec<Arc<Event>>, RoomError> {
        let room = self.known_room(room_id).await?;
        let store = &self.context.store;
        let mut nids = Vec::new();
        for index in &*store.keys_but_members(&room).await? {
            nids.extend(state_tree::get(store, root, *index).await?);
        }
        Ok(store.events(&nids).await?)
    }

    /// The state of a room after everything up to and including `position`; the empty state before the room was made.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn root_at(&self, room_id: &RoomId, position: Position) -> Result<Root, RoomError> {
        let room = self.known_room(room_id).await?;
        let store = &self.context.store;
        let Some((nid, resolved)) = store.last_event_at(room.nid, position).await? else { return Ok(Root::EMPTY) };
        if let Some(resolved) = resolved {
            return Ok(resolved);
        }
        let event = store.event_by_nid(nid).await?;
        match event.key {
            Some(key) => Ok(state_tree::set(store, event.state_before, key, Some(nid)).await?.0),
            None => Ok(event.state_before),
        }
    }

    /// The events of `to` that are not the same in `from`. Costs what differs, not what exists.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn state_changes(&self, from: Root, to: Root) -> Result<Vec<Arc<Event>>, RoomError> {
        let changes = state_tree::diff(&self.context.store, from, to).await?;
        let nids: Vec<EventNid> = changes.into_iter().filter_map(|change| change.new).collect();
        Ok(self.context.store.events(&nids).await?)
    }

    /// The stripped state that an invited or knocking user is shown, as JSON objects:
    /// <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn stripped_state(&self, room_id: &RoomId, user: &UserId) -> Result<Vec<Box<RawValue>>, RoomError> {
        let mut found = Vec::new();
        for kind in STRIPPED {
            found.extend(self.state_event(room_id, &StateEventType::from(kind), "").await?);
        }
        found.extend(self.state_event(room_id, &StateEventType::RoomMember, user.as_str()).await?);
        if let Some(sender) = found.last().filter(|event| event.state_key.as_deref() == Some(user.as_str()))
            && sender.sender != user
        {
            let sender = sender.sender.clone();
            found.extend(self.state_event(room_id, &StateEventType::RoomMember, sender.as_str()).await?);
        }
        found.iter().map(|event| stripped(event)).collect()
    }

    /// The forward extremities of a room: what the next event will follow.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn forward_extremities(&self, room_id: &RoomId) -> Result<Vec<OwnedEventId>, RoomError> {
        let room = self.known_room(room_id).await?;
        let events = self.context.store.events(&room.current().extremities).await?;
        Ok(events.iter().map(|event| event.event_id.clone()).collect())
    }

    /// A room that must be there.
    pub(super) async fn known_room(&self, room_id: &RoomId) -> Result<Arc<RoomInfo>, RoomError> {
        self.context.store.room(room_id).await?.ok_or(RoomError::NotFound("There is no such room"))
    }

    pub(super) async fn state_event_in(
        &self,
        room: &RoomInfo,
        root: Root,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let store = &self.context.store;
        let Some(index) = store.key_index(room, &kind.to_string(), state_key).await? else { return Ok(None) };
        match state_tree::get(store, root, index).await? {
            Some(nid) => Ok(Some(store.event_by_nid(nid).await?)),
            None => Ok(None),
        }
    }

    /// Whether those outside may read a room now.
    pub(super) async fn is_world_readable(&self, room: &RoomInfo) -> Result<bool, RoomError> {
        let kind = StateEventType::RoomHistoryVisibility;
        let event = self.state_event_in(room, room.root(), &kind, "").await?;
        let visibility = event.and_then(|event| text_field(&event, "history_visibility"));
        Ok(visibility.as_deref() == Some("world_readable"))
    }

    /// Where in the log one who is out of a room now went out of it; `None` for one who was merely invited, or never there. A ban
    /// may follow long after: what counts is when the user left.
    pub(super) async fn went_out(
        &self,
        room: &RoomInfo,
        known: &RoomMembership,
        user: &UserId,
    ) -> Result<Option<Position>, RoomError> {
        if !matches!(known.membership, Membership::Leave | Membership::Ban) {
            return Ok(None);
        }
        let Some(mut event) =
            self.state_event_in(room, room.root(), &StateEventType::RoomMember, user.as_str()).await?
        else {
            return Ok(None);
        };
        let mut out = known.position;
        for _ in 0..16 {
            match event.membership() {
                Some(Membership::Join) => return Ok(Some(out)),
                Some(Membership::Leave | Membership::Ban) => out = event.position(),
                _ => return Ok(None),
            }
            let Some(before) = event.replaces else { return Ok(None) };
            event = self.context.store.event_by_nid(before).await?;
        }
        Ok(None)
    }

    /// Where in the log a user went out of a room that it is not in any more; `None` for one who never was.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn left_at(&self, room_id: &RoomId, user: &UserId) -> Result<Option<Position>, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(None) };
        match self.membership(room_id, user).await? {
            Some(known) => self.went_out(&room, &known, user).await,
            None => Ok(None),
        }
    }

    /// Whether a user may send a type of state event into a room.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn may_send_state(&self, room_id: &RoomId, user: &UserId, kind: &str) -> Result<bool, RoomError> {
        let room = self.known_room(room_id).await?;
        let joined = self.membership(room_id, user).await?.is_some_and(|known| known.membership == Membership::Join);
        let create = self.state_event_in(&room, room.root(), &StateEventType::RoomCreate, "").await?;
        let (true, Some(create)) = (joined, create) else { return Ok(false) };
        let power_levels = self.state_event_in(&room, room.root(), &StateEventType::RoomPowerLevels, "").await?;
        let rules = &room.rules.authorization;
        authorize::may_send_state(rules, user, kind, power_levels.as_ref(), &create).map_err(RoomError::Internal)
    }
}

/// What an invited user is shown of a room.
const STRIPPED: [&str; 8] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.tombstone",
];

/// An event without what the invited need not know.
fn stripped(event: &Event) -> Result<Box<RawValue>, RoomError> {
    let stripped = serde_json::json!({
        "type": event.kind.to_string(),
        "state_key": event.state_key,
        "sender": event.sender,
        "content": event.content,
    });
    serde_json::value::to_raw_value(&stripped).map_err(|error| RoomError::Internal(error.to_string()))
}
