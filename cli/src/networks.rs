//! Which network a configuration is for, and what the command line needs to know of each.

use std::path::Path;

use landbridge::{
    Network,
    config::{Config, PlumbedRoom, Sections},
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

    /// What it goes by there.
    fn own_name(config: &Self::Config) -> String;

    /// What a room is called there, and the name of some room.
    fn some_room(config: &Self::Config) -> (&'static str, String);

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
    let is_xmpp = sections(path)?.contains_key(XmppNetwork::INFO.id);
    Ok(if is_xmpp { Kind::Xmpp } else { Kind::Irc })
}

/// What is said of a file that cannot be read.
pub(crate) fn unreadable(path: &Path) -> impl Fn() -> String {
    move || format!("{} cannot be read", path.display())
}

/// The homeserver that a configuration names, if it does.
pub(crate) fn server_name_in(path: &Path) -> std::io::Result<Option<String>> {
    Ok(sections(path)?.get("homeserver").and_then(|section| section["server_name"].as_str()).map(str::to_owned))
}

/// Whether a configuration says where the registration is.
pub(crate) fn names_registration(path: &Path) -> std::io::Result<bool> {
    Ok(sections(path)?.contains_key("registration"))
}

fn sections(path: &Path) -> std::io::Result<Sections> {
    let text = std::fs::read_to_string(path)?;
    let options = serde_yaml::options! { with_snippet: false };
    Ok(serde_yaml::from_str_with_options(&text, options).unwrap_or_default())
}

impl Known for IrcNetwork {
    fn server(config: &Self::Config) -> String {
        crate::irc::server(config)
    }

    fn own_name(config: &Self::Config) -> String {
        config.bot.nick.clone()
    }

    fn some_room(_: &Self::Config) -> (&'static str, String) {
        ("channel", "#channel".to_owned())
    }

    fn plumbed(config: &Self::Config) -> Vec<PlumbedRoom> {
        crate::irc::plumbed(config)
    }
}

impl Known for XmppNetwork {
    fn server(config: &Self::Config) -> String {
        format!("{}:{}", config.component.host, config.component.port)
    }

    fn own_name(config: &Self::Config) -> String {
        config.component.domain.clone()
    }

    fn some_room(config: &Self::Config) -> (&'static str, String) {
        let domain = config.component.domain.as_str();
        let parent = domain.split_once('.').map_or(domain, |(_, parent)| parent);
        ("room", format!("room@muc.{parent}"))
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
