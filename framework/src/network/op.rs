//! What must be said, fully decided: the outbox stores it, and a retry repeats it without converting again.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::{
    Caps,
    event::{Body, Membership, Profile, RemoteEvent, Whom},
};
use crate::clock::Millis;

/// Stands in [`RemoteOp::wire`] for the address of [`RemoteOp::upload`], which is only known once the file is stored.
pub const UPLOAD_URL: &str = "\u{e000}upload-url\u{e000}";

/// One thing to tell the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteOp<R, M> {
    /// Where.
    pub room: R,
    /// What it does, so that the framework knows what to remember of it.
    pub kind: OpKind<M>,
    /// The bytes, in the network's own form. Only the network reads them.
    #[serde(with = "wire")]
    pub wire: Vec<u8>,
    /// A file to store before `wire` is sent; its address then replaces [`UPLOAD_URL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

impl<R, M> RemoteOp<R, M> {
    /// A message, or a part of one.
    pub fn send(room: R, wire: impl Into<Vec<u8>>) -> Self {
        Self { room, kind: OpKind::Send, wire: wire.into(), upload: None }
    }

    /// Something that leaves no message behind: a topic, a kick.
    pub fn control(room: R, wire: impl Into<Vec<u8>>) -> Self {
        Self { room, kind: OpKind::Control, wire: wire.into(), upload: None }
    }
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind<M> {
    /// Says something new; its remote id is remembered beside the Matrix event.
    Send,
    /// Changes what was said.
    Edit(M),
    /// Takes back what was said.
    Redact(M),
    /// Reacts; its remote id is remembered beside the Matrix event.
    React(M),
    /// Anything that leaves no message behind.
    Control,
}

/// A file that must be stored before something is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime: String,
    /// Its content.
    #[serde(with = "wire")]
    pub bytes: Vec<u8>,
}

/// Bytes inside JSON: as text where they are text, else in base64 behind a NUL, which no text of ours starts with.
mod wire {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.starts_with('\0') => serializer.serialize_str(text),
            _ => serializer.serialize_str(&format!("\0{}", BASE64.encode(bytes))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix('\0') {
            Some(encoded) => BASE64.decode(encoded).map_err(D::Error::custom),
            None => Ok(text.into_bytes()),
        }
    }
}

/// One thing to tell Matrix, in the lane of the room it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixOp<U, M> {
    /// Which virtual user says or does it; none for the bot.
    pub sender: Option<U>,
    /// What.
    pub kind: MatrixOpKind<U, M>,
    /// When it happened, for `?ts=`, where the network says so.
    pub at: Option<Millis>,
}

