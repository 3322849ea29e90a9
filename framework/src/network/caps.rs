//! What can be said in a room, as data.

use serde::{Deserialize, Serialize};

/// How well a network carries a thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is refused, and the sender is told (−2).
    Reject,
    /// It is left out; nobody needs to know (−1).
    Drop,
    /// It crosses as something else, such as text (0).
    #[default]
    Fallback,
    /// Some of it crosses (1).
    Partial,
    /// All of it crosses (2).
    Full,
}

/// How a network recognises an operation that it is told twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idempotency {
    /// It takes our key and ignores repetitions.
    ClientId,
    /// It shows us our key again, so that a lost answer can be told from a lost message.
    EchoTagged,
    /// It acknowledges, and forgets.
    AckOnly,
    /// It says nothing.
    #[default]
    None,
}

/// What can be said in a room right now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// The longest text in bytes that one operation carries, where there is a limit.
    pub text_max_bytes: Option<usize>,
    /// Formatted text.
    pub formatting: Level,
    /// Files.
    pub media: Level,
    /// Replies.
    pub reply: Level,
    /// Edits.
    pub edit: Level,
    /// Redactions.
    pub redact: Level,
    /// Reactions.
    pub react: Level,
    /// Typing notifications.
    pub typing: Level,
    /// Read receipts.
    pub receipts: Level,
    /// The room's topic.
    pub topic: Level,
    /// The room's name.
    pub name: Level,
    /// Kicks, bans and the like.
    pub member_actions: Level,
    /// What happens when it is told a thing twice.
    pub idempotency: Idempotency,
    /// Facts of the network's own that its conversion needs (limits, a nick, negotiated abilities), as `name` → `value`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub facts: std::collections::BTreeMap<String, String>,
}
