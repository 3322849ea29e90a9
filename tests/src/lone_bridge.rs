//! A bridge beside a homeserver that agrees to everything: for what only the bridge has a part in.

use std::{net::SocketAddr, path::PathBuf, process::Output};

use ::http::{Method, StatusCode, Uri};
use axum::{Json, Router, extract::OriginalUri, routing::any};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::{IrcUser, Landbridge, Port, Process, Workdir, http, transcript::eventually};

/// A running `landbridge run`, one of whose channels is plumbed to a room that only exists in what it is told.
#[derive(Debug)]
pub struct LoneBridge {
    /// The process.
    pub bridge: Landbridge,
    token: String,
    config: PathBuf,
    port: Port,
    http: Client,
    homeserver: AbortHandle,
    dir: Workdir,
    _homeserver_port: Port,
}

/// The room.
const ROOM: &str = "!lone:localhost";

impl LoneBridge {
    /// Starts it for an IRC server and a channel of it. Its store is the file `bridge.db` in the folder `store` of its own, which
    /// `prepare` may change before; `bridge` is the section of that name.
    pub async fn start(irc: SocketAddr, channel: &str, bridge: Value, prepare: impl FnOnce(PathBuf)) -> Self {
        let (dir, port, homeserver_port) = (Workdir::new("lone"), Port::free(), Port::free());
        let listener = tokio::net::TcpListener::bind(homeserver_port.address()).await.expect("the port is ours");
        let agreeing = Router::new().fallback(any(answer));
        let homeserver = tokio::spawn(async move { axum::serve(listener, agreeing).await }).abort_handle();
        let token = register(&dir, &port);
        let store = dir.folder("store");
        prepare(store.clone());
        let config = json!({
            "homeserver": { "url": format!("http://{}", homeserver_port.address()), "server_name": "localhost" },
            "listen": port.address(),
            "registration": dir.path().join("registration.yaml"),
            "database": format!("sqlite:{}", store.join("bridge.db").display()),
            "bridge": bridge,
            "irc": {
                "servers": [{ "host": irc.ip(), "port": irc.port(), "tls": false }],
                "channels": [{ "channel": channel, "room": ROOM }],
                "flood": { "enabled": false },
            },
        });
        let config = dir.write("landbridge.yaml", &config.to_string());
        let bridge = Landbridge::start(dir.path(), ["run".into(), "--config".into(), config.clone().into_os_string()]);
        let mut lone =
            Self { bridge, token, config, port, http: http(), homeserver, dir, _homeserver_port: homeserver_port };
        lone.ready().await;
        lone
    }

    async fn ready(&mut self) {
        let (http, health) = (self.http.clone(), format!("http://{}/health", self.port.address()));
        // It answers also when the IRC server is away.
        let answers = async |_: &Process| http.get(&health).send().await.is_ok();
        self.bridge.process().until("the bridge answers", answers).await;
    }

    /// Waits until the bot is in the channel, where `somebody` is: from then on the rooms are joined.
    pub async fn joins(&self, somebody: &IrcUser, channel: &str) {
        eventually("the bot is in the channel", || async {
            somebody.names(channel).await.iter().any(|nick| nick.contains("landbridge")).then_some(())
        })
        .await;
    }

    /// Pushes a transaction; what it is answered with.
    pub async fn pushes(&self, txn_id: &str, body: String) -> StatusCode {
        let url = format!("http://{}/_matrix/app/v1/transactions/{txn_id}", self.port.address());
        let put = self.http.put(url).bearer_auth(&self.token).header("content-type", "application/json").body(body);
        put.send().await.expect("the bridge answers").status()
    }

    /// Runs `landbridge deadletters …` beside it.
    pub fn dead_letters(&self, arguments: &[&str]) -> Output {
        let config = self.config.display().to_string();
        let all = [&["deadletters"], arguments, &["--config", &config]].concat();
        Landbridge::run(self.dir.path(), all)
    }
}

impl Drop for LoneBridge {
    fn drop(&mut self) {
        self.homeserver.abort();
    }
}

/// A transaction's body: messages in the room, each by whom, under which event id, and what.
pub fn transaction(messages: impl IntoIterator<Item = (String, String, String)>) -> String {
    let event = |(sender, event_id, body): (String, String, String)| {
        json!({
            "type": "m.room.message", "room_id": ROOM, "sender": sender, "event_id": event_id,
            "origin_server_ts": 1_700_000_000_000_u64, "content": { "msgtype": "m.text", "body": body },
        })
    };
    json!({ "events": messages.into_iter().map(event).collect::<Vec<_>>() }).to_string()
}

/// Makes a registration; its `hs_token` comes back.
fn register(dir: &Workdir, port: &Port) -> String {
    let registration = dir.path().join("registration.yaml").display().to_string();
    let url = format!("http://{}", port.address());
    let arguments =
        ["registration", "generate", "--url", &url, "--server-name", "localhost", "--output", &registration];
    assert!(Landbridge::run(dir.path(), arguments).status.success(), "a registration");
    let text = std::fs::read_to_string(&registration).expect("the registration");
    let token = text.lines().find_map(|line| line.strip_prefix("hs_token:")).unwrap_or_default();
    token.trim().trim_matches(['"', '\'']).to_owned()
}

async fn answer(method: Method, OriginalUri(uri): OriginalUri) -> Json<Value> {
    Json(agree(&method, &uri))
}

fn agree(method: &Method, uri: &Uri) -> Value {
    let path = uri.path();
    let has = |part: &str| path.contains(part);
    if has("/versions") {
        json!({ "versions": ["v1.11"] })
    } else if has("/whoami") || has("/register") {
        json!({ "user_id": "@ircbot:localhost" })
    } else if has("/ping") {
        json!({ "duration_ms": 1 })
    } else if has("/joined_members") {
        json!({ "joined": {} })
    } else if has("/members") {
        json!({ "chunk": [] })
    } else if has("/join") || has("/createRoom") || has("/directory/room") {
        json!({ "room_id": ROOM, "servers": ["localhost"] })
    } else if *method == Method::PUT && (has("/send/") || has("/state/")) {
        json!({ "event_id": "$an_event" })
    } else {
        json!({})
    }
}
