//! A homeserver in this process, people with access tokens, and a scripted application service.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request as AxumRequest, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use landbridge_homeserver::{
    Config, Homeserver,
    appservice::{Appservice, InProcess},
    clock::SystemClock,
};
use landbridge_registration::{Builder, Namespace, Registration, Token};
use parking_lot::Mutex;
use ruma::server_name;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt as _;

static NUMBER: AtomicU64 = AtomicU64::new(0);

pub(crate) const AS_TOKEN: &str = "the-as-token";
pub(crate) const HS_TOKEN: &str = "the-hs-token";

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

/// A registration for `@irc_…` and `#irc_…`.
pub(crate) fn irc_registration() -> Registration {
    let server = server_name!("localhost");
    Builder::new("irc", "ircbot")
        .url("http://127.0.0.1:1")
        .user_namespace(Namespace::users_with_prefix("irc_", server))
        .alias_namespace(Namespace::aliases_with_prefix("irc_", server))
        .ephemeral(true)
        .tokens(Token::from(AS_TOKEN), Token::from(HS_TOKEN))
        .build()
        .unwrap()
}

/// The bot of the application service, or a virtual user of it.
pub(crate) fn virtual_user(server: &Server, name: &str) -> Virtual {
    Virtual { router: server.router.clone(), user_id: format!("@{name}:localhost") }
}

/// Somebody an application service acts as.
pub(crate) struct Virtual {
    router: Router,
    pub(crate) user_id: String,
}

impl Virtual {
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("/_matrix/client/v3/{path}{joint}user_id={}", self.user_id);
        let response = self.router.clone().oneshot(request(method, &path, Some(AS_TOKEN), body)).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status, headers: head.headers, bytes, body }
    }

    pub(crate) async fn joins(&self, room: &str) {
        self.call("POST", &format!("join/{room}"), Some(json!({}))).await.ok();
    }
}

/// Registers a virtual user.
pub(crate) async fn registers(server: &Server, name: &str) -> Virtual {
    let body = json!({ "type": "m.login.application_service", "username": name, "inhibit_login": true });
    server.call("POST", "/_matrix/client/v3/register", Some(AS_TOKEN), Some(body)).await.ok();
    virtual_user(server, name)
}

/// An application service that writes down what it is told and answers as it is told.
#[derive(Clone, Default)]
pub(crate) struct Service {
    inner: Arc<ServiceInner>,
}

#[derive(Default)]
struct ServiceInner {
    calls: Mutex<Vec<Call>>,
    answers: Mutex<VecDeque<StatusCode>>,
    /// What everything is answered when nothing is scripted; 0 is 200.
    usual: Mutex<Option<StatusCode>>,
    /// Makes what is asked for, before the query is answered.
    maker: Mutex<Option<Maker>>,
    called: Notify,
    in_flight: std::sync::atomic::AtomicUsize,
    most_in_flight: std::sync::atomic::AtomicUsize,
}

type Maker = Arc<dyn Fn(String) -> std::pin::Pin<Box<dyn Future<Output = StatusCode> + Send>> + Send + Sync>;

/// One request to the application service.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) body: Bytes,
    pub(crate) answered: StatusCode,
    pub(crate) at: tokio::time::Instant,
}

impl Call {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn txn_id(&self) -> Option<&str> {
        self.path.strip_prefix("/_matrix/app/v1/transactions/")
    }
}

impl Service {
    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(take).with_state(self.clone())
    }

    /// Answers the next transactions so.
    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.inner.answers.lock().extend(statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap()));
    }

    /// Answers all transactions so that nothing is scripted for.
    pub(crate) fn always(&self, status: u16) {
        *self.inner.usual.lock() = Some(StatusCode::from_u16(status).unwrap());
    }

    /// Makes users and rooms when asked for them.
    pub(crate) fn makes<F, Fut>(&self, make: F)
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StatusCode> + Send + 'static,
    {
        *self.inner.maker.lock() = Some(Arc::new(move |path| Box::pin(make(path))));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().clone()
    }

    pub(crate) fn transactions(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.txn_id().is_some()).collect()
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        self.inner.most_in_flight.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// The events of all acknowledged transactions, in order.
    pub(crate) fn events(&self) -> Vec<Value> {
        let acknowledged = self.transactions().into_iter().filter(|call| call.answered.is_success());
        acknowledged.flat_map(|call| call.json()["events"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, test: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let called = self.inner.called.notified();
                tokio::pin!(called);
                called.as_mut().enable();
                if test(self) {
                    return;
                }
                called.await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
            panic!("it never came: {:#?}", self.calls());
        }
    }

    /// Waits for a message and gives the bodies of all that have come.
    pub(crate) async fn hears(&self, text: &str) -> Vec<String> {
        let heard = |service: &Self| bodies(&Value::Array(service.events()));
        self.until(|service| heard(service).iter().any(|body| body == text)).await;
        heard(self)
    }
}

async fn take(State(service): State<Service>, request: AxumRequest) -> Response {
    use std::sync::atomic::Ordering::SeqCst;
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap();
    let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let is_txn = path.contains("/transactions/");
    let maker = service.inner.maker.lock().clone();
    let status = if is_txn || path.ends_with("/ping") {
        let scripted = if is_txn { service.inner.answers.lock().pop_front() } else { None };
        let usual = *service.inner.usual.lock();
        scripted.or(usual.filter(|_| is_txn)).unwrap_or(StatusCode::OK)
    } else {
        match maker {
            Some(make) => make(path.clone()).await,
            None => StatusCode::NOT_FOUND,
        }
    };
    if is_txn {
        let now = service.inner.in_flight.fetch_add(1, SeqCst) + 1;
        service.inner.most_in_flight.fetch_max(now, SeqCst);
        tokio::task::yield_now().await;
        service.inner.in_flight.fetch_sub(1, SeqCst);
    }
    let at = tokio::time::Instant::now();
    let token = token.to_owned();
    service.inner.calls.lock().push(Call { path, token, body, answered: status, at });
    service.inner.called.notify_waiters();
    (status, axum::Json(json!({}))).into_response()
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
    /// The same person after a restart.
    pub(crate) fn again(server: &Server, person: &Self) -> Self {
        Self { router: server.router.clone(), ..person.clone() }
    }
}
