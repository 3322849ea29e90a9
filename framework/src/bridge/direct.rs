//! Private conversations of a Matrix user with a remote user: how their rooms come to be, and are opened again.

use std::{fmt::Write as _, sync::Arc};

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId};
use sha2::{Digest as _, Sha256};

use super::{
    HomeserverError,
    homeserver::{Membership, NewRoom},
    mappings::{MappingKind, RoomMapping},
    rooms::{Job, RoomError, Rooms},
};
use crate::{
    network::{Network, RemoteId, RoomKind},
    store::Change,
};

impl<N: Network> Rooms<N> {
    /// The Matrix room of a private conversation in which its owner hears what is said: made where there is none, opened again where
    /// they have left it.
    pub(crate) async fn direct(
        &self,
        room: &N::Room,
        owner: &UserId,
        with: &N::User,
        name: Option<&str>,
    ) -> Result<Arc<RoomMapping<N::Room>>, RoomError> {
        match self.parts.mappings.by_remote(room) {
            None => self.make_direct(room, owner, with, name, None).await,
            Some(mapping) if !mapping.deserted => Ok(mapping),
            Some(mapping) if self.invite_back(&mapping, owner, with).await? => {
                let change = Change { deserted: vec![(mapping.room_id.to_string(), false)], ..Change::default() };
                self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
                self.parts.mappings.desert(&mapping.room_id, false);
                Ok(mapping)
            }
            Some(mapping) => self.make_direct(room, owner, with, name, Some(mapping.room_id.clone())).await,
        }
    }

    /// Invites the owner of a private conversation into its room again. Says no where nobody of ours can.
    async fn invite_back(
        &self,
        mapping: &RoomMapping<N::Room>,
        owner: &UserId,
        with: &N::User,
    ) -> Result<bool, RoomError> {
        let id = self.users.ensure(with, None).await?;
        let homeserver = &self.parts.homeserver;
        match homeserver.set_membership(&id, &mapping.room_id, owner, Membership::Invite, None).await {
            Ok(()) => return Ok(true),
            Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => return Err(error.into()),
            Err(_) => {}
        }
        match homeserver.state(&id, &mapping.room_id, "m.room.member", owner.as_str()).await {
            // They are back by themselves.
            Ok(member) => Ok(member.is_some_and(|member| member["membership"] == "join")),
            Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// Makes the Matrix room of a private conversation, or another in place of the one that was theirs, and invites its owner.
    pub(super) async fn make_direct(
        &self,
        room: &N::Room,
        owner: &UserId,
        with: &N::User,
        name: Option<&str>,
        instead_of: Option<OwnedRoomId>,
    ) -> Result<Arc<RoomMapping<N::Room>>, RoomError> {
        let _one_at_a_time = self.locks.lock(room).await;
        if let Some(mapping) = self.parts.mappings.by_remote(room)
            && instead_of.as_ref() != Some(&mapping.room_id)
        {
            return Ok(mapping);
        }
        let creator = self.users.ensure(with, name).await?;
        let alias = self.direct_alias(room, instead_of.as_deref())?;
        let job = Job::Direct { room: room.clone(), owner: owner.to_owned(), with: with.clone(), instead_of };
        let job = self.begin(&job, room).await?;
        let new = NewRoom {
            alias_localpart: alias.alias().to_owned(),
            invite: vec![owner.to_owned()],
            is_direct: true,
            ..NewRoom::default()
        };
        let made = self.make(&creator, &alias, new).await;
        let room_id = match made {
            Ok(room_id) => room_id,
            Err(error) => return Err(self.abandon(job, error).await),
        };
        self.members.joined(&room_id, with).await;
        self.map(theirs(room_id, room.clone(), owner), Some(job)).await
    }

    /// A Matrix user invited a virtual user: takes the invitation, and makes it their private conversation, where the network has
    /// such. Theirs is the newest one: an older room keeps working towards the network.
    pub(crate) async fn invited(&self, room_id: &RoomId, owner: &UserId, with: &N::User) -> Result<(), RoomError> {
        let id = self.users.ensure(with, None).await?;
        match self.parts.homeserver.join(&id, room_id).await {
            Ok(()) => {}
            // The invitation was taken back, or the room is gone.
            Err(HomeserverError::Forbidden(_) | HomeserverError::NotFound(_) | HomeserverError::Refused(_)) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.members.joined(room_id, with).await;
        if let (None, Some(room)) = (self.parts.mappings.by_room(room_id), self.parts.network.direct_room(owner, with))
        {
            self.map(theirs(room_id.to_owned(), room, owner), None).await?;
        }
        Ok(())
    }

    /// What a membership says of whether the owner of a private conversation hears in it what is said, where it says anything: who has
    /// left, declined, or put out whom they talked with, does not. Who banned them does not want to.
    pub(crate) fn deserts(
        &self,
        mapping: &RoomMapping<N::Room>,
        sender: &UserId,
        who: &UserId,
        membership: &str,
    ) -> Option<bool> {
        let owner = mapping.owner.as_deref().filter(|_| mapping.kind == MappingKind::Direct)?;
        match membership {
            "leave" | "ban" if who == owner => Some(true),
            "join" | "invite" if who == owner => Some(false),
            "leave" if sender == owner => match self.parts.network.room_kind(&mapping.remote) {
                RoomKind::Direct { with, .. } => {
                    let with = self.parts.names.user_id(&*self.parts.network, &with)?;
                    (with == *who).then_some(true)
                }
                RoomKind::Shared => None,
            },
            _ => None,
        }
    }

    /// An alias that no remote room can have, because it is no escape of anything.
    fn direct_alias(&self, room: &N::Room, instead_of: Option<&RoomId>) -> Result<OwnedRoomAliasId, RoomError> {
        let mut alias = format!("#{}=dm_", self.parts.names.alias_prefix);
        let mut digest = Sha256::new_with_prefix(room.encode());
        if let Some(room_id) = instead_of {
            digest.update(format!("\0{room_id}"));
        }
        for byte in &digest.finalize()[..16] {
            let _ = write!(alias, "{byte:02x}");
        }
        let _ = write!(alias, ":{}", self.parts.names.server_name);
        RoomAliasId::parse(alias).map_err(|_| RoomError::NoAlias)
    }
}

fn theirs<R>(room_id: OwnedRoomId, remote: R, owner: &UserId) -> RoomMapping<R> {
    RoomMapping { room_id, remote, kind: MappingKind::Direct, owner: Some(owner.to_owned()), deserted: false }
}
