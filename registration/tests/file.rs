//! The YAML file: what it takes, keeps and gives back, and what it says about faults.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

use std::{fs, os::unix::fs::PermissionsExt};

use landbridge_registration::{Builder, Namespace, Overwrite, Registration, read, write};
use proptest::prelude::*;
use ruma::server_name;

const COMPLETE: &str = r#"
# A registration with everything in it.
id: irc bridge
url: "http://127.0.0.1:9000/"
as_token: 0123456
hs_token: 'yes'
sender_localpart: _irc_bot
rate_limited: no
protocols: [irc, "1:30"]
receive_ephemeral: true
de.sorunome.msc2409.push_ephemeral: true
org.matrix.msc3202: true
io.element.msc4190: true
ip_range_whitelist: ['10.0.0.0/8']
namespaces:
  users:
    - exclusive: true
      regex: '@irc_.*:example\.org'
      group_id: "+irc:example.org"
  aliases: null
  rooms: []
  future: [{regex: x}]
"#;

fn parse(text: &str) -> Registration {
    Registration::from_yaml(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn with(line: &str, replacement: &str) -> String {
    assert!(COMPLETE.contains(line), "{line}");
    COMPLETE.replacen(line, replacement, 1)
}

#[test]
fn every_field_is_read() {
    let registration = parse(COMPLETE);
    assert_eq!(registration.id, "irc bridge");
    assert_eq!(registration.url.as_ref().unwrap().base(), "http://127.0.0.1:9000");
    assert!(registration.as_token.matches("0123456"), "digits stay what they are");
    assert!(registration.hs_token.matches("yes"));
    assert!(!registration.is_rate_limited());
    assert_eq!(registration.protocols, ["irc", "1:30"]);
    assert!(registration.receive_ephemeral && registration.push_ephemeral);
    assert!(registration.msc3202 && registration.msc4190);
    assert_eq!(registration.namespaces.users[0].regex, r"@irc_.*:example\.org");
    assert!(registration.namespaces.aliases.is_empty());
    assert_eq!(registration.sender(server_name!("a.b")).unwrap(), "@_irc_bot:a.b");
}

#[test]
fn a_round_trip_keeps_what_has_no_name_here() {
    let registration = parse(COMPLETE);
    let written = registration.to_yaml().unwrap();
    assert_eq!(parse(&written), registration);
    insta::assert_snapshot!(written);
}

#[test]
fn the_smallest_registration_takes_the_specs_defaults() {
    let registration = parse("{id: a, url: null, as_token: b, hs_token: c, sender_localpart: d, namespaces: {}}");
    assert!(registration.url.is_none() && registration.is_rate_limited());
    assert!(!registration.wants_ephemeral() && !registration.msc3202 && !registration.msc4190);
    insta::assert_snapshot!(registration.to_yaml().unwrap());
}

#[test]
fn no_url_can_be_written_in_three_ways() {
    for nothing in ["null", "", "''", "'null'", "~"] {
        let text = with(r#"url: "http://127.0.0.1:9000/""#, &format!("url: {nothing}"));
        assert_eq!(parse(&text).url, None, "{nothing}");
        assert!(parse(&text).to_yaml().unwrap().contains("url: null"));
    }
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let text = r#"
id: ""
url: gopher://x
as_token: "two words"
sender_localpart: "@bot:example.org"
rate_limited: "no"
protocols: irc
receive_ephemeral: 1
namespaces:
  users:
    - regex: '@irc_(?!x).*'
      exclusive: yes
    - exclusive: "true"
      regex: '@irc_[.*'
    - '@irc'
  aliases:
    regex: x
  rooms:
    - exclusive: false
      regex: '(a)\1'
"#;
    insta::assert_snapshot!(Registration::from_yaml(text).unwrap_err());
}

#[test]
fn text_that_is_no_yaml_is_told_with_its_place() {
    let faults = ["id: 'x\nurl: y", "id: x\n\turl: y", "id: x\nid: y", "", "just text", "- a", "a: *b", "[[[["]
        .map(|text| format!("{text:?}\n{}\n", Registration::from_yaml(text).unwrap_err()));
    insta::assert_snapshot!(faults.join("\n"));
}

#[test]
fn no_fault_shows_a_token() {
    let secret = "s3cr3t";
    for broken in [
        format!("id: [\nas_token: {secret}\nhs_token: {secret}"),
        format!("as_token: {secret}\n  bad: indent\nhs_token: {secret}"),
        format!("as_token: '{secret} x'\nhs_token: [{secret}]\n"),
        format!("as_token: {secret}\nas_token: {secret}\n"),
        format!("as_token: \"{secret}\\q\"\n"),
        format!("as_token: !!int {secret}\n"),
        format!("as_token: *{secret}x\n").replace(&format!("*{secret}x"), &format!("!!binary {secret}!")),
    ] {
        let text = Registration::from_yaml(&broken).unwrap_err().to_string();
        assert!(!text.contains(secret), "{text}");
    }
    let debug = format!("{:?}", parse(&with("0123456", secret)));
    assert!(!debug.contains(secret), "{debug}");
}

#[test]
fn hostile_yaml_ends_soon() {
    let bomb: String =
        (1..30).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","))).collect();
    let deepest = "[".repeat(16) + &"]".repeat(16);
    let flows = ["[".repeat(100_000), "{a: ".repeat(100_000), "{a: ".repeat(16) + &"}".repeat(16)];
    for text in flows.into_iter().chain([deepest, "- ".repeat(100_000), format!("a0: &a0 x\n{bomb}")]) {
        Registration::from_yaml(&text).unwrap_err();
    }
}

