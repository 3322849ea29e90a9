//! The published room directory: <https://spec.matrix.org/v1.19/client-server-api/#published-room-directory>.

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomId};

use super::{RoomError, Rooms};

/// A room of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// How many users are joined.
    pub joined_members: u64,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its canonical alias.
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// Its avatar.
    pub avatar_url: Option<String>,
    /// Its join rule, the spec's word.
    pub join_rule: String,
    /// Its type (`m.space`), if any.
    pub room_type: Option<String>,
    /// Whether those outside may read it.
    pub world_readable: bool,
    /// Whether guests may join.
    pub guest_can_join: bool,
}

impl Rooms {
    /// Publishes a room, or takes it out. `network` is `None` for the server's own list, else `appservice id|network id`.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn set_published(&self, room_id: &RoomId, network: Option<&str>, public: bool) -> Result<(), RoomError> {
        let _ = (room_id, network, public);
        Err(RoomError::Internal("in construction".into()))
    }

    /// Whether a room is in a list.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn is_published(&self, room_id: &RoomId, network: Option<&str>) -> Result<bool, RoomError> {
        let _ = (room_id, network);
        Err(RoomError::Internal("in construction".into()))
    }

    /// All rooms of a list (`None`: the server's own), the largest first.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn public_rooms(&self, network: Option<&str>) -> Result<Vec<PublicRoom>, RoomError> {
        let _ = network;
        Err(RoomError::Internal("in construction".into()))
    }
}
