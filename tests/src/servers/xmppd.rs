//! An XMPP server of any kind, with users, rooms and a component for the bridge.

use std::net::SocketAddr;

use crate::{
    files::{self, Workdir},
    ports::Port,
    process::Process,
};

/// A running XMPP server: users of its domain, rooms of `muc.` and uploads at `upload.` below it, the component `matrix.`.
#[derive(Debug)]
pub struct Xmppd {
    process: Process,
    clients: Port,
    component: Port,
    http: Port,
    domain: &'static str,
    dir: Workdir,
    spawn: fn(&Workdir) -> Process,
}

impl Xmppd {
    /// Writes the configuration `config` of a server into its folder, filled in with ports, folder and `values`; then starts it and
    /// waits until it answers.
    pub(super) async fn run(
        domain: &'static str,
        dir: Workdir,
        config: &str,
        values: &[(&str, &str)],
        spawn: fn(&Workdir) -> Process,
    ) -> Self {
        let (clients, component, http) = (Port::free(), Port::free(), Port::free());
        let folder = dir.path().display().to_string();
        let (c2s, to_component, web) = (clients.text(), component.text(), http.text());
        let own = [
            ("DIR", folder.as_str()),
            ("C2S", c2s.as_str()),
            ("COMPONENT", to_component.as_str()),
            ("HTTP", web.as_str()),
        ];
        let values: Vec<_> = own.iter().chain(values).copied().collect();
        dir.write(config, &files::template(&format!("servers/{config}"), &values));
        let process = spawn(&dir);
        let mut server = Self { process, clients, component, http, domain, dir, spawn };
        server.ready().await;
        server
    }

    /// Where clients connect.
    pub fn clients(&self) -> SocketAddr {
        self.clients.address()
    }

    /// Where components connect.
    pub fn component(&self) -> SocketAddr {
        self.component.address()
    }

    /// Where files are stored and fetched.
    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    /// The domain of its users.
    pub fn domain(&self) -> &'static str {
        self.domain
    }

    /// The address of a room.
    pub fn room(&self, name: &str) -> String {
        format!("{name}@muc.{}", self.domain)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports after [`Xmppd::kill`].
    pub async fn start_again(&mut self) {
        self.process = (self.spawn)(&self.dir);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.clients.address()).await;
        self.process.accepts(self.component.address()).await;
    }
}
