//! What a session tells the bridge.

use std::sync::Arc;

use crate::{
    isupport::Isupport,
    message::{Channel, Nick, ServerTime, Source, Tags},
    modes::{ModeChange, Ranks},
    numerics::{JoinProblem, RefusedBecause},
};

/// One thing that happened, and what the server said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When, which, whose.
    pub meta: Meta,
    /// What.
    pub kind: EventKind,
}

/// What stood beside an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    /// When it happened by the server's clock; for history, when it happened first.
    pub time: Option<ServerTime>,
    /// The server's id of the message: the same when it is told again.
    pub msgid: Option<Box<str>>,
    /// The account the sender is logged in to; `None` if not logged in or not told.
    pub account: Option<Box<str>>,
    /// Told again from history (`chathistory` batch and the like), not happening now.
    pub in_history: bool,
    /// Servers that had lost each other are one again (`netjoin` batch): who joins now had never gone.
    pub in_netjoin: bool,
    /// The key that we sent with the message ([`Outgoing::key`](super::Outgoing)), if it is one of ours
    /// coming back.
    pub key: Option<Box<str>>,
    /// All tags of the line.
    pub tags: Tags,
}

/// What happened. Closed: the compiler finds the missing arm.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// We are registered; commands are taken from now on.
    Online(Online),
    /// Words from somebody.
    Message(Incoming),
    /// A message was taken back ([draft/message-redaction](https://ircv3.net/specs/extensions/message-redaction)).
    Redacted {
        /// To whom it had been said.
        to: Recipient,
        /// By whom.
        by: Source,
        /// The server's id of it.
        msgid: String,
        /// Why.
        reason: Option<String>,
    },
    /// Somebody joined a channel.
    Joined {
        /// Where.
        channel: Channel,
        /// Who.
        who: Source,
        /// Whether that is us.
        own: bool,
        /// Their real name, where `extended-join` tells it.
        realname: Option<String>,
    },
    /// Somebody left a channel.
    Parted {
        /// Where.
        channel: Channel,
        /// Who.
        who: Source,
        /// Whether that is us.
        own: bool,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// Somebody left the network.
    Quit {
        /// Who.
        who: Source,
        /// The channels we shared; empty if members are not tracked.
        channels: Vec<Channel>,
        /// Why, in their words or the server's.
        reason: String,
        /// Whether two servers lost each other: the person is likely to be back in a moment, without having gone.
        netsplit: bool,
    },
    /// Somebody was thrown out of a channel.
    Kicked {
        /// Where.
        channel: Channel,
        /// Who.
        who: Nick,
        /// Whether that is us.
        own: bool,
        /// By whom.
        by: Source,
        /// Why.
        reason: Option<String>,
    },
    /// Somebody has another nick.
    NickChanged {
        /// Who, under the old one.
        who: Source,
        /// The new one.
        to: Nick,
        /// Whether that is us.
        own: bool,
        /// The channels we share; empty if members are not tracked.
        channels: Vec<Channel>,
    },
    /// A channel's topic, changed or told after joining.
    Topic {
        /// Where.
        channel: Channel,
        /// The topic; empty for none.
        topic: String,
        /// Who changed it; `None` when it is told after joining.
        by: Option<Source>,
    },
    /// The server begins to tell again what was said in a channel before, or has told all of it.
    History {
        /// Where.
        channel: Channel,
        /// Whether that was all.
        ends: bool,
    },
    /// Who set a channel's topic, told after joining.
    TopicSetBy {
        /// Where.
        channel: Channel,
        /// Who, as the server wrote it down: a nick or a whole source.
        by: String,
        /// When, in seconds since 1970.
        at: Option<i64>,
    },
    /// A channel's modes or its members' ranks changed.
    ChannelModes {
        /// Where.
        channel: Channel,
        /// Who did it; `None` for the modes in force, told on request (`324`): what is not in there is not set.
        by: Option<Source>,
        /// What changed.
        changes: Vec<ModeChange>,
    },
    /// Our own user modes changed, as written: `+ix`.
    UserModes(String),
    /// Everybody who is in a channel, told after joining and on request. Who is not in it is not there.
    Names {
        /// Where.
        channel: Channel,
        /// Each once. Empty if members are not tracked.
        members: Vec<Member>,
    },
    /// Somebody was invited to a channel.
    Invited {
        /// Where to.
        channel: Channel,
        /// Who.
        who: Nick,
        /// Whether that is us.
        own: bool,
        /// By whom.
        by: Source,
    },
    /// Somebody logged in to services, or out (`None`).
    Account {
        /// Who.
        who: Source,
        /// The account.
        account: Option<String>,
    },
    /// Somebody has another user name or host.
    HostChanged {
        /// Who, as they were.
        who: Source,
        /// The new user name.
        user: String,
        /// The new host.
        host: String,
    },
    /// Somebody has another real name.
    Realname {
        /// Who.
        who: Source,
        /// The new one.
        realname: String,
    },
    /// Somebody to whom we said something is away (`301`).
    IsAway {
        /// Who.
        nick: Nick,
        /// Their words.
        message: String,
    },
    /// The server wants to be reached over TLS only, for this long from now.
    TlsOnly(std::time::Duration),
    /// Somebody went away (with words), or came back (`None`).
    Away {
        /// Who.
        who: Source,
        /// Their words.
        message: Option<String>,
    },
    /// A JOIN of ours failed.
    JoinFailed {
        /// Where.
        channel: Channel,
        /// Why.
        problem: JoinProblem,
        /// The server's words.
        text: String,
    },
    /// A JOIN of ours was sent on to another channel (`470`). The join of that one follows, if it works.
    Forwarded {
        /// Where we wanted to be.
        from: Channel,
        /// Where we were sent.
        to: Channel,
        /// The server's words.
        text: String,
    },
    /// A channel has another name ([draft/channel-rename](https://ircv3.net/specs/extensions/channel-rename)).
    ChannelRenamed {
        /// The old one.
        from: Channel,
        /// The new one.
        to: Channel,
        /// Why.
        reason: Option<String>,
    },
    /// A command of ours was refused. The one who waits for its outcome is told too.
    Refused {
        /// The numeric, or 0 for a standard reply (`FAIL`).
        numeric: u16,
        /// What it was about, if the server named a channel or nick.
        target: Option<String>,
        /// Why.
        because: RefusedBecause,
        /// The server's words.
        text: String,
    },
    /// The login to services failed and the session goes on without.
    LoginFailed {
        /// The server's words.
        text: String,
    },
    /// What the server offers or says of itself changed.
    Changed(Online),
    /// Words of the server, for those who run the bridge: `NOTICE` of a server, `WARN`, `NOTE`, `WALLOPS`.
    ServerSays(String),
    /// A line that could not be used: malformed, or longer than any line may be. The stream goes on.
    Unreadable {
        /// What was wrong with it.
        why: &'static str,
    },
}

