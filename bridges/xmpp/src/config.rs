//! The `xmpp:` section of the configuration.

mod check;

use std::time::Duration;

use landbridge::{
    config::Span,
    network::{ConfigIssue, Secret},
};
use ruma::OwnedRoomOrAliasId;
use serde::{Deserialize, Deserializer};

/// Everything that can be said of XMPP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XmppConfig {
    /// The component at an XMPP server.
    pub component: Component,
    /// The bridge's own occupant of rooms.
    #[serde(default)]
    pub bot: Bot,
    /// Rooms.
    #[serde(default)]
    pub rooms: Rooms,
    /// Files.
    #[serde(default)]
    pub media: MediaOptions,
}

/// `xmpp.component`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The domain that the XMPP server gave the bridge.
    pub domain: String,
    /// What the XMPP server knows the bridge by.
    #[serde(deserialize_with = "secret")]
    pub secret: Secret,
    /// Where the XMPP server is.
    #[serde(default = "localhost")]
    pub host: String,
    /// Its port for components.
    #[serde(default = "component_port")]
    pub port: u16,
    /// The largest stanza that it takes, in bytes: beyond its own limit it ends the link.
    #[serde(default = "max_stanza")]
    pub max_stanza_bytes: usize,
}

/// `xmpp.bot`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bot {
    /// Its nick in rooms.
    pub nick: String,
}

impl Default for Bot {
    fn default() -> Self {
        Self { nick: "Matrix".to_owned() }
    }
}

/// `xmpp.rooms`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    /// Rooms that are bridged from the start.
    pub bridged: Vec<Plumbed>,
    /// Whether a room that does not exist is made when somebody asks for it.
    pub create: bool,
    /// Services (`muc.example.org`) or rooms whose portals may be asked for; `*` stands for anything.
    pub allow: Vec<String>,
    /// Those that may not.
    pub deny: Vec<String>,
    /// In rooms with more occupants than this, only who speaks becomes a member in Matrix.
    pub max_members: usize,
    /// How often a room is asked whether the bridge is still in it (XEP-0410).
    pub check_every: Span,
    /// How long what somebody says without a voice is kept, until they are given one (XEP-0045 §7.13).
    pub keep_voiceless: Span,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            bridged: Vec::new(),
            create: false,
            allow: vec!["*".to_owned()],
            deny: Vec::new(),
            max_members: 500,
            check_every: Span(Duration::from_mins(12)),
            keep_voiceless: Span(Duration::from_hours(1)),
        }
    }
}

/// `xmpp.rooms.bridged[]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plumbed {
    /// The address of the room.
    pub jid: String,
    /// The Matrix room, where it is there already; a portal is made on demand otherwise.
    #[serde(default)]
    pub room: Option<OwnedRoomOrAliasId>,
}

/// `xmpp.media`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaOptions {
    /// Whether files from Matrix are stored at the XMPP server's upload service, where it has one; else they are linked to.
    pub upload: bool,
    /// The upload service, where it is not found by asking the server.
    pub upload_service: Option<String>,
}

impl Default for MediaOptions {
    fn default() -> Self {
        Self { upload: true, upload_service: None }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret)
}

fn localhost() -> String {
    "127.0.0.1".to_owned()
}

fn component_port() -> u16 {
    5347
}

fn max_stanza() -> usize {
    256 * 1024
}

impl XmppConfig {
    /// Every fault, each with the path of its key and the fix.
    pub fn issues(&self) -> Vec<ConfigIssue> {
        check::issues(self)
    }

    /// The rooms that are bridged from the start, as the framework names them, and their Matrix rooms where they have some already.
    pub fn bridged(&self) -> impl Iterator<Item = (String, Option<&OwnedRoomOrAliasId>)> {
        self.rooms.bridged.iter().filter_map(|plumbed| {
            let room = crate::convert::ids::XmppRoom::muc(&plumbed.jid)?;
            Some((landbridge::network::RemoteId::encode(&room), plumbed.room.as_ref()))
        })
    }

    /// Whether the portal of a room may be asked for.
    pub fn allows(&self, room: &str) -> bool {
        let fits = |pattern: &String| {
            matches(pattern, room) || room.split_once('@').is_some_and(|(_, service)| matches(pattern, service))
        };
        let is_bridged = self.rooms.bridged.iter().any(|bridged| bridged.jid.eq_ignore_ascii_case(room));
        is_bridged || (self.rooms.allow.iter().any(fits) && !self.rooms.deny.iter().any(fits))
    }
}

/// Whether a pattern fits a text; `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests;
