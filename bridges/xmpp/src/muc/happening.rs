//! What follows from the stanzas of a room.

use ruma::OwnedUserId;

use super::{
    occupant::Occupant,
    seat::{Gone, JoinError, SeatId},
};
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    stanza::{Element, StanzaError},
};

/// What follows from a stanza.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// Send this.
    Send(Element),
    /// A seat was taken, or could not be.
    Settled(SeatId, Result<(), JoinError>),
    /// A seat was lost.
    Lost(SeatId, Gone),
    /// A message of ours came back from the room: under its own id, and the one that the room gave it.
    Reflected {
        /// Our id.
        id: String,
        /// The room's.
        archive: Option<String>,
    },
    /// A topic that one of ours set came back. Not every room gives it the id that it was sent under.
    TopicSet,
    /// A message of ours was refused.
    Bounced {
        /// Our id.
        id: String,
        /// Whether the room says so, and not somebody in it.
        by_room: bool,
        /// Why.
        error: StanzaError,
    },
    /// Somebody of whom only the nick is known gave it up: how often that has happened to it.
    GivenUp {
        /// The nick.
        nick: String,
        /// How often.
        generation: u32,
    },
    /// Something happened in the room.
    Happened(Happening),
}

/// What can happen in a room.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// These are in it now; nobody else.
    Roster(Vec<(XmppUser, String)>),
    /// Somebody came.
    Came(Occupant),
    /// Somebody went, or was put out.
    Went(Occupant, Gone),
    /// Somebody has another nick.
    Renamed {
        /// As they were.
        before: Occupant,
        /// As they are now.
        now: Occupant,
    },
    /// Somebody may do more or less than before.
    Changed(Occupant),
    /// Somebody said something: who, and the whole of it.
    Said(Occupant, Element),
    /// The topic was set, or told to who enters.
    Subject(String),
    /// Something about the room itself is otherwise than before: its name, say.
    Configured,
    /// A moderator took out a message: what the room says of it.
    Moderated(Element),
    /// What somebody is to the room changed while they were not in it.
    Standing {
        /// Whose: an address, of ours or of others.
        jid: Jid,
        /// Whether they are kept out now.
        banned: bool,
        /// By whom: a nick, or an address.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// One of ours, who is in it, may do more or less than before.
    Empowered {
        /// Who.
        user_id: OwnedUserId,
        /// The power that fitted before, on Matrix's scale; none for who has just come.
        before: i64,
        /// The power that fits now.
        level: i64,
    },
    /// Somebody spoke to one of ours alone.
    Whispered {
        /// Who.
        by: Occupant,
        /// To whom.
        to: OwnedUserId,
        /// What.
        stanza: Element,
    },
}
