//! An appservice that takes transactions at once and notes when each message came.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use axum::{Json, Router, extract::State, routing::any};
use landbridge_tests::{Port, Workdir};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

/// A running appservice with its registration.
#[derive(Debug)]
pub(crate) struct Appservice {
    pub(crate) registration: PathBuf,
    pub(crate) token: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    server: AbortHandle,
    _dir: Workdir,
    _port: Port,
}

/// A message that came in a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) sender: String,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Appservice {
    pub(crate) async fn start() -> Self {
        let (dir, port) = (Workdir::new("appservice"), Port::free());
        let token = "bench_as_token_0123456789abcdef0123456789".to_owned();
        let registration = json!({
            "id": "bench", "url": format!("http://{}", port.address()), "as_token": token,
            "hs_token": "bench_hs_token_0123456789abcdef0123456789", "sender_localpart": "bench", "rate_limited": false,
            "namespaces": { "users": [{ "exclusive": true, "regex": "@bench_.*" }], "aliases": [], "rooms": [] },
        });
        let registration = dir.write("registration.yaml", &registration.to_string());
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let server = serve(port.address(), heard.clone()).await;
        Self { registration, token, heard, server, _dir: dir, _port: port }
    }

    /// The messages so far, in the order they came.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.heard.lock().len()
    }
}

impl Drop for Appservice {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(address: SocketAddr, heard: Arc<Mutex<Vec<Heard>>>) -> AbortHandle {
    let app = Router::new().fallback(any(take)).with_state(heard);
    let app = app.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is ours");
    tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle()
}

async fn take(State(heard): State<Arc<Mutex<Vec<Heard>>>>, body: bytes::Bytes) -> Json<Value> {
    let at = Instant::now();
    let transaction: Value = serde_json::from_slice(&body).unwrap_or_default();
    let events = transaction["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = events.iter().filter(|event| event["type"] == "m.room.message");
    heard.lock().extend(messages.map(|event| Heard {
        sender: text(&event["sender"]),
        body: text(&event["content"]["body"]),
        at,
    }));
    Json(json!({}))
}
