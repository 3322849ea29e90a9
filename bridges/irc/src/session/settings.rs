//! What a session is to be, and how it behaves.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    isupport::Isupport,
    message::{IrcText, Nick},
};

/// How every session of one network behaves. Shared: thousands of sessions hold one.
#[derive(Debug)]
pub struct Policy {
    /// Clocks and patience.
    pub timing: Timing,
    /// How fast lines may go out.
    pub flood: Flood,
    /// What the network was last seen to support: the next session starts with it, and shares it.
    pub(super) seen: Mutex<Option<Arc<Isupport>>>,
}

impl Policy {
    /// A policy for one network.
    pub fn new(timing: Timing, flood: Flood) -> Arc<Self> {
        Arc::new(Self { timing, flood, seen: Mutex::new(None) })
    }

    /// What the network was last seen to support; `None` before the first session was registered.
    pub fn isupport(&self) -> Option<Arc<Isupport>> {
        self.seen.lock().clone()
    }
}

/// Who a session is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The nick wanted. The server may give another.
    pub nick: Nick,
    /// User name (ident): one word. Servers cut it to about 10 bytes.
    pub username: IrcText,
    /// Real name (gecos).
    pub realname: IrcText,
    /// The server's password (`PASS`).
    pub password: Option<Secret>,
    /// How to log in to services.
    pub sasl: Option<Sasl>,
    /// What the session is for.
    pub role: Role,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Hears everything: tracks the members of its channels and tells all events.
    Observer,
    /// Speaks for one person: no members are tracked, and of what is said in channels nothing is told. Its own joins,
    /// parts, nicks, refusals, invitations and private messages are.
    Puppet,
}

/// How to log in to services while registering ([SASL 3.2](https://ircv3.net/specs/extensions/sasl-3.2)).
#[derive(Debug, Clone)]
pub struct Sasl {
    /// The account's name. Not used with [`SaslMethod::External`]: the certificate says whose it is.
    pub account: Option<IrcText>,
    /// What to prove it with.
    pub method: SaslMethod,
    /// End the connection if the login fails; otherwise go on without an account.
    pub required: bool,
}

/// What to prove an account with.
#[derive(Debug, Clone)]
pub enum SaslMethod {
    /// `PLAIN`: a password.
    Plain(Secret),
    /// `EXTERNAL`: the TLS client certificate.
    External,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(IrcText);

impl Secret {
    /// Takes a secret.
    ///
    /// # Errors
    /// Refuses a text with CR, LF or NUL in it, which could not be sent.
    pub fn new(text: impl Into<String>) -> Result<Self, crate::message::ForbiddenByte> {
        IrcText::new(text).map(Self)
    }

    pub(super) fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Clocks and patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// From the open socket to `001`.
    pub registration: Duration,
    /// For each answer of the server in a SASL exchange.
    pub sasl: Duration,
    /// Silence after which we send a PING.
    pub ping_after: Duration,
    /// Further silence after which the connection counts as dead.
    pub ping_timeout: Duration,
    /// For the server to confirm a command; after that its outcome is unknown.
    pub confirm: Duration,
    /// For what is queued to go out after a QUIT was asked for.
    pub drain: Duration,
    /// Between attempts to get the wanted nick back; zero: never.
    pub regain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            registration: Duration::from_secs(60),
            sasl: Duration::from_secs(20),
            ping_after: Duration::from_secs(90),
            ping_timeout: Duration::from_secs(60),
            confirm: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            regain: Duration::from_secs(300),
        }
    }
}

/// How fast lines may go out: each line costs time, and a line waits while more than `lead` is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    /// Off: every line goes out at once. For a network that exempts us.
    pub enabled: bool,
    /// How much may be owed: with 1 s a line, 6 s are a burst of 6 lines.
    pub lead: Duration,
    /// What each line costs. A PING of ours costs half of it.
    pub per_line: Duration,
    /// What each byte of it costs besides.
    pub per_byte: Duration,
    /// Most lines that may wait.
    pub capacity: usize,
}

impl Default for Flood {
    /// Slow enough for the stock settings of the servers in use: a burst of about six lines, then one a second.
    fn default() -> Self {
        Self {
            enabled: true,
            lead: Duration::from_secs(6),
            per_line: Duration::from_millis(1000),
            per_byte: Duration::from_micros(500),
            capacity: 512,
        }
    }
}

impl Flood {
    /// No limit of speed. What waits is bounded all the same.
    pub fn off() -> Self {
        Self { enabled: false, capacity: 4096, ..Self::default() }
    }
}
