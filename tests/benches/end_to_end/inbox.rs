//! How fast transactions are taken, while the network takes nothing at all: its server refuses every connection, so everything
//! is stored and waits.

use std::time::{Duration, Instant};

use axum::{Json, Router, extract::OriginalUri, routing::any};
use http::{Method, Uri};
use landbridge_tests::{Landbridge, Port, Workdir};
use reqwest::Client;
use serde_json::{Value, json};

use crate::report::{Limit, Report, percentile};

const ROOM: &str = "!bench:localhost";
const TRANSACTIONS: usize = 500;
const EVENTS: usize = 100;

/// Measures it: transactions of 100 events, 50 of them a second.
pub(crate) async fn measure(report: &mut Report) {
    let (dir, port, homeserver) = (Workdir::new("inbox"), Port::free(), Port::free());
    let listener = tokio::net::TcpListener::bind(homeserver.address()).await.expect("the port is ours");
    let stub = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
    let (mut bridge, token) = start(&dir, &port, &homeserver);
    let http = Client::builder().no_proxy().build().expect("an HTTP client");
    let url = format!("http://{}", port.address());
    while http.get(format!("{url}/health")).send().await.is_err() {
        assert!(bridge.process().ended().is_none(), "it lives: {}", bridge.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut times = Vec::with_capacity(TRANSACTIONS);
    for n in 0..TRANSACTIONS {
        let body = transaction(n);
        tick.tick().await;
        let began = Instant::now();
        let put = http.put(format!("{url}/_matrix/app/v1/transactions/{n}")).bearer_auth(&token).body(body);
        let status = put.send().await.expect("an answer").status();
        assert!(status.is_success(), "{status}");
        times.push(began.elapsed());
    }
    report.ours("inbox, 5,000 events/s in hundreds, p99", "ms", Limit::AtMost(20.0), percentile(&mut times, 99));
    report.ours("inbox, median", "ms", Limit::AtMost(20.0), percentile(&mut times, 50));
    stub.abort();
}

fn start(dir: &Workdir, port: &Port, homeserver: &Port) -> (Landbridge, String) {
    let registration = dir.path().join("registration.yaml").display().to_string();
    let url = format!("http://{}", port.address());
    let arguments =
        ["registration", "generate", "--url", &url, "--server-name", "localhost", "--output", &registration];
    assert!(Landbridge::run(dir.path(), arguments).status.success(), "a registration");
    let text = std::fs::read_to_string(&registration).expect("the registration");
    let token = text.lines().find_map(|line| line.strip_prefix("hs_token:")).unwrap_or_default();
    let token = token.trim().trim_matches(['"', '\'']).to_owned();
    let nobody = Port::free();
    let config = json!({
        "homeserver": { "url": format!("http://{}", homeserver.address()), "server_name": "localhost" },
        "listen": port.address(), "registration": registration,
        "database": format!("sqlite:{}", dir.path().join("bridge.db").display()),
        "irc": {
            "servers": [{ "host": "127.0.0.1", "port": nobody.number(), "tls": false }],
            "channels": [{ "channel": "#bench", "room": ROOM }],
        },
    });
    let config = dir.write("landbridge.yaml", &config.to_string()).display().to_string();
    (Landbridge::start(dir.path(), ["run", "--config", &config]), token)
}

fn transaction(n: usize) -> String {
    let event = |e: usize| {
        json!({
            "type": "m.room.message", "room_id": ROOM, "sender": format!("@person{}:localhost", e % 10),
            "event_id": format!("$event_{n}_{e}_of_the_benchmark_of_the_inbox"), "origin_server_ts": 1_700_000_000_000_u64,
            "content": { "msgtype": "m.text", "body": format!("message {e} of transaction {n}, as long as messages are") },
        })
    };
    json!({ "events": (0..EVENTS).map(event).collect::<Vec<_>>() }).to_string()
}

/// A homeserver that agrees to everything.
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
