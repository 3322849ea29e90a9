//! ejabberd: rooms with archives, uploads, and a component for the bridge.

use std::{fs, net::SocketAddr, os::unix::fs::chown, path::Path, process::Command};

use super::Certificates;
use crate::{
    files::{self, Workdir},
    ports::Port,
    process::{Process, give_up_root, root_may_become},
};

/// A running ejabberd: users of `ej.test`, rooms of `muc.ej.test`, the component `matrix.ej.test`.
#[derive(Debug)]
pub struct Ejabberd {
    process: Process,
    clients: Port,
    component: Port,
    distribution: Port,
    _http: Port,
    dir: Workdir,
}

impl Ejabberd {
    /// Starts it and waits until it answers.
    pub async fn start() -> Self {
        let dir = Workdir::new("ejabberd");
        let (clients, component, http, distribution) = (Port::free(), Port::free(), Port::free(), Port::free());
        let certificates = Certificates::new();
        dir.write("both.pem", &format!("{}{}", certificates.certificate, certificates.key));
        let folder = dir.path().display().to_string();
        let (c2s, to_component, web) = (clients.text(), component.text(), http.text());
        let values = [
            ("DIR", folder.as_str()),
            ("C2S", c2s.as_str()),
            ("COMPONENT", to_component.as_str()),
            ("HTTP", web.as_str()),
        ];
        dir.write("ejabberd.yml", &files::template("servers/ejabberd.yml", &values));
        for name in ["log", "db", "upload"] {
            dir.folder(name);
        }
        give(dir.path());
        let process = spawn(&dir, &distribution);
        let mut server = Self { process, clients, component, distribution, _http: http, dir };
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

    /// Starts it again on the same ports after [`Ejabberd::kill`].
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.dir, &self.distribution);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.clients.address()).await;
        self.process.accepts(self.component.address()).await;
    }
}

/// Erlang itself, so that there is one process to end. It listens for no other node, so no daemon is left behind.
fn spawn(dir: &Workdir, distribution: &Port) -> Process {
    let _ = distribution;
    let path = dir.path();
    let mut command = Command::new("erl");
    command.current_dir(path).env("HOME", path).env("EJABBERD_CONFIG_PATH", path.join("ejabberd.yml"));
    command.env("EJABBERD_LOG_PATH", path.join("log/ejabberd.log")).env("EJABBERD_PID_PATH", path.join("pid"));
    let root = code();
    command.args(["-noinput", "-noshell", "-pa", &root, "-mnesia", "dir"]);
    command.arg(format!("\"{}\"", path.join("db").display()));
    command.args(["-s", "ejabberd"]);
    give_up_root(&mut command, "ejabberd");
    Process::start("ejabberd", command, &path.join("ejabberd.log"))
}

/// Debian keeps the code in a folder that bears the version.
fn code() -> String {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut found: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.join("ebin/ejabberd.app").exists()).collect();
    found.sort();
    found.pop().expect("ejabberd is installed").join("ebin").display().to_string()
}

fn give(folder: &Path) {
    let Some((uid, gid)) = root_may_become("ejabberd") else { return };
    let _ = chown(folder, Some(uid), Some(gid));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = chown(entry.path(), Some(uid), Some(gid));
    }
}
