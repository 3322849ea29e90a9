//! The example, and what is said about faulty files.

use std::fs;

use landbridge_registration::{Builder, Overwrite, write};
use tempfile::TempDir;

use super::{Reading, read};

const EXAMPLE: &str = include_str!("../../../landbridge.example.yaml");

/// A folder with a registration and these configuration and registration texts.
fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let registration = Builder::new("irc", "ircbot").url("http://127.0.0.1:9000").build().unwrap();
    write(&folder.path().join("irc.yaml"), &registration, Overwrite::Never).unwrap();
    fs::write(folder.path().join("landbridge.yaml"), config).unwrap();
    folder
}

fn reading(folder: &TempDir) -> Reading {
    read(&folder.path().join("landbridge.yaml")).unwrap()
}

fn faults(folder: &TempDir) -> Vec<String> {
    let folder_name = format!("{}/", folder.path().display());
    reading(folder).faults.iter().map(|fault| fault.to_string().replace(&folder_name, "")).collect()
}

#[test]
fn the_example_is_right() {
    let folder = folder(EXAMPLE);
    assert_eq!(faults(&folder), Vec::<String>::new());
    let config = reading(&folder).config.unwrap();
    assert_eq!(config.homeserver.server_name, "example.org");
    assert_eq!(config.database, format!("sqlite:{}", folder.path().join("landbridge.db").display()));
    assert_eq!(config.irc.servers[0].port(), 6697);
}

/// Comments that are prose start with one space; what could be written starts with none, or with more.
#[test]
fn what_the_example_comments_out_is_right_too() {
    let twice = ["database: sqlite", "  #tls: true", "  #port:"];
    let kept = EXAMPLE.lines().filter(|line| !twice.iter().any(|start| line.trim_end().contains(start)));
    let text: String = kept
        .map(|line| match line.split_once('#') {
            Some((indent, rest)) if indent.trim().is_empty() && (!rest.starts_with(' ') || rest.starts_with("  ")) => {
                format!("{indent}{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let folder = folder(&text);
    for (name, file) in [("ca", "ca.pem"), ("certificate", "bot.pem"), ("key", "bot.key")] {
        let path = folder.path().join(file);
        fs::write(&path, "").unwrap();
        let config = fs::read_to_string(folder.path().join("landbridge.yaml")).unwrap();
        let config = config.replace(&format!("{name}: {file}"), &format!("{name}: '{}'", path.display()));
        fs::write(folder.path().join("landbridge.yaml"), config).unwrap();
    }
    assert_eq!(faults(&folder), Vec::<String>::new(), "{text}");
    let config = reading(&folder).config.unwrap();
    assert!(config.database.starts_with("postgres://"));
    assert_eq!(config.irc.channels.len(), 2);
    assert!(config.irc.bot.sasl.is_some() && config.public_url.is_some());
}

#[test]
fn every_fault_of_every_file_is_named_at_once() {
    let folder = folder(
        "homeserver: {url: gopher://x, server_name: example.org}\n\
         listen: everywhere\n\
         registration: irc.yaml\n\
         database: mysql://x\n\
         colour: red\n\
         irc:\n  servers: []\n  bot: {nick: '3'}\n  lines: {max: 0}\n",
    );
    let registration = folder.path().join("irc.yaml");
    let text = fs::read_to_string(&registration).unwrap();
    fs::write(&registration, text.replace("id: irc", "id:").replace("rooms: []", "rooms: [{regex: '('}]")).unwrap();
    let faults = faults(&folder);
    let expected = [
        "landbridge.yaml: colour: there is no such key. Take it away, or write one of",
        "landbridge.yaml:1:19: homeserver: ",
        "landbridge.yaml:2:9: listen: ",
        "irc.yaml:1:3: id: is nothing. It must be text; put it between single quotes.",
        "irc.yaml:9:11: namespaces.rooms[0].exclusive: is missing.",
        "irc.yaml:9:19: namespaces.rooms[0].regex: `(` is not a valid regular expression: unclosed group",
        "landbridge.yaml: irc.servers: there is no server to connect to.",
        "landbridge.yaml: irc.bot.nick: this is no nick.",
        "landbridge.yaml: irc.lines.max: 0 is out of range.",
        "landbridge.yaml: database: is neither SQLite nor PostgreSQL. Write `sqlite:landbridge.db` or",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault}\n{expected}");
    }
}

#[test]
fn what_is_missing_is_named_with_what_to_add() {
    let folder = folder("");
    let faults = faults(&folder);
    let of = |name: &str| {
        faults.iter().filter(|fault| fault.contains(&format!(" {name}: is missing. Add `{name}:"))).count()
    };
    assert_eq!(["homeserver", "listen", "registration", "irc"].map(of), [1; 4], "{faults:#?}");
    assert!(reading(&folder).config.is_none());
}

#[test]
fn no_fault_shows_a_password() {
    let folder = folder("irc:\n  servers: [{host: a, tls: [}]\n  password: s3cr3t\n");
    assert!(!faults(&folder).concat().contains("s3cr3t"));
}
