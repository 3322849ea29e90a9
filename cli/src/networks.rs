//! Which network a configuration is for, and what the command line needs to know of each.

use std::path::Path;

use landbridge::{
    Network,
    config::{Config, PlumbedRoom},
};
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::{
    XmppNetwork,
    examine::{Verdict, examine},
};
use ruma::OwnedRoomOrAliasId;

/// A network of this binary.
pub(crate) trait Known: Network {
    /// Where it connects, for people.
    fn server(config: &Self::Config) -> String;

    /// The rooms that its own section joins to Matrix rooms.
    fn plumbed(config: &Self::Config) -> Vec<PlumbedRoom>;

    /// Looks whether everything on the network's side is as it must be, says what is found, and whether it is.
    fn try_out(config: &Config<Self>) -> impl Future<Output = bool> {
        let _ = config;
        std::future::ready(true)
    }
}

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has an `irc:` section, or none that is known.
    Irc,
    /// It has an `xmpp:` section.
    Xmpp,
}

/// Looks for the section of a network. What is wrong with the rest is for whoever reads it in full.
pub(crate) fn kind_of(path: &Path) -> std::io::Result<Kind> {
    let text = std::fs::read_to_string(path)?;
    let options = serde_yaml::options! { with_snippet: false };
    let top = serde_yaml::from_str_with_options::<serde_json::Map<String, serde_json::Value>>(&text, options);
    let is_xmpp = top.is_ok_and(|top| top.contains_key(XmppNetwork::INFO.id));
    Ok(if is_xmpp { Kind::Xmpp } else { Kind::Irc })
}

impl Known for IrcNetwork {
    fn server(config: &Self::Config) -> String {
        crate::irc::server(config)
    }

    fn plumbed(config: &Self::Config) -> Vec<PlumbedRoom> {
        crate::irc::plumbed(config)
    }
}

impl Known for XmppNetwork {
    fn server(config: &Self::Config) -> String {
        format!("{}:{}", config.component.host, config.component.port)
    }

    fn plumbed(config: &Self::Config) -> Vec<PlumbedRoom> {
        let plumb = |(remote, room): (String, &OwnedRoomOrAliasId)| PlumbedRoom { room: room.clone(), remote };
        config.bridged().filter_map(|(remote, room)| Some(plumb((remote, room?)))).collect()
    }

    async fn try_out(config: &Config<Self>) -> bool {
        let findings = examine(&config.network).await;
        for finding in &findings {
            println!("{}: {}", finding.what, finding.text);
            for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
                println!("    {line}");
            }
        }
        findings.iter().all(|finding| finding.verdict != Verdict::Broken)
    }
}
