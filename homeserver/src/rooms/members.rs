//! Who is in a room, and which rooms someone is in.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType};

use super::{Event, MemberProfile, Membership, RoomError, Rooms, directory::text_field};
use crate::{store::memberships::Forget, stream::Position};

/// How one user stands to one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMembership {
    /// The room.
    pub room_id: OwnedRoomId,
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
    pub async fn memberships_of(&self, user: &UserId) -> Result<Vec<RoomMembership>, RoomError> {
        Ok(self.context.store.memberships_of(user).await?)
    }

    /// The rooms that a user is joined to.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, RoomError> {
        let known = self.context.store.memberships_of(user).await?;
        Ok(known.into_iter().filter(|known| known.membership == Membership::Join).map(|known| known.room_id).collect())
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
        self.context.store.write(Box::new(Forget { room: room.nid, user: user.to_owned() })).await?;
        Ok(())
    }
}