#[test]
fn a_regex_that_is_too_large_is_refused() {
    for regex in ["((a{100}){100}){100}".to_owned(), "(".repeat(200) + &")".repeat(200), "a".repeat(70_000)] {
        let text = with(r"@irc_.*:example\.org", &regex);
        let faults = Registration::from_yaml(&text).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{faults}");
        assert_eq!(faults.0[0].path, "namespaces.users[0].regex");
    }
}

#[test]
fn files_are_written_for_the_owner_alone_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("irc.yaml");
    let first = Builder::new("irc", "ircbot").build().unwrap();
    write(&path, &first, Overwrite::Never).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&path).unwrap(), first);

    let second = Builder::new("irc2", "ircbot").build().unwrap();
    let refused = write(&path, &second, Overwrite::Never).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(read(&path).unwrap(), first);

    write(&path, &second, Overwrite::Replace).unwrap();
    assert_eq!(read(&path).unwrap(), second);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_faulty_registration_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("irc.yaml");
    let mut registration = Builder::new("irc", "ircbot").build().unwrap();
    registration.namespaces.users.push(Namespace::new(true, "("));
    write(&path, &registration, Overwrite::Replace).unwrap_err();
    assert!(!path.exists());
}

#[test]
fn faults_of_a_file_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("irc.yaml");
    fs::write(&path, with("rate_limited: no", "rate_limited: never").replace("id: irc bridge", "")).unwrap();
    let message = read(&path).unwrap_err().to_string().replace(&path.display().to_string(), "irc.yaml");
    insta::assert_snapshot!(message);

    fs::write(&path, b"id: \xff").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("not UTF-8"));
    assert!(read(folder.path()).is_err(), "a folder is no file");
}

/// Text that YAML readers like to mistake for something else, and any other text.
fn text() -> impl Strategy<Value = String> {
    let tricky = [
        "no",
        "on",
        "null",
        "~",
        "1_000",
        "1:30",
        "2020-01-01",
        "0x1F",
        "1e10",
        "- a",
        "a: b",
        "#a",
        "a #b",
        "'",
        "\"",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{",
        "[",
        "|",
        ">",
        "\\",
        "=",
        "<<",
        " a ",
        "\t",
        "ü😀",
        "a\u{85}b",
        "-",
        "?",
    ];
    prop_oneof![proptest::sample::select(tricky.to_vec()).prop_map(str::to_owned), "\\PC{0,90}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_is_read_again(id in "\\PC{1,40}", words in proptest::collection::vec(text(), 0..4),
        token in "[!-~]{1,80}", name in "\\PC{1,20}", limited: Option<bool>, flag: bool, prefix in "\\PC{0,100}") {
        let mut registration = Builder::new(id, "bot").tokens(token.as_str().into(), "t".into()).ephemeral(flag)
            .user_namespace(Namespace::users_with_prefix(&prefix, server_name!("example.org"))).build().unwrap();
        registration.rate_limited = limited;
        registration.protocols.clone_from(&words);
        registration.namespaces.users[0].extra.insert(format!("x{name}"), serde_json::json!({ name: words }));
        registration.extra.insert(format!("y{token}"), serde_json::json!([null, true, 1.5, -3, words]));
        let yaml = registration.to_yaml().unwrap();
        let again = Registration::from_yaml(&yaml);
        prop_assert_eq!(again.as_ref(), Ok(&registration), "{}", yaml);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|\n|\t| |: |- ){0,200}") {
        let _ = Registration::from_yaml(&text);
    }
}
