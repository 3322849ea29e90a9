//! Finds every fault of the section, each with its path and its fix.

use landbridge::network::ConfigIssue;
use ruma::{RoomAliasId, RoomId};

use super::{IrcConfig, Plumbed, Sasl, SaslMechanism, Server};
use crate::{
    convert::ids::IrcRoom,
    message::{IrcText, Nick},
};

impl IrcConfig {
    /// Every fault, in the order of the file.
    pub fn issues(&self) -> Vec<ConfigIssue> {
        let mut issues = Issues(Vec::new());
        self.check_servers(&mut issues);
        self.check_bot(&mut issues);
        self.check_puppets(&mut issues);
        self.check_channels(&mut issues);
        self.check_numbers(&mut issues);
        issues.0
    }

    fn check_servers(&self, issues: &mut Issues) {
        if self.servers.is_empty() {
            issues.fatal(
                "servers",
                "there is no server to connect to",
                "add one: `servers: [{host: irc.example.org}]`",
            );
        }
        for (number, server) in self.servers.iter().enumerate() {
            check_server(server, &format!("servers[{number}]"), issues);
        }
        let any_open = self.servers.iter().any(|server| !server.tls.enabled);
        if any_open && self.password.as_ref().is_some_and(|password| !password.0.is_empty()) {
            issues.warning(
                "password",
                "a server without TLS will see it in the clear",
                "set `tls: true` where the server offers it",
            );
        }
        check_text(self.password.as_ref().map(|secret| secret.0.as_str()), "password", issues);
    }

    fn check_bot(&self, issues: &mut Issues) {
        if Nick::new(&self.bot.nick).is_err() || !self.bot.nick.starts_with(|c: char| !c.is_ascii_digit() && c != '-') {
            issues.fatal(
                "bot.nick",
                "this is no nick",
                "write letters, digits and []\\`_^{|}-, and begin with no digit and no hyphen",
            );
        }
        if self.bot.username.is_empty() || self.bot.username.contains([' ', '@', '!', ':']) {
            issues.fatal("bot.username", "this is no user name", "write one word of at most 9 letters and digits");
        }
        check_text(Some(&self.bot.username), "bot.username", issues);
        check_text(Some(&self.bot.realname), "bot.realname", issues);
        if let Some(sasl) = &self.bot.sasl {
            self.check_sasl(sasl, issues);
        }
    }

    fn check_sasl(&self, sasl: &Sasl, issues: &mut Issues) {
        match sasl.mechanism {
            SaslMechanism::Plain => {
                if sasl.account.as_deref().is_none_or(str::is_empty) {
                    issues.fatal(
                        "bot.sasl.account",
                        "the mechanism plain needs an account",
                        "add the name of the account",
                    );
                }
                if sasl.password.is_none() {
                    issues.fatal(
                        "bot.sasl.password",
                        "the mechanism plain needs a password",
                        "add the password of the account",
                    );
                }
                if self.servers.iter().any(|server| !server.tls.enabled) {
                    issues.warning(
                        "bot.sasl.password",
                        "a server without TLS will see it in the clear",
                        "set `tls: true` for every server",
                    );
                }
            }
            SaslMechanism::External => {
                for (number, server) in self.servers.iter().enumerate() {
                    if server.tls.certificate.is_none() || !server.tls.enabled {
                        issues.fatal(
                            &format!("servers[{number}].tls.certificate"),
                            "the mechanism external needs a certificate",
                            "name a file with certificate and key in PEM",
                        );
                    }
                }
            }
        }
        check_text(sasl.account.as_deref(), "bot.sasl.account", issues);
        check_text(sasl.password.as_ref().map(|secret| secret.0.as_str()), "bot.sasl.password", issues);
    }

    fn check_puppets(&self, issues: &mut Issues) {
        if self.puppets.nick.matches("{name}").count() != 1 {
            issues.fatal(
                "puppets.nick",
                "every user would have the same nick",
                "write `{name}` once, with something around it or not",
            );
        }
        check_text(Some(&self.puppets.realname), "puppets.realname", issues);
        if !self.puppets.realname.contains("{user_id}") {
            issues.warning(
                "puppets.realname",
                "operators cannot see who stands behind a connection",
                "write `{user_id}` in it; many networks ask for it",
            );
        }
    }

