use serde_json::{Value, json};

use crate::support::{AS_TOKEN, Person, Server, Service, irc_registration, registers};

async fn device_of(person: &Person) -> String {
    person.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn devices_are_listed_named_and_dropped() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let device = device_of(&alice).await;
    alice.put(&format!("devices/{device}"), json!({ "display_name": "phone" })).await.ok();
    let shown = alice.get(&format!("devices/{device}")).await.ok();
    assert_eq!((&shown["device_id"], &shown["display_name"]), (&json!(device), &json!("phone")));
    assert!(shown["last_seen_ts"].is_number());
    assert_eq!(alice.get("devices").await.ok(), json!({ "devices": [shown] }));
    alice.put("devices/NONE", json!({ "display_name": "x" })).await.refused(404, "M_NOT_FOUND");
    let first = alice.call("DELETE", &format!("devices/{device}"), Some(json!({}))).await;
    assert_eq!(first.status, 401);
    let auth = json!({ "type": "m.login.password", "session": first.body["session"], "password": "secret",
                       "identifier": { "type": "m.id.user", "user": "alice" } });
    alice.call("DELETE", &format!("devices/{device}"), Some(json!({ "auth": auth }))).await.ok();
    alice.get("devices").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn application_services_make_devices_without_a_login() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let bob = registers(&server, "irc_bob").await;
    let made = bob.call("PUT", "devices/BRIDGE", Some(json!({ "display_name": "bridge" }))).await;
    assert_eq!(made.status, 201);
    assert_eq!(bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.status, 200);
    for name in ["device_id", "org.matrix.msc3202.device_id"] {
        let who = bob.call("GET", &format!("account/whoami?{name}=BRIDGE"), None).await.ok();
        assert_eq!(who["device_id"], "BRIDGE");
        bob.call("GET", &format!("account/whoami?{name}=OTHER"), None).await.refused(400, "M_UNKNOWN_DEVICE");
    }
    bob.call("DELETE", "devices/BRIDGE", Some(json!({}))).await.ok();
    bob.call("GET", "account/whoami?device_id=BRIDGE", None).await.refused(400, "M_UNKNOWN_DEVICE");
    let keys = "/_matrix/client/v3/keys/upload";
    server.call("POST", keys, Some(AS_TOKEN), Some(json!({}))).await.refused(403, "M_FORBIDDEN");
}

fn key(text: &str) -> Value {
    json!({ "key": text, "signatures": {} })
}

#[tokio::test]
async fn a_one_time_key_is_given_once_and_then_the_fallback() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let device = device_of(&alice).await;
    let device_keys =
        json!({ "user_id": alice.user_id, "device_id": device, "algorithms": [], "keys": {}, "signatures": {} });
    let upload = json!({ "device_keys": device_keys,
        "one_time_keys": { "signed_curve25519:A": key("a"), "signed_curve25519:B": key("b") },
        "fallback_keys": { "signed_curve25519:F": key("f") } });
    let counts = alice.post("keys/upload", upload).await.ok();
    assert_eq!(counts, json!({ "one_time_key_counts": { "signed_curve25519": 2 } }));
    let wrong = json!({ "device_keys": { "user_id": bob.user_id, "device_id": device, "algorithms": [], "keys": {}, "signatures": {} } });
    alice.post("keys/upload", wrong).await.refused(400, "M_INVALID_PARAM");
    let found = bob.post("keys/query", json!({ "device_keys": { &alice.user_id: [] } })).await.ok();
    assert_eq!(found["device_keys"][&alice.user_id][&device]["user_id"], json!(alice.user_id));
    let mut claimed = Vec::new();
    for _ in 0..4 {
        let wanted = json!({ "one_time_keys": { &alice.user_id: { &device: "signed_curve25519" } } });
        let keys = bob.post("keys/claim", wanted).await.ok()["one_time_keys"][&alice.user_id][&device].clone();
        claimed.extend(keys.as_object().unwrap().keys().cloned());
    }
    assert_eq!(claimed, ["signed_curve25519:A", "signed_curve25519:B", "signed_curve25519:F", "signed_curve25519:F"]);
    let sync = alice.syncs(None, "").await;
    assert_eq!(sync["device_one_time_keys_count"], json!({ "signed_curve25519": 0 }));
    assert_eq!(sync["device_unused_fallback_key_types"], json!([]));
}

#[tokio::test]
async fn messages_to_a_device_come_until_they_are_seen() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let body = json!({ "messages": { &bob.user_id: { "*": { "hello": 1 } } } });
    for _ in 0..2 {
        alice.put("sendToDevice/x.hello/txn1", body.clone()).await.ok();
    }
    let expected = json!([{ "type": "x.hello", "sender": alice.user_id, "content": { "hello": 1 } }]);
    for _ in 0..2 {
        // As often as the client asks from the same place.
        assert_eq!(bob.syncs(Some(&since), "").await["to_device"]["events"], expected);
    }
    let next = bob.syncs(Some(&since), "").await["next_batch"].as_str().unwrap().to_owned();
    assert_eq!(bob.syncs(Some(&next), "").await["to_device"], Value::Null);
    assert_eq!(bob.syncs(Some(&since), "").await["to_device"], Value::Null, "seen messages are forgotten");
}

#[tokio::test]
async fn many_messages_to_a_device_come_in_parts() {
    let server = Server::start().await;
    let bob = server.person("bob").await;
    let mut since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    for number in 0..150 {
        let body = json!({ "messages": { &bob.user_id: { "*": { "n": number } } } });
        bob.put(&format!("sendToDevice/x.n/{number}"), body).await.ok();
    }
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let sync = bob.syncs(Some(&since), "").await;
        let events = sync["to_device"]["events"].as_array().unwrap().clone();
        numbers.extend(events.iter().map(|event| event["content"]["n"].as_i64().unwrap()));
        since = sync["next_batch"].as_str().unwrap().to_owned();
    }
    assert_eq!(numbers, (0..150).collect::<Vec<_>>());
}

#[tokio::test]
async fn changed_devices_are_told_to_those_who_share_a_room() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let master = json!({ "user_id": alice.user_id, "usage": ["master"], "keys": { "ed25519:m": "m" } });
    alice.post("keys/device_signing/upload", json!({ "master_key": master })).await.ok();
    let again = alice.post("keys/device_signing/upload", json!({ "master_key": master })).await;
    assert_eq!(again.status, 401, "another set of keys takes the password");
    let sync = bob.syncs(Some(&since), "").await;
    assert_eq!(sync["device_lists"]["changed"], json!([alice.user_id]));
    let found = bob.post("keys/query", json!({ "device_keys": { &alice.user_id: [] } })).await.ok();
    assert_eq!(found["master_keys"][&alice.user_id]["usage"], json!(["master"]));
    let changes = format!("keys/changes?from={since}&to={}", sync["next_batch"].as_str().unwrap());
    assert_eq!(bob.get(&changes).await.ok()["changed"], json!([alice.user_id]));
}
