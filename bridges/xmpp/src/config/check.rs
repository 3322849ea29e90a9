//! What can be wrong with the `xmpp:` section.

use landbridge::network::ConfigIssue;

use super::XmppConfig;
use crate::{convert::ids::XmppRoom, jid::Jid, muc::nick};

pub(super) fn issues(config: &XmppConfig) -> Vec<ConfigIssue> {
    let mut issues = Issues(Vec::new());
    let component = &config.component;
    let domain = Jid::parse(&component.domain);
    if domain.is_none_or(|jid| jid.as_str() != component.domain || jid.node().is_some() || !jid.is_bare()) {
        issues.fatal(
            "component.domain",
            "this is no domain",
            "write the component's domain in small letters (`matrix.example.org`)",
        );
    }
    if component.secret.0.is_empty() {
        issues.fatal("component.secret", "it is empty", "write the secret that the XMPP server has for the component");
    } else if component.secret.0.len() < 8 {
        issues.warning(
            "component.secret",
            "it is short",
            "whoever guesses it can speak for everybody: use 16 characters or more",
        );
    }
    if component.host.is_empty() || component.host.contains(|c: char| c.is_whitespace() || c == '/') {
        issues.fatal("component.host", "this is no host", "write a host name or an address, without a scheme");
    }
    if component.port == 0 {
        issues.fatal("component.port", "there is no port 0", "write the server's port for components, usually 5347");
    }
    if !(10_000..=64 << 20).contains(&component.max_stanza_bytes) {
        issues.fatal(
            "component.max_stanza_bytes",
            "it is out of range",
            "write a number from 10000 to 67108864, at most the server's own limit",
        );
    }
    if nick::clean(&config.bot.nick) != config.bot.nick || config.bot.nick.is_empty() {
        issues.fatal(
            "bot.nick",
            "servers do not take this nick",
            "write letters, digits and simple punctuation, without emoji",
        );
    }
    if config.rooms.check_every.0.is_zero() {
        issues.fatal("rooms.check_every", "it is no time", "write how long to wait, such as 12m");
    }
    check_rooms(config, &mut issues);
    if let Some(service) = &config.media.upload_service
        && Jid::parse(service).is_none_or(|jid| !jid.is_bare())
    {
        issues.fatal(
            "media.upload_service",
            "this is no address",
            "write the domain of the upload service, or leave it out",
        );
    }
    issues.0
}

fn check_rooms(config: &XmppConfig, issues: &mut Issues) {
    let mut seen = Vec::new();
    for (number, bridged) in config.rooms.bridged.iter().enumerate() {
        let path = format!("rooms.bridged[{number}].jid");
        let Some(XmppRoom::Muc(jid)) = XmppRoom::muc(&bridged.jid) else {
            issues.fatal(&path, "this is no room's address", "write `room@service`, without a nick");
            continue;
        };
        if jid.domain() == config.component.domain {
            issues.fatal(&path, "this is the bridge itself", "write a room of another service");
        }
        if seen.contains(&jid) {
            issues.fatal(&path, "it is bridged already", "take one of the two entries away");
        }
        seen.push(jid);
    }
    for (path, patterns) in [("rooms.allow", &config.rooms.allow), ("rooms.deny", &config.rooms.deny)] {
        for (number, pattern) in patterns.iter().enumerate() {
            if pattern.is_empty() || pattern.contains(char::is_whitespace) {
                issues.fatal(
                    &format!("{path}[{number}]"),
                    "no room is of this form",
                    "write a room or a service; `*` stands for anything",
                );
            }
        }
    }
}

/// The faults so far; paths are below `xmpp`.
struct Issues(Vec<ConfigIssue>);

impl Issues {
    fn fatal(&mut self, path: &str, problem: &str, fix: &str) {
        self.0.push(ConfigIssue::fatal(format!("xmpp.{path}"), problem, fix));
    }

    fn warning(&mut self, path: &str, problem: &str, fix: &str) {
        self.0.push(ConfigIssue::warning(format!("xmpp.{path}"), problem, fix));
    }
}
