//! Closing an account: it leaves its rooms, its devices end, and its name stays taken.

use ruma::{OwnedRoomId, UserId};

use crate::{
    devices::{DeviceError, Devices},
    rooms::{Membership, MembershipChange, RoomError, Rooms},
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
    /// goes on after the answer. A stop in between leaves a member nobody can act as.
    pub(crate) async fn close(&self, user_id: &UserId, erase: bool) -> Result<(), DepartureError> {
        self.users.deactivate(user_id, erase).await?;
        if erase {
            self.rooms.erase(user_id.to_owned());
        }
        self.devices.delete_all(user_id, None).await?;
        let mut rooms = Vec::new();
        for known in self.rooms.memberships_of(user_id).await? {
            if matches!(known.membership, Membership::Join | Membership::Invite | Membership::Knock) {
                rooms.push(known.room_id);
            }
        }
        let (leaving, user_id) = (self.clone(), user_id.to_owned());
        tokio::spawn(async move { leaving.leave(rooms, &user_id).await });
        Ok(())
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
