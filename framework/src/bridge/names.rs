//! What virtual users and portals are called: the configured prefix around a network's own ids.

use ruma::{OwnedRoomAliasId, OwnedServerName, OwnedUserId, RoomAliasId, UserId};

use crate::network::Network;

/// Turns a network's ids into Matrix ids and back. Pure.
///
/// `@<prefix><the network's localpart>:<our server>`, and `#<prefix><the network's alias>:<our server>`. A user of another server is
/// never one of ours, however alike the names are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// What the localparts of virtual users start with.
    pub user_prefix: String,
    /// What the localparts of portals' aliases start with.
    pub alias_prefix: String,
    /// Our homeserver.
    pub server_name: OwnedServerName,
    /// The bot.
    pub bot: OwnedUserId,
}

/// The longest id that Matrix allows, in bytes, with sigil and server.
const MAX_ID: usize = 255;

impl Names {
    /// The virtual user of a remote user; none when the id would be longer than Matrix allows.
    pub fn user_id<N: Network>(&self, network: &N, user: &N::User) -> Option<OwnedUserId> {
        let id = format!("@{}{}:{}", self.user_prefix, network.user_localpart(user), self.server_name);
        if id.len() > MAX_ID { None } else { id.try_into().ok() }
    }

    /// The remote user whom a virtual user stands for.
    pub fn user<N: Network>(&self, network: &N, user_id: &UserId) -> Option<N::User> {
        if user_id.server_name() != self.server_name || user_id == self.bot || user_id.as_str().len() > MAX_ID {
            return None;
        }
        let user = network.user_from_localpart(user_id.localpart().strip_prefix(&self.user_prefix)?)?;
        // Another spelling of an id is not that id.
        (self.user_id(network, &user)? == user_id).then_some(user)
    }

    /// The alias of a remote room's portal; none for a room without public name, or one whose alias would be too long.
    pub fn alias<N: Network>(&self, network: &N, room: &N::Room) -> Option<OwnedRoomAliasId> {
        let alias = format!("#{}:{}", self.alias_localpart(network, room)?, self.server_name);
        if alias.len() > MAX_ID { None } else { alias.try_into().ok() }
    }

    /// The localpart of that alias.
    pub fn alias_localpart<N: Network>(&self, network: &N, room: &N::Room) -> Option<String> {
        Some(format!("{}{}", self.alias_prefix, network.room_alias(room)?))
    }

    /// The remote room whose portal an alias names. Aliases may be written otherwise than [`Names::alias`] writes them (another
    /// case, say): the room is the same.
    pub fn room<N: Network>(&self, network: &N, alias: &RoomAliasId) -> Option<N::Room> {
        if alias.server_name() != self.server_name || alias.as_str().len() > MAX_ID {
            return None;
        }
        let localpart = alias.alias();
        let bytes = self.alias_prefix.len();
        let (prefix, rest) = localpart.split_at_checked(bytes)?;
        if prefix != self.alias_prefix {
            return None;
        }
        network.room_from_alias(rest)
    }

    /// Whether a user is the bot or in the namespace of virtual users.
    pub fn is_ours(&self, user_id: &UserId) -> bool {
        user_id == self.bot
            || (user_id.server_name() == self.server_name && user_id.localpart().starts_with(&self.user_prefix))
    }
}
