//! ngIRCd: an old-fashioned server, with no tags and no SASL.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    process::Command,
};

use super::ircd::Ircd;
use crate::{files::Workdir, process};

/// A running ngIRCd.
#[derive(Debug)]
pub struct Ngircd(Ircd);

impl Ngircd {
    /// Starts it and waits until it accepts clients.
    pub async fn start() -> Self {
        let user = if process::is_root() { "ServerUID = irc\n\tServerGID = irc" } else { "" };
        Self(Ircd::start("ngircd", Workdir::new("ngircd"), &[("USER", user)], command).await)
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/ngircd");
    command.arg("-n").arg("-f").arg(config);
    command
}

impl Deref for Ngircd {
    type Target = Ircd;
    fn deref(&self) -> &Ircd {
        &self.0
    }
}

impl DerefMut for Ngircd {
    fn deref_mut(&mut self) -> &mut Ircd {
        &mut self.0
    }
}
