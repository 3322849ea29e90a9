//! Bridges that are not ours, written on mautrix (Python) and on matrix-appservice-bridge (Node): an echo.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use url::Url;

use crate::{NodeScript, Port, files, transcript::Transcript};

const AS_TOKEN: &str = "as-token-of-the-echo-0123456789";
const HS_TOKEN: &str = "hs-token-of-the-echo-0123456789";

/// What a bridge stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// mautrix, for Python.
    Mautrix,
    /// matrix-appservice-bridge, for Node.
    AppserviceBridge,
}

/// The running bridge. It dies with this value.
#[derive(Debug)]
pub struct ForeignBridge {
    child: Child,
    /// The script it runs, if that is a copy.
    _script: Option<NodeScript>,
    heard: Transcript<Value>,
}

impl ForeignBridge {
    /// Its bot.
    pub const BOT: &'static str = "@echobot:localhost";

    /// Its one virtual user.
    pub const GHOST: &'static str = "@echo_ghost:localhost";

    /// What it shows the homeserver.
    pub const AS_TOKEN: &'static str = AS_TOKEN;

    /// Its registration, to be given to the homeserver.
    pub fn registration(port: &Port) -> String {
        serde_json::json!({
            "id": "echo",
            "url": format!("http://{}", port.address()),
            "as_token": AS_TOKEN,
            "hs_token": HS_TOKEN,
            "sender_localpart": "echobot",
            "rate_limited": false,
            "namespaces": {
                "users": [{ "regex": "@echo_.*:localhost", "exclusive": true }],
                "aliases": [{ "regex": "#echo_.*:localhost", "exclusive": true }],
            },
            "receive_ephemeral": true,
            "de.sorunome.msc2409.push_ephemeral": true,
            "org.matrix.msc3202": true,
        })
        .to_string()
    }

    /// Starts it, and waits until it has made its users.
    pub async fn start(library: Library, homeserver: &Url, port: &Port) -> Self {
        let script = (library == Library::AppserviceBridge).then(|| NodeScript::of("bridge.mjs"));
        let mut command = match &script {
            Some(script) => script.command(),
            None => Command::new(files::python()),
        };
        if library == Library::Mautrix {
            command.arg(files::own("drivers/mautrix_bridge.py"));
        }
        command.arg(homeserver.as_str().trim_end_matches('/'));
        command.arg("localhost").arg(port.number().to_string()).args([AS_TOKEN, HS_TOKEN]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the foreign bridge starts");
        let output = child.stdout.take().expect("piped");
        let heard = Transcript::new("echo");
        tokio::spawn({
            let heard = heard.clone();
            async move {
                let mut lines = BufReader::new(output).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Ok(line) = serde_json::from_str(&line) {
                        heard.push(line);
                    }
                }
            }
        });
        let bridge = Self { child, _script: script, heard };
        bridge.hears("that it is ready", |line| line["ready"] == true).await;
        bridge
    }

    /// Waits for something that nobody waited for before.
    pub async fn hears(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.heard.expect(what, fits).await
    }

    /// Ends it at once.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}
