//! What one operation says to IRC, as the outbox stores it: decided in full, but for the target, which is the operation's room.

use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Say one line.
    Say {
        /// How.
        how: How,
        /// The line, with its formatting codes.
        text: String,
        /// Client-only tags, without their `+`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<(String, String)>,
    },
    /// Send tags alone (`TAGMSG`).
    Tags(Vec<(String, String)>),
    /// Take a message back.
    Redact {
        /// The server's id of it.
        id: String,
        /// Why.
        reason: Option<String>,
    },
    /// Set the topic.
    Topic(String),
    /// Leave the channel.
    Part(Option<String>),
    /// Put somebody out.
    Kick {
        /// Their nick.
        nick: String,
        /// Why.
        reason: Option<String>,
    },
    /// Give somebody the rank of a level.
    Power {
        /// Whom.
        who: Who,
        /// The level, on Matrix's scale.
        level: i64,
    },
    /// Set or take off a ban on a nick.
    Ban {
        /// The nick.
        nick: String,
        /// Whether it is set.
        on: bool,
    },
    /// Ask somebody in.
    Invite(String),
    /// Make the session of a Matrix user leave the channel.
    Expel {
        /// Whose.
        user_id: ruma::OwnedUserId,
        /// Why.
        reason: Option<String>,
    },
    /// Go by another name: a display name, from which the nick is made.
    Rename(String),
}

/// Somebody in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Somebody on IRC.
    Nick(String),
    /// The puppet of a Matrix user, whatever its nick is then.
    Puppet(ruma::OwnedUserId),
}

/// The rank that a level of Matrix amounts to.
pub fn rank_for(level: i64) -> Option<char> {
    match level {
        50.. => Some('o'),
        25.. => Some('h'),
        1.. => Some('v'),
        _ => None,
    }
}

/// How a line is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// `PRIVMSG`.
    Message,
    /// `NOTICE`.
    Notice,
    /// `/me`.
    Action,
}

impl Wire {
    /// The bytes for the outbox.
    pub fn encode(&self) -> Vec<u8> {
        // Strings and lists of strings always serialize.
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

/// Names of the facts that [`Caps::facts`](landbridge::network::Caps) carries to the conversions.
pub mod facts {
    /// `CASEMAPPING`.
    pub const CASEMAPPING: &str = "casemapping";
    /// Present where client-only tags reach others.
    pub const TAGS: &str = "tags";
    /// Bytes of a topic.
    pub const TOPIC_LEN: &str = "topic_len";
}
