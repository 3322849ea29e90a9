//! Room aliases: <https://spec.matrix.org/v1.19/client-server-api/#room-aliases>.

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId};

use super::{RoomError, Rooms};

impl Rooms {
    /// Points a local alias at a room.
    ///
    /// # Errors
    /// [`RoomError::AliasTaken`] (409) where the alias is there already, [`RoomError::InvalidParam`] where it is not of this
    /// server.
    pub async fn create_alias(&self, alias: &RoomAliasId, room_id: &RoomId, by: &UserId) -> Result<(), RoomError> {
        let _ = (alias, room_id, by);
        Err(RoomError::Internal("in construction".into()))
    }

    /// Removes a local alias. Its maker may, and who may send `m.room.canonical_alias` in the room; with `force` anyone (an
    /// appservice in its own namespace).
    ///
    /// # Errors
    /// [`RoomError::NotFound`], [`RoomError::Forbidden`].
    pub async fn delete_alias(&self, alias: &RoomAliasId, by: &UserId, force: bool) -> Result<(), RoomError> {
        let _ = (alias, by, force);
        Err(RoomError::Internal("in construction".into()))
    }

    /// The room that an alias points at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, RoomError> {
        let _ = alias;
        Err(RoomError::Internal("in construction".into()))
    }

    /// The local aliases of a room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn aliases(&self, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, RoomError> {
        let _ = room_id;
        Err(RoomError::Internal("in construction".into()))
    }
}
