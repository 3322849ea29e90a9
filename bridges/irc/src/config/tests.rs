use super::*;

fn read(text: &str) -> IrcConfig {
    serde_json::from_str(text).unwrap()
}

fn paths(config: &IrcConfig) -> Vec<String> {
    config.issues().into_iter().map(|issue| issue.path).collect()
}

#[test]
fn a_server_is_enough() {
    let config = read(r#"{"servers": [{"host": "irc.example.org"}]}"#);
    assert_eq!(config.servers[0].port(), 6697);
    assert!(config.servers[0].tls.enabled);
    assert_eq!(paths(&config), [""; 0]);
    let config = read(r#"{"servers": [{"host": "127.0.0.1", "tls": false}]}"#);
    assert_eq!(config.servers[0].port(), 6667);
    assert_eq!(paths(&IrcConfig::for_server("127.0.0.1", 6667)), [""; 0]);
}

#[test]
fn servers_and_channels_may_be_written_short() {
    let text = r##"{"servers": ["ircs://irc.example.org", "irc://[::1]:6668/", "irc://[::1]"], "channels": ["#A", {"channel": "#b", "room": "!r:x"}]}"##;
    let config = read(text);
    let servers: Vec<_> =
        config.servers.iter().map(|server| (server.host.as_str(), server.port(), server.tls.enabled)).collect();
    assert_eq!(servers, [("irc.example.org", 6697, true), ("::1", 6668, false), ("::1", 6667, false)]);
    let rooms: Vec<_> = config.rooms().collect();
    assert_eq!(rooms, [(IrcRoom::channel("#a").unwrap(), None), (IrcRoom::channel("#b").unwrap(), Some("!r:x"))]);
    for wrong in
        [r#"{"servers": ["irc.example.org"]}"#, r#"{"servers": ["https://x"]}"#, r#"{"servers": ["irc://x:y"]}"#]
    {
        let error = serde_json::from_str::<IrcConfig>(wrong).unwrap_err().to_string();
        assert!(error.contains("expected a server"), "{error}");
    }
    let error = serde_json::from_str::<IrcConfig>(r#"{"servers": [{"host": "x", "tls": {"cea": 1}}]}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("cea"), "{error}");
}

#[test]
fn every_fault_is_found_at_once() {
    let config = read(
        r##"{
            "servers": [{"host": "irc://x/", "port": 0, "tls": {"ca": "/nonexistent/ca.pem"}}],
            "password": "a\nb",
            "bot": {"nick": "1 x", "username": "a b", "realname": "x\ry", "sasl": {"mechanism": "plain"}},
            "puppets": {"nick": "bridge", "realname": "somebody"},
            "channels": [
                {"channel": "lobby", "room": "nowhere"},
                {"channel": "#a", "room": "#a:example.org"},
                {"channel": "#A", "room": "#a:example.org"}
            ],
            "portals": {"allow": ["#a,#b"]},
            "flood": {"burst": 0},
            "lines": {"max": 0}
        }"##,
    );
    assert_eq!(
        paths(&config),
        [
            "irc.servers[0].host",
            "irc.servers[0].port",
            "irc.servers[0].tls.ca",
            "irc.password",
            "irc.bot.nick",
            "irc.bot.username",
            "irc.bot.realname",
            "irc.bot.sasl.account",
            "irc.bot.sasl.password",
            "irc.puppets.nick",
            "irc.puppets.realname",
            "irc.channels[0].room",
            "irc.channels[0].channel",
            "irc.channels[2].channel",
            "irc.portals.allow[0]",
            "irc.flood.burst",
            "irc.lines.max",
        ]
    );
    assert!(config.issues().iter().all(|issue| !issue.problem.is_empty() && !issue.fix.is_empty()));
}

#[test]
fn unknown_keys_are_refused() {
    let error = serde_json::from_str::<IrcConfig>(r#"{"servers": [], "chanels": []}"#).unwrap_err().to_string();
    assert!(error.contains("chanels"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let config = read(
        r#"{"servers": [], "password": "hunter2", "bot": {"sasl": {"mechanism": "plain", "password": "hunter3"}}}"#,
    );
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn patterns_decide_which_channels_become_portals() {
    let portals =
        Portals { allow: vec!["#Rust*".into(), "##*-dev".into()], deny: vec!["*secret*".into()], ..Portals::default() };
    for (channel, allowed) in [
        ("#rust", true),
        ("#rust-beginners", true),
        ("##x-dev", true),
        ("##x", false),
        ("#rust-secret-x", false),
        ("#go", false),
    ] {
        assert_eq!(portals.allows(channel), allowed, "{channel}");
    }
    assert!(!Portals { enabled: false, ..Portals::default() }.allows("#rust"));
    for (pattern, text, expected) in [
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*", "", true),
        ("a*b*c", "axbxbxc", true),
        ("a*b*b", "ab", false),
        ("**a**", "xax", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
