//! Capabilities ([capability negotiation](https://ircv3.net/specs/extensions/capability-negotiation)).

use std::fmt;

/// A capability that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cap {
    /// Tags on messages.
    MessageTags,
    /// When a message was sent.
    ServerTime,
    /// Lines that belong together.
    Batch,
    /// Answers that say which line they answer.
    LabeledResponse,
    /// Our own messages come back.
    EchoMessage,
    /// The sender's account on every line.
    AccountTag,
    /// Logins and logouts of others.
    AccountNotify,
    /// Account and real name in JOIN.
    ExtendedJoin,
    /// All ranks in NAMES.
    MultiPrefix,
    /// User and host in NAMES.
    UserhostInNames,
    /// Changes of user and host.
    Chghost,
    /// Changes of real name.
    Setname,
    /// Invitations of others.
    InviteNotify,
    /// Who is away.
    AwayNotify,
    /// Changes of this very list.
    CapNotify,
    /// Login while registering.
    Sasl,
    /// `FAIL`, `WARN` and `NOTE` instead of numerics.
    StandardReplies,
    /// Messages can be taken back.
    MessageRedaction,
    /// What was said before can be asked for.
    Chathistory,
}

impl Cap {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::MessageTags,
        Self::ServerTime,
        Self::Batch,
        Self::LabeledResponse,
        Self::EchoMessage,
        Self::AccountTag,
        Self::AccountNotify,
        Self::ExtendedJoin,
        Self::MultiPrefix,
        Self::UserhostInNames,
        Self::Chghost,
        Self::Setname,
        Self::InviteNotify,
        Self::AwayNotify,
        Self::CapNotify,
        Self::Sasl,
        Self::StandardReplies,
        Self::MessageRedaction,
        Self::Chathistory,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageTags => "message-tags",
            Self::ServerTime => "server-time",
            Self::Batch => "batch",
            Self::LabeledResponse => "labeled-response",
            Self::EchoMessage => "echo-message",
            Self::AccountTag => "account-tag",
            Self::AccountNotify => "account-notify",
            Self::ExtendedJoin => "extended-join",
            Self::MultiPrefix => "multi-prefix",
            Self::UserhostInNames => "userhost-in-names",
            Self::Chghost => "chghost",
            Self::Setname => "setname",
            Self::InviteNotify => "invite-notify",
            Self::AwayNotify => "away-notify",
            Self::CapNotify => "cap-notify",
            Self::Sasl => "sasl",
            Self::StandardReplies => "standard-replies",
            Self::MessageRedaction => "draft/message-redaction",
            Self::Chathistory => "draft/chathistory",
        }
    }

    /// The capability of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cap| cap.name() == name)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSet(u32);

impl CapSet {
    /// Whether it is in there.
    pub fn has(self, cap: Cap) -> bool {
        self.0 & (1 << cap as u8) != 0
    }

    /// Puts it in.
    pub fn insert(&mut self, cap: Cap) {
        self.0 |= 1 << cap as u8;
    }

    /// Takes it out.
    pub fn remove(&mut self, cap: Cap) {
        self.0 &= !(1 << cap as u8);
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Cap> {
        Cap::ALL.into_iter().filter(move |cap| self.has(*cap))
    }
}

impl FromIterator<Cap> for CapSet {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> Self {
        let mut set = Self::default();
        caps.into_iter().for_each(|cap| set.insert(cap));
        set
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Cap::name)).finish()
    }
}
