//! One of our occupants of a room.

use ruma::OwnedUserId;

use super::{Presence, occupant::power};
use crate::{
    jid::Jid,
    stanza::{Condition, StanzaError},
};

/// Whose seat it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeatId {
    /// The bridge's own.
    Listener,
    /// That of a Matrix user.
    Puppet(OwnedUserId),
}

/// How a seat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatState {
    /// Not in the room, or nobody knows.
    Out,
    /// On the way in: which nick of the ladder is tried.
    Joining {
        /// The number of the attempt.
        attempt: usize,
    },
    /// In.
    In,
}

/// One of our occupants.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The address that sits there.
    pub jid: Jid,
    /// The nick it has, or asks for.
    pub nick: String,
    /// The name that nicks are made of.
    pub name: String,
    /// How it is.
    pub state: SeatState,
    /// What it may do.
    pub role: super::Role,
    /// What it is to the room.
    pub affiliation: super::Affiliation,
    /// Which nick of the ladder is asked for instead of the one it has.
    pub renaming: Option<usize>,
}

impl Seat {
    /// One that is asked for.
    pub(super) fn asks(jid: Jid, nick: String, name: String) -> Self {
        let (role, affiliation) = (super::Role::default(), super::Affiliation::default());
        Self { jid, nick, name, state: SeatState::Joining { attempt: 0 }, role, affiliation, renaming: None }
    }

    /// The power that fits it, on Matrix's scale. Who has no voice in the room keeps theirs in Matrix: what they say there is what asks for
    /// one.
    pub(super) fn power(&self) -> i64 {
        power(self.affiliation, self.role).max(0)
    }
}

/// Why a seat is not in the room any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The kind of reason.
    pub why: Why,
    /// Who did it, where known.
    pub by: Option<String>,
    /// What they said.
    pub reason: Option<String>,
}

impl Gone {
    /// What a presence says of why somebody is not in the room any more.
    pub(super) fn of(presence: Presence) -> Self {
        let why = if presence.destroyed.is_some() {
            Why::Destroyed
        } else if presence.has(332) || presence.has(333) {
            Why::Technical
        } else if presence.has(301) {
            Why::Banned
        } else if presence.has(307) {
            Why::Kicked
        } else if presence.has(321) || presence.has(322) {
            Why::NotAllowed
        } else {
            Why::Technical
        };
        let reason = presence.item.reason.or_else(|| presence.destroyed.and_then(|(_, reason)| reason));
        Self { why, by: presence.item.actor, reason }
    }
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// We left.
    Left,
    /// Somebody put it out (307).
    Kicked,
    /// Somebody put it out for good (301).
    Banned,
    /// It may not be in any more, because of a change of its affiliation (321) or because the room is for members now (322).
    NotAllowed,
    /// The service ends (332), there was a technical error (333), or nothing was said (ejabberd).
    Technical,
    /// The room is no more.
    Destroyed,
}

/// Why a seat could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The room refused.
    #[error("{}", explain(.0))]
    Refused(StanzaError),
    /// No nick was taken.
    #[error("every nick that was tried is taken or refused")]
    NoNick,
    /// The room did not exist, and must not be made.
    #[error("there is no such room")]
    NoRoom,
    /// The room is no more, or moved.
    #[error("the room is no more{}", .0.as_ref().map(|jid| format!("; people meet in {jid}")).unwrap_or_default())]
    Destroyed(Option<Jid>),
    /// The seat was lost before it was taken.
    #[error("the room let nobody in: {0}")]
    Lost(String),
}

impl JoinError {
    /// Whether it may go away by itself.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_temporary(),
            Self::Lost(_) => true,
            Self::NoNick | Self::NoRoom | Self::Destroyed(_) => false,
        }
    }
}

/// What the errors of a join mean ([XEP-0045 §7.2](https://xmpp.org/extensions/xep-0045.html#enter)).
fn explain(error: &StanzaError) -> String {
    let words = match error.condition {
        Condition::Forbidden => "banned from the room",
        Condition::RegistrationRequired => "the room is for members only",
        Condition::NotAuthorized => "the room has a password",
        Condition::ServiceUnavailable => "the room is full",
        Condition::NotAllowed => "the service lets nobody make rooms",
        Condition::ItemNotFound => "there is no such room, or it is locked",
        Condition::Gone | Condition::Redirect => "the room has moved",
        Condition::RemoteServerNotFound | Condition::RemoteServerTimeout => "the server of the room cannot be reached",
        _ => return error.to_string(),
    };
    match &error.text {
        Some(text) => format!("{words} ({text})"),
        None => words.to_owned(),
    }
}
