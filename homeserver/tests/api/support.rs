//! A homeserver in this process, people with access tokens, and a scripted application service.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use landbridge_homeserver::{
    Config, Homeserver,
    appservice::{Appservice, InProcess},
    clock::{Clock, SystemClock},
};
use landbridge_registration::Registration;
use ruma::server_name;
use serde_json::{Value, json};
use tower::ServiceExt as _;

mod services;

pub(crate) use self::services::*;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A homeserver for one test.
pub(crate) struct Server {
    pub(crate) hs: Homeserver,
    pub(crate) router: Router,
    dir: tempfile::TempDir,
    database: Option<String>,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a request that was granted.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Checks a refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, errcode: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["errcode"].as_str()), (status, Some(errcode)), "{}", self.body);
        self.body
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on(None).await
    }

    /// On this database, or on SQLite.
    pub(crate) async fn start_on(database: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hs = open(dir.path(), database.clone()).await;
        let router = hs.router();
        Self { hs, router, dir, database }
    }

    /// That behaves otherwise than usual.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Arc::new(SystemClock), change).await
    }

    /// That behaves otherwise than usual, with a clock of its own.
    pub(crate) async fn at(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(server_name!("localhost").to_owned(), dir.path());
        change(&mut config);
        Self::of(Homeserver::open(config, clock).await.unwrap(), dir)
    }

    /// Stops and starts again on the same data, to behave otherwise than usual.
    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        self.hs.shutdown().await;
        drop((self.router, self.hs));
        let mut config = Config::new(server_name!("localhost").to_owned(), self.dir.path());
        change(&mut config);
        Self::of(Homeserver::open(config, Arc::new(SystemClock)).await.unwrap(), self.dir)
    }

    /// Stops and starts again on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.hs.shutdown().await;
        drop((self.router, self.hs));
        let hs = open(self.dir.path(), self.database.clone()).await;
        let router = hs.router();
        Self { hs, router, dir: self.dir, database: self.database }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status, headers: head.headers, bytes, body }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.send(request(method, path, token, body)).await
    }

    /// A person who registered and logged in.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let body = json!({ "username": name, "password": "secret", "auth": { "type": "m.login.dummy" } });
        let body = self.call("POST", "/_matrix/client/v3/register", None, Some(body)).await.ok();
        Person {
            router: self.router.clone(),
            token: body["access_token"].as_str().unwrap().to_owned(),
            user_id: body["user_id"].as_str().unwrap().to_owned(),
        }
    }

    /// Another session of somebody who registered.
    pub(crate) async fn logs_in(&self, name: &str) -> String {
        let body = json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": name },
            "password": "secret" });
        let body = self.call("POST", "/_matrix/client/v3/login", None, Some(body)).await.ok();
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn appservice(&self, registration: Registration, service: &Service) -> Arc<Appservice> {
        let transport = Arc::new(InProcess::new(service.router()));
        self.hs.add_appservice_over(registration, transport).await.unwrap()
    }
}

async fn open(dir: &Path, database: Option<String>) -> Homeserver {
    let mut config = Config::new(server_name!("localhost").to_owned(), dir);
    config.database = database;
    Homeserver::open(config, Arc::new(SystemClock)).await.unwrap()
}

pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    request.body(body).unwrap()
}

/// Somebody with an access token.
#[derive(Clone)]
pub(crate) struct Person {
    router: Router,
    pub(crate) token: String,
    pub(crate) user_id: String,
}

impl Person {
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let path = match path.strip_prefix("../") {
            Some(path) => format!("/_matrix/client/{path}"),
            None => format!("/_matrix/client/v3/{path}"),
        };
        let response = self.router.clone().oneshot(request(method, &path, Some(&self.token), body)).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status, headers: head.headers, bytes, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// The same person at a server that was started anew.
    pub(crate) fn on(&self, server: &Server) -> Self {
        Self { router: server.router.clone(), ..self.clone() }
    }

    /// What is under `/_matrix/client/v1/`.
    pub(crate) async fn get_v1(&self, path: &str) -> Answer {
        self.call("GET", &format!("../v1/{path}"), None).await
    }

    /// Sends a message event; gives its id.
    pub(crate) async fn sends(&self, room: &str, kind: &str, content: Value) -> String {
        let txn = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = format!("rooms/{room}/send/{kind}/n{txn}");
        self.put(&path, content).await.ok()["event_id"].as_str().unwrap().to_owned()
    }

    /// Sends a message that relates to another; gives its id.
    pub(crate) async fn relates(&self, room: &str, rel_type: &str, to: &str, text: &str) -> String {
        let relation = json!({ "rel_type": rel_type, "event_id": to });
        self.sends(room, "m.room.message", json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation })).await
    }

    /// Says that an earlier message was meant to read otherwise; gives the id of the edit.
    pub(crate) async fn edits(&self, room: &str, event: &str, text: &str) -> String {
        let content = json!({
            "msgtype": "m.text",
            "body": format!("* {text}"),
            "m.new_content": { "msgtype": "m.text", "body": text },
            "m.relates_to": { "rel_type": "m.replace", "event_id": event },
        });
        self.sends(room, "m.room.message", content).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub(crate) async fn creates_room(&self, body: Value) -> String {
        self.post("createRoom", body).await.ok()["room_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn says(&self, room: &str, text: &str) -> String {
        self.says_as(room, text, text).await
    }

    pub(crate) async fn says_as(&self, room: &str, txn: &str, text: &str) -> String {
        let txn = txn.replace(' ', "_");
        let body = json!({ "msgtype": "m.text", "body": text });
        let path = format!("rooms/{room}/send/m.room.message/{txn}");
        self.put(&path, body).await.ok()["event_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn joins(&self, room: &str) {
        self.post(&format!("join/{}", room.replace('#', "%23")), json!({})).await.ok();
    }

    pub(crate) async fn syncs(&self, since: Option<&str>, more: &str) -> Value {
        let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
        self.get(&format!("sync?timeout=0{since}{more}")).await.ok()
    }
}

/// The bodies of messages of a list of events.
pub(crate) fn bodies(events: &Value) -> Vec<String> {
    let events = events.as_array().cloned().unwrap_or_default();
    events.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
}

impl Server {
    /// A server that the test opened itself.
    pub(crate) fn of(hs: Homeserver, dir: tempfile::TempDir) -> Self {
        Self { router: hs.router(), hs, dir, database: None }
    }

    /// Where everything is kept.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Which database it is on, if it is not SQLite's in the folder.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// How many media files are kept.
    pub(crate) fn files(&self) -> usize {
        fn count(dir: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
            entries.flatten().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.dir.path().join("media"))
    }
}

impl Person {
    /// Who has this token.
    pub(crate) fn of(server: &Server, token: &str, user_id: &str) -> Self {
        Self { router: server.router.clone(), token: token.to_owned(), user_id: user_id.to_owned() }
    }

    /// The same person after a restart.
    pub(crate) fn again(server: &Server, person: &Self) -> Self {
        Self { router: server.router.clone(), ..person.clone() }
    }
}

/// TLS for what calls out.
pub(crate) fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A picture.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    picture(width, height, image::ImageFormat::Png)
}

/// A picture of a kind.
pub(crate) fn picture(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let picture = image::DynamicImage::new_rgb8(width, height);
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
