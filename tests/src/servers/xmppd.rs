//! An XMPP server of either kind.

use std::net::SocketAddr;

use super::{Ejabberd, Prosody};

/// A running XMPP server of either kind.
#[derive(Debug)]
pub enum Xmppd {
    /// Prosody.
    Prosody(Prosody),
    /// ejabberd.
    Ejabberd(Ejabberd),
}

impl Xmppd {
    /// Where clients connect.
    pub fn clients(&self) -> SocketAddr {
        match self {
            Self::Prosody(server) => server.clients(),
            Self::Ejabberd(server) => server.clients(),
        }
    }

    /// Where components connect.
    pub fn component(&self) -> SocketAddr {
        match self {
            Self::Prosody(server) => server.component(),
            Self::Ejabberd(server) => server.component(),
        }
    }

    /// The domain of its users.
    pub fn domain(&self) -> &'static str {
        match self {
            Self::Prosody(_) => "xmpp.test",
            Self::Ejabberd(_) => "ej.test",
        }
    }

    /// The address of a room.
    pub fn room(&self, name: &str) -> String {
        format!("{name}@muc.{}", self.domain())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        match self {
            Self::Prosody(server) => server.kill(),
            Self::Ejabberd(server) => server.kill(),
        }
    }

    /// Starts it again on the same ports.
    pub async fn start_again(&mut self) {
        match self {
            Self::Prosody(server) => server.start_again().await,
            Self::Ejabberd(server) => server.start_again().await,
        }
    }
}
