//! What the glue answers to good and bad requests.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use axum::{Router, body::Body, extract::RawQuery};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use landbridge_axum_ruma::{JsonBody, MatrixError, Ruma, RumaReply, cors, finish, mount, mount_at};
use ruma::api::{
    appservice::{event::push_events::v1 as push_events, ping::send_ping::v1 as ping},
    client::{
        account::whoami::v3 as whoami, membership::join_room_by_id_or_alias::v3 as join,
        profile::set_profile_field::v3 as set_profile, room::create_room::v3 as create_room,
    },
};
use serde_json::{Value, json};
use tower::ServiceExt;

const MAX_BODY: usize = 1000;

#[derive(serde::Deserialize)]
struct Hook {
    text: String,
}

fn app() -> Router {
    let router = Router::new();
    let router =
        mount::<ping::Request, _, _, _>(router, async |_: Ruma<ping::Request>| RumaReply(ping::Response::new()));
    let router = mount::<push_events::Request, _, _, _>(router, transactions);
    let router = mount_at::<push_events::Request, _, _, _>(router, &["/transactions/{txn_id}"], transactions);
    let router = mount::<create_room::Request, _, _, _>(router, async |request: Ruma<create_room::Request>| {
        MatrixError::not_found(format!("{:?} {:?}", request.auth, request.body.name))
    });
    let router = mount::<join::Request, _, _, _>(router, async |request: Ruma<join::Request>| {
        MatrixError::not_found(format!("{}", request.body.room_id_or_alias))
    });
    let router = mount::<whoami::Request, _, _, _>(router, async |request: Ruma<whoami::Request>| {
        let user = request.assertion()?.user_id.ok_or_else(|| MatrixError::not_found("nobody"))?;
        Ok::<_, MatrixError>(RumaReply(whoami::Response::new(user, false)))
    });
    let router = mount::<set_profile::Request, _, _, _>(router, async |request: Ruma<set_profile::Request>| {
        MatrixError::forbidden(format!("{}", request.body.user_id))
    });
    let router = router
        .route("/hook", axum::routing::post(async |RawQuery(_): RawQuery, JsonBody(hook): JsonBody<Hook>| hook.text));
    cors(finish(router, MAX_BODY))
}

async fn transactions(request: Ruma<push_events::Request>) -> MatrixError {
    MatrixError::not_found(format!("{} {}", request.body.txn_id, request.body.events.len()))
}

async fn ask(method: Method, path: &str, token: Option<&str>, body: impl Into<Body>) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token);
    }
    let response = app().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

const PING: &str = "/_matrix/app/v1/ping";
const ROOM: &str = "/_matrix/client/v3/createRoom";

