//! Prosody: rooms with archives, uploads, and a component for the bridge.

use std::process::Command;

use super::{Certificates, Xmppd};
use crate::{
    files::{self, Workdir},
    process::Process,
};

/// Prosody, with the domain `xmpp.test`.
#[derive(Debug)]
pub struct Prosody;

/// The modules of its rooms.
const MODULES: &str = r#""muc_mam"; "vcard_muc"; "muc_moderation"; "muc_forget""#;
/// Who may store files.
const UPLOADERS: &str = r#""matrix.xmpp.test", "xmpp.test""#;

impl Prosody {
    /// Starts it and waits until it answers.
    pub async fn start() -> Xmppd {
        start("kick_old", MODULES, "1024*1024", UPLOADERS, "").await
    }

    /// Starts it with further components beside the bridge's: `NAME.xmpp.test`, with the same secret.
    pub async fn start_with_components(names: &[&str]) -> Xmppd {
        let component = |name: &&str| format!("Component \"{name}.xmpp.test\"\n  component_secret = \"s3cret\"\n");
        let more: String = names.iter().map(component).collect();
        start("kick_old", MODULES, "1024*1024", UPLOADERS, &more).await
    }

    /// Starts it without archives of rooms.
    pub async fn start_without_archive() -> Xmppd {
        start("kick_old", r#""vcard_muc""#, "1024*1024", UPLOADERS, "").await
    }

    /// Starts it as it comes: it refuses a second link, takes small stanzas only, and lets the component store nothing.
    pub async fn start_strict() -> Xmppd {
        start("kick_new", r#""muc_mam""#, "16*1024", r#""xmpp.test""#, "").await
    }
}

async fn start(conflict: &str, muc_modules: &str, limit: &str, may_upload: &str, more: &str) -> Xmppd {
    let dir = Workdir::new("prosody");
    dir.folder("data");
    Certificates::new().write(dir.path());
    let modules = files::own("servers/prosody-modules").display().to_string();
    let values = [
        ("CONFLICT", conflict),
        ("STORAGE", r#""internal""#),
        ("MODULES", modules.as_str()),
        ("MUC_MODULES", muc_modules),
        ("LIMIT", limit),
        ("UPLOADERS", may_upload),
        ("MORE", more),
    ];
    Xmppd::run("xmpp.test", dir, "prosody.cfg.lua", &values, spawn).await
}

fn spawn(dir: &Workdir) -> Process {
    // One that was killed leaves it behind.
    let _ = std::fs::remove_file(dir.path().join("prosody.pid"));
    let mut command = Command::new("/usr/bin/prosody");
    command.arg("--config").arg(dir.path().join("prosody.cfg.lua")).arg("-F");
    Process::start("prosody", command, &dir.path().join("prosody.log"))
}