/// How we are connected.
#[derive(Debug, Clone, PartialEq)]
pub struct Online {
    /// Our nick as the server gave it.
    pub nick: Nick,
    /// The server's name.
    pub server: Box<str>,
    /// The account we are logged in to.
    pub account: Option<Box<str>>,
    /// What the server says of itself, shared with every session on the same network.
    pub isupport: Arc<Isupport>,
    /// The capabilities in force.
    pub caps: super::CapSet,
}

/// A message from somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Who sent it.
    pub from: Source,
    /// Whom it is for.
    pub to: Recipient,
    /// How it was said.
    pub kind: MessageKind,
    /// The words, with their formatting codes. Empty for [`MessageKind::Tags`].
    pub text: String,
    /// Whether we sent it: from our own nick, come back by `echo-message` or from history. `meta.key` says which.
    pub own: bool,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A channel; with a rank's sign, only those who hold it.
    Channel {
        /// Which.
        channel: Channel,
        /// `@` of `@#channel`.
        status: Option<char>,
    },
    /// Us.
    Me,
    /// Another person: the message is one of our own come back.
    Nick(Nick),
    /// Everybody on the network or on a server (`$$*`), from an operator. Never a conversation.
    Everyone,
}

/// How a message was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKind {
    /// `PRIVMSG`.
    Privmsg,
    /// `NOTICE`.
    Notice,
    /// `/me`: `CTCP ACTION`.
    Action,
    /// Another CTCP request; the verb in upper case. `text` is what follows it.
    Ctcp(String),
    /// The answer to a CTCP request.
    CtcpReply(String),
    /// `TAGMSG`: nothing but tags (typing, reactions).
    Tags,
}

/// Somebody in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Nick; user and host where they are known.
    pub who: Source,
    /// Their ranks.
    pub ranks: Ranks,
    /// The account they are logged in to, where known.
    pub account: Option<Box<str>>,
}
