//! What happens and is kept nowhere: who types, who has read what, who is there. Best effort: the latest wins, and what comes too fast
//! is left out.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::event::Target;
use crate::clock::Millis;

/// Something of the kind, in Matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ephemeral<R, U, M> {
    /// Who.
    pub user_id: OwnedUserId,
    /// Whether a session of their own is told; else the relay's is.
    pub own_session: bool,
    /// What.
    pub kind: EphemeralKind<R, U, M>,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EphemeralKind<R, U, M> {
    /// They began to type, or stopped.
    Typing {
        /// Where.
        room: R,
        /// Whether they type now.
        typing: bool,
    },
    /// They have read up to a message, and said so to everybody.
    Read {
        /// Where.
        room: R,
        /// Which message.
        target: Target<U, M>,
        /// When, where known.
        at: Option<Millis>,
    },
    /// They came, went, or were away.
    Presence {
        /// How they are.
        presence: Presence,
        /// What they say of it.
        status: Option<String>,
    },
}

/// How somebody is ([spec](https://spec.matrix.org/v1.19/client-server-api/#presence)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// There.
    Online,
    /// There, but away.
    Unavailable,
    /// Gone.
    Offline,
}

/// The picture of somebody on the network, named by its content, so that it is stored once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The network's hash of the content. Whoever hands over a content has checked that its hash is this: others will show it, too.
    pub hash: String,
    /// The content, where it is at hand: [`Pictured::ContentWanted`] asks for it.
    pub content: Option<PictureContent>,
}

/// A picture's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureContent {
    /// Its media type.
    pub mime: String,
    /// Its bytes: at most [`PictureContent::MOST`].
    pub bytes: Vec<u8>,
}

impl PictureContent {
    /// The most bytes that are taken; a larger picture is left out.
    pub const MOST: usize = 4 * 1024 * 1024;
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictured {
    /// The virtual user shows it (or nothing, where it was taken away).
    Shown,
    /// This content was never seen: say it again with the content.
    ContentWanted,
    /// It was left out: too large, or refused. Saying it again is pointless.
    Refused,
    /// The homeserver cannot be reached: say it again when the network does.
    NotNow,
}
