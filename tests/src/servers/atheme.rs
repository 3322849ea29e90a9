//! Atheme: services (accounts, SASL) beside an InspIRCd.

use std::{os::unix::fs::chown, process::Command};

use crate::{
    files::{self, Workdir},
    process::{self, Process},
    servers::Inspircd,
};

/// Running services, linked to an InspIRCd.
#[derive(Debug)]
pub struct Atheme {
    _process: Process,
    _dir: Workdir,
}

impl Atheme {
    /// Starts services beside `server` and waits until they have linked.
    pub async fn start(server: &Inspircd) -> Self {
        let dir = Workdir::new("atheme");
        let values = [("LINK_PORT", server.link_address().port().to_string())];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        let config = dir.write("atheme.conf", &files::template("servers/atheme.conf", &values));
        let (data, log) = (dir.folder("data"), dir.path().join("atheme.log"));
        let user = process::root_may_become("irc");
        for path in [dir.path(), &data] {
            if let Some((uid, gid)) = user {
                chown(path, Some(uid), Some(gid)).expect("the folder belongs to the services' user");
            }
        }
        let mut command = Command::new("/usr/bin/atheme-services");
        command.arg("-n").arg("-c").arg(&config).arg("-D").arg(&data).arg("-l").arg(&log).arg("-p");
        command.arg(dir.path().join("atheme.pid"));
        process::give_up_root(&mut command, "irc");
        let mut process = Process::start("atheme", command, &dir.path().join("output.log"));
        let linked = "finished synching with uplink";
        let links = async |_: &Process| std::fs::read_to_string(&log).is_ok_and(|text| text.contains(linked));
        process.until("Atheme links to InspIRCd", links).await;
        Self { _process: process, _dir: dir }
    }
}
