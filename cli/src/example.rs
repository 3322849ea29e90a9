//! Holds landbridge.example.yaml to what is true.

use std::fs;

use landbridge::config::{Config, Reading};
use landbridge_irc::IrcNetwork;
use landbridge_registration::{Builder, Namespace, Overwrite, write};
use landbridge_xmpp::XmppNetwork;
use ruma::server_name;
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../landbridge.example.yaml");

/// A folder with the registration that the example asks for, the files it names, and this configuration.
fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let registration = Builder::new("irc", "ircbot")
        .url("http://127.0.0.1:9000")
        .user_namespace(Namespace::users_with_prefix("irc_", server_name!("example.org")))
        .alias_namespace(Namespace::aliases_with_prefix("irc_", server_name!("example.org")))
        .build()
        .unwrap();
    write(&folder.path().join("irc.yaml"), &registration, Overwrite::Never).unwrap();
    let mut config = config.to_owned();
    for file in ["ca.pem", "bot.pem", "bot.key"] {
        let path = folder.path().join(file);
        fs::write(&path, "").unwrap();
        config = config.replace(&format!(": {file} "), &format!(": '{}' ", path.display()));
    }
    fs::write(folder.path().join("landbridge.yaml"), config).unwrap();
    folder
}

fn read(folder: &TempDir) -> Reading<Config<IrcNetwork>> {
    Config::read(&folder.path().join("landbridge.yaml")).unwrap()
}

fn faults(folder: &TempDir) -> Vec<String> {
    read(folder).faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_is_right() {
    let folder = folder(EXAMPLE);
    assert_eq!(faults(&folder), Vec::<String>::new());
    let config = read(&folder).config.unwrap();
    assert_eq!(config.homeserver.server_name, "example.org");
    assert_eq!(config.database, format!("sqlite:{}", folder.path().join("landbridge.db").display()));
    assert_eq!(config.network.servers[0].port(), 6697);
}

/// Comments that are prose start with one space; what could be written starts with none, or with more.
#[test]
fn what_the_example_comments_out_is_right_too() {
    let twice = ["database: sqlite", "  #tls: true", "  #port:"];
    let kept = EXAMPLE.lines().filter(|line| !twice.iter().any(|start| line.contains(start)));
    let text: String = kept
        .map(|line| match line.split_once('#') {
            Some((indent, rest)) if indent.trim().is_empty() && (!rest.starts_with(' ') || rest.starts_with("  ")) => {
                format!("{indent}{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let folder = folder(&text);
    assert_eq!(faults(&folder), Vec::<String>::new(), "{text}");
    let config = read(&folder).config.unwrap();
    assert!(config.database.starts_with("postgres://"));
    assert_eq!(config.network.channels.len(), 2);
    assert!(config.network.bot.sasl.is_some() && config.public_url.is_some());
    assert_eq!(config.bridge.rooms.len(), 1);
    assert_eq!(crate::irc::plumbed(&config.network).len(), 2);
}

const XMPP: &str = include_str!("../../xmpp.example.yaml");

fn xmpp(config: &str) -> Reading<Config<XmppNetwork>> {
    let folder = tempfile::tempdir().unwrap();
    let registration = Builder::new("xmpp", "xmppbot")
        .url("http://127.0.0.1:9001")
        .user_namespace(Namespace::users_with_prefix("xmpp_", server_name!("example.org")))
        .alias_namespace(Namespace::aliases_with_prefix("xmpp_", server_name!("example.org")))
        .build()
        .unwrap();
    write(&folder.path().join("xmpp.yaml"), &registration, Overwrite::Never).unwrap();
    let path = folder.path().join("landbridge.yaml");
    fs::write(&path, config).unwrap();
    assert_eq!(crate::networks::kind_of(&path).unwrap(), crate::networks::Kind::Xmpp);
    Config::read(&path).unwrap()
}

#[test]
fn the_example_for_xmpp_is_right_as_it_is_and_with_everything_that_could_be_written() {
    let opened: String = XMPP
        .lines()
        .map(|line| match line.split_once('#') {
            Some((indent, rest)) if indent.trim().is_empty() && (!rest.starts_with(' ') || rest.starts_with("  ")) => {
                format!("{indent}{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    for text in [XMPP, &opened] {
        let reading = xmpp(text);
        assert_eq!(reading.faults.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{text}");
        let config = reading.config.unwrap().network;
        assert_eq!((config.component.port, config.component.max_stanza_bytes), (5347, 262_144));
        assert_eq!((config.bot.nick.as_str(), config.rooms.max_members), ("Matrix", 500));
        assert!(config.media.upload && !config.rooms.create && config.allows("lobby@muc.example.org"));
    }
    assert_eq!(xmpp(&opened).config.unwrap().network.rooms.bridged.len(), 1);
}

/// Whoever comments something out reads there what happens without it.
#[test]
fn what_the_example_calls_the_default_is_the_default() {
    let config = read(&folder(EXAMPLE)).config.unwrap();
    let said = |text: &str| assert!(EXAMPLE.contains(text), "{text}");
    let puppets = &config.bridge.puppets;
    said(&format!("#    max: {} ", puppets.max));
    said(&format!("#    connects_at_once: {}\n", puppets.connects_at_once));
    said(&format!("#    idle_after: {}h", puppets.idle_after.0.as_secs() / 3600));
    said(&format!("#  give_up_after: {}m", config.bridge.give_up_after().as_secs() / 60));
    said(&format!("#    max_size: {}MiB\n", config.bridge.media.max_size.0 >> 20));
    said(&format!("#  burst: {}\n", config.network.flood.burst));
    said(&format!("#  line_milliseconds: {}\n", config.network.flood.line_milliseconds));
    said(&format!("#  max: {}\n", config.network.lines.max));
    said(&format!("#  min_length: {}\n", config.network.mentions.min_length));
    said(&format!("#  filter: {} ", config.logging.filter));
}
