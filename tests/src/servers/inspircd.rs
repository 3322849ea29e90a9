//! InspIRCd: the IRCv3 server, with history, and services beside it ([`crate::Atheme`]).

use std::{
    net::SocketAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    files::{self, Workdir},
    ports::Port,
    process::{self, Process},
    servers::Certificates,
};

/// A running InspIRCd.
#[derive(Debug)]
pub struct Inspircd {
    process: Process,
    port: Port,
    tls_port: Port,
    link_port: Port,
    dir: Workdir,
}

impl Inspircd {
    /// Starts it and waits until it accepts clients.
    pub async fn start() -> Self {
        let accepts =
            r#"<link name="irc2.insp.test" ipaddr="127.0.0.1" allowmask="127.0.0.1/8" sendpass="s2s" recvpass="s2s">"#;
        Self::start_as("irc.insp.test", "97K", accepts).await
    }

    /// Starts a second server of the network, which links to this one by itself.
    pub async fn start_second(&self) -> Self {
        let link = format!(
            r#"<link name="irc.insp.test" ipaddr="127.0.0.1" port="{}" allowmask="127.0.0.1/8" sendpass="s2s" recvpass="s2s">
<autoconnect period="2s" server="irc.insp.test">"#,
            self.link_port.number()
        );
        Self::start_as("irc2.insp.test", "98K", &link).await
    }

    async fn start_as(name: &str, id: &str, link: &str) -> Self {
        let dir = Workdir::new("inspircd");
        let (port, tls_port, link_port) = (Port::free(), Port::free(), Port::free());
        for folder in ["data", "logs", "run"] {
            let folder = dir.folder(folder);
            give(&folder);
        }
        Certificates::new().write(dir.path());
        let folder = dir.path().display().to_string();
        let (plain, tls, server) = (port.text(), tls_port.text(), link_port.text());
        let values = [
            ("DIR", folder.as_str()),
            ("PORT", plain.as_str()),
            ("TLS_PORT", tls.as_str()),
            ("LINK_PORT", server.as_str()),
            ("MODULES", modules()),
            ("NAME", name),
            ("ID", id),
            ("LINK", link),
        ];
        dir.write("inspircd.conf", &files::template("servers/inspircd.conf", &values));
        let process = spawn(&dir);
        let mut server = Self { process, port, tls_port, link_port, dir };
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

    /// Where services and other servers link.
    pub fn link_address(&self) -> SocketAddr {
        self.link_port.address()
    }

    /// The certificate authority to trust for [`Inspircd::tls_address`].
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Kills it: every connection breaks, and the channels are gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports after [`Inspircd::kill`].
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.dir);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.port.address()).await;
    }
}

fn spawn(dir: &Workdir) -> Process {
    let mut command = Command::new("/usr/sbin/inspircd");
    command.args(["--nofork", "--runasroot", "--config"]).arg(dir.path().join("inspircd.conf"));
    Process::start("inspircd", command, &dir.path().join("inspircd.log"))
}

fn give(folder: &Path) {
    if let Some((uid, gid)) = process::root_may_become("irc") {
        let _ = chown(folder, Some(uid), Some(gid));
    }
}

/// Debian keeps the modules in a folder that depends on the architecture in some releases.
fn modules() -> &'static str {
    ["/usr/lib/inspircd/modules", "/usr/lib/x86_64-linux-gnu/inspircd", "/usr/lib/aarch64-linux-gnu/inspircd"]
        .into_iter()
        .find(|folder| Path::new(folder).is_dir())
        .expect("InspIRCd's modules are installed")
}
