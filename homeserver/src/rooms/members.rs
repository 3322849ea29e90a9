//! Who is in a room, and which rooms someone is in.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::{Event, MemberProfile, Membership, RoomError, RoomNid, Rooms, directory::text_field};
use crate::{store::memberships::Forget, stream::Position};

/// How one user stands to one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMembership {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The server's own number of the room.
    pub room: RoomNid,
    /// How the user stands to it.
    pub membership: Membership,
    /// Who said so: not the user, where the user was kicked, banned or invited.
    pub sender: OwnedUserId,
    /// The place in the log of the member event.
    pub position: Position,
    /// Whether the user wants to hear no more of the room.
    pub forgotten: bool,
}

/// A joined member and its profile in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member.
    pub user_id: OwnedUserId,
    /// Its profile in this room.
    pub profile: MemberProfile,
}

impl Rooms {
    /// How a user stands to a room now; `None` where it never had to do with it.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn membership(&self, room_id: &RoomId, user: &UserId) -> Result<Option<RoomMembership>, RoomError> {
        Ok(self.context.store.membership(room_id, user).await?)
    }

    /// All rooms that a user has to do with, forgotten ones included.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn memberships_of(&self, user: &UserId) -> Result<Arc<[RoomMembership]>, RoomError> {
        Ok(self.context.store.memberships_of(user).await?)
    }

    /// The rooms that a user is joined to.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, RoomError> {
        let known = self.context.store.memberships_of(user).await?;
        let joined = known.iter().filter(|known| known.membership == Membership::Join);
        Ok(joined.map(|known| known.room_id.clone()).collect())
    }

    /// The users that are joined to a room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn joined_users(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(Vec::new()) };
        Ok(self.context.store.joined_users(room.nid).await?)
    }

    /// The users that are joined to a room, with their profiles in it.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn joined_members(&self, room_id: &RoomId) -> Result<Vec<JoinedMember>, RoomError> {
        let room = self.known_room(room_id).await?;
        let nids = self.context.store.joined_member_events(room.nid).await?;
        let events = self.context.store.events(&nids).await?;
        let member = |event: &Arc<Event>| {
            let user_id = OwnedUserId::try_from(event.state_key.as_deref()?).ok()?;
            let profile = MemberProfile {
                displayname: text_field(event, "displayname"),
                avatar_url: text_field(event, "avatar_url"),
            };
            Some(JoinedMember { user_id, profile })
        };
        Ok(events.iter().filter_map(member).collect())
    }

    /// The member events of a room, as they stood at `at` (`None`: now).
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn members(&self, room_id: &RoomId, at: Option<Position>) -> Result<Vec<Arc<Event>>, RoomError> {
        let root = match at {
            Some(position) => self.root_at(room_id, position).await?,
            None => self.known_room(room_id).await?.root(),
        };
        let mut state = self.state_at(root).await?;
        state.retain(|event| event.kind == TimelineEventType::RoomMember);
        Ok(state)
    }

    /// How many are joined to a room, and how many are invited.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn member_counts(&self, room_id: &RoomId) -> Result<(u64, u64), RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok((0, 0)) };
        Ok(self.context.store.member_counts(&room).await?)
    }

    /// Those of some users that are joined to a room together with this one.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn sharing(
        &self,
        user: &UserId,
        others: impl IntoIterator<Item = OwnedUserId>,
    ) -> Result<BTreeSet<OwnedUserId>, RoomError> {
        Ok(self.context.store.sharing(user, others).await?)
    }

    /// Those of some users whom a user may find: they share a room, or are in one that anybody may join. No more than `limit`.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn findable(
        &self,
        user: &UserId,
        others: impl IntoIterator<Item = OwnedUserId>,
        limit: usize,
    ) -> Result<BTreeSet<OwnedUserId>, RoomError> {
        let others: Vec<OwnedUserId> = others.into_iter().collect();
        let mut found = self.sharing(user, others.iter().cloned()).await?;
        for other in others {
            if found.len() >= limit {
                break;
            }
            if other == user || (!found.contains(&other) && self.is_in_public(&other).await?) {
                found.insert(other);
            }
        }
        Ok(found)
    }

    /// Whether a user is in a room that anybody may join.
    async fn is_in_public(&self, user: &UserId) -> Result<bool, RoomError> {
        for room_id in self.joined_rooms(user).await? {
            if self.is_open(&room_id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anybody may join a room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn is_open(&self, room_id: &RoomId) -> Result<bool, RoomError> {
        let rules = self.state_event(room_id, &StateEventType::RoomJoinRules, "").await?;
        Ok(rules.and_then(|rules| text_field(&rules, "join_rule")).as_deref() == Some("public"))
    }

    /// The rooms that two users are both joined to, those after `after`, in the order of their ids; and how many there are in all.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn mutual_rooms(
        &self,
        one: &UserId,
        other: &UserId,
        after: &str,
        limit: i64,
    ) -> Result<(Vec<OwnedRoomId>, u64), RoomError> {
        Ok(self.context.store.mutual_rooms(one, other, after, limit).await?)
    }

    /// The first few users, but for one, who stand to a room in one of these ways, in the order they came to.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn first_members(
        &self,
        room_id: &RoomId,
        but: &UserId,
        standing: [Membership; 2],
        limit: u32,
    ) -> Result<Vec<OwnedUserId>, RoomError> {
        let room = self.known_room(room_id).await?;
        Ok(self.context.store.first_members(&room, but, standing, limit).await?)
    }

    /// Whether two users are joined to a room together.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn share_a_room(&self, one: &UserId, other: &UserId) -> Result<bool, RoomError> {
        Ok(self.context.store.share_a_room(one, other).await?)
    }

    /// Forgets a room that the user has left.
    ///
    /// # Errors
    /// [`RoomError::InvalidParam`] (`M_UNKNOWN`) while the user is still in the room.
    pub async fn forget(&self, room_id: &RoomId, user: &UserId) -> Result<(), RoomError> {
        let Some(known) = self.membership(room_id, user).await? else {
            return Err(RoomError::NotFound("There is no such room"));
        };
        if !matches!(known.membership, Membership::Leave | Membership::Ban) {
            return Err(RoomError::InvalidParam("You are still in the room".into()));
        }
        let room = self.known_room(room_id).await?;
        self.context
            .store
            .write(Box::new(Forget {
                room: room.nid,
                user: user.to_owned(),
                lately: self.context.store.lately().clone(),
            }))
            .await?;
        Ok(())
    }
}
