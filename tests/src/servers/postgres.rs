//! PostgreSQL: a cluster of the test's own.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    files::Workdir,
    ports::Port,
    process::{self, Process},
};

/// A running PostgreSQL cluster in a temporary folder.
#[derive(Debug)]
pub struct Postgres {
    _process: Process,
    port: Port,
    dir: Workdir,
}

impl Postgres {
    /// Makes a cluster, starts it and waits until it answers queries. A power cut would lose what it holds, as a test does anyway.
    pub async fn start() -> Self {
        Self::start_with(&["-c", "fsync=off"]).await
    }

    /// The same, but what it acknowledges is on the disk.
    pub async fn start_durable() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(settings: &[&str]) -> Self {
        let (dir, port) = (Workdir::new("postgres"), Port::free());
        let data = dir.folder("data");
        if let Some((uid, gid)) = process::root_may_become("postgres") {
            for path in [dir.path(), &data] {
                chown(path, Some(uid), Some(gid)).expect("the folder belongs to postgres");
            }
        }
        let made = tool("initdb", dir.path())
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = tool("postgres", dir.path());
        command.arg("-D").arg(&data).args(["-p", &port.text(), "-c", "listen_addresses=127.0.0.1"]).args(settings);
        command.arg("-k").arg(dir.path());
        let mut process = Process::start("postgres", command, &dir.path().join("postgres.log"));
        process.writes("database system is ready to accept connections").await;
        Self { _process: process, port, dir }
    }

    /// Makes a database and returns its connection URL.
    pub fn database(&self, name: &str) -> String {
        let mut create = tool("createdb", self.dir.path());
        create.args(["-h", "127.0.0.1", "-p", &self.port.text(), "-U", "postgres", name]);
        let made = create.output().expect("createdb runs");
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port.number())
    }

    /// Runs a query in a database and returns the rows as `psql` prints them, unaligned.
    pub fn query(&self, database: &str, sql: &str) -> String {
        let mut query = tool("psql", self.dir.path());
        query.args(["-h", "127.0.0.1", "-p", &self.port.text(), "-U", "postgres", "-At", "-c", sql, database]);
        let done = query.output().expect("psql runs");
        assert!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

/// One of PostgreSQL's programs, to run as its user.
fn tool(name: &str, folder: &Path) -> Command {
    let debian = PathBuf::from("/usr/lib/postgresql/15/bin").join(name);
    let mut command = Command::new(if debian.exists() { debian } else { PathBuf::from(name) });
    command.current_dir(folder);
    process::give_up_root(&mut command, "postgres");
    command
}
