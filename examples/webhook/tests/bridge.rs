//! The example, between a simulated homeserver and a webhook that listens.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

#[path = "../src/main.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod webhook;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use landbridge::{
    bridge::Speakers as _,
    config::{Config, generate_registration},
    dispatch::Kill,
    network::SessionId,
    run::Running,
    testing::{Fault, PATIENCE, SimHomeserver, TestClock},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use webhook::Webhook;

/// Somebody's program, which the bridge tells what is said in the room.
struct Program {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Program {
    /// The key and the body of the next request.
    async fn hears(&mut self) -> (String, Value) {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("nothing is said").unwrap()
    }
}

async fn program() -> Program {
    let (tell, heard) = mpsc::unbounded_channel();
    let hook = async |State(tell): State<mpsc::UnboundedSender<_>>, headers: HeaderMap, Json(body): Json<Value>| {
        let key = headers["idempotency-key"].to_str().unwrap_or_default().to_owned();
        let _ = tell.send((key, body));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/hook", post(hook)).with_state(tell);
    tokio::spawn(axum::serve(listener, router).into_future());
    Program { address, heard }
}

/// A port that is free right now.
async fn free_port() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Case {
    homeserver: SimHomeserver,
    bridge: Option<Running<Webhook>>,
    folder: tempfile::TempDir,
    listen: SocketAddr,
    program: Program,
}

impl Case {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (program, listen, folder) = (program().await, free_port().await, tempfile::tempdir().unwrap());
        let text = format!(
            "homeserver: {{url: 'http://127.0.0.1:8008', server_name: example.org}}\n\
             listen: 127.0.0.1:9000\n\
             registration: webhook-registration.yaml\n\
             webhook:\n  listen: {listen}\n  token: s3cr3t\n  rooms: {{alerts: 'http://{}/hook'}}\n",
            program.address
        );
        std::fs::write(folder.path().join("bridge.yaml"), text).unwrap();
        generate_registration::<Webhook>(&folder.path().join("bridge.yaml")).unwrap();
        let mut case = Self { homeserver: SimHomeserver::new("example.org"), bridge: None, folder, listen, program };
        let registration = case.config().registration;
        case.homeserver.register(registration);
        case.start().await;
        case
    }

    fn config(&self) -> Config<Webhook> {
        let (config, advice) = Config::read(&self.folder.path().join("bridge.yaml")).unwrap().usable().unwrap();
        assert!(advice.is_empty(), "{advice:?}");
        config
    }

    async fn start(&mut self) {
        let clock = Arc::new(TestClock::default());
        let running = Running::start(self.config(), self.homeserver.transport(), clock, Kill::default()).await.unwrap();
        self.homeserver.connect(running.everything());
        running.bridge().sessions().connected(&SessionId::Relay).await;
        self.bridge = Some(running);
    }

    async fn stop(&mut self) {
        self.homeserver.disconnect();
        self.bridge.take().unwrap().stop(Duration::from_secs(5)).await;
    }

    /// A program says something; returns the status of the answer.
    async fn posts(&self, path: &str, body: Value) -> u16 {
        let url = format!("http://{}/{path}", self.listen);
        reqwest::Client::default().post(url).json(&body).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn a_room_and_a_program_talk() {
    let mut case = Case::new().await;
    let alice = case.homeserver.user("alice");
    let room = alice.joins("#webhook_alerts:example.org").await.unwrap();

    assert_eq!(case.posts("s3cr3t/alerts", json!({ "text": "disk full", "username": "nagios" })).await, 200);
    room.hears("@webhook_nagios:example.org", "disk full").await;
    assert_eq!(case.posts("s3cr3t/alerts", json!({ "text": "disk fine" })).await, 200);
    room.hears("@webhook_webhook:example.org", "disk fine").await;

    alice.says(&room, "thanks");
    let (_, heard) = case.program.hears().await;
    assert_eq!(heard, json!({ "text": "thanks", "username": "alice" }));
    case.stop().await;
}

#[tokio::test]
async fn strangers_and_unknown_rooms_are_turned_away() {
    let case = Case::new().await;
    let alice = case.homeserver.user("alice");
    assert!(alice.joins("#webhook_secrets:example.org").await.is_none());
    alice.joins("#webhook_alerts:example.org").await.unwrap();
    assert_eq!(case.posts("wrong/alerts", json!({ "text": "x" })).await, 403);
    assert_eq!(case.posts("s3cr3t/other", json!({ "text": "x" })).await, 404);
    assert_eq!(case.posts("s3cr3t", json!({ "text": "x" })).await, 404);
}

#[tokio::test]
async fn what_was_said_while_the_other_side_was_away_is_delivered_once() {
    let mut case = Case::new().await;
    let alice = case.homeserver.user("alice");
    let room = alice.joins("#webhook_alerts:example.org").await.unwrap();

    case.homeserver.fail_times("/send/", Fault::AnswerLost, 2);
    case.homeserver.fail_times("/send/", Fault::BadGateway, 2);
    for count in 0..5 {
        assert_eq!(case.posts("s3cr3t/alerts", json!({ "text": format!("{count}") })).await, 200);
    }
    let said: Vec<String> = room.has_messages(5).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["0", "1", "2", "3", "4"]);

    case.stop().await;
    for count in 0..5 {
        alice.says(&room, &format!("while away {count}"));
    }
    case.start().await;
    let mut keys = HashMap::new();
    for count in 0..5 {
        let (key, heard) = case.program.hears().await;
        assert_eq!(heard["text"], format!("while away {count}"));
        keys.insert(key, count);
    }
    assert_eq!(keys.len(), 5);
    assert_eq!(room.messages().len(), 10);
    case.stop().await;
    assert!(case.program.heard.try_recv().is_err());
}

#[test]
fn faults_of_the_configuration_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.yaml");
    let text = "homeserver: {url: 'http://127.0.0.1:8008', server_name: example.org}\nlisten: 127.0.0.1:9000\n\
                registration: r.yaml\nwebhook: {listen: 127.0.0.1:1, token: x, rooms: {alerts: mailto:me}, colour: red}\n";
    std::fs::write(&path, text).unwrap();
    generate_registration::<Webhook>(&path).unwrap();
    let faults = |path| Config::<Webhook>::read(path).unwrap().usable().unwrap_err().to_string();
    assert!(faults(&path).contains("webhook.colour: there is no such key"));
    std::fs::write(&path, text.replace(", colour: red", "")).unwrap();
    assert!(faults(&path).contains(":4:58: webhook.rooms.alerts: is no URL. Write https://…"), "{}", faults(&path));
}
