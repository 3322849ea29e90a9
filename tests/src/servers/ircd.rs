//! What the real IRC servers have in common.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    files::{self, Workdir},
    ports::Port,
    process::Process,
    servers::Certificates,
};

/// A running IRC server with a configuration, a certificate and a folder of its own.
#[derive(Debug)]
pub struct Ircd {
    name: &'static str,
    command: fn(&Path) -> Command,
    process: Process,
    port: Port,
    tls_port: Port,
    dir: Workdir,
}

impl Ircd {
    /// Starts it in `dir` and waits until it accepts clients. Its configuration is made of `servers/NAME.conf`, with these values
    /// besides the folder's and the ports'.
    pub(super) async fn start(
        name: &'static str,
        dir: Workdir,
        values: &[(&str, &str)],
        command: fn(&Path) -> Command,
    ) -> Self {
        let (port, tls_port) = (Port::free(), Port::free());
        Certificates::new().write(dir.path());
        let folder = dir.path().display().to_string();
        let (plain, tls) = (port.text(), tls_port.text());
        let own = [("DIR", folder.as_str()), ("PORT", plain.as_str()), ("TLS_PORT", tls.as_str())];
        let values: Vec<_> = own.into_iter().chain(values.iter().copied()).collect();
        dir.write(&format!("{name}.conf"), &files::template(&format!("servers/{name}.conf"), &values));
        let process = spawn(name, command, &dir);
        let mut server = Self { name, command, process, port, tls_port, dir };
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

    /// The certificate authority to trust for [`Ircd::tls_address`].
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Kills it: every connection breaks.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports after [`Ircd::kill`].
    pub async fn start_again(&mut self) {
        self.process = spawn(self.name, self.command, &self.dir);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.port.address()).await;
    }
}

fn spawn(name: &str, command: fn(&Path) -> Command, dir: &Workdir) -> Process {
    let mut command = command(&dir.path().join(format!("{name}.conf")));
    // A server that crashes leaves its traces there, too.
    command.current_dir(dir.path());
    Process::start(name, command, &dir.path().join(format!("{name}.log")))
}
