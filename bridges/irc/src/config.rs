//! The `irc:` section of the configuration.

mod check;
mod servers;
mod short;

use std::time::Duration;

use landbridge::network::Secret;
use serde::{Deserialize, Deserializer};

pub use self::servers::{Sasl, SaslMechanism, Server, Tls};
use self::short::{Short, short};
use crate::convert::ids::IrcRoom;

/// How the bridge appears on one IRC network, and what it carries there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IrcConfig {
    /// The servers of the network. The first is tried first, the next when it fails.
    pub servers: Vec<Server>,
    /// The server's password (`PASS`).
    #[serde(default, deserialize_with = "optional_secret")]
    pub password: Option<Secret>,
    /// The connection that hears the channels.
    #[serde(default)]
    pub bot: Bot,
    /// The connections that stand for Matrix users.
    #[serde(default)]
    pub puppets: Puppets,
    /// Channels that are bridged from the start: to their portals, or to rooms which exist already.
    #[serde(default)]
    pub channels: Vec<Plumbed>,
    /// Rooms that come into being when somebody joins their alias.
    #[serde(default)]
    pub portals: Portals,
    /// How fast lines are sent.
    #[serde(default)]
    pub flood: FloodOptions,
    /// What becomes of long messages.
    #[serde(default)]
    pub lines: LineOptions,
    /// Which IRC users become members of the rooms.
    #[serde(default)]
    pub membership: MembershipSync,
    /// How nicks in a text become mentions.
    #[serde(default)]
    pub mentions: MentionOptions,
}

/// The connection that hears the channels, and speaks for Matrix users who have none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bot {
    /// Its nick.
    pub nick: String,
    /// Its user name (ident).
    pub username: String,
    /// Its real name: say here whom to contact.
    pub realname: String,
    /// How it logs in to services.
    pub sasl: Option<Sasl>,
}

impl Default for Bot {
    fn default() -> Self {
        Self {
            nick: "landbridge".to_owned(),
            username: "landbrdge".to_owned(),
            realname: "Matrix bridge".to_owned(),
            sasl: None,
        }
    }
}

/// The connections that stand for Matrix users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Puppets {
    /// How nicks are made: `{name}` stands for the display name, or the localpart where nothing of that can be written.
    pub nick: String,
    /// How real names are made: `{user_id}` and `{name}` are filled in. Operators want to see whom they deal with.
    pub realname: String,
    /// Whether a user who is not there is away on IRC.
    pub away: bool,
    /// Whether a nick follows its user's display name.
    pub follow_display_name: bool,
    /// The shortest time between two changes of a nick, in seconds; changes in between are left out, but the last.
    #[serde(deserialize_with = "seconds")]
    pub nick_interval: Duration,
}

impl Default for Puppets {
    fn default() -> Self {
        Self {
            nick: "{name}".to_owned(),
            realname: "{user_id}".to_owned(),
            away: true,
            follow_display_name: true,
            nick_interval: Duration::from_secs(60),
        }
    }
}

/// A channel that is bridged from the start. In short: its name.
#[derive(Debug, Clone)]
pub struct Plumbed {
    /// The channel, such as `#lobby`.
    pub channel: String,
    /// Its key (`+k`).
    pub key: Option<Secret>,
    /// The Matrix room: its id or alias. Without one the channel has its portal.
    pub room: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Channel")]
struct WrittenChannel {
    channel: String,
    #[serde(default, deserialize_with = "optional_secret")]
    key: Option<Secret>,
    #[serde(default)]
    room: Option<String>,
}

impl From<WrittenChannel> for Plumbed {
    fn from(WrittenChannel { channel, key, room }: WrittenChannel) -> Self {
        Self { channel, key, room }
    }
}

impl<'de> Deserialize<'de> for Plumbed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        short::<D, Self, WrittenChannel>(deserializer)
    }
}

impl Short for Plumbed {
    const EXPECTED: &'static str = "a channel: `\"#lobby\"`, or a mapping with `channel`, `room` and perhaps `key`";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self { channel: text.to_owned(), key: None, room: None })
    }
}

/// Rooms that come into being when somebody joins their alias.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Portals {
    /// Whether there are any.
    pub enabled: bool,
    /// Which channels may become portals: names in which `*` stands for anything.
    pub allow: Vec<String>,
    /// Which may not, though `allow` says so.
    pub deny: Vec<String>,
}

impl Default for Portals {
    fn default() -> Self {
        Self { enabled: true, allow: vec!["*".to_owned()], deny: Vec::new() }
    }
}

impl Portals {
    /// Whether a channel (its name in lower case) may become a portal.
    pub fn allows(&self, channel: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), channel));
        self.enabled && any(&self.allow) && !any(&self.deny)
    }
}

/// Whether `text` is of the form `pattern`, in which `*` stands for anything. Takes time linear in both.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let Some((middle, end)) = rest.rsplit_once('*') else { return text.ends_with(rest) };
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

/// How fast lines are sent. The defaults suit the stock settings of servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FloodOptions {
    /// Off: for a network that exempts the bridge.
    pub enabled: bool,
    /// How many lines may leave at once.
    pub burst: u32,
    /// How many milliseconds one line costs after that.
    pub line_milliseconds: u32,
}

impl Default for FloodOptions {
    fn default() -> Self {
        Self { enabled: true, burst: 6, line_milliseconds: 1000 }
    }
}

/// What becomes of long messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineOptions {
    /// The most lines that one message becomes.
    pub max: usize,
    /// What becomes of the rest.
    pub overflow: Overflow,
    /// The most bytes of a message that are repeated in an answer to it, where the network has no other way to show what is
    /// answered; 0: none.
    pub quote: usize,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self { max: 5, overflow: Overflow::Link, quote: 32 }
    }
}

/// What becomes of a message with too many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Its first lines are sent, and a link to all of it.
    Link,
    /// It is not sent, and its sender is told.
    Reject,
}

/// Which IRC users become members of the rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipSync {
    /// Everybody who is in the channel.
    #[default]
    Full,
    /// Those who have spoken, from then until they leave.
    Lazy,
    /// Those who have spoken, for ever.
    Off,
}

/// How nicks in a text become mentions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MentionOptions {
    /// The shortest nick that is one in the middle of a line; at the start with a colon behind it any is.
    pub min_length: usize,
    /// The most that one message mentions. 0 turns mentions off.
    pub max: usize,
}

impl Default for MentionOptions {
    fn default() -> Self {
        Self { min_length: 3, max: 8 }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u32::deserialize(deserializer).map(|seconds| Duration::from_secs(seconds.into()))
}

fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret))
}

impl IrcConfig {
    /// The channels that are bridged from the start, each with the id or alias of its Matrix room; `None` for its portal.
    pub fn rooms(&self) -> impl Iterator<Item = (IrcRoom, Option<&str>)> {
        self.channels.iter().filter_map(|plumbed| Some((IrcRoom::channel(&plumbed.channel)?, plumbed.room.as_deref())))
    }

    /// A configuration for one server without TLS, everything else by default: what a developer starts with.
    pub fn for_server(host: impl Into<String>, port: u16) -> Self {
        Self {
            servers: vec![Server { host: host.into(), port: Some(port), tls: Tls::off() }],
            password: None,
            bot: Bot::default(),
            puppets: Puppets::default(),
            channels: Vec::new(),
            portals: Portals::default(),
            flood: FloodOptions::default(),
            lines: LineOptions::default(),
            membership: MembershipSync::default(),
            mentions: MentionOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests;
