//! What the bridge asks of a session, and what becomes of it.

use std::time::Duration;

use crate::{
    message::{Channel, IrcText, Message, Nick, ServerTime, Tags, Target},
    numerics::{JoinProblem, NickProblem, RefusedBecause},
};

/// Something to do. Every command ends in exactly one [`Outcome`].
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Say something.
    Send(Outgoing),
    /// Enter a channel.
    Join {
        /// Which.
        channel: Channel,
        /// Its key.
        key: Option<IrcText>,
    },
    /// Leave a channel. Waits its turn behind the messages to it.
    Part {
        /// Which.
        channel: Channel,
        /// Why.
        reason: Option<IrcText>,
    },
    /// Take a message back; refused ([`NotSent::Unsupported`]) where the server knows no such thing.
    Redact {
        /// Where it was said.
        target: Target,
        /// The server's id of it.
        msgid: IrcText,
        /// Why.
        reason: Option<IrcText>,
    },
    /// Change a channel's topic; an empty one takes it away.
    Topic {
        /// Which channel.
        channel: Channel,
        /// The topic.
        topic: IrcText,
    },
    /// Throw somebody out of a channel.
    Kick {
        /// Which channel.
        channel: Channel,
        /// Whom.
        nick: Nick,
        /// Why.
        reason: Option<IrcText>,
    },
    /// Invite somebody to a channel.
    Invite {
        /// Which channel.
        channel: Channel,
        /// Whom.
        nick: Nick,
    },
    /// Change modes, or ask for them (no changes).
    Mode {
        /// A channel, or ourselves.
        target: Target,
        /// `+o`, then its parameters.
        changes: Vec<IrcText>,
    },
    /// Take another nick. It is the one wanted from now on, also after the server took it away.
    Nick(Nick),
    /// Take another real name, where the server lets one (`setname`).
    Setname(IrcText),
    /// Go away, or come back (`None`).
    Away(Option<IrcText>),
    /// Ask who is in a channel; the answer is an [`EventKind::Names`](super::EventKind).
    Names(Channel),
    /// Anything else. Confirmed like every command.
    Raw(Message),
    /// Say goodbye. What is queued is sent first, for as long as [`Timing::drain`](super::Timing) allows.
    Quit(Option<IrcText>),
}

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Where to.
    pub target: Target,
    /// How.
    pub kind: SendKind,
    /// The words: one line, at most [`Limits::text`](super::Limits) bytes.
    pub text: IrcText,
    /// Tags to send along, where the server takes tags. Only client-only tags (`+name`) reach others.
    pub tags: Tags,
    /// The idempotency key. Where the server takes tags it is sent as `+landbridge/key`, so that history shows after
    /// a crash whether the message arrived.
    pub key: Option<Box<str>>,
}

/// How to say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendKind {
    /// `PRIVMSG`.
    Privmsg,
    /// `NOTICE`.
    Notice,
    /// `/me`.
    Action,
    /// `TAGMSG`; refused ([`NotSent::Unsupported`]) where the server takes no tags.
    Tags,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The server took it.
    Accepted(Receipt),
    /// The server refused it. Certain: it had no effect.
    Rejected(Rejection),
    /// It was never written. Certain: it had no effect, and may be tried again.
    NotSent(NotSent),
    /// It was written, and nobody knows what became of it: the connection broke before the server confirmed it.
    Unknown(&'static str),
    /// It was one of several lines that the server's complaints could have been about: so many of them were refused as have the
    /// complaint here, but not necessarily those.
    Suspected(Option<Rejection>),
}

/// How we know that a command was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The evidence.
    pub by: Evidence,
    /// The server's id of the message, where it gives one.
    pub msgid: Option<Box<str>>,
    /// When the server took it, by its clock.
    pub time: Option<ServerTime>,
    /// Whether the server's echo had less text than we sent.
    pub truncated: bool,
}

/// The evidence that a command was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The server sent it back (`echo-message`).
    Echo,
    /// The server answered under its label (`labeled-response`).
    Label,
    /// The server answered a PING that was sent right behind it, and had complained of nothing before.
    Fence,
}

/// Why the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The numeric, or 0 for a standard reply (`FAIL`).
    pub numeric: u16,
    /// What it means.
    pub why: RejectedBecause,
    /// The server's words.
    pub text: String,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectedBecause {
    /// A message or a command about a target.
    Command(RefusedBecause),
    /// A join.
    Join(JoinProblem),
    /// A nick.
    Nick(NickProblem),
    /// The join was sent on to another channel; see [`EventKind::Forwarded`](super::EventKind).
    Forwarded,
}

/// Why a command was never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// As many lines wait as may: try again after about this long.
    #[error("the send queue is full")]
    QueueFull {
        /// How long until there is room.
        retry_after: Duration,
    },
    /// It waited, and was called back.
    #[error("called back before it was sent")]
    Cancelled,
    /// There is no connection, or it ended before the turn came.
    #[error("not connected")]
    NotConnected,
    /// It has more bytes than a line may have.
    #[error("too long for a line: {over} bytes too many")]
    TooLong {
        /// Bytes too many.
        over: usize,
    },
    /// It cannot be written as one line.
    #[error("it cannot be written as one line")]
    Malformed,
    /// The server has no such thing.
    #[error("the server has no such thing")]
    Unsupported,
}
