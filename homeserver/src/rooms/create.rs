//! Making a room: <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom>.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId, api::client::room::create_room};

use super::{MemberProfile, RoomError, Rooms};

/// A room as a client or appservice asks for it.
#[derive(Debug)]
pub struct NewRoom<'a> {
    /// Who makes it.
    pub creator: OwnedUserId,
    /// The request.
    pub request: &'a create_room::v3::Request,
    /// The profiles of the creator and of those invited, as far as they are known.
    pub profiles: BTreeMap<OwnedUserId, MemberProfile>,
}

impl Rooms {
    /// Makes a room: all its first events, its alias and its place in the directory, in one commit.
    ///
    /// # Errors
    /// [`RoomError::UnsupportedVersion`], [`RoomError::AliasTaken`], [`RoomError::InvalidState`] where an event that was asked
    /// for is refused, [`RoomError::BadJson`].
    pub async fn create(&self, room: NewRoom<'_>) -> Result<OwnedRoomId, RoomError> {
        let _ = room;
        Err(RoomError::Internal("in construction".into()))
    }
}
