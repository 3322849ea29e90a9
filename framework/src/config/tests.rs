//! What is said about faulty files.

use std::fs;

use landbridge_registration::{Overwrite, Registration, write};
use tempfile::TempDir;

use super::*;
use crate::{
    network::IdentityMode,
    testing::{ScriptedNetwork, registration},
};

const GOOD: &str = "\
homeserver: {url: 'http://127.0.0.1:8008', server_name: example.org}
listen: 127.0.0.1:9000
registration: test.yaml
";

fn folder(config: &str, change: impl FnOnce(&mut Registration)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut registration = registration("test", "example.org");
    registration.url = Some(ServiceUrl::parse("http://127.0.0.1:9000").unwrap());
    registration.rate_limited = Some(false);
    change(&mut registration);
    write(&folder.path().join("test.yaml"), &registration, Overwrite::Never).unwrap();
    fs::write(folder.path().join("bridge.yaml"), config).unwrap();
    folder
}

fn read(folder: &TempDir) -> Reading<Config<ScriptedNetwork>> {
    Config::read(&folder.path().join("bridge.yaml")).unwrap()
}

fn faults(folder: &TempDir) -> Vec<String> {
    let start = format!("{}/", folder.path().display());
    read(folder).faults.iter().map(|fault| fault.to_string().replace(&start, "")).collect()
}

#[test]
fn three_lines_suffice() {
    let folder = folder(GOOD, |_| {});
    assert_eq!(faults(&folder), Vec::<String>::new());
    let config = read(&folder).config.unwrap();
    assert_eq!(config.homeserver.server_name, "example.org");
    assert_eq!(config.database, format!("sqlite:{}", folder.path().join("landbridge.db").display()));
    assert_eq!(config.bridge.mode::<ScriptedNetwork>(), IdentityMode::Relay);
    assert_eq!(config.bridge.give_up_after().as_secs(), 600);
    let names = config.names().unwrap();
    assert_eq!((names.user_prefix.as_str(), names.bot.as_str()), ("test_", "@testbot:example.org"));
}

/// As for a bridge in its homeserver's process.
#[test]
fn what_is_known_need_not_be_written_and_what_is_written_counts() {
    let folder = folder("database: postgres://me@localhost/bridge\nhomeserver:\n", |_| {});
    let known = serde_json::json!({
        "homeserver": { "url": "http://127.0.0.1:8008", "server_name": "example.org" },
        "listen": "127.0.0.1:8008",
        "registration": folder.path().join("made.yaml"),
        "database": "sqlite:/elsewhere.db",
    });
    let (path, known) = (folder.path().join("bridge.yaml"), known.as_object().unwrap());
    let made = generate_registration_with::<ScriptedNetwork>(&path, known).unwrap();
    assert_eq!(made, folder.path().join("made.yaml"));
    let reading = Config::<ScriptedNetwork>::read_with(&path, known).unwrap();
    assert_eq!(reading.faults, []);
    let config = reading.config.unwrap();
    assert_eq!(config.homeserver.server_name, "example.org");
    assert_eq!(config.database, "postgres://me@localhost/bridge");
    assert!(read(&folder).config.is_none(), "alone it says too little");
}