async fn errcode(method: Method, path: &str, token: Option<&str>, body: impl Into<Body>) -> String {
    let (status, body) = ask(method, path, token, body).await;
    format!("{} {}", status.as_u16(), body["errcode"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_token_is_asked_for_before_the_json_is_read() {
    assert_eq!(errcode(Method::POST, PING, None, "no json").await, "401 M_MISSING_TOKEN");
    assert_eq!(errcode(Method::POST, PING, Some("Basic YTpi"), "").await, "401 M_MISSING_TOKEN");
    assert_eq!(errcode(Method::POST, PING, Some("Bear"), "").await, "401 M_MISSING_TOKEN");
    assert_eq!(errcode(Method::POST, PING, Some("Bearer a"), "no json").await, "400 M_NOT_JSON");
    assert_eq!(ask(Method::POST, PING, Some("bearer a"), "{}").await, (StatusCode::OK, json!({})));
}

#[tokio::test]
async fn header_and_query_must_agree() {
    let legacy = format!("{PING}?access_token=a");
    assert_eq!(ask(Method::POST, &legacy, None, "{}").await.0, StatusCode::OK);
    assert_eq!(ask(Method::POST, &legacy, Some("Bearer a"), "{}").await.0, StatusCode::OK);
    assert_eq!(errcode(Method::POST, &legacy, Some("Bearer b"), "{}").await, "403 M_FORBIDDEN");
    let twice = format!("{PING}?access_token=a&access_token=b");
    assert_eq!(errcode(Method::POST, &twice, None, "{}").await, "403 M_FORBIDDEN");
    let encoded = format!("{ROOM}?access_token=%61%2b");
    assert_eq!(ask(Method::POST, &encoded, None, "").await.1["error"], json!(r#""a+" None"#));
}

#[tokio::test]
async fn who_has_nothing_to_say_may_send_no_body() {
    let join = "/_matrix/client/v3/join/!room:localhost";
    assert_eq!(errcode(Method::POST, join, Some("Bearer a"), "").await, "404 M_NOT_FOUND");
}

#[tokio::test]
async fn broken_bodies_are_told_from_wrong_ones() {
    let room = |body: &[u8]| errcode(Method::POST, ROOM, Some("Bearer a"), body.to_vec());
    assert_eq!(room(b"").await, "404 M_NOT_FOUND", "an empty body is an empty object");
    assert_eq!(room(b"{\"name\":\"tru").await, "400 M_NOT_JSON", "truncated");
    assert_eq!(room(b"{\"name\":\"\xff\"}").await, "400 M_NOT_JSON", "not UTF-8");
    assert_eq!(room(b"{} {}").await, "400 M_NOT_JSON", "more than one");
    assert_eq!(room(b"{\"name\":3}").await, "400 M_BAD_JSON", "wrong type");
    assert_eq!(room(b"{\"name\":\"a\",\"name\":\"b\"}").await, "400 M_BAD_JSON", "duplicate key");
    assert_eq!(room(b" []").await, "400 M_BAD_JSON", "an array is no object");
    assert_eq!(room(b"null").await, "400 M_BAD_JSON", "null is no object");
}

#[tokio::test]
async fn deep_nesting_is_an_error_and_no_crash() {
    let deep = |key: &str| format!("{{\"{key}\":{}", "[".repeat(900));
    assert_eq!(errcode(Method::POST, ROOM, Some("Bearer a"), deep("name")).await, "400 M_BAD_JSON");
    assert_eq!(errcode(Method::POST, ROOM, Some("Bearer a"), deep("ignored")).await, "400 M_NOT_JSON");
    let nested = format!("{{\"creation_content\":{}1{}}}", "{\"a\":".repeat(150), "}".repeat(150));
    let answer = errcode(Method::POST, ROOM, Some("Bearer a"), nested).await;
    assert!(answer.starts_with("400") || answer.starts_with("404"), "{answer}");
    let raw = landbridge_axum_ruma::parse_json::<Value>(format!("{{\"a\":{}", "[".repeat(5_000_000)).as_bytes());
    assert_eq!(raw.unwrap_err().kind.errcode().as_str(), "M_NOT_JSON");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let body = |size: usize| format!("{{\"name\":\"{}\"}}", "a".repeat(size - 11));
    assert_eq!(errcode(Method::POST, ROOM, Some("Bearer a"), body(MAX_BODY)).await, "404 M_NOT_FOUND");
    assert_eq!(errcode(Method::POST, ROOM, Some("Bearer a"), body(MAX_BODY + 1)).await, "413 M_TOO_LARGE");
    assert_eq!(errcode(Method::POST, "/hook", None, body(MAX_BODY + 1)).await, "413 M_TOO_LARGE");
}

#[tokio::test]
async fn unknown_endpoints_and_methods_are_unrecognized() {
    assert_eq!(errcode(Method::GET, "/_matrix/client/v3/nothing", None, "").await, "404 M_UNRECOGNIZED");
    assert_eq!(errcode(Method::GET, "/", None, "").await, "404 M_UNRECOGNIZED");
    assert_eq!(errcode(Method::GET, PING, None, "").await, "405 M_UNRECOGNIZED");
    assert_eq!(errcode(Method::from_bytes(b"BREW").unwrap(), PING, None, "").await, "405 M_UNRECOGNIZED");
}

#[tokio::test]
async fn every_path_of_an_endpoint_answers() {
    for path in ["/_matrix/app/v1/transactions/t%2F1", "/transactions/t%2F1"] {
        let answer = ask(Method::PUT, path, Some("Bearer a"), r#"{"events":[{"no":"event"}]}"#).await;
        assert_eq!(answer.1["error"], json!("t/1 1"), "{path}");
    }
    for path in ["/_matrix/client/r0/createRoom", "/_matrix/client/v3/createRoom"] {
        assert_eq!(errcode(Method::POST, path, Some("Bearer a"), "{}").await, "404 M_NOT_FOUND");
    }
}

#[tokio::test]
async fn wrong_path_parameters_are_named() {
    let profile = |user: &str| format!("/_matrix/client/v3/profile/{user}/displayname");
    let set = |user: &str| errcode(Method::PUT, &profile(user).leak()[..], Some("Bearer a"), r#"{"displayname":"x"}"#);
    assert_eq!(set("@a:b").await, "403 M_FORBIDDEN");
    assert_eq!(set("nobody").await, "400 M_INVALID_PARAM");
    assert_eq!(set("%ff").await, "400 M_INVALID_PARAM");
}

#[tokio::test]
async fn an_application_service_can_assert_an_identity() {
    let who = |query: &str| format!("/_matrix/client/v3/account/whoami?{query}");
    let answer = ask(Method::GET, &who("user_id=%40irc_a%3Ahs"), Some("Bearer a"), "").await;
    assert_eq!(answer.1["user_id"], json!("@irc_a:hs"));
    assert_eq!(errcode(Method::GET, &who("user_id=irc_a"), Some("Bearer a"), "").await, "400 M_INVALID_PARAM");
    assert_eq!(errcode(Method::GET, &who("ts=yesterday"), Some("Bearer a"), "").await, "400 M_INVALID_PARAM");
}

#[tokio::test]
async fn browsers_are_let_in_even_to_errors() {
    for (method, status) in [(Method::OPTIONS, StatusCode::NO_CONTENT), (Method::GET, StatusCode::NOT_FOUND)] {
        let request = Request::builder().method(method).uri("/_matrix/client/nothing").body(Body::empty()).unwrap();
        let response = app().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("Authorization"));
    }
}

#[test]
fn errcodes_beyond_ruma_are_possible() {
    let error = MatrixError::with_errcode(StatusCode::BAD_REQUEST, "ORG.EXAMPLE_ODD", "odd");
    assert_eq!(error.to_string(), "400 ORG.EXAMPLE_ODD: odd");
}