    fn check_channels(&self, issues: &mut Issues) {
        let mut seen: Vec<(IrcRoom, Option<&str>)> = Vec::new();
        for (number, plumbed) in self.channels.iter().enumerate() {
            let path = format!("channels[{number}]");
            check_text(plumbed.key.as_ref().map(|secret| secret.0.as_str()), &format!("{path}.key"), issues);
            check_room(plumbed, &path, issues);
            let Some(room) = IrcRoom::channel(&plumbed.channel) else {
                issues.fatal(
                    &format!("{path}.channel"),
                    "this is no channel",
                    "begin with #, &, + or ! and put quotes around it; no space and no comma inside",
                );
                continue;
            };
            if seen.iter().any(|(other, to)| *other == room && *to == plumbed.room.as_deref()) {
                issues.fatal(
                    &format!("{path}.channel"),
                    "it is bridged to this room already",
                    "take one of the two entries away",
                );
            }
            seen.push((room, plumbed.room.as_deref()));
        }
        for (path, patterns) in [("portals.allow", &self.portals.allow), ("portals.deny", &self.portals.deny)] {
            for (number, pattern) in patterns.iter().enumerate() {
                if pattern.is_empty() || pattern.contains([' ', ',']) {
                    issues.fatal(
                        &format!("{path}[{number}]"),
                        "no channel is of this form",
                        "write a channel; `*` stands for anything",
                    );
                }
            }
        }
    }

    fn check_numbers(&self, issues: &mut Issues) {
        let mut range = |path: &str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                issues.fatal(
                    path,
                    &format!("{value} is out of range"),
                    &format!("write a number from {least} to {most}"),
                );
            }
        };
        range("flood.burst", self.flood.burst.into(), 1, 1000);
        range("flood.line_milliseconds", self.flood.line_milliseconds.into(), 1, 60_000);
        range("lines.max", self.lines.max as u64, 1, 200);
        range("lines.quote", self.lines.quote as u64, 0, 200);
        range("mentions.min_length", self.mentions.min_length as u64, 1, 100);
        range("mentions.max", self.mentions.max as u64, 0, 100);
    }
}

fn check_server(server: &Server, path: &str, issues: &mut Issues) {
    if server.host.is_empty() || server.host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        issues.fatal(&format!("{path}.host"), "this is no host", "write a host name or an address, without a scheme");
    }
    if server.port == Some(0) {
        issues.fatal(&format!("{path}.port"), "there is no port 0", "write the server's port, or leave it out");
    }
    if server.tls.accept_any_certificate && server.tls.enabled {
        issues.warning(
            &format!("{path}.tls.accept_any_certificate"),
            "whoever is in between can read everything",
            "name the certificate that signs the server's in `ca` instead",
        );
    }
    let files = [("ca", &server.tls.ca), ("certificate", &server.tls.certificate), ("key", &server.tls.key)];
    for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?))) {
        if !server.tls.enabled {
            issues.warning(
                &format!("{path}.tls.{key}"),
                "TLS is off, so that it has no effect",
                "take it away, or set `enabled: true`",
            );
        } else if !file.is_file() {
            issues.fatal(&format!("{path}.tls.{key}"), "there is no such file", "name a file that can be read");
        }
    }
}

fn check_room(plumbed: &Plumbed, path: &str, issues: &mut Issues) {
    let Some(room) = &plumbed.room else { return };
    let valid = if room.starts_with('#') { RoomAliasId::parse(room).is_ok() } else { RoomId::parse(room).is_ok() };
    if !valid {
        issues.fatal(
            &format!("{path}.room"),
            "this is no Matrix room",
            "write an id (`!abc:example.org`) or an alias (`#room:example.org`)",
        );
    }
}

fn check_text(text: Option<&str>, path: &str, issues: &mut Issues) {
    if text.is_some_and(|text| IrcText::new(text).is_err()) {
        issues.fatal(path, "a line break or NUL cannot be sent", "write it on one line");
    }
}

/// The faults so far; paths are below `irc`.
struct Issues(Vec<ConfigIssue>);

impl Issues {
    fn fatal(&mut self, path: &str, problem: &str, fix: &str) {
        self.0.push(ConfigIssue::fatal(format!("irc.{path}"), problem, fix));
    }

    fn warning(&mut self, path: &str, problem: &str, fix: &str) {
        self.0.push(ConfigIssue::warning(format!("irc.{path}"), problem, fix));
    }
}
