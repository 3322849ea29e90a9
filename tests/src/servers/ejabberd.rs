//! ejabberd: rooms with archives, uploads, and a component for the bridge.

use std::{fs, os::unix::fs::chown, path::Path, process::Command};

use super::{Certificates, Xmppd};
use crate::{
    files::Workdir,
    process::{Process, give_up_root, root_may_become},
};

/// ejabberd, with the domain `ej.test`.
#[derive(Debug)]
pub struct Ejabberd;

impl Ejabberd {
    /// Starts it and waits until it answers.
    pub async fn start() -> Xmppd {
        let dir = Workdir::new("ejabberd");
        let certificates = Certificates::new();
        dir.write("both.pem", &format!("{}{}", certificates.certificate, certificates.key));
        for name in ["log", "db", "upload"] {
            dir.folder(name);
        }
        Xmppd::run("ej.test", dir, "ejabberd.yml", &[], spawn).await
    }
}

/// Erlang itself, so that there is one process to end. It listens for no other node, so no daemon is left behind.
fn spawn(dir: &Workdir) -> Process {
    let path = dir.path();
    give(path);
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
