//! Prosody: rooms with archives, uploads, and a component for the bridge.

use std::{net::SocketAddr, process::Command};

use super::Certificates;
use crate::{
    files::{self, Workdir},
    ports::Port,
    process::Process,
};

/// A running Prosody: users of `xmpp.test`, rooms of `muc.xmpp.test`, the component `matrix.xmpp.test`.
#[derive(Debug)]
pub struct Prosody {
    process: Process,
    clients: Port,
    component: Port,
    _http: Port,
    dir: Workdir,
}

impl Prosody {
    /// Starts it and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with("kick_old", r#""muc_mam"; "vcard_muc"; "muc_moderation""#).await
    }

    /// Starts it without archives of rooms.
    pub async fn start_without_archive() -> Self {
        Self::start_with("kick_old", r#""vcard_muc""#).await
    }

    /// Starts it as it comes: it refuses a second link, takes small stanzas only, and lets the component store nothing.
    pub async fn start_strict() -> Self {
        Self::start_as("kick_new", r#""muc_mam""#, "16*1024", r#""xmpp.test""#).await
    }

    async fn start_with(conflict: &str, muc_modules: &str) -> Self {
        Self::start_as(conflict, muc_modules, "1024*1024", r#""matrix.xmpp.test", "xmpp.test""#).await
    }

    async fn start_as(conflict: &str, muc_modules: &str, limit: &str, may_upload: &str) -> Self {
        let dir = Workdir::new("prosody");
        let (clients, component, http) = (Port::free(), Port::free(), Port::free());
        dir.folder("data");
        Certificates::new().write(dir.path());
        let folder = dir.path().display().to_string();
        let (c2s, to_component, web) = (clients.text(), component.text(), http.text());
        let values = [
            ("DIR", folder.as_str()),
            ("C2S", c2s.as_str()),
            ("COMPONENT", to_component.as_str()),
            ("HTTP", web.as_str()),
            ("CONFLICT", conflict),
            ("STORAGE", r#""internal""#),
            ("MUC_MODULES", muc_modules),
            ("LIMIT", limit),
            ("UPLOADERS", may_upload),
        ];
        dir.write("prosody.cfg.lua", &files::template("servers/prosody.cfg.lua", &values));
        let process = spawn(&dir);
        let mut server = Self { process, clients, component, _http: http, dir };
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

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports after [`Prosody::kill`].
    pub async fn start_again(&mut self) {
        let _ = std::fs::remove_file(self.dir.path().join("prosody.pid"));
        self.process = spawn(&self.dir);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.clients.address()).await;
        self.process.accepts(self.component.address()).await;
    }
}

fn spawn(dir: &Workdir) -> Process {
    let mut command = Command::new("/usr/bin/prosody");
    command.arg("--config").arg(dir.path().join("prosody.cfg.lua")).arg("-F");
    Process::start("prosody", command, &dir.path().join("prosody.log"))
}
