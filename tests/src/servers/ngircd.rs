//! ngIRCd: an old-fashioned server, with no tags and no SASL.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{
    files::{self, Workdir},
    ports::Port,
    process::{self, Process},
    servers::Certificates,
};

/// A running ngIRCd.
#[derive(Debug)]
pub struct Ngircd {
    process: Process,
    port: Port,
    tls_port: Port,
    dir: Workdir,
}

impl Ngircd {
    /// Starts it and waits until it accepts clients.
    pub async fn start() -> Self {
        let (dir, port, tls_port) = (Workdir::new("ngircd"), Port::free(), Port::free());
        Certificates::new().write(dir.path());
        let user = if process::is_root() { "ServerUID = irc\n\tServerGID = irc" } else { "" };
        let folder = dir.path().display().to_string();
        let (plain, tls) = (port.text(), tls_port.text());
        let values = [("DIR", folder.as_str()), ("PORT", plain.as_str()), ("TLS_PORT", tls.as_str()), ("USER", user)];
        dir.write("ngircd.conf", &files::template("servers/ngircd.conf", &values));
        let process = spawn(&dir);
        let mut server = Self { process, port, tls_port, dir };
        server.ready().await;
        server
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where clients connect with TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_port.address()
    }

    /// The certificate authority to trust for [`Ngircd::tls_address`].
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Kills it: every connection breaks.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports after [`Ngircd::kill`].
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.dir);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.port.address()).await;
    }
}

fn spawn(dir: &Workdir) -> Process {
    let mut command = Command::new("/usr/sbin/ngircd");
    command.arg("-n").arg("-f").arg(dir.path().join("ngircd.conf"));
    Process::start("ngircd", command, &dir.path().join("ngircd.log"))
}