#[test]
fn everything_can_be_said() {
    let text = format!(
        "{GOOD}\
database: postgres://me:secret@localhost/bridge
public_url: https://bridge.example.org/irc
bridge:
  display_name: Test bridge
  mode: auto_puppet
  admins: ['@admin:example.org']
  permissions: {{plumb: admins, status: moderators, revoke: everybody}}
  status: both
  history: {{keep_for: 30d, keep_most: 5000}}
  rooms: [{{room: '!abc:example.org', remote: '#lobby'}}, {{room: '#lobby:example.org', remote: '#lobby2'}}]
  puppets: {{max: 10, idle_after: 2d, connects_at_once: 1}}
  give_up_after: 1h30m
  when_unknown: resend
  media: {{max_size: 10MiB}}
logging: {{filter: 'info,landbridge=debug', format: json}}
metrics: {{listen: '127.0.0.1:9001'}}
test: {{}}
"
    );
    let folder = folder(&text, |_| {});
    assert_eq!(faults(&folder), Vec::<String>::new());
    let config = read(&folder).config.unwrap();
    assert_eq!(config.database, "postgres://me:secret@localhost/bridge");
    let permissions = config.bridge.permissions();
    assert!(permissions.is_admin(ruma::user_id!("@admin:example.org")));
    assert_eq!((permissions.plumb, permissions.revoke), (crate::bridge::Role::Admins, crate::bridge::Role::Everybody));
    assert_eq!(config.bridge.retention().keep_for.as_secs(), 30 * 86_400);
    assert_eq!(config.bridge.status, crate::dispatch::StatusForm::Both);
    assert_eq!(config.metrics.listen, Some("127.0.0.1:9001".parse().unwrap()));
    let sessions = config.bridge.sessions::<ScriptedNetwork>();
    assert_eq!(
        (sessions.mode, sessions.max_puppets, sessions.idle_after.as_secs()),
        (IdentityMode::AutoPuppet, 10, 172_800)
    );
    assert_eq!(config.bridge.give_up_after().as_secs(), 5400);
    assert_eq!(config.bridge.media.max_size.0, 10 << 20);
    assert_eq!(config.bridge.rooms[1].remote, "#lobby2");
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn every_fault_is_named_at_once_with_place_and_fix() {
    let text = "\
homeserver:
  url: gopher://x
  server_nam: example.org
listen: everywhere
registration: test.yaml
database: mysql://x
colour: red
bridge:
  mode: gateway
  admins: ['admin']
  rooms:
    - {room: lobby, remote: '#lobby'}
    - {remote: 7}
  puppets: {max: many, idle_after: soon, connects_at_once: 0}
  when_unknown: guess
  user_prefix: IRC
logging: loud
test: {x: 1}
";
    let folder = folder(text, |_| {});
    let faults = faults(&folder);
    let expected = [
        "bridge.yaml:2:8: homeserver.url: ",
        "bridge.yaml:2:3: homeserver.server_name: is missing. Add `server_name:`",
        "bridge.yaml:3:15: homeserver.server_nam: there is no such key. Take it away, or write",
        "bridge.yaml:4:9: listen: ",
        "bridge.yaml:6:11: database: is neither SQLite nor PostgreSQL. Write `sqlite:",
        "bridge.yaml:7:9: colour: there is no such section. Take it away, or write one of homeserver, listen",
        "bridge.yaml:10:12: bridge.admins[0]: ",
        "bridge.yaml:12:14: bridge.rooms[0].room: ",
        "bridge.yaml:13:7: bridge.rooms[1].room: is missing",
        "bridge.yaml:13:16: bridge.rooms[1].remote: is a number. Write text",
        "bridge.yaml:14:18: bridge.puppets.max: is text. Write a whole number",
        "bridge.yaml:14:36: bridge.puppets.idle_after: cannot be read. Write a length of time such as 30s, 10m, 1h30m or 2d",
        "bridge.yaml:15:17: bridge.when_unknown: is none of what can be written here. Write",
        "bridge.yaml:17:10: logging: is text. Write a map",
        "bridge.yaml:18:11: test.x: there is no such key",
    ];
    for expected in expected {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}\nis not in {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    assert!(read(&folder).config.is_none());
}

#[test]
fn what_is_well_written_must_also_make_sense() {
    let text = format!(
        "{GOOD}bridge:\n  mode: gateway\n  puppets: {{connects_at_once: 0}}\n  user_prefix: IRC\n  alias_prefix: ''\n"
    );
    let faults = faults(&folder(&text, |_| {}));
    for expected in [
        "bridge.mode: Test has no such mode",
        "connects_at_once: is 0",
        "bridge.user_prefix: no user id",
        "bridge.alias_prefix: ",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}\nis not in {faults:#?}");
    }
}

#[test]
fn the_registration_must_fit() {
    let fitting = |change: fn(&mut Registration)| faults(&folder(GOOD, change));
    for (change, expected) in [
        (
            (|r| r.namespaces.users.clear()) as fn(&mut Registration),
            "do not cover virtual users such as @test_somebody:example.org",
        ),
        (
            |r| r.namespaces.aliases.clear(),
            "advice: registration: its namespaces do not cover portals such as #test_somewhere",
        ),
        (|r| r.sender_localpart = "test_bot".to_owned(), "would be taken for a virtual user"),
        (
            |r| (r.receive_ephemeral, r.push_ephemeral) = (false, false),
            "advice: registration: the homeserver will not say who types",
        ),
        (|r| r.url = None, "its url is null"),
        (|r| r.rate_limited = None, "will slow the bridge down"),
    ] {
        let faults = fitting(change);
        assert!(faults.len() == 1 && faults[0].contains(expected), "{expected}: {faults:#?}");
    }
}

#[test]
fn faults_of_the_registration_have_their_own_place() {
    let folder = folder(GOOD, |_| {});
    let path = folder.path().join("test.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("id: test", "id:")).unwrap();
    let faults = faults(&folder);
    assert!(faults.len() == 1 && faults[0].starts_with("test.yaml:1:"), "{faults:#?}");
    fs::remove_file(path).unwrap();
    let faults = self::faults(&folder);
    assert!(faults.len() == 1 && faults[0].contains("registration: "), "{faults:#?}");
}

#[test]
fn what_is_missing_is_named() {
    let faults = faults(&folder("", |_| {}));
    for name in ["homeserver", "listen", "registration"] {
        assert!(
            faults.iter().any(|fault| fault.contains(&format!(" {name}: is missing. Add `{name}:"))),
            "{faults:#?}"
        );
    }
}

#[test]
fn no_yaml_no_secrets_no_end() {
    for text in ["homeserver: [", "a: &a [*a]", &"[".repeat(100_000), "- a", "\u{0}", "test: {password: [s3cr3t}"] {
        let faults = faults(&folder(text, |_| {}));
        assert!(!faults.is_empty(), "{text:.20}");
        assert!(!faults.concat().contains("s3cr3t"), "{faults:?}");
    }
    let in_the_wrong_place = "bridge: {puppets: {max: s3cr3t}, when_unknown: s3cr3t}\nlisten: s3cr3t\n";
    assert!(!faults(&folder(in_the_wrong_place, |_| {})).concat().contains("s3cr3t"));
}

#[test]
fn a_generated_registration_fits() {
    let homeserver = HomeserverSection {
        url: ServiceUrl::parse("http://127.0.0.1:8008").unwrap(),
        server_name: "example.org".try_into().unwrap(),
    };
    let made =
        registration_for::<ScriptedNetwork>(&homeserver, &BridgeSection::default(), "http://127.0.0.1:9000").unwrap();
    let folder = folder(GOOD, |registration| *registration = made);
    assert_eq!(faults(&folder), Vec::<String>::new());
}

#[test]
fn a_registration_is_made_from_the_configuration_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.yaml");
    fs::write(&path, GOOD).unwrap();
    let made = generate_registration::<ScriptedNetwork>(&path).unwrap();
    assert_eq!(made, folder.path().join("test.yaml"));
    assert_eq!(faults(&folder), Vec::<String>::new());
    let first = fs::read(&made).unwrap();
    assert!(matches!(generate_registration::<ScriptedNetwork>(&path), Err(GenerateError::Io(_, _))));
    assert_eq!(fs::read(&made).unwrap(), first);
    fs::write(&path, "listen: nowhere").unwrap();
    let error = generate_registration::<ScriptedNetwork>(&path).unwrap_err().to_string();
    for named in ["homeserver: is missing", "registration: is missing", "listen: "] {
        assert!(error.contains(named), "{error}");
    }
}
