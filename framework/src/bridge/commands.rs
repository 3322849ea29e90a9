//! What people tell the bot: `!irc help`, `!irc plumb #channel`, …

use std::sync::Arc;

use ruma::{RoomId, UserId};

use super::{
    HomeserverError, Permissions, Revoked, Role,
    parts::Parts,
    power, revoked,
    rooms::{RoomError, Rooms},
};
use crate::network::{Network, RemoteId, Session as _, SessionId};

/// Understands and carries out commands.
pub(crate) struct Commands<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) rooms: Arc<Rooms<N>>,
    pub(crate) permissions: Permissions,
    pub(crate) revoked: Revoked,
}

/// The words of a command, without the one that makes it one.
pub(crate) fn words<N: Network>(body: &str) -> Option<Vec<&str>> {
    let rest = body.trim().strip_prefix('!')?.strip_prefix(N::INFO.id)?;
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return None;
    }
    Some(rest.split_whitespace().collect())
}

impl<N: Network> Commands<N> {
    pub(crate) fn new(
        parts: &Arc<Parts<N>>,
        rooms: &Arc<Rooms<N>>,
        permissions: Permissions,
        revoked: Revoked,
    ) -> Self {
        Self { parts: Arc::clone(parts), rooms: Arc::clone(rooms), permissions, revoked }
    }

    /// Carries a command out and says what to answer. May be carried out twice, when the bridge crashes in between.
    ///
    /// # Errors
    /// Only where the homeserver cannot be reached: the command waits.
    pub(crate) async fn run(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        words: &[&str],
    ) -> Result<String, HomeserverError> {
        let id = N::INFO.id;
        let role = match words {
            ["plumb", _] | ["unplumb" | "enter"] => self.permissions.plumb,
            ["status"] => self.permissions.status,
            ["revoke", _] => self.permissions.revoke,
            _ => Role::Everybody,
        };
        if let Some(refusal) = self.refusal(role, room_id, sender).await? {
            return Ok(refusal.to_owned());
        }
        match words {
            ["plumb", room] => self.plumb(room_id, room).await,
            ["unplumb"] => self.unplumb(room_id).await,
            ["enter"] => Ok(self.enter(room_id).await),
            ["status"] => Ok(self.status(room_id).await),
            ["revoke", link] => self.revoke(link).await,
            _ => Ok(format!(
                "!{id} plumb ROOM: join this room to ROOM on {name}\n!{id} unplumb: part them\n\
                 !{id} enter: come back at once where we were put out\n\
                 !{id} status: what this room is joined to, and whether we are connected\n\
                 !{id} revoke LINK: let a link to a file lead nowhere",
                name = N::INFO.name
            )),
        }
    }

    /// Why a user may not do what is for this role; none where they may.
    async fn refusal(
        &self,
        role: Role,
        room_id: &RoomId,
        sender: &UserId,
    ) -> Result<Option<&'static str>, HomeserverError> {
        if role == Role::Everybody || self.permissions.is_admin(sender) {
            return Ok(None);
        }
        if role == Role::Admins {
            return Ok(Some("Only the bridge's admins may do that."));
        }
        let may = self.may_change(room_id, sender).await?;
        Ok((!may).then_some("You need the power to change this room's settings to do that."))
    }

    async fn revoke(&self, link: &str) -> Result<String, HomeserverError> {
        let Some(mxc) = revoked::file(link) else { return Ok("That is no link to a file.".to_owned()) };
        self.revoked.revoke(&mxc).await?;
        Ok("Links to that file lead nowhere any more.".to_owned())
    }

    async fn plumb(&self, room_id: &RoomId, text: &str) -> Result<String, HomeserverError> {
        let Some(relay) = self.parts.speakers.session(&SessionId::Relay).await else {
            return Ok(format!("{} is not connected.", N::INFO.name));
        };
        let found = relay.resolve(text).await.ok().and_then(|found| found.room);
        let Some(room) = found.or_else(|| N::Room::decode(text)) else {
            return Ok(format!("There is no room {text:?} on {}.", N::INFO.name));
        };
        match self.rooms.plumb(room_id, &room).await {
            Ok(()) => Ok(format!("This room is now joined to {text} on {}.", N::INFO.name)),
            Err(RoomError::Homeserver(error @ (HomeserverError::Unavailable(_) | HomeserverError::Limited(_)))) => {
                Err(error)
            }
            Err(error) => Ok(format!("{text} was not joined to this room: {error}.")),
        }
    }

    async fn unplumb(&self, room_id: &RoomId) -> Result<String, HomeserverError> {
        if self.rooms.parts.mappings.by_room(room_id).is_none() {
            return Ok("This room is joined to nothing.".to_owned());
        }
        match self.rooms.unmap(room_id).await {
            Ok(()) => Ok("This room is joined to nothing any more.".to_owned()),
            Err(error) => Ok(format!("The rooms were not parted: {error}.")),
        }
    }

    async fn enter(&self, room_id: &RoomId) -> String {
        let Some(mapping) = self.rooms.parts.mappings.by_room(room_id) else {
            return "This room is joined to nothing.".to_owned();
        };
        let Some(relay) = self.parts.speakers.session(&SessionId::Relay).await else {
            return format!("{} is not connected.", N::INFO.name);
        };
        let room = mapping.remote.encode();
        match relay.call_back(&mapping.remote).await {
            Ok(()) => format!("We are in {room} on {}.", N::INFO.name),
            Err(error) => format!("We are not in {room} on {}: {error}.", N::INFO.name),
        }
    }

    async fn status(&self, room_id: &RoomId) -> String {
        let joined = match self.rooms.parts.mappings.by_room(room_id) {
            Some(mapping) => format!("This room is joined to {} on {}.", mapping.remote.encode(), N::INFO.name),
            None => "This room is joined to nothing.".to_owned(),
        };
        let relay = self.parts.speakers.session(&SessionId::Relay).await.is_some();
        format!("{joined} The bridge {}.", if relay { "is running" } else { "has no connection" })
    }

    /// Whether a user may change the settings of a room ([spec](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)).
    async fn may_change(&self, room_id: &RoomId, sender: &UserId) -> Result<bool, HomeserverError> {
        let bot = &self.parts.names.bot;
        let create = self.parts.homeserver.state(bot, room_id, "m.room.create", "").await?.unwrap_or_default();
        let levels = self.parts.homeserver.state(bot, room_id, "m.room.power_levels", "").await?.unwrap_or_default();
        let additional = create["additional_creators"].as_array();
        if additional.is_some_and(|users| users.iter().any(|user| user.as_str() == Some(sender.as_str()))) {
            return Ok(true);
        }
        let needed = power::number(&levels["state_default"]).unwrap_or(50);
        if power::of(&levels, sender.as_str()) >= needed {
            return Ok(true);
        }
        // From room version 12 on, who made a room may do anything in it; its power levels do not name them.
        let version: u32 = create["room_version"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(version >= 12 && self.parts.homeserver.creator(bot, room_id).await?.is_some_and(|creator| creator == sender))
    }
}
