//! Rooms that nobody comes into any more, and rooms that are deleted.

use std::collections::HashSet;

use landbridge_sql::SqlError;
use ruma::{OwnedRoomId, RoomId};

use super::{Membership, MembershipChange, RoomError, Rooms, actor::Command};
use crate::store::deletions::DeletionRow;

/// What is kept out of rooms. There are few of these, so that all are kept.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// Nobody comes in.
    blocked: HashSet<OwnedRoomId>,
    /// Nothing happens but that members leave.
    deleted: HashSet<OwnedRoomId>,
}

impl Closed {
    /// Refuses what may not be done in a room any more.
    pub(super) fn admits(&self, room_id: &RoomId, command: &Command) -> Result<(), RoomError> {
        match command {
            Command::Membership(change) => self.admits_change(change),
            Command::Settle => Ok(()),
            Command::Send(_) | Command::Receive(_) | Command::Backfill(..) if self.deleted.contains(room_id) => {
                Err(deleted())
            }
            Command::Send(_) | Command::Receive(_) | Command::Backfill(..) => Ok(()),
        }
    }

    /// The same, for a change of a membership.
    pub(super) fn admits_change(&self, change: &MembershipChange) -> Result<(), RoomError> {
        if self.deleted.contains(&change.room_id)
            && (change.membership != Membership::Leave || change.sender != change.target)
        {
            return Err(deleted());
        }
        let enters = matches!(change.membership, Membership::Join | Membership::Invite | Membership::Knock);
        if enters && self.blocked.contains(&change.room_id) {
            return Err(RoomError::Forbidden("The room is blocked on this server".into()));
        }
        Ok(())
    }
}

fn deleted() -> RoomError {
    RoomError::Forbidden("The room is being deleted".into())
}

impl Rooms {
    /// Reads which rooms are blocked and which are being deleted; once, before anybody is answered.
    pub(crate) async fn load_closed(&self) -> Result<(), SqlError> {
        let store = &self.context.store;
        let blocked = store.blocked_rooms().await?;
        let deletions = store.deletions().await?;
        for deletion in deletions.iter().filter(|deletion| deletion.going) {
            store.hide_half_deleted(&deletion.room_id).await?;
        }
        let mut closed = self.context.closed.write();
        closed.blocked.extend(blocked);
        closed.deleted.extend(deletions.into_iter().map(|deletion| deletion.room_id));
        Ok(())
    }

    /// Whether nobody may come into a room, whether it is there or not.
    pub(crate) fn is_blocked(&self, room_id: &RoomId) -> bool {
        self.context.closed.read().blocked.contains(room_id)
    }

    /// Lets nobody come into a room, or whoever may again. Who is in it stays.
    pub(crate) async fn set_blocked(&self, room_id: &RoomId, blocked: bool) -> Result<(), RoomError> {
        let at = blocked.then(|| i64::from(self.context.clock.now().0));
        self.context.store.set_blocked(room_id, at).await?;
        let mut closed = self.context.closed.write();
        if blocked {
            closed.blocked.insert(room_id.to_owned());
        } else {
            closed.blocked.remove(room_id);
        }
        Ok(())
    }

    /// Whether a room is being deleted: then it may not be found any more.
    pub(crate) fn is_deleted(&self, room_id: &RoomId) -> bool {
        self.context.closed.read().deleted.contains(room_id)
    }

    /// Takes a room out of every directory.
    pub(crate) async fn unpublish(&self, room_id: &RoomId) -> Result<(), RoomError> {
        let room = self.known_room(room_id).await?;
        Ok(self.context.store.unpublish(room.nid).await?)
    }

    /// Takes the aliases of a room away.
    pub(crate) async fn remove_aliases(&self, room_id: &RoomId) -> Result<(), RoomError> {
        let room = self.known_room(room_id).await?;
        Ok(self.context.store.remove_aliases(room.nid).await?)
    }

    /// Has everybody leave a room who is in it, or asked in, or asks to come in; says how many did.
    pub(crate) async fn see_everybody_out(&self, room_id: &RoomId, reason: Option<&str>) -> Result<usize, RoomError> {
        let room = self.known_room(room_id).await?;
        let present = self.context.store.present_users(room.nid).await?;
        self.see_out(room_id, present, reason).await
    }

    /// Notes that a room is to be deleted. From now on nothing happens in it but that its members leave.
    pub(crate) async fn begin_deletion(
        &self,
        room_id: &RoomId,
        reason: Option<&str>,
    ) -> Result<DeletionRow, RoomError> {
        if let Some(begun) = self.deletions().await?.into_iter().find(|deletion| deletion.room_id == *room_id) {
            return Ok(begun);
        }
        self.known_room(room_id).await?;
        let at = i64::from(self.context.clock.now().0);
        let row =
            DeletionRow { room_id: room_id.to_owned(), reason: reason.map(str::to_owned), asked_at: at, going: false };
        self.context.store.begin_deletion(&row).await?;
        self.context.closed.write().deleted.insert(room_id.to_owned());
        Ok(row)
    }

    /// The deletions that a stop interrupted.
    pub(crate) async fn deletions(&self) -> Result<Vec<DeletionRow>, RoomError> {
        Ok(self.context.store.deletions().await?)
    }

    /// Takes away all that there is of a room that nobody is in any more: from now on it is not there for anybody.
    pub(crate) async fn take_away(&self, room_id: &RoomId) -> Result<(), RoomError> {
        let store = &self.context.store;
        match self.tasks.ask(room_id, Command::Settle).await {
            Ok(_) | Err(RoomError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        if let Some(room) = store.read_room_by_id(room_id).await? {
            store.delete_room(&room, i64::from(self.context.clock.now().0)).await?;
        }
        store.delete_what_is_kept_of(room_id).await?;
        store.end_deletion(room_id).await?;
        self.tasks.end(room_id);
        self.context.closed.write().deleted.remove(room_id);
        Ok(())
    }

    /// Forgets who left rooms that were deleted before a time, in milliseconds since 1970.
    pub(crate) async fn forget_deleted(&self, before: i64) -> Result<(), RoomError> {
        Ok(self.context.store.forget_deleted(before).await?)
    }
}
