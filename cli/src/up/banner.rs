//! What `up` says when it is up.

use std::{fmt, net::SocketAddr, path::Path};

use ruma::ServerName;

/// Everything that a newcomer needs to know.
pub(super) struct Banner<'a> {
    pub(super) listen: SocketAddr,
    pub(super) server_name: &'a ServerName,
    pub(super) data: &'a Path,
    pub(super) irc: Option<IrcBanner>,
}

/// What is said of the bridge.
pub(super) struct IrcBanner {
    /// The server, as host:port.
    pub(super) server: String,
    /// The bridge's own nick.
    pub(super) nick: String,
    /// Each channel with the alias of its room.
    pub(super) rooms: Vec<(String, String)>,
    /// The alias of any channel, to show how they are made.
    pub(super) any_alias: String,
}

/// What a client sends to make a user.
const REGISTER: &str = r#"{"username": "alice", "password": "secret", "auth": {"type": "m.login.dummy"}}"#;

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, server_name, data, irc } = self;
        writeln!(f, "Landbridge {} is up.\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  Matrix       http://{listen}, server name {server_name}")?;
        writeln!(f, "  Make a user  register at that address with a Matrix client, any name and password; or:")?;
        writeln!(f, "               curl http://{listen}/_matrix/client/v3/register \\")?;
        writeln!(f, "                 -d '{REGISTER}'")?;
        match irc {
            Some(irc) => irc.fmt(f)?,
            None => {
                writeln!(f, "  IRC          none yet. To add a network, stop and start again with, for example:")?;
                writeln!(f, "               --irc irc.example.org:6667 --channel '#lobby'")?;
            }
        }
        writeln!(f, "  Data         {}\n", data.display())?;
        write!(f, "Ctrl-C stops it; the same command carries on where it stopped.")
    }
}

impl fmt::Display for IrcBanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  IRC          {}, as {}", self.server, self.nick)?;
        for (channel, alias) in &self.rooms {
            writeln!(f, "  Join         {alias} to talk in {channel}")?;
        }
        let other = if self.rooms.is_empty() { "a channel" } else { "any other channel" };
        writeln!(f, "               {} to talk in {other}", self.any_alias)
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn banner(irc: Option<IrcBanner>) -> String {
        let listen = "127.0.0.1:8008".parse().unwrap();
        Banner { listen, server_name: server_name!("localhost"), data: Path::new("landbridge-data"), irc }.to_string()
    }

    #[test]
    fn a_newcomer_is_told_what_to_do() {
        let text = banner(Some(IrcBanner {
            server: "127.0.0.1:6667".to_owned(),
            nick: "landbridge".to_owned(),
            rooms: vec![("#lobby".to_owned(), "#irc_#lobby:localhost".to_owned())],
            any_alias: "#irc_#channel:localhost".to_owned(),
        }));
        for told in [
            "http://127.0.0.1:8008",
            "register",
            "#irc_#lobby:localhost",
            "127.0.0.1:6667",
            "landbridge-data",
            "Ctrl-C",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }

    #[test]
    fn without_a_network_it_says_how_to_add_one() {
        assert!(banner(None).contains("--irc irc.example.org:6667 --channel '#lobby'"));
    }
}
