//! XMPP behind the framework's seam: one link for everybody, a listener in each bridged room, a seat per Matrix user who speaks.
//!
//! The relay session is the link. It hears everything, in the order in which the server sent it, and is the only one that tells the
//! framework what happens. The sessions of Matrix users have no connection of their own: they are addresses of the component.

mod among;
mod answers;
mod archive;
mod avatars;
mod carry;
mod deliver;
mod direct;
mod doors;
pub(crate) mod files;
mod govern;
mod hear;
mod invite;
mod landing;
mod link;
mod markers;
mod origins;
mod outside;
mod portraits;
mod presence;
mod session;
mod shared;
mod stanzas;

use std::sync::Arc;

use async_trait::async_trait;
use landbridge::network::{
    ConfigIssue, Context, Host, Identity, IdentityMode, MatrixEvent, MatrixOp, Network, NetworkInfo, Reject,
    RemoteEvent, RemoteId as _, RemoteOp, RoomKind, SessionId,
    ids::{escape_localpart, unescape_localpart},
};
use ruma::UserId;

pub use self::session::XmppSession;
use self::shared::Shared;
use crate::{
    config::XmppConfig,
    convert::{
        ids::{MAX_ESCAPED, XmppMessage, XmppRoom, XmppUser},
        to_matrix, to_xmpp,
    },
};

/// XMPP, by way of one component.
#[derive(Debug)]
pub struct XmppNetwork(Arc<Shared>);

#[async_trait]
impl Network for XmppNetwork {
    type Room = XmppRoom;
    type User = XmppUser;
    type Message = XmppMessage;
    type Config = XmppConfig;
    type Session = XmppSession;

    const SHARED_LINK: bool = true;
    /// A room confirms after it has told everybody, and a server works many at once faster than one after the other: with 24 Prosody had
    /// time to rest. What was said before a crash its archive knows.
    const IN_DOUBT: usize = 96;

    const INFO: NetworkInfo =
        NetworkInfo { id: "xmpp", name: "XMPP", modes: &[IdentityMode::AutoPuppet, IdentityMode::Relay] };

    fn validate(config: &XmppConfig) -> Vec<ConfigIssue> {
        config.issues()
    }

    async fn start(config: XmppConfig, host: Host<Self>) -> Result<Self, ConfigIssue> {
        Shared::new(config, host).map(|shared| Self(Arc::new(shared)))
    }

    fn session(&self, id: SessionId, identity: Identity) -> XmppSession {
        XmppSession::new(id, identity, Arc::clone(&self.0))
    }

    fn to_remote(&self, event: &MatrixEvent<Self>, context: &Context<Self>) -> Result<Vec<RemoteOp<Self>>, Reject> {
        to_xmpp::to_xmpp(event, context, &self.0.own)
    }

    fn to_matrix(&self, event: &RemoteEvent<Self>, context: &Context<Self>) -> Result<Vec<MatrixOp<Self>>, Reject> {
        to_matrix::to_matrix(event, context)
    }

    fn room_kind(&self, room: &XmppRoom) -> RoomKind<XmppUser> {
        match room {
            XmppRoom::Muc(_) => RoomKind::Shared,
            XmppRoom::Direct { owner, with } => RoomKind::Direct { owner: owner.clone(), with: with.clone() },
        }
    }

    fn direct_room(&self, owner: &UserId, with: &XmppUser) -> Option<XmppRoom> {
        Some(XmppRoom::direct(owner, with.clone()))
    }

    fn user_from_localpart(&self, localpart: &str) -> Option<XmppUser> {
        let user = XmppUser::decode(&unescape_localpart(localpart)?)?;
        // Nobody is bridged twice.
        let ours = user.jid().is_some_and(|jid| jid.domain() == self.0.own.domain);
        (!ours).then_some(user)
    }

    fn room_alias(&self, room: &XmppRoom) -> Option<String> {
        match room {
            XmppRoom::Muc(jid) => Some(escape_localpart(jid.as_str())).filter(|alias| alias.len() <= MAX_ESCAPED),
            XmppRoom::Direct { .. } => None,
        }
    }

    fn room_from_alias(&self, alias: &str) -> Option<XmppRoom> {
        match XmppRoom::muc(&unescape_localpart(alias)?)? {
            XmppRoom::Muc(jid) if jid.domain() != self.0.own.domain => Some(XmppRoom::Muc(jid)),
            XmppRoom::Muc(_) | XmppRoom::Direct { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
