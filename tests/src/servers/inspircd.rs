//! InspIRCd: the IRCv3 server, with history, and services beside it ([`crate::Atheme`]).

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    os::unix::fs::chown,
    path::Path,
    process::Command,
};

use super::ircd::Ircd;
use crate::{files::Workdir, ports::Port, process};

/// A running InspIRCd.
#[derive(Debug)]
pub struct Inspircd {
    server: Ircd,
    link_port: Port,
    limited: bool,
}

/// Lets everybody say as much as they like.
const UNLIMITED: &str = r#"threshold="100000" commandrate="100000000" fakelag="no""#;
/// The limits that the server comes with; who exceeds them is put out for `Excess Flood` at once.
const LIMITED: &str = r#"threshold="10" commandrate="1000" fakelag="no""#;

impl Inspircd {
    /// Starts it without limits of speed and waits until it accepts clients.
    pub async fn start() -> Self {
        Self::start_first(UNLIMITED).await
    }

    /// Starts it with the limits that it comes with.
    pub async fn start_limited() -> Self {
        Self { limited: true, ..Self::start_first(LIMITED).await }
    }

    /// Starts a second server of the network, which links to this one by itself.
    pub async fn start_second(&self) -> Self {
        let link = format!(
            r#"<link name="irc.insp.test" ipaddr="127.0.0.1" port="{}" allowmask="127.0.0.1/8" sendpass="s2s" recvpass="s2s">
<autoconnect period="2s" server="irc.insp.test">"#,
            self.link_port.number()
        );
        Self::start_as("irc2.insp.test", "98K", &link, UNLIMITED).await
    }

    async fn start_first(limits: &str) -> Self {
        let accepts =
            r#"<link name="irc2.insp.test" ipaddr="127.0.0.1" allowmask="127.0.0.1/8" sendpass="s2s" recvpass="s2s">"#;
        Self::start_as("irc.insp.test", "97K", accepts, limits).await
    }

    async fn start_as(name: &str, id: &str, link: &str, limits: &str) -> Self {
        let (dir, link_port) = (Workdir::new("inspircd"), Port::free());
        for folder in ["data", "logs", "run"] {
            give(&dir.folder(folder));
        }
        let port = link_port.text();
        let values = [
            ("LINK_PORT", port.as_str()),
            ("MODULES", modules()),
            ("NAME", name),
            ("ID", id),
            ("LINK", link),
            ("LIMITS", limits),
        ];
        Self { server: Ircd::start("inspircd", dir, &values, command).await, link_port, limited: false }
    }

    /// Where services and other servers link.
    pub fn link_address(&self) -> SocketAddr {
        self.link_port.address()
    }

    /// Whether it puts out who says too much.
    pub fn is_limited(&self) -> bool {
        self.limited
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/inspircd");
    command.args(["--nofork", "--runasroot", "--config"]).arg(config);
    command
}

impl Deref for Inspircd {
    type Target = Ircd;
    fn deref(&self) -> &Ircd {
        &self.server
    }
}

impl DerefMut for Inspircd {
    fn deref_mut(&mut self) -> &mut Ircd {
        &mut self.server
    }
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
