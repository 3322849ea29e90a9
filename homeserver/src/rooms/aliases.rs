//! Room aliases: <https://spec.matrix.org/v1.19/client-server-api/#room-aliases>.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId};
use tokio::sync::MutexGuard;

use super::{RoomError, Rooms};
use crate::store::{
    StoreError,
    aliases::{AddAlias, RemoveAlias},
};

/// How many aliases somebody makes at most, with new rooms or for those that are there.
pub const MAX_ALIASES: i64 = 500;

impl Rooms {
    /// Points a local alias at a room.
    ///
    /// # Errors
    /// [`RoomError::AliasTaken`] (409) where the alias is there already, [`RoomError::InvalidParam`] where it is not of this
    /// server, or where `by` has made `most` already ([`MAX_ALIASES`] for people, none for application services).
    pub async fn create_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
        by: &UserId,
        most: Option<i64>,
    ) -> Result<(), RoomError> {
        if alias.server_name() != self.server_name() {
            return Err(RoomError::InvalidParam("The alias is not of this server".into()));
        }
        let room = self.known_room(room_id).await?;
        let _turn = match most {
            Some(_) => Some(self.context.alias_makers.turn(by).await),
            None => None,
        };
        let too_many = Arc::new(AtomicBool::new(false));
        let add = AddAlias {
            alias: alias.to_owned(),
            room: room.nid,
            creator: by.to_owned(),
            most,
            too_many: too_many.clone(),
        };
        match self.context.store.write(Box::new(add)).await {
            Ok(_) if too_many.load(Ordering::Acquire) => Err(too_many_aliases()),
            Ok(_) => Ok(()),
            Err(StoreError::Conflict) => Err(RoomError::AliasTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether one may make a room with an alias, as far as the number of aliases goes that one has made. Nobody makes another one in the
    /// same name until the turn is given back that this gives.
    ///
    /// # Errors
    /// [`RoomError::InvalidParam`] at [`MAX_ALIASES`], [`RoomError::Unavailable`] where the database fails.
    pub(crate) async fn may_make_alias(&self, by: &UserId) -> Result<MutexGuard<'_, ()>, RoomError> {
        let turn = self.context.alias_makers.turn(by).await;
        if self.context.store.aliases_made_by(by).await? >= MAX_ALIASES {
            return Err(too_many_aliases());
        }
        Ok(turn)
    }

    /// Removes a local alias. Its maker may, and who may send `m.room.canonical_alias` in the room; with `force` anyone (an
    /// appservice in its own namespace).
    ///
    /// # Errors
    /// [`RoomError::NotFound`], [`RoomError::Forbidden`].
    pub async fn delete_alias(&self, alias: &RoomAliasId, by: &UserId, force: bool) -> Result<(), RoomError> {
        let (room_id, creator) =
            self.context.store.alias(alias).await?.ok_or(RoomError::NotFound("There is no such alias"))?;
        if !force && creator != by && !self.may_send_state(&room_id, by, "m.room.canonical_alias").await? {
            return Err(RoomError::Forbidden("You may not remove this alias".into()));
        }
        self.context.store.write(Box::new(RemoveAlias(alias.to_owned()))).await?;
        Ok(())
    }

    /// The room that an alias points at.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, RoomError> {
        Ok(self.context.store.alias(alias).await?.map(|(room_id, _)| room_id))
    }

    /// The local aliases of a room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn aliases(&self, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, RoomError> {
        let room = self.known_room(room_id).await?;
        Ok(self.context.store.aliases(room.nid).await?)
    }
}

fn too_many_aliases() -> RoomError {
    RoomError::InvalidParam("You have made too many aliases".into())
}
