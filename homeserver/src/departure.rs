//! Closing an account: it leaves its rooms, its devices end, and its name stays taken.

use ruma::{OwnedRoomId, UserId};

use crate::{
    devices::{DeviceError, Devices},
    rooms::{Membership, MembershipChange, RoomError, RoomMembership, Rooms},
    users::{AccountError, Users},
};

/// Closes accounts.
#[derive(Clone, Debug)]
pub(crate) struct Departure {
    users: Users,
    devices: Devices,
    rooms: Rooms,
}

/// Why an account was not closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DepartureError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl Departure {
    pub(crate) const fn new(users: Users, devices: Devices, rooms: Rooms) -> Self {
        Self { users, devices, rooms }
    }

    /// Closes an account for good. First nobody can act as the user any more; then the rooms are left, which can take a while and
    /// goes on after the answer. What a stop leaves undone is done after the next start: see [`Self::resume`].
    pub(crate) async fn close(&self, user_id: &UserId, erase: bool) -> Result<(), DepartureError> {
        self.users.deactivate(user_id, erase).await?;
        if erase {
            self.rooms.erase(user_id.to_owned());
        }
        self.devices.delete_all(user_id, None).await?;
        let (leaving, user_id) = (self.clone(), user_id.to_owned());
        let rooms = self.rooms_of(&user_id).await?;
        tokio::spawn(async move { leaving.leave(rooms, &user_id).await });
        Ok(())
    }

    /// Goes on where a stop interrupted it.
    pub(crate) async fn resume(&self) -> Result<(), DepartureError> {
        for user_id in self.users.half_closed().await.map_err(AccountError::from)? {
            self.devices.delete_all(&user_id, None).await?;
            self.leave(self.rooms_of(&user_id).await?, &user_id).await;
        }
        Ok(())
    }

    async fn rooms_of(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, RoomError> {
        let known = self.rooms.memberships_of(user_id).await?;
        let is_here = |known: &&RoomMembership| {
            matches!(known.membership, Membership::Join | Membership::Invite | Membership::Knock)
        };
        Ok(known.iter().filter(is_here).map(|known| known.room_id.clone()).collect())
    }

    async fn leave(&self, rooms: Vec<OwnedRoomId>, user_id: &UserId) {
        for room_id in rooms {
            let change = MembershipChange::new(room_id.clone(), user_id, user_id, Membership::Leave);
            if let Err(error) = self.rooms.change_membership(change).await {
                tracing::warn!(room.id = %room_id, user.id = %user_id, %error, "a closed account stays in a room");
            }
        }
    }
}
