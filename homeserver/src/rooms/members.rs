//! Who is in a room, and which rooms someone is in.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{Event, MemberProfile, Membership, RoomError, Rooms};
use crate::stream::Position;

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
        let _ = (room_id, user);
        Err(RoomError::Internal("in construction".into()))
    }

    /// All rooms that a user has to do with, forgotten ones included.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn memberships_of(&self, user: &UserId) -> Result<Vec<RoomMembership>, RoomError> {
        let _ = user;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The rooms that a user is joined to.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, RoomError> {
        let _ = user;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The users that are joined to a room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn joined_users(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, RoomError> {
        let _ = room_id;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The users that are joined to a room, with their profiles in it.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn joined_members(&self, room_id: &RoomId) -> Result<Vec<JoinedMember>, RoomError> {
        let _ = room_id;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The member events of a room, as they stood at `at` (`None`: now).
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn members(&self, room_id: &RoomId, at: Option<Position>) -> Result<Vec<Arc<Event>>, RoomError> {
        let _ = (room_id, at);
        Err(RoomError::Internal("in construction".into()))
    }

    /// Whether two users are joined to a room together.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn share_a_room(&self, one: &UserId, other: &UserId) -> Result<bool, RoomError> {
        let _ = (one, other);
        Err(RoomError::Internal("in construction".into()))
    }

    /// Forgets a room that the user has left.
    ///
    /// # Errors
    /// [`RoomError::InvalidParam`] (`M_UNKNOWN`) while the user is still in the room.
    pub async fn forget(&self, room_id: &RoomId, user: &UserId) -> Result<(), RoomError> {
        let _ = (room_id, user);
        Err(RoomError::Internal("in construction".into()))
    }
}
