//! IRC behind the framework's seam: one value per network, a bot that hears its channels, a puppet per Matrix user who speaks.
//!
//! The bot (the relay session) is in every bridged channel and is the only one that tells the framework what happens there.
//! A puppet joins a channel when it first speaks in it, and tells only what is said to it in private. What puppets say is
//! therefore never heard twice; that the bot hears it once is known from [`own`], not from a list of nicks.

mod absence;
mod bot;
mod deliver;
mod ephemeral;
mod heard;
mod history;
mod invite;
mod life;
mod link;
mod observer;
mod own;
mod power;
mod puppet;
mod say;
mod session;
mod shared;

use std::sync::Arc;

use async_trait::async_trait;
use landbridge::network::{
    ConfigIssue, Context, Host, Identity, IdentityMode, MatrixEvent, MatrixOp, Network, NetworkInfo, Reject,
    RemoteEvent, RemoteId as _, RemoteOp, RoomKind, SessionId,
    ids::{escape_localpart, unescape_localpart},
};
use ruma::UserId;

pub use self::session::IrcSession;
use self::shared::Shared;
use crate::{
    config::IrcConfig,
    convert::{
        ids::{self, IrcRoom, IrcUser},
        to_irc, to_matrix,
    },
};

/// One IRC network.
#[derive(Debug)]
pub struct IrcNetwork(Arc<Shared>);

#[async_trait]
impl Network for IrcNetwork {
    type Room = IrcRoom;
    type User = IrcUser;
    type Message = String;
    type Config = IrcConfig;
    type Session = IrcSession;

    const INFO: NetworkInfo =
        NetworkInfo { id: "irc", name: "IRC", modes: &[IdentityMode::AutoPuppet, IdentityMode::Relay] };

    fn validate(config: &IrcConfig) -> Vec<ConfigIssue> {
        config.issues()
    }

    async fn start(config: IrcConfig, host: Host<Self>) -> Result<Self, ConfigIssue> {
        Shared::new(config, host).map(|shared| Self(Arc::new(shared)))
    }

    fn session(&self, id: SessionId, identity: Identity) -> IrcSession {
        IrcSession::new(id, identity, Arc::clone(&self.0))
    }

    fn to_remote(&self, event: &MatrixEvent<Self>, context: &Context<Self>) -> Result<Vec<RemoteOp<Self>>, Reject> {
        to_irc::to_irc(event, context, &self.0.config.lines)
    }

    fn to_matrix(&self, event: &RemoteEvent<Self>, context: &Context<Self>) -> Result<Vec<MatrixOp<Self>>, Reject> {
        to_matrix::to_matrix(event, context, &self.0.config.mentions)
    }

    fn room_kind(&self, room: &IrcRoom) -> RoomKind<IrcUser> {
        match room {
            IrcRoom::Channel(_) => RoomKind::Shared,
            IrcRoom::Query { owner, with } => RoomKind::Direct { owner: owner.clone(), with: with.clone() },
        }
    }

    fn direct_room(&self, owner: &UserId, with: &IrcUser) -> Option<IrcRoom> {
        Some(IrcRoom::query(owner, with.clone()))
    }

    fn user_localpart(&self, user: &IrcUser) -> String {
        escape_localpart(&user.encode())
    }

    fn user_from_localpart(&self, localpart: &str) -> Option<IrcUser> {
        let user = IrcUser::decode(&unescape_localpart(localpart)?)?;
        // A spelling that the server folds away is nobody: one nick has one id.
        let canonical = user.nick().is_none_or(|nick| self.0.casemapping().fold(nick) == nick);
        canonical.then_some(user)
    }

    fn room_alias(&self, room: &IrcRoom) -> Option<String> {
        ids::alias(room)
    }

    fn room_from_alias(&self, alias: &str) -> Option<IrcRoom> {
        match IrcRoom::decode(&unescape_localpart(alias)?)? {
            IrcRoom::Channel(name) => self.0.room(&name),
            IrcRoom::Query { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
