//! What the homeserver is answered, good and bad.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use ruma::{RoomAliasId, UserId, mxc_uri};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    dispatch::{AcceptError, Transaction, intake::Backlog},
    matrix::Client,
    metrics::Metrics,
    network::{Context, Host, Identity, MatrixEvent, Network, NetworkInfo, Reject, RemoteOp, SessionId},
    testing::{ScriptedNetwork, SimHomeserver, names, registration},
};

const TOKEN: &str = "hs-secret";

/// Keeps what it is given.
#[derive(Default)]
struct Recorder {
    taken: Mutex<Vec<(String, Vec<String>)>>,
    full: AtomicBool,
}

#[async_trait]
impl Intake for Recorder {
    async fn accept(&self, transaction: Transaction) -> Result<(), AcceptError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(AcceptError::Full);
        }
        let events = transaction.events.iter().map(|event| event.json().get().to_owned()).collect();
        self.taken.lock().push((transaction.txn_id.to_string(), events));
        Ok(())
    }

    async fn user_exists(&self, user_id: &UserId) -> bool {
        user_id == "@test_bob:example.org"
    }

    async fn alias_exists(&self, alias: &RoomAliasId) -> bool {
        alias == "#test_lobby:example.org"
    }

    fn backlog(&self) -> Backlog {
        Backlog { inbox: 4, ..Backlog::default() }
    }
}

/// Ids only; nothing of it ever connects.
struct Ids;

#[async_trait]
impl Network for Ids {
    type Room = String;
    type User = String;
    type Message = String;
    type Config = ();
    type Session = Never;
    const INFO: NetworkInfo = NetworkInfo { id: "test", ..ScriptedNetwork::INFO };

    async fn start(_: (), _: Host<Self>) -> Result<Self, crate::network::ConfigIssue> {
        Ok(Self)
    }
    fn session(&self, _: SessionId, _: Identity) -> Never {
        unreachable!("nobody connects")
    }
    fn to_remote(&self, _: &MatrixEvent<Self>, _: &Context<Self>) -> Result<Vec<RemoteOp<Self>>, Reject> {
        Ok(Vec::new())
    }
}

struct Never;

#[async_trait]
impl crate::network::Session<Ids> for Never {
    async fn run(&self, _: tokio_util::sync::CancellationToken) -> Result<(), crate::network::ConnectionError> {
        Ok(())
    }
    fn caps(&self, _: &String) -> crate::network::Caps {
        crate::network::Caps::default()
    }
    async fn deliver(
        &self,
        _: &RemoteOp<Ids>,
        _: &crate::network::IdempotencyKey,
        _: u32,
    ) -> Result<crate::network::Delivered<String>, crate::network::SendError> {
        Err(crate::network::SendError::Disconnected)
    }
}

struct Bridge {
    recorder: Arc<Recorder>,
    router: Router,
}

impl Bridge {
    fn new() -> Self {
        Self::with_media(None)
    }

    fn with_media(media: Option<MediaSource>) -> Self {
        let recorder = Arc::new(Recorder::default());
        let appservice = Appservice {
            hs_token: TOKEN.into(),
            intake: recorder.clone(),
            directory: Arc::new(NetworkDirectory::new(Arc::new(Ids), names("test", "example.org"))),
            metrics: Metrics::new(),
        };
        let operations = Operations {
            metrics: Metrics::new(),
            intake: recorder.clone(),
            sessions: Arc::new(|| (BTreeMap::from([("connected".to_owned(), 1)]), true)),
        };
        Self { recorder, router: router(appservice, open_routes(operations, media)) }
    }

