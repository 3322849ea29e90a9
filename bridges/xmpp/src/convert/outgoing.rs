//! What one operation says to XMPP, as the outbox stores it: decided in full, but for the addresses, which are the session's and the
//! room's.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Say something.
    Say(Say),
    /// React to a message with all of these, and nothing else (XEP-0444).
    React {
        /// The id of the message that says so.
        id: String,
        /// The message reacted to.
        target: String,
        /// With what now.
        key: String,
        /// Whether that is there now.
        on: bool,
    },
    /// Take back what was said (XEP-0424), or, for what another said, have it taken out (XEP-0425).
    Retract {
        /// The id of the message that says so.
        id: String,
        /// Which message.
        target: String,
        /// Whether it is our own.
        own: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Set the topic.
    Subject(String),
    /// Give the room this name.
    Name(String),
    /// Leave the room.
    Part(Option<String>),
    /// Make the seat of a Matrix user leave the room.
    Expel {
        /// Whose.
        user_id: OwnedUserId,
        /// Why.
        reason: Option<String>,
    },
    /// Put somebody out, keep them out, or let them in again.
    Act {
        /// Who, as the bridge names them.
        user: String,
        /// What they are to be.
        to_be: ToBe,
        /// Why.
        reason: Option<String>,
    },
    /// Go by another name: a display name, from which the nick is made.
    Rename(String),
}

/// What somebody is to be in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToBe {
    /// Out, this time.
    Kicked,
    /// Out, for good.
    Banned,
    /// Allowed in again.
    Unbanned,
    /// Asked in.
    Invited,
    /// A visitor, a participant or a moderator.
    Visitor,
    /// May speak.
    Participant,
    /// May put others out.
    Moderator,
    /// An administrator.
    Admin,
    /// An owner.
    Owner,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Say {
    /// Its id.
    pub id: String,
    /// Its text, with message styling (XEP-0393).
    pub body: String,
    /// Whether what looks like styling in it is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unstyled: bool,
    /// The id of the message that it corrects (XEP-0308).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The message that it answers (XEP-0461).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answer>,
    /// A file that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
}

/// The message that another answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its id.
    pub id: String,
    /// How many characters at the beginning of the text repeat it, for who cannot follow (XEP-0428).
    pub quoted: usize,
    /// The nick of who said it, where it was said in a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where anybody can fetch it; also the text of its message.
    pub url: String,
    /// Where Matrix has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mxc: Option<String>,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// What somebody is told who is invited by another than who sends it.
pub fn invites(name: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{name} invites you: {reason}"),
        None => format!("{name} invites you"),
    }
}

impl Wire {
    /// The bytes for the outbox.
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads them.
    ///
    /// # Errors
    /// Bytes that are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
