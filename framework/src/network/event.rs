//! What happened, on either side. Closed enums: the compiler finds the missing arm.

use ruma::{OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::place::GeoUri;
use crate::{clock::Millis, rich_text::RichText};

/// What happened on the network. Stored in the inbox as JSON before anything is done about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteEvent<R, U, M> {
    /// Somebody said something.
    Message {
        /// Where.
        room: R,
        /// Who.
        sender: U,
        /// The name they go by, where it differs from the id.
        name: Option<String>,
        /// The network's name for the message, where it gives one.
        id: Option<M>,
        /// When, where the network says so.
        at: Option<Millis>,
        /// What.
        body: Body,
        /// The message it answers.
        reply_to: Option<M>,
    },
    /// Somebody changed what they said.
    Edit {
        /// Where.
        room: R,
        /// Who.
        sender: U,
        /// The network's name for the edit itself, where it gives one.
        id: Option<M>,
        /// Which message.
        target: M,
        /// What it says now.
        body: Body,
    },
    /// A message was taken back.
    Redact {
        /// Where.
        room: R,
        /// By whom, where known.
        by: Option<U>,
        /// Which message.
        target: M,
        /// Why.
        reason: Option<String>,
    },
    /// Somebody reacted to a message, or took a reaction back.
    React {
        /// Where.
        room: R,
        /// Who.
        by: U,
        /// To which message.
        target: M,
        /// With what.
        key: String,
        /// Whether it is there now.
        on: bool,
    },
    /// Somebody takes back what they said themselves: of what another said, it means nothing.
    Retract {
        /// Where.
        room: R,
        /// Who.
        by: U,
        /// Which message.
        target: M,
    },
    /// All of somebody's reactions to a message; whichever is not named was taken back.
    Reactions {
        /// Where.
        room: R,
        /// Who.
        by: U,
        /// To which message.
        target: M,
        /// With what.
        keys: Vec<String>,
    },
    /// Somebody came, went, was kicked or banned.
    Member {
        /// Where.
        room: R,
        /// Who.
        who: U,
        /// The name they go by, where it differs from the id.
        name: Option<String>,
        /// What they are now.
        membership: Membership,
        /// By whom, where it was not themselves.
        by: Option<U>,
        /// Why.
        reason: Option<String>,
    },
    /// Somebody whom Matrix users have invited into a room will not come. Of who was not invited, or is there, it means nothing.
    Declined {
        /// Where.
        room: R,
        /// Who.
        who: U,
        /// Why.
        reason: Option<String>,
    },
    /// A Matrix user's session was put out of a room by somebody on the network.
    Expelled {
        /// Where.
        room: R,
        /// Which Matrix user.
        user_id: OwnedUserId,
        /// By whom, where known.
        by: Option<U>,
        /// Why.
        reason: Option<String>,
        /// Whether they are kept out.
        banned: bool,
    },
    /// A Matrix user who was kept out of a room may come back.
    Pardoned {
        /// Where.
        room: R,
        /// Which Matrix user.
        user_id: OwnedUserId,
        /// By whom, where known.
        by: Option<U>,
        /// Why.
        reason: Option<String>,
    },
    /// The whole list of those who are in a room; whoever is not named has left.
    Members {
        /// Where.
        room: R,
        /// Who, and the name they go by.
        members: Vec<(U, Option<String>)>,
    },
    /// Somebody goes by another id now, everywhere (an IRC `NICK`).
    Renamed {
        /// A room they share with us; one such event is ingested for each.
        room: R,
        /// Their id until now.
        from: U,
        /// Their id from now on.
        to: U,
        /// The name they go by now, where it differs from the id.
        name: Option<String>,
    },
    /// Somebody's profile changed.
    Profile {
        /// A room they share with us.
        room: R,
        /// Who.
        who: U,
        /// What is known now.
        profile: Profile,
    },
    /// The topic changed.
    Topic {
        /// Where.
        room: R,
        /// By whom, where known.
        by: Option<U>,
        /// To what.
        topic: String,
    },
    /// The name of the room changed.
    Name {
        /// Where.
        room: R,
        /// By whom, where known.
        by: Option<U>,
        /// To what.
        name: String,
    },
    /// Somebody's power in a room changed.
    Power {
        /// Where.
        room: R,
        /// Whose: somebody's of the network, or a Matrix user's whose standing the network changed.
        who: Whom<U>,
        /// To what, on Matrix's scale from 0 to 100.
        level: i64,
        /// From what, where only that is to be changed: whoever has another power in Matrix, as a room's creator, keeps it.
        before: Option<i64>,
    },
    /// The bridge has something to tell the room or the user, such as that a channel cannot be entered.
    Notice {
        /// Where.
        room: R,
        /// What.
        text: String,
    },
}

impl<R, U, M> RemoteEvent<R, U, M> {
    /// Somebody said something, and the network says no more of it than that.
    pub fn said(room: R, sender: U, body: Body) -> Self {
        Self::Message { room, sender, name: None, id: None, at: None, body, reply_to: None }
    }

    /// Where it happened: the room whose lane it enters.
    pub fn room(&self) -> &R {
        match self {
            Self::Message { room, .. }
            | Self::Edit { room, .. }
            | Self::Redact { room, .. }
            | Self::React { room, .. }
            | Self::Retract { room, .. }
            | Self::Reactions { room, .. }
            | Self::Member { room, .. }
            | Self::Declined { room, .. }
            | Self::Expelled { room, .. }
            | Self::Pardoned { room, .. }
            | Self::Members { room, .. }
            | Self::Renamed { room, .. }
            | Self::Profile { room, .. }
            | Self::Topic { room, .. }
            | Self::Name { room, .. }
            | Self::Power { room, .. }
            | Self::Notice { room, .. } => room,
        }
    }
}