    async fn raw(&self, request: Request<Body>) -> (StatusCode, http::HeaderMap, Vec<u8>) {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn ask(&self, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request =
            Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let (status, _, body) = self.raw(request.body(body.into()).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn put(&self, body: impl Into<Body>) -> (StatusCode, Value) {
        self.ask(Method::PUT, "/_matrix/app/v1/transactions/7", body).await
    }

    fn taken(&self) -> Vec<(String, Vec<String>)> {
        std::mem::take(&mut self.recorder.taken.lock())
    }
}

fn refused(errcode: &str) -> impl Fn(&(StatusCode, Value)) -> bool {
    move |(_, body)| body["errcode"] == errcode
}

#[tokio::test]
async fn a_transaction_is_taken_on_new_and_old_paths() {
    let bridge = Bridge::new();
    let body = json!({ "events": [{ "event_id": "$1" }, { "event_id": "$2" }] }).to_string();
    for path in ["/_matrix/app/v1/transactions/a%2Fb", "/transactions/a%2Fb"] {
        assert_eq!(bridge.ask(Method::PUT, path, body.clone()).await, (StatusCode::OK, json!({})));
        let expected = vec![r#"{"event_id":"$1"}"#.to_owned(), r#"{"event_id":"$2"}"#.to_owned()];
        assert_eq!(bridge.taken(), [("a/b".to_owned(), expected)]);
    }
}

#[tokio::test]
async fn one_bad_event_does_not_hold_up_the_others() {
    let bridge = Bridge::new();
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let long = "x".repeat(255);
    let events = format!(
        r#"{{"events":[null,5,"x",[],{{"event_id":5}},{{"content":{deep}}},{{"a":1,"a":2}},{{"event_id":"${long}\u0000\n"}},{{"event_id":"$good"}}]}}"#
    );
    assert_eq!(bridge.put(events).await.0, StatusCode::OK);
    let (_, events) = bridge.taken().remove(0);
    assert_eq!(events.len(), 5);
    assert_eq!(events[4], r#"{"event_id":"$good"}"#);
}

#[tokio::test]
async fn fields_may_be_missing_null_or_unknown() {
    let bridge = Bridge::new();
    for body in [
        "{}",
        "",
        r#"{"events":null,"ephemeral":null}"#,
        r#"{"events":[],"de.sorunome.msc2409.to_device":[{"type":"m.x"}],"to_device":[],"device_lists":{"changed":[]}}"#,
        r#"{"events":[],"org.matrix.msc3202.device_one_time_keys_count":{"@a:b":{}},"future":[1]}"#,
    ] {
        assert_eq!(bridge.put(body).await.0, StatusCode::OK, "{body}");
        assert!(bridge.taken()[0].1.is_empty());
    }
}

#[test]
fn the_stable_ephemeral_field_counts_before_the_old_one() {
    let ephemeral = |body: &str| Pushed::parse(body.as_bytes()).unwrap().ephemeral.len();
    assert_eq!(ephemeral(r#"{"ephemeral":[{"a":1}],"de.sorunome.msc2409.ephemeral":[{"a":1},{"b":2}]}"#), 1);
    assert_eq!(ephemeral(r#"{"de.sorunome.msc2409.ephemeral":[{"a":1},{"b":2}]}"#), 2);
    assert_eq!(ephemeral(r#"{"ephemeral":[7,{"a":1}]}"#), 1);
}

#[tokio::test]
async fn what_is_no_transaction_is_refused_and_leaves_no_trace() {
    let bridge = Bridge::new();
    let long = format!(r#"{{"events":["{}"]}}"#, "x".repeat(MAX_TRANSACTION));
    for (body, status, errcode) in [
        (&br#"{"events":[{"event_id":"$1"}"#[..], 400, "M_NOT_JSON"),
        (b"\xff\xfe", 400, "M_NOT_JSON"),
        (b"{\"events\":[{\"body\":\"\xff\"}]}", 400, "M_NOT_JSON"),
        (br#"[]"#, 400, "M_BAD_JSON"),
        (br#"{"events":{}}"#, 400, "M_BAD_JSON"),
        (br#"{"events":[],"events":[{}]}"#, 400, "M_BAD_JSON"),
        (long.as_bytes(), 413, "M_TOO_LARGE"),
    ] {
        let answer = bridge.put(body.to_vec()).await;
        assert_eq!((answer.0.as_u16(), answer.1["errcode"].as_str()), (status, Some(errcode)), "{body:.40?}");
        assert!(bridge.taken().is_empty());
    }
}

#[tokio::test]
async fn ten_thousand_events_are_taken_and_far_too_many_are_not() {
    let bridge = Bridge::new();
    let many = |count: usize| format!(r#"{{"events":[{}{{}}]}}"#, "{},".repeat(count - 1));
    assert_eq!(bridge.put(many(10_000)).await.0, StatusCode::OK);
    assert_eq!(bridge.taken()[0].1.len(), 10_000);
    assert!(refused("M_TOO_LARGE")(&bridge.put(many(MAX_EVENTS + 1)).await));
    assert!(bridge.taken().is_empty());
}

#[tokio::test]
async fn what_could_not_be_kept_must_be_sent_again() {
    let bridge = Bridge::new();
    bridge.recorder.full.store(true, Ordering::SeqCst);
    assert_eq!(bridge.put("{}").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn only_the_homeserver_gets_in() {
    let bridge = Bridge::new();
    let ask = async |path: &str, token: Option<&str>| {
        let mut request = Request::builder().method(Method::PUT).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let (status, _, body) = bridge.raw(request.body(Body::from("{}")).unwrap()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        (status.as_u16(), body["errcode"].as_str().unwrap_or("ok").to_owned())
    };
    let path = "/_matrix/app/v1/transactions/1";
    let with = |query: &str| format!("{path}?access_token={query}");
    let bearer = format!("Bearer {TOKEN}");
    let (ok, forbidden, missing) =
        ((200, "ok".to_owned()), (403, "M_FORBIDDEN".to_owned()), (401, "M_MISSING_TOKEN".to_owned()));
    assert_eq!(ask(path, None).await, missing);
    assert_eq!(ask(path, Some("Basic abc")).await, missing);
    assert_eq!(ask(path, Some("Bearer wrong")).await, forbidden);
    assert_eq!(ask(path, Some("Bearer ")).await, forbidden);
    assert_eq!(ask(path, Some(&bearer)).await, ok);
    assert_eq!(ask(&with(TOKEN), None).await, ok);
    assert_eq!(ask(&with("wrong"), None).await, forbidden);
    assert_eq!(ask(&with(TOKEN), Some(&bearer)).await, ok);
    assert_eq!(ask(&with("wrong"), Some(&bearer)).await, forbidden);
    assert_eq!(ask(&with(TOKEN), Some("Bearer wrong")).await, forbidden);
    assert_eq!(ask("/transactions/1", None).await, missing);
}

#[tokio::test]
async fn a_body_of_a_stranger_is_not_read() {
    let bridge = Bridge::new();
    let body = Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Vec<u8>, std::io::Error>>> { panic!("the body is read") },
    ));
    let request = Request::builder().method(Method::PUT).uri("/transactions/1").body(body).unwrap();
    assert_eq!(bridge.raw(request).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn unknown_endpoints_and_methods_are_unrecognized() {
    let bridge = Bridge::new();
    let unrecognized = refused("M_UNRECOGNIZED");
    for (method, path, status) in [
        (Method::GET, "/_matrix/app/v1/nothing", 404),
        (Method::GET, "/", 404),
        (Method::GET, "/_matrix/client/versions", 404),
        (Method::POST, "/_matrix/app/v1/transactions/1", 405),
        (Method::GET, "/_matrix/app/v1/ping", 405),
        (Method::DELETE, "/users/@test_bob:example.org", 405),
    ] {
        let answer = bridge.ask(method, path, "").await;
        assert!(answer.0 == status && unrecognized(&answer), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn users_and_aliases_are_answered() {
    let bridge = Bridge::new();
    for (path, status) in [
        ("/_matrix/app/v1/users/%40test_bob%3Aexample.org", 200),
        ("/users/@test_bob:example.org", 200),
        ("/_matrix/app/v1/users/@test_eve:example.org", 404),
        ("/_matrix/app/v1/users/nobody", 400),
        ("/_matrix/app/v1/rooms/%23test_lobby%3Aexample.org", 200),
        ("/rooms/%23test_lobby%3Aexample.org", 200),
        ("/_matrix/app/v1/rooms/%23test_x%3Aexample.org", 404),
        ("/_matrix/app/v1/rooms/x", 400),
    ] {
        assert_eq!(bridge.ask(Method::GET, path, "").await.0.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let bridge = Bridge::new();
    for body in [r#"{"transaction_id":"x"}"#, "{}"] {
        assert_eq!(bridge.ask(Method::POST, "/_matrix/app/v1/ping", body).await, (StatusCode::OK, json!({})));
    }
}

#[tokio::test]
async fn third_party_lookups_are_answered_from_the_ids() {
    let bridge = Bridge::new();
    let get = async |path: &str| bridge.ask(Method::GET, &format!("/_matrix/app/v1/thirdparty/{path}"), "").await;
    let (status, protocol) = get("protocol/test").await;
    assert_eq!((status, &protocol["instances"][0]["network_id"]), (StatusCode::OK, &json!("test")));
    assert_eq!(get("protocol/other").await.0, StatusCode::NOT_FOUND);

    let location = json!([{ "alias": "#test_#lobby:example.org", "protocol": "test", "fields": { "room": "#lobby" } }]);
    assert_eq!(get("location/test?room=%23lobby").await, (StatusCode::OK, location.clone()));
    assert_eq!(get("location?alias=%23test_%23lobby%3Aexample.org").await, (StatusCode::OK, location));
    assert_eq!(get("location?alias=%23test_%23lobby%3Aevil.example").await, (StatusCode::OK, json!([])));
    assert_eq!(get("location/other?room=%23lobby").await, (StatusCode::OK, json!([])));
    assert_eq!(get("location/test?nothing=1").await, (StatusCode::OK, json!([])));

    let user = json!([{ "userid": "@test_bob:example.org", "protocol": "test", "fields": { "user": "bob" } }]);
    assert_eq!(get("user/test?user=bob").await, (StatusCode::OK, user.clone()));
    assert_eq!(get("user?userid=%40test_bob%3Aexample.org").await, (StatusCode::OK, user));
    assert_eq!(get("user?userid=%40test_bob%3Aexample.org.evil.example").await, (StatusCode::OK, json!([])));
    let long = "x".repeat(300);
    assert_eq!(get(&format!("user/test?user={long}")).await, (StatusCode::OK, json!([])));
}

#[tokio::test]
async fn health_and_metrics_are_open() {
    let bridge = Bridge::new();
    let get = async |path: &str| bridge.raw(Request::get(path).body(Body::empty()).unwrap()).await;
    let (status, _, body) = get("/health").await;
    let health: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &health["inbox"], &health["healthy"]), (StatusCode::OK, &json!(4), &json!(true)));
    let (status, headers, body) = get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(String::from_utf8(body).unwrap().contains("landbridge_inbox 4"));
}

/// A homeserver, and a bridge that hands out its media up to so many bytes.
fn with_media(max: u64) -> (SimHomeserver, Bridge, MediaLinks) {
    let homeserver = SimHomeserver::new("example.org");
    let registration = registration("test", "example.org");
    let client = Client::new(homeserver.transport(), registration.as_token.clone());
    homeserver.register(registration);
    let links = MediaLinks::new(&"https://b.example".parse().unwrap(), b"secret");
    let bridge = Bridge::with_media(Some(MediaSource { links: links.clone(), client, max, revoked: None }));
    (homeserver, bridge, links)
}

async fn fetch(bridge: &Bridge, url: &str) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let path = url.strip_prefix("https://b.example").unwrap();
    bridge.raw(Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_media_link_leads_to_the_file_and_runs_nothing() {
    let (homeserver, bridge, links) = with_media(1000);
    for (mime, shown, disposition) in [
        ("image/png", "image/png", "inline; "),
        ("text/html", "application/octet-stream", "attachment; "),
        ("image/svg+xml", "application/octet-stream", "attachment; "),
        ("text/html; x=image/png", "application/octet-stream", "attachment; "),
    ] {
        let mxc = homeserver.store_media(mime, b"content");
        let url = links.url(mxc.as_str().into(), "a b.png").unwrap();
        let (status, headers, body) = fetch(&bridge, &url).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"content"[..]));
        assert_eq!(headers[header::CONTENT_TYPE], shown, "{mime}");
        assert!(headers[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with(disposition), "{mime}");
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("sandbox;"));
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn a_link_that_is_not_ours_fetches_nothing() {
    let (homeserver, bridge, links) = with_media(1000);
    let mxc = homeserver.store_media("image/png", b"content");
    let url = links.url(mxc.as_str().into(), "x").unwrap();
    let other = links.url(mxc_uri!("mxc://example.org/other"), "x").unwrap();
    let (signature, theirs) = (url.split('/').nth(6).unwrap(), other.split('/').nth(6).unwrap());
    let before = homeserver.requests().len();
    assert_eq!(fetch(&bridge, &url.replace(signature, theirs)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(homeserver.requests().len(), before);
    assert_eq!(fetch(&bridge, &other).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_over_the_limit_is_not_handed_out() {
    let (homeserver, bridge, links) = with_media(10);
    let mxc = homeserver.store_media("image/png", &[0; 11]);
    assert_eq!(fetch(&bridge, &links.url(mxc.as_str().into(), "x").unwrap()).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_old_homeserver_has_media_too() {
    let (homeserver, bridge, links) = with_media(1000);
    homeserver.has_legacy_media_only();
    let mxc = homeserver.store_media("image/png", b"content");
    assert_eq!(fetch(&bridge, &links.url(mxc.as_str().into(), "x").unwrap()).await.0, StatusCode::OK);
}
