use axum::body::Body;
use http::{Request, header};
use serde_json::json;

use crate::support::{Server, request};

#[tokio::test]
async fn unknown_endpoints_and_methods_are_unrecognized() {
    let server = Server::start().await;
    for path in ["/_matrix/client/v3/nonsense", "/_matrix/unknown", "/", "/_matrix/client/v99/sync"] {
        server.call("GET", path, None, None).await.refused(404, "M_UNRECOGNIZED");
    }
    server.call("PATCH", "/_matrix/client/v3/login", None, None).await.refused(405, "M_UNRECOGNIZED");
    server.call("DELETE", "/_matrix/client/versions", None, None).await.refused(405, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn browsers_are_let_in_everywhere() {
    let server = Server::start().await;
    for (method, path, status) in [
        ("OPTIONS", "/_matrix/client/v3/login", 204),
        ("OPTIONS", "/_matrix/client/v3/nonsense", 204),
        ("GET", "/_matrix/client/v3/nonsense", 404),
        ("GET", "/_matrix/client/v3/sync", 401),
        ("GET", "/_matrix/client/versions", 200),
    ] {
        let answer = server.call(method, path, None, None).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}

#[tokio::test]
async fn broken_json_is_told_apart_and_breaks_nothing() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{{\"creation_content\":{}1{}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let cases: [(&[u8], &str); 7] = [
        (b"{\"name\":", "M_NOT_JSON"),
        (b"{\"name\": \"\xff\xfe\"}", "M_NOT_JSON"),
        (b"nonsense", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"{\"name\": 5}", "M_BAD_JSON"),
        (deep.as_bytes(), "M_BAD_JSON"),
        (deep_object.as_bytes(), "M_BAD_JSON"),
    ];
    for (body, errcode) in cases {
        let mut request = request("POST", "/_matrix/client/v3/createRoom", Some(&alice.token), None);
        *request.body_mut() = Body::from(body.to_vec());
        let shown = String::from_utf8_lossy(body.get(..40).unwrap_or(body)).into_owned();
        let answer = server.send(request).await;
        assert_eq!(answer.status, 400, "{shown}");
        assert_eq!(answer.body["errcode"], errcode, "{shown}");
    }
    alice.get("account/whoami").await.ok();
}

#[tokio::test]
async fn deep_content_of_an_event_is_refused_or_kept_but_never_fatal() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let path = format!("/_matrix/client/v3/rooms/{room}/send/x.deep/deep");
    for depth in [100, 1_000, 60_000] {
        let content = format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        let mut request = request("PUT", &path, Some(&alice.token), None);
        *request.body_mut() = Body::from(content);
        let status = server.send(request).await.status.as_u16();
        assert!(matches!(status, 200 | 400 | 413), "{depth}: {status}");
    }
    alice.syncs(None, "").await;
}

#[tokio::test]
async fn doubled_keys_are_refused_or_settled_but_never_fatal() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let mut twice =
        request("PUT", &format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/t"), Some(&alice.token), None);
    *twice.body_mut() = Body::from(r#"{"msgtype":"m.text","body":"one","body":"two"}"#);
    let status = server.send(twice).await.status.as_u16();
    assert!(matches!(status, 200 | 400), "{status}");
    if status == 200 {
        let page = alice.get(&format!("rooms/{room}/messages?dir=b&limit=1")).await.ok();
        assert!(page["chunk"][0]["content"]["body"].is_string());
    }
}

#[tokio::test]
async fn a_body_over_the_bound_is_not_read() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let mut big = request("POST", "/_matrix/client/v3/createRoom", Some(&alice.token), None);
    *big.body_mut() = Body::from(vec![b' '; 2 * 1024 * 1024 + 1]);
    server.send(big).await.refused(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn an_event_too_large_is_refused() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let body = json!({ "msgtype": "m.text", "body": "x".repeat(70_000) });
    alice.put(&format!("rooms/{room}/send/m.room.message/big"), body).await.refused(413, "M_TOO_LARGE");
    let long = "k".repeat(256);
    let refused = alice.put(&format!("rooms/{room}/state/x.y/{long}"), json!({})).await;
    assert!(matches!(refused.status.as_u16(), 400 | 413), "{}", refused.body);
}

#[tokio::test]
async fn what_says_too_little_is_no_event() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let event = alice.says(&room, "hello").await;
    for (path, body) in [("send//t1", json!({})), ("state//", json!({}))] {
        alice.put(&format!("rooms/{room}/{path}"), body).await.refused(400, "M_INVALID_PARAM");
    }
    alice.put("sendToDevice//t1", json!({ "messages": {} })).await.refused(400, "M_INVALID_PARAM");
    // A redaction that redacts nothing is none; in whichever way one asks, it says what.
    for (body, txn) in [(json!({}), "t2"), (json!({ "redacts": 5 }), "t3"), (json!({ "redacts": "nothing" }), "t4")] {
        alice.put(&format!("rooms/{room}/send/m.room.redaction/{txn}"), body).await.refused(400, "M_BAD_JSON");
    }
    alice.put(&format!("rooms/{room}/send/m.room.redaction/t5"), json!({ "redacts": event })).await.ok();
    assert_eq!(alice.get(&format!("rooms/{room}/event/{event}")).await.ok()["content"], json!({}));
    // What is to be stored is said, if only that it is nothing.
    for path in [format!("rooms/{room}/send/m.x/t6"), format!("rooms/{room}/state/m.x")] {
        let path = format!("/_matrix/client/v3/{path}");
        server.call("PUT", &path, Some(&alice.token), None).await.refused(400, "M_NOT_JSON");
    }
    alice.get(&format!("rooms/{room}/state/m.room.create/?format=whole")).await.refused(400, "M_INVALID_PARAM");
    for (field, value) in [
        ("keys", json!(["content.body", "content.nothing"])),
        ("groupings", json!({ "group_by": [{ "key": "colour" }] })),
    ] {
        let search = json!({ "search_categories": { "room_events": { "search_term": "tea", field: value } } });
        alice.post("search", search).await.refused(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn strangers_are_told_apart() {
    let server = Server::start().await;
    server.call("GET", "/_matrix/client/v3/sync", None, None).await.refused(401, "M_MISSING_TOKEN");
    server.call("GET", "/_matrix/client/v3/sync", Some("nonsense"), None).await.refused(401, "M_UNKNOWN_TOKEN");
    let legacy = server.person("alice").await.token;
    let path = format!("/_matrix/client/v3/account/whoami?access_token={legacy}");
    server.call("GET", &path, None, None).await.ok();
    server.call("GET", &path, Some("another"), None).await.refused(403, "M_FORBIDDEN");
    let odd = Request::get("/_matrix/client/v3/account/whoami")
        .header(header::AUTHORIZATION, "Basic abc")
        .body(Body::empty());
    server.send(odd.unwrap()).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn odd_ids_and_control_characters_break_nothing() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let long = "x".repeat(255);
    let send = |kind: &str, txn: &str| format!("rooms/{room}/send/{kind}/{txn}");
    for (path, body) in [
        (send(&long, "t1"), json!({ "body": "long type" })),
        (send("x%00y", "t2"), json!({ "body": "nul in type" })),
        (send("m.room.message", "%00%01"), json!({ "msgtype": "m.text", "body": "a\u{0}b\r\nc\u{202e}" })),
        (format!("rooms/{room}/state/x.y/%00"), json!({ "a": "\u{0}" })),
        (format!("rooms/{}/send/m.room.message/t3", "%21".repeat(255)), json!({})),
        (format!("profile/{}/displayname", alice.user_id), json!({ "displayname": "a\u{0}b\r\n" })),
        (format!("user/{}/account_data/x%00y", alice.user_id), json!({ "a": "\u{0}" })),
    ] {
        let status = alice.put(&path, body).await.status.as_u16();
        assert!(status < 500, "{path}: {status}");
    }
    alice.syncs(None, "").await;
    let members = alice.get(&format!("rooms/{room}/state/m.room.member/{}", alice.user_id)).await.ok();
    assert!(!members.to_string().contains("\\u0000"), "{members}");
}

/// PostgreSQL keeps no NUL in a text: what holds one is refused, or kept as U+FFFD, and nobody finds anything by it.
async fn a_nul_is_no_fault_of_the_server(server: Server) {
    let alice = server.person("alice").await;
    let me = &alice.user_id;
    let key = json!({ "user_id": me, "usage": ["master"], "keys": { "ed25519:a\u{0}b": "a\u{0}b" } });
    alice.post("keys/device_signing/upload", json!({ "master_key": key })).await.refused(400, "M_INVALID_PARAM");
    let pusher = json!({ "kind": "http", "app_id": "app", "pushkey": "a\u{0}b", "app_display_name": "a",
        "device_display_name": "d", "lang": "en", "data": { "url": "https://push.example.org/_matrix/push/v1/notify" } });
    alice.post("pushers/set", pusher).await.refused(400, "M_INVALID_PARAM");
    alice.post("pushers/set", json!({ "kind": null, "app_id": "a\u{0}b", "pushkey": "a\u{0}b" })).await.ok();
    assert_eq!(alice.get("pushers").await.ok()["pushers"], json!([]));
    let listed = alice.post("publicRooms", json!({ "third_party_instance_id": "a\u{0}b|c" })).await.ok();
    assert_eq!(listed["chunk"], json!([]));
    alice.post("keys/query", json!({ "device_keys": { me: ["a\u{0}b"] } })).await.ok();
    alice.post("keys/claim", json!({ "one_time_keys": { me: { "a\u{0}b": "a\u{0}b" } } })).await.ok();
    let message = json!({ "messages": { me: { "a\u{0}b": { "a": "\u{0}" }, "*": { "a": "\u{0}" } } } });
    alice.put("sendToDevice/x.y/1", message).await.ok();
    assert_eq!(alice.syncs(None, "").await["to_device"]["events"][0]["content"]["a"], "\u{0}");
    alice
        .post(
            "search",
            json!({ "search_categories": { "room_events": { "search_term": "a\u{0}b",
        "filter": { "rooms": ["!a\u{0}b:localhost"] } } } }),
        )
        .await;
    alice.post("user_directory/search", json!({ "search_term": "a\u{0}b" })).await.refused(400, "M_INVALID_PARAM");
    let device = alice.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    alice.put(&format!("devices/{device}"), json!({ "display_name": "a\u{0}b" })).await.ok();
    assert_eq!(alice.get(&format!("devices/{device}")).await.ok()["display_name"], "a\u{fffd}b");
    for (path, body) in [
        ("refresh", json!({ "refresh_token": "a\u{0}b" })),
        ("login", json!({ "type": "m.login.token", "token": "a\u{0}b" })),
        ("login", json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "a\u{0}b" } })),
        ("createRoom", json!({ "room_alias_name": "a\u{0}b" })),
        ("createRoom", json!({ "room_version": "a\u{0}b" })),
        ("createRoom", json!({ "name": "a\u{0}b", "topic": "a\u{0}b" })),
        ("room_keys/version", json!({ "algorithm": "a\u{0}b", "auth_data": { "a\u{0}b": "a\u{0}b" } })),
    ] {
        let answer = alice.post(path, body).await;
        assert!(answer.status.as_u16() < 500, "{path}: {} {}", answer.status, answer.body);
    }
}

#[tokio::test]
async fn a_nul_is_no_fault_of_the_server_on_sqlite() {
    a_nul_is_no_fault_of_the_server(Server::start().await).await;
}

#[tokio::test]
async fn a_nul_is_no_fault_of_the_server_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    a_nul_is_no_fault_of_the_server(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn health_and_metrics_answer() {
    let server = Server::start().await;
    assert_eq!(server.call("GET", "/health", None, None).await.ok(), json!({ "status": "ok" }));
    let metrics = server.call("GET", "/metrics", None, None).await;
    assert!(String::from_utf8_lossy(&metrics.bytes).contains("landbridge_homeserver_log_position"));
}