/// What happened in Matrix, in a mapped room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixEvent<R, U, M> {
    /// The event.
    pub event_id: OwnedEventId,
    /// The remote room.
    pub room: R,
    /// Who did it.
    pub sender: Sender,
    /// `origin_server_ts`.
    pub at: Millis,
    /// What happened.
    pub kind: MatrixKind<U, M>,
}

/// A Matrix user, as the network may need to name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Their id.
    pub user_id: OwnedUserId,
    /// The name they go by in the room: the display name, or the localpart. Told apart from others of the same name.
    pub display_name: String,
    /// Whether a session of their own delivers this, so that the text need not name them.
    pub own_session: bool,
}

/// What happened in Matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixKind<U, M> {
    /// Somebody said something.
    Message {
        /// What.
        body: Body,
        /// The message it answers.
        reply_to: Option<Target<U, M>>,
    },
    /// Somebody changed what they said.
    Edit {
        /// Which message; [`Target::excerpt`] holds what it said before.
        target: Target<U, M>,
        /// What it says now.
        body: Body,
    },
    /// A message (or a reaction) was taken back.
    Redact {
        /// Which.
        target: Target<U, M>,
        /// Why.
        reason: Option<String>,
    },
    /// Somebody reacted.
    React {
        /// To which message.
        target: Target<U, M>,
        /// With what.
        key: String,
    },
    /// Somebody took a reaction back.
    Unreact {
        /// From which message.
        target: Target<U, M>,
        /// What it was.
        key: String,
    },
    /// The topic changed.
    Topic(String),
    /// The name changed.
    Name(String),
    /// A Matrix user came or went by themselves.
    Member {
        /// What they are now.
        membership: Membership,
        /// Why.
        reason: Option<String>,
    },
    /// A virtual user was kicked, banned, unbanned, or invited into a shared room in which they are not.
    Act {
        /// Which.
        on: U,
        /// To what end.
        membership: Membership,
        /// Why.
        reason: Option<String>,
    },
    /// A Matrix user was kicked or banned by another; their session must go.
    Expel {
        /// Which.
        user_id: OwnedUserId,
        /// Whether it is a ban.
        banned: bool,
        /// Why.
        reason: Option<String>,
    },
    /// A Matrix user who was kept out may come back.
    Pardon {
        /// Which.
        user_id: OwnedUserId,
        /// Why.
        reason: Option<String>,
    },
    /// The sender's display name changed.
    DisplayName(String),
    /// The power of these changed.
    Power(Vec<Power<U>>),
    /// The room was upgraded: it goes on in another, to which the mapping moves by itself.
    Upgrade {
        /// The other room.
        replacement: OwnedRoomId,
        /// What was said of it.
        text: String,
    },
}

/// A change of somebody's power ([spec](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power<U> {
    /// Whose.
    pub who: Whom<U>,
    /// What it is now, on Matrix's scale.
    pub level: i64,
    /// What it was before; the room's default where nothing is known of that.
    pub before: i64,
}

/// Somebody in a room, from either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom<U> {
    /// A virtual user: somebody on the network.
    Remote(U),
    /// A Matrix user.
    Matrix(OwnedUserId),
}

/// A message that another refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target<U, M> {
    /// The event.
    pub event_id: OwnedEventId,
    /// The network's names for it, in parts' order; empty where the network has none or it never crossed.
    pub messages: Vec<M>,
    /// The remote user who said it, where it came from the network.
    pub author: Option<U>,
    /// The name its author goes by.
    pub author_name: String,
    /// Its first words as plain text, where known. Always from the same room.
    pub excerpt: Option<String>,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Body {
    /// The text.
    pub text: RichText,
    /// `m.emote`: what somebody does rather than says.
    #[serde(default)]
    pub emote: bool,
    /// `m.notice`: said by a program; answered by none.
    #[serde(default)]
    pub notice: bool,
    /// Files.
    #[serde(default)]
    pub media: Vec<Media>,
    /// `m.location`: the place that it shows. The text holds it, too, for networks that show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<GeoUri>,
}

impl Body {
    /// A plain text.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self { text: RichText::plain(text.as_ref()), ..Self::default() }
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Where Matrix has it; none for a file that is only a link on the network.
    pub mxc: Option<OwnedMxcUri>,
    /// Where anybody can fetch it over HTTP. The framework fills it in for Matrix media.
    pub url: Option<String>,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime: Option<String>,
    /// Its size in bytes, as its sender claims.
    pub size: Option<u64>,
    /// `m.image`, `m.video`, `m.audio` or `m.file`.
    pub kind: MediaKind,
    /// Whether Matrix is to have what `url` leads to, where it can be fetched; else it stays a link.
    #[serde(default)]
    pub fetch: bool,
}

impl Media {
    /// Whether it is, or is to be, a file in Matrix, rather than a link.
    pub(crate) fn is_file(&self) -> bool {
        self.mxc.is_some() || (self.fetch && self.url.is_some())
    }
}

/// The kinds of files that Matrix tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// Anything else.
    #[default]
    File,
}

/// What somebody is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// In it.
    Join,
    /// Gone by themselves.
    Leave,
    /// Put out.
    Kick,
    /// Put out, and kept out: a virtual user is banned in Matrix by the bot, until they are `Unban` or `Join`.
    Ban,
    /// Allowed back in.
    Unban,
    /// Asked in.
    Invite,
}

/// What is known of somebody. `None` means unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name they go by.
    pub name: Option<String>,
    /// Their picture.
    pub avatar: Option<OwnedMxcUri>,
}

/// Which way something walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From Matrix to the network.
    ToRemote,
    /// From the network to Matrix.
    ToMatrix,
}
