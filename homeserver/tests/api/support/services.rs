//! Application services: one that is scripted, and those it acts as.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request as AxumRequest, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, header};
use landbridge_registration::{Builder, Namespace, Registration, Token};
use parking_lot::Mutex;
use ruma::server_name;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::{Answer, Person, Server, bodies, request};

pub(crate) const AS_TOKEN: &str = "the-as-token";
pub(crate) const HS_TOKEN: &str = "the-hs-token";

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

/// What a service makes when it is asked for a path.
#[derive(Clone)]
struct Maker {
    asked: &'static str,
    make: Arc<dyn Fn() -> Making + Send + Sync>,
}

type Making = std::pin::Pin<Box<dyn Future<Output = StatusCode> + Send>>;

/// One request to the application service.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) token: String,
    /// Who says to be asking.
    pub(crate) agent: String,
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

    /// Asked for what is at a path, makes it by a request to the server; there is nothing else.
    pub(crate) fn makes(&self, server: &Server, asked: &'static str, endpoint: &'static str, body: Value) {
        let (router, path) = (server.router.clone(), format!("/_matrix/client/v3/{endpoint}"));
        let make = move || {
            let request = request("POST", &path, Some(AS_TOKEN), Some(body.clone()));
            let answer = router.clone().oneshot(request);
            Box::pin(async { answer.await.unwrap().status() }) as Making
        };
        *self.inner.maker.lock() = Some(Maker { asked, make: Arc::new(make) });
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
            Some(maker) if path == maker.asked => (maker.make)().await,
            _ => StatusCode::NOT_FOUND,
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
    let agent = head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let agent = agent.unwrap_or_default().to_owned();
    service.inner.calls.lock().push(Call { path, token, agent, body, answered: status, at });
    service.inner.called.notify_waiters();
    (status, axum::Json(json!({}))).into_response()
}

/// A server with the application service.
pub(crate) async fn bridged() -> (Server, Service) {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    (server, service)
}

/// A public room of a person with the virtual user `@irc_bob` in it.
pub(crate) async fn portal(server: &Server, alice: &Person) -> String {
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    registers(server, "irc_bob").await.joins(&room).await;
    room
}

/// A service that has heard the first message of a portal.
pub(crate) struct Talk {
    pub(crate) server: Server,
    pub(crate) service: Service,
    pub(crate) alice: Person,
    pub(crate) room: String,
    /// How many transactions it took.
    pub(crate) before: usize,
}

/// Alice says "before" in a portal, and the service has heard it.
pub(crate) async fn talking() -> Talk {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    let before = service.transactions().len();
    Talk { server, service, alice, room, before }
}

/// The service asks to be pinged, which ends any waiting.
pub(crate) async fn pings(server: &Server) {
    let path = "/_matrix/client/v1/appservice/irc/ping";
    server.call("POST", path, Some(AS_TOKEN), Some(json!({}))).await.ok();
}

/// What all acknowledged transactions hold under a name, in order.
pub(crate) fn all_of(service: &Service, name: &str) -> Vec<Value> {
    let acknowledged = service.transactions().into_iter().filter(|call| call.answered.is_success());
    acknowledged.flat_map(|call| call.json()[name].as_array().cloned().unwrap_or_default()).collect()
}

/// What reaches services over sockets.
pub(crate) fn reqwest_client() -> reqwest::Client {
    super::tls();
    reqwest::Client::builder().build().unwrap()
}

/// Stops the clock, and keeps it from running ahead while the database is at work.
pub(crate) struct Frozen(Option<std::sync::mpsc::Sender<()>>);

impl Frozen {
    pub(crate) fn now() -> Self {
        let (guard, over) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || over.recv());
        tokio::time::pause();
        Self(Some(guard))
    }

    /// Lets as much time pass as transactions are kept apart: five milliseconds, and what timers are rounded to.
    pub(crate) async fn until_the_next_transaction() {
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
