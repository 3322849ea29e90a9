use serde_json::json;

use super::*;

fn config(value: serde_json::Value) -> XmppConfig {
    serde_json::from_value(value).unwrap()
}

fn usual() -> serde_json::Value {
    json!({ "component": { "domain": "matrix.test", "secret": "a long enough secret" } })
}

#[test]
fn the_least_that_can_be_written_is_enough() {
    let config = config(usual());
    assert!(config.issues().is_empty(), "{:?}", config.issues());
    assert_eq!((config.component.host.as_str(), config.component.port), ("127.0.0.1", 5347));
    assert!(!format!("{config:?}").contains("long enough"), "no secret is shown");
}

#[test]
fn every_fault_is_reported_with_its_path() {
    let config = config(json!({
        "component": { "domain": "Matrix.test/x", "secret": "", "host": "xmpp://h", "port": 0, "max_stanza_bytes": 1 },
        "bot": { "nick": "🫠" },
        "rooms": { "bridged": [{ "jid": "muc.test" }, { "jid": "a@muc.test" }, { "jid": "A@muc.test" }], "allow": [""] },
    }));
    let paths: Vec<_> = config.issues().into_iter().map(|issue| issue.path).collect();
    let expected = [
        "component.domain",
        "component.secret",
        "component.host",
        "component.port",
        "component.max_stanza_bytes",
        "bot.nick",
        "rooms.bridged[0].jid",
        "rooms.bridged[2].jid",
        "rooms.allow[0]",
    ];
    assert_eq!(paths, expected.map(|path| format!("xmpp.{path}")));
}

#[test]
fn rooms_are_allowed_by_pattern() {
    let mut value = usual();
    value["rooms"] = json!({ "allow": ["*.test"], "deny": ["secret@*"], "bridged": [{ "jid": "secret@muc.test" }] });
    let config = config(value);
    assert!(config.allows("tea@muc.test"));
    assert!(!config.allows("tea@muc.example"));
    assert!(!config.allows("secret@other.test"));
    assert!(config.allows("secret@muc.test"), "what is bridged is allowed");
}
