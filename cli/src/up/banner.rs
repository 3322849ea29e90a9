//! What `up` says when it is up.

use std::{fmt, net::SocketAddr, path::Path};

use ruma::ServerName;

/// Everything that a newcomer needs to know.
pub(super) struct Banner<'a> {
    pub(super) listen: SocketAddr,
    pub(super) server_name: &'a ServerName,
    pub(super) data: &'a Path,
    pub(super) bridges: Vec<BridgeBanner>,
}

/// What is said of a bridge.
#[derive(Clone)]
pub(super) struct BridgeBanner {
    /// The network.
    pub(super) network: &'static str,
    /// The server, as host:port.
    pub(super) server: String,
    /// What the bridge is called there.
    pub(super) name: String,
    /// Each room that was asked for, with the alias of its room in Matrix.
    pub(super) rooms: Vec<(String, String)>,
    /// What a room is called there, and the alias of any, to show how they are made.
    pub(super) any: (&'static str, String),
}

/// What a client sends to make a user.
const REGISTER: &str = r#"{"username": "alice", "password": "secret", "auth": {"type": "m.login.dummy"}}"#;

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, server_name, data, bridges } = self;
        writeln!(f, "Landbridge {} is up.\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  Matrix       http://{listen}, server name {server_name}")?;
        writeln!(f, "  Make a user  register at that address with a Matrix client, any name and password; or:")?;
        writeln!(f, "               curl http://{listen}/_matrix/client/v3/register \\")?;
        writeln!(f, "                 -d '{REGISTER}'")?;
        for bridge in bridges {
            bridge.fmt(f)?;
        }
        if bridges.is_empty() {
            writeln!(f, "  IRC          none yet. To add a network, stop and start again with, for example:")?;
            writeln!(f, "               --irc irc.example.org:6667 --channel '#lobby'")?;
        }
        writeln!(f, "  Data         {}\n", data.display())?;
        write!(f, "Ctrl-C stops it; the same command carries on where it stopped.")
    }
}

impl fmt::Display for BridgeBanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<12} {}, as {}", self.network, self.server, self.name)?;
        for (room, alias) in &self.rooms {
            writeln!(f, "  Join         {alias} to talk in {room}")?;
        }
        let (room, alias) = &self.any;
        let other = if self.rooms.is_empty() { "a" } else { "any other" };
        writeln!(f, "               {alias} to talk in {other} {room}")
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn banner(bridges: Vec<BridgeBanner>) -> String {
        let listen = "127.0.0.1:8008".parse().unwrap();
        Banner { listen, server_name: server_name!("localhost"), data: Path::new("landbridge-data"), bridges }
            .to_string()
    }

    #[test]
    fn a_newcomer_is_told_what_to_do() {
        let irc = BridgeBanner {
            network: "IRC",
            server: "127.0.0.1:6667".to_owned(),
            name: "landbridge".to_owned(),
            rooms: vec![("#lobby".to_owned(), "#irc_#lobby:localhost".to_owned())],
            any: ("channel", "#irc_#channel:localhost".to_owned()),
        };
        let xmpp = BridgeBanner { network: "XMPP", server: "127.0.0.1:5347".to_owned(), ..irc.clone() };
        let text = banner(vec![irc, xmpp]);
        for told in [
            "http://127.0.0.1:8008",
            "register",
            "#irc_#lobby:localhost",
            "  IRC          127.0.0.1:6667, as landbridge",
            "any other channel",
            "  XMPP         127.0.0.1:5347",
            "landbridge-data",
            "Ctrl-C",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }

    #[test]
    fn without_a_network_it_says_how_to_add_one() {
        assert!(banner(Vec::new()).contains("--irc irc.example.org:6667 --channel '#lobby'"));
    }
}