/// What Matrix must be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixOpKind<U, M> {
    /// Says something.
    Send {
        /// What.
        body: Body,
        /// The message it answers.
        reply_to: Option<M>,
        /// The network's name for it, to be remembered.
        id: Option<M>,
    },
    /// Changes what was said.
    Edit {
        /// Which message.
        target: M,
        /// What it says now.
        body: Body,
    },
    /// Takes back what was said.
    Redact {
        /// Which message.
        target: M,
        /// Why.
        reason: Option<String>,
    },
    /// Reacts, or takes a reaction back.
    React {
        /// To which message.
        target: M,
        /// With what.
        key: String,
        /// Whether it is there now.
        on: bool,
    },
    /// Takes back what its sender said; of what another said, it means nothing.
    Retract(M),
    /// Makes the sender's reactions to a message exactly these.
    Reactions {
        /// To which message.
        target: M,
        /// With what.
        keys: Vec<String>,
    },
    /// Changes what a virtual user is in the room.
    Member {
        /// Whom it concerns.
        who: U,
        /// What they are now.
        membership: Membership,
        /// The name they go by.
        name: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Has a virtual user who is invited reject that.
    Decline {
        /// Who.
        who: U,
        /// Why.
        reason: Option<String>,
    },
    /// Makes the virtual users in the room exactly these.
    Members(Vec<(U, Option<String>)>),
    /// Puts a Matrix user out.
    Expel {
        /// Whom.
        user_id: OwnedUserId,
        /// Whether they are kept out.
        banned: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Lets a Matrix user who is kept out come back.
    Pardon {
        /// Whom.
        user_id: OwnedUserId,
        /// Why.
        reason: Option<String>,
    },
    /// A virtual user goes by another id: the room sees one person, under a new name.
    Rename {
        /// The id until now.
        from: U,
        /// The id from now on.
        to: U,
        /// The name they go by.
        name: Option<String>,
    },
    /// A virtual user's profile changed.
    Profile {
        /// Whose.
        who: U,
        /// What is known now.
        profile: Profile,
    },
    /// Sets the topic.
    Topic(String),
    /// Sets the name.
    Name(String),
    /// Sets somebody's power.
    Power {
        /// Whose.
        who: Whom<U>,
        /// To what.
        level: i64,
        /// Only where it is this.
        before: Option<i64>,
    },
    /// The bot says something that nobody said.
    Notice(String),
}

/// Carries an event over as it is: what [`Network::to_matrix`](super::Network::to_matrix) does by itself.
pub fn carry_over<R: Clone, U: Clone, M: Clone>(event: &RemoteEvent<R, U, M>) -> Vec<MatrixOp<U, M>> {
    let (sender, kind, at) = match event.clone() {
        RemoteEvent::Message { sender, id, at, body, reply_to, .. } => {
            (Some(sender), MatrixOpKind::Send { body, reply_to, id }, at)
        }
        RemoteEvent::Edit { sender, target, body, .. } => (Some(sender), MatrixOpKind::Edit { target, body }, None),
        RemoteEvent::Redact { by, target, reason, .. } => (by, MatrixOpKind::Redact { target, reason }, None),
        RemoteEvent::React { by, target, key, on, .. } => (Some(by), MatrixOpKind::React { target, key, on }, None),
        RemoteEvent::Retract { by, target, .. } => (Some(by), MatrixOpKind::Retract(target), None),
        RemoteEvent::Reactions { by, target, keys, .. } => (Some(by), MatrixOpKind::Reactions { target, keys }, None),
        RemoteEvent::Member { who, name, membership, by, reason, .. } => {
            (by, MatrixOpKind::Member { who, membership, name, reason }, None)
        }
        RemoteEvent::Declined { who, reason, .. } => (None, MatrixOpKind::Decline { who, reason }, None),
        RemoteEvent::Expelled { user_id, by, reason, banned, .. } => {
            (by, MatrixOpKind::Expel { user_id, banned, reason }, None)
        }
        RemoteEvent::Pardoned { user_id, by, reason, .. } => (by, MatrixOpKind::Pardon { user_id, reason }, None),
        RemoteEvent::Members { members, .. } => (None, MatrixOpKind::Members(members), None),
        RemoteEvent::Renamed { from, to, name, .. } => (None, MatrixOpKind::Rename { from, to, name }, None),
        RemoteEvent::Profile { who, profile, .. } => (None, MatrixOpKind::Profile { who, profile }, None),
        RemoteEvent::Topic { by, topic, .. } => (by, MatrixOpKind::Topic(topic), None),
        RemoteEvent::Name { by, name, .. } => (by, MatrixOpKind::Name(name), None),
        RemoteEvent::Power { who, level, before, .. } => (None, MatrixOpKind::Power { who, level, before }, None),
        RemoteEvent::Notice { text, .. } => (None, MatrixOpKind::Notice(text), None),
    };
    vec![MatrixOp { sender, kind, at }]
}

/// What a conversion may look at besides the event: gathered by the framework beforehand, so that conversions stay pure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "U: serde::de::DeserializeOwned"))]
pub struct Context<U> {
    /// What the session that delivers it can do in the room.
    pub caps: Caps,
    /// The virtual users in the room: id, the name they go by, their Matrix id.
    pub members: Vec<(U, String, OwnedUserId)>,
    /// Matrix users in the room who have a session of their own: Matrix id, the name they go by on the network.
    pub puppets: Vec<(OwnedUserId, String)>,
    /// The name of the homeserver.
    pub server_name: String,
}

/// The network has taken an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered<M> {
    /// The network's name for it, where it gives one.
    pub id: Option<M>,
}

impl<M> Delivered<M> {
    /// Taken; the network gave it no name.
    pub fn unnamed() -> Self {
        Self { id: None }
    }
    /// Taken, under this name.
    pub fn named(id: M) -> Self {
        Self { id: Some(id) }
    }
}

/// Whether an operation landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed<M> {
    /// It did.
    Yes {
        /// The network's name for it, where it gives one.
        id: Option<M>,
    },
    /// It certainly did not: it is sent again.
    No,
    /// Nobody can tell: the policy for that decides (tell the sender, or send again).
    CannotTell,
    /// Nobody can be asked now, such as while the connection is down: it is asked again later, as long as the message is not too old.
    NotNow,
}
