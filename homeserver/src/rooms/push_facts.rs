//! What push rules ask of a room.

use std::{collections::HashSet, sync::Arc};

use ruma::{
    OwnedUserId, RoomId, UserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
    },
    push::PushConditionPowerLevelsCtx,
    state_res::events::RoomCreateEvent,
};

use super::{Event, Membership, RoomError, Rooms, Root, directory::text_field};
use crate::stream::Position;

/// What push rules ask of a room, as of one of its states.
#[derive(Debug)]
pub struct PushFacts {
    /// The state that it was read from.
    pub root: Root,
    /// How many users are joined.
    pub joined: u64,
    /// Who may notify everybody.
    pub power_levels: PushConditionPowerLevelsCtx,
}

impl Rooms {
    /// The state of a room now; `None` where there is no such room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn root(&self, room_id: &RoomId) -> Result<Option<Root>, RoomError> {
        Ok(self.context.store.room(room_id).await?.map(|room| room.root()))
    }

    /// What push rules ask of a room, now.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn push_facts(&self, room_id: &RoomId) -> Result<PushFacts, RoomError> {
        let room = self.known_room(room_id).await?;
        let root = room.root();
        let rules = &room.rules.authorization;
        let create = self.state_event_in(&room, root, &StateEventType::RoomCreate, "").await?;
        let creators: HashSet<OwnedUserId> =
            create.as_ref().and_then(|create| RoomCreateEvent::new(create).creators(rules).ok()).unwrap_or_default();
        let levels = self.state_event_in(&room, root, &StateEventType::RoomPowerLevels, "").await?;
        let content: Option<RoomPowerLevelsEventContent> =
            levels.and_then(|event: Arc<Event>| serde_json::from_str(event.content.get()).ok());
        let source = content.map_or(RoomPowerLevelsSource::None, RoomPowerLevelsSource::Original);
        let power_levels = RoomPowerLevels::new(source, rules, creators).into();
        let (joined, _) = self.context.store.member_counts(&room).await?;
        Ok(PushFacts { root, joined, power_levels })
    }

    /// What a member is called in a room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn name_in(&self, room_id: &RoomId, user: &UserId) -> Result<Option<String>, RoomError> {
        let event = self.state_event(room_id, &StateEventType::RoomMember, user.as_str()).await?;
        Ok(event.and_then(|event| text_field(&event, "displayname")))
    }

    /// Where in the log a joined user came in, changes of its profile left aside.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn joined_since(&self, room_id: &RoomId, user: &UserId) -> Result<Option<Position>, RoomError> {
        let mut found = None;
        let mut next = self.state_event(room_id, &StateEventType::RoomMember, user.as_str()).await?;
        // Who changed name more often is taken to have come in at the earliest of these changes.
        for _ in 0..64 {
            let Some(event) = next.filter(|event| event.membership() == Some(Membership::Join)) else { break };
            found = Some(event.position());
            next = match event.replaces {
                Some(nid) => Some(self.context.store.event_by_nid(nid).await?),
                None => None,
            };
        }
        Ok(found)
    }

    /// Whether an event brings its subject into the room, not merely under another name.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn is_arrival(&self, event: &Event) -> Result<bool, RoomError> {
        if event.membership() != Some(Membership::Join) {
            return Ok(false);
        }
        match event.replaces {
            Some(nid) => Ok(self.context.store.event_by_nid(nid).await?.membership() != Some(Membership::Join)),
            None => Ok(true),
        }
    }
}
