use std::sync::Arc;

use landbridge_homeserver::{
    clock::ManualClock,
    devices::{MAX_DEVICE_ID_BYTES, MAX_DEVICE_NAME_BYTES},
};
use serde_json::{Value, json};

use crate::support::{AS_TOKEN, Person, Server, Service, irc_registration, registers};

async fn device_of(person: &Person) -> String {
    person.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn there_is_one_rule_for_what_a_device_is_called() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let alice = server.person("alice").await;
    let bot = registers(&server, "irc_bob").await;
    let long = "d".repeat(MAX_DEVICE_ID_BYTES);
    let (too_long, name) = (format!("{long}d"), "n".repeat(MAX_DEVICE_NAME_BYTES + 1));
    for wrong in [
        json!({ "device_id": too_long }),
        json!({ "device_id": "a\u{0}b" }),
        json!({ "device_id": "a\nb" }),
        json!({ "initial_device_display_name": name }),
    ] {
        let asked = |body: Value| {
            let mut body = body;
            body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            body
        };
        let login = asked(json!({ "type": "m.login.password", "password": "secret",
            "identifier": { "type": "m.id.user", "user": "alice" } }));
        alice.post("login", login).await.refused(400, "M_INVALID_PARAM");
        let person = asked(json!({ "username": "carol", "password": "secret", "auth": { "type": "m.login.dummy" } }));
        alice.post("register", person).await.refused(400, "M_INVALID_PARAM");
        let ghost = asked(json!({ "type": "m.login.application_service", "username": "irc_carol" }));
        let path = "/_matrix/client/v3/register";
        server.call("POST", path, Some(AS_TOKEN), Some(ghost)).await.refused(400, "M_INVALID_PARAM");
        let dehydrated = asked(json!({ "device_id": "DRY", "device_data": { "algorithm": "a" },
            "device_keys": { "user_id": alice.user_id, "device_id": wrong["device_id"] } }));
        alice
            .put("../unstable/org.matrix.msc3814.v1/dehydrated_device", dehydrated)
            .await
            .refused(400, "M_INVALID_PARAM");
    }
    // Nobody was made on the way.
    for free in ["carol", "irc_carol"] {
        let path = format!("/_matrix/client/v3/profile/@{free}:localhost");
        server.call("GET", &path, None, None).await.refused(404, "M_NOT_FOUND");
    }
    bot.call("PUT", &format!("devices/{too_long}"), Some(json!({}))).await.refused(400, "M_INVALID_PARAM");
    bot.call("PUT", "devices/a%0Ab", Some(json!({}))).await.refused(400, "M_INVALID_PARAM");
    bot.call("PUT", "devices/NEW", Some(json!({ "display_name": name }))).await.refused(400, "M_INVALID_PARAM");
    bot.call("PUT", &format!("devices/{long}"), Some(json!({}))).await.ok();
    // At the bound it is taken, and an empty id asks for a new one.
    for (device, named) in [(long.as_str(), true), ("", false)] {
        let login = json!({ "type": "m.login.password", "password": "secret", "device_id": device,
            "identifier": { "type": "m.id.user", "user": "alice" },
            "initial_device_display_name": "n".repeat(MAX_DEVICE_NAME_BYTES) });
        assert_eq!(alice.post("login", login).await.ok()["device_id"] == device, named);
    }
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
async fn a_device_that_is_made_again_has_none_of_the_keys_of_the_one_before() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let bob = registers(&server, "irc_bob").await;
    let left = async || {
        let sync = bob.call("GET", "sync?device_id=BRIDGE", None).await.ok();
        sync["device_one_time_keys_count"]["signed_curve25519"].clone()
    };
    for _ in 0..2 {
        assert_eq!(bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.status, 201);
        assert_eq!(left().await, 0);
        let upload = json!({ "one_time_keys": { "signed_curve25519:A": key("a") } });
        bob.call("POST", "keys/upload?device_id=BRIDGE", Some(upload)).await.ok();
        assert_eq!(left().await, 1);
        bob.call("DELETE", "devices/BRIDGE", Some(json!({}))).await.ok();
    }
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

/// The specification wants the order of uploads, whatever the keys are called.
async fn one_time_keys_are_given_in_the_order_of_their_uploads(server: Server) {
    let alice = server.person("alice").await;
    let device = device_of(&alice).await;
    for id in ["C", "A", "B"] {
        let upload = json!({ "one_time_keys": { format!("signed_curve25519:{id}"): key(id) } });
        alice.post("keys/upload", upload).await.ok();
    }
    let server = server.restart().await;
    let alice = alice.on(&server);
    let mut claimed = Vec::new();
    for _ in 0..3 {
        let wanted = json!({ "one_time_keys": { &alice.user_id: { &device: "signed_curve25519" } } });
        let keys = alice.post("keys/claim", wanted).await.ok()["one_time_keys"][&alice.user_id][&device].clone();
        claimed.extend(keys.as_object().unwrap().keys().cloned());
    }
    assert_eq!(claimed, ["signed_curve25519:C", "signed_curve25519:A", "signed_curve25519:B"]);
}

#[tokio::test]
async fn one_time_keys_are_given_in_the_order_of_their_uploads_on_sqlite() {
    one_time_keys_are_given_in_the_order_of_their_uploads(Server::start().await).await;
}

#[tokio::test]
async fn one_time_keys_are_given_in_the_order_of_their_uploads_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    let server = Server::start_on(Some(postgres.url.clone())).await;
    one_time_keys_are_given_in_the_order_of_their_uploads(server).await;
}

#[tokio::test]
async fn a_device_was_seen_when_it_was_used() {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let server = Server::at(clock.clone(), |_| {}).await;
    let alice = server.person("alice").await;
    let seen = async || alice.get("devices").await.ok()["devices"][0]["last_seen_ts"].as_u64().unwrap();
    assert_eq!(seen().await, 1_000_000);
    // It may be a few minutes out of date.
    clock.advance(60_000);
    assert_eq!(seen().await, 1_000_000);
    clock.advance(9 * 60_000);
    assert_eq!(seen().await, 1_600_000);
    clock.advance(60_000);
    assert_eq!(seen().await, 1_600_000);
    clock.advance(60 * 60_000);
    assert_eq!(seen().await, 5_260_000);
}

#[tokio::test]
async fn of_a_hundred_who_claim_at_once_nobody_gets_what_another_has() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let device = device_of(&alice).await;
    let keys: serde_json::Map<String, Value> =
        (0..90).map(|number| (format!("signed_curve25519:{number}"), key(&number.to_string()))).collect();
    let upload = json!({ "one_time_keys": keys, "fallback_keys": { "signed_curve25519:F": key("f") } });
    alice.post("keys/upload", upload).await.ok();
    let wanted = json!({ "one_time_keys": { &alice.user_id: { &device: "signed_curve25519" } } });
    let claims = (0..100).map(|_| bob.post("keys/claim", wanted.clone()));
    let mut claimed = Vec::new();
    for answer in futures_util::future::join_all(claims).await {
        let found = answer.ok()["one_time_keys"][&alice.user_id][&device].clone();
        claimed.extend(found.as_object().unwrap().keys().cloned());
    }
    claimed.sort();
    let fallback = claimed.iter().filter(|id| *id == "signed_curve25519:F").count();
    claimed.dedup();
    assert_eq!((claimed.len(), fallback), (91, 10));
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
async fn messages_of_one_request_come_together() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    for number in 0..99 {
        let body = json!({ "messages": { &bob.user_id: { "*": { "n": number } } } });
        alice.put(&format!("sendToDevice/x.n/{number}"), body).await.ok();
    }
    let device = device_of(&bob).await;
    let body = json!({ "messages": { &bob.user_id: { "*": { "n": 99 }, (device): { "n": 100 } } } });
    alice.put("sendToDevice/x.n/99", body).await.ok();
    alice.put("sendToDevice/x.n/100", json!({ "messages": { &bob.user_id: { "*": { "n": 101 } } } })).await.ok();
    let first = bob.syncs(Some(&since), "").await;
    assert_eq!(first["to_device"]["events"].as_array().unwrap().len(), 101);
    let next = bob.syncs(Some(first["next_batch"].as_str().unwrap()), "").await;
    assert_eq!(next["to_device"]["events"][0]["content"], json!({ "n": 101 }));
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
    alice.post("keys/device_signing/upload", json!({ "master_key": master })).await.ok();
    let other = json!({ "user_id": alice.user_id, "usage": ["master"], "keys": { "ed25519:n": "n" } });
    let again = alice.post("keys/device_signing/upload", json!({ "master_key": other })).await;
    assert_eq!(again.status, 401, "another set of keys takes the password");
    // The other keys have to be signed by the master key.
    let stray = json!({ "user_id": alice.user_id, "usage": ["self_signing"], "keys": { "ed25519:s": "s" } });
    let stray = json!({ "self_signing_key": stray });
    alice.post("keys/device_signing/upload", stray).await.refused(400, "M_INVALID_SIGNATURE");
    let sync = bob.syncs(Some(&since), "").await;
    assert_eq!(sync["device_lists"]["changed"], json!([alice.user_id]));
    let found = bob.post("keys/query", json!({ "device_keys": { &alice.user_id: [] } })).await.ok();
    assert_eq!(found["master_keys"][&alice.user_id], master, "as it came: nobody signed it");
    let changes = format!("keys/changes?from={since}&to={}", sync["next_batch"].as_str().unwrap());
    assert_eq!(bob.get(&changes).await.ok()["changed"], json!([alice.user_id]));
}

#[tokio::test]
async fn a_message_to_a_device_is_sent_once_also_over_a_restart_and_never_to_nobody() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let device = device_of(&bob).await;
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let body = json!({ "messages": { &bob.user_id: { &device: { "n": 1 }, "NONE": { "n": 2 } } } });
    alice.put("sendToDevice/x.hello/txn1", body.clone()).await.ok();
    let server = server.restart().await;
    let (alice, bob) = (Person::again(&server, &alice), Person::again(&server, &bob));
    alice.put("sendToDevice/x.hello/txn1", body).await.ok();
    let came = bob.syncs(Some(&since), "").await["to_device"]["events"].clone();
    assert_eq!(came.as_array().unwrap().len(), 1, "{came}");
    // Nothing waits for a device that may be made later.
    let login = json!({ "type": "m.login.password", "user": "bob", "password": "secret", "device_id": "NONE" });
    let later = server.call("POST", "/_matrix/client/v3/login", None, Some(login)).await.ok();
    let path = "/_matrix/client/v3/sync?timeout=0";
    let sync = server.call("GET", path, later["access_token"].as_str(), None).await.ok();
    assert_eq!(sync["to_device"], Value::Null);
}

#[tokio::test]
async fn who_shares_no_room_any_more_can_be_forgotten() {
    let server = Server::start().await;
    let (alice, bob, carol) = (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    let first = carol.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let users = |sync: &Value, which: &str| {
        let mut users: Vec<String> = serde_json::from_value(sync["device_lists"][which].clone()).unwrap_or_default();
        users.sort();
        users
    };
    carol.joins(&room).await;
    let sync = carol.syncs(Some(&first), "").await;
    assert_eq!(users(&sync, "changed"), [alice.user_id.clone(), bob.user_id.clone()]);
    let joined = sync["next_batch"].as_str().unwrap().to_owned();
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    let sync = carol.syncs(Some(&joined), "").await;
    assert_eq!((users(&sync, "changed"), users(&sync, "left")), (vec![], vec![bob.user_id.clone()]));
    let next = sync["next_batch"].as_str().unwrap().to_owned();
    carol.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    let sync = carol.syncs(Some(&next), "").await;
    assert_eq!(users(&sync, "left"), std::slice::from_ref(&alice.user_id));
    let end = sync["next_batch"].as_str().unwrap();
    let changes = carol.get(&format!("keys/changes?from={first}&to={joined}")).await.ok();
    assert_eq!(changes, json!({ "changed": [], "left": [] }), "nobody shares a room with her now");
    let changes = carol.get(&format!("keys/changes?from={next}&to={end}")).await.ok();
    assert_eq!(changes["left"], json!([alice.user_id]));
}

#[tokio::test]
async fn a_backup_keeps_the_better_key_and_counts() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    alice.get("room_keys/version").await.refused(404, "M_NOT_FOUND");
    let new = json!({ "algorithm": "m.megolm_backup.v1", "auth_data": { "public_key": "one" } });
    let version = alice.post("room_keys/version", new.clone()).await.ok()["version"].as_str().unwrap().to_owned();
    let key = |index: u32, forwarded: u32, verified: bool| {
        json!({ "first_message_index": index, "forwarded_count": forwarded, "is_verified": verified,
                "session_data": { "index": index, "forwarded": forwarded, "verified": verified } })
    };
    let path = format!("room_keys/keys/!r:localhost/session?version={version}");
    let first = alice.put(&path, key(5, 1, false)).await.ok();
    assert_eq!(first["count"], 1);
    // Worse in what counts first, though better in what counts later.
    for (worse, kept) in [(key(6, 0, false), 5), (key(5, 2, false), 5), (key(9, 9, true), 9), (key(0, 0, false), 9)] {
        alice.put(&path, worse).await.ok();
        assert_eq!(alice.get(&path).await.ok()["first_message_index"], kept);
    }
    let rooms = json!({ "rooms": { "!r:localhost": { "sessions": { "other": key(0, 0, true) } },
                                   "!s:localhost": { "sessions": { "third": key(0, 0, true) } } } });
    let counted = alice.put(&format!("room_keys/keys?version={version}"), rooms).await.ok();
    assert_eq!(counted["count"], 3);
    assert_ne!(counted["etag"], first["etag"]);
    let of_room = alice.get(&format!("room_keys/keys/!r:localhost?version={version}")).await.ok();
    assert_eq!(of_room["sessions"].as_object().unwrap().len(), 2);
    let all = alice.get(&format!("room_keys/keys?version={version}")).await.ok();
    assert_eq!(all["rooms"].as_object().unwrap().len(), 2);
    alice.get(&format!("room_keys/keys/!s:localhost/none?version={version}")).await.refused(404, "M_NOT_FOUND");
    let none = alice.get(&format!("room_keys/keys/!none:localhost?version={version}")).await.ok();
    assert_eq!(none, json!({ "sessions": {} }));
    // What it needs may change, how it is done may not.
    let path = format!("room_keys/version/{version}");
    let other = json!({ "algorithm": "other", "auth_data": {} });
    alice.put(&path, other).await.refused(400, "M_INVALID_PARAM");
    alice.put(&path, json!({ "algorithm": "m.megolm_backup.v1", "auth_data": { "public_key": "two" } })).await.ok();
    assert_eq!(alice.get("room_keys/version").await.ok()["auth_data"]["public_key"], "two");
    // A new one takes its place.
    let second = alice.post("room_keys/version", new).await.ok()["version"].as_str().unwrap().to_owned();
    let wrong = alice.put(&format!("room_keys/keys/!r:localhost/s?version={version}"), key(0, 0, true)).await;
    assert_eq!(wrong.refused(403, "M_WRONG_ROOM_KEYS_VERSION")["current_version"], json!(second));
    alice.call("DELETE", &format!("room_keys/version/{second}"), None).await.ok();
    assert_eq!(alice.get("room_keys/version").await.ok()["version"], json!(version));
    let gone = alice.call("DELETE", &format!("room_keys/keys/!r:localhost?version={version}"), None).await.ok();
    assert_eq!(gone["count"], 1);
    alice.call("DELETE", &path, None).await.ok();
    alice.get("room_keys/version").await.refused(404, "M_NOT_FOUND");
    // Others see none of it.
    let bob = server.person("bob").await;
    bob.get(&format!("room_keys/keys?version={version}")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn encryption_once_on_stays_on() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let path = format!("rooms/{room}/state/m.room.encryption");
    let on = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    let event = alice.put(&path, on.clone()).await.ok()["event_id"].as_str().unwrap().to_owned();
    for off in [json!({}), json!({ "algorithm": "none" }), json!({ "algorithm": null })] {
        alice.put(&path, off).await.refused(403, "M_FORBIDDEN");
    }
    let redact = format!("rooms/{room}/redact/{event}/t1");
    alice.put(&redact, json!({})).await.refused(403, "M_FORBIDDEN");
    alice.put(&path, json!({ "algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 10 })).await.ok();
    assert_eq!(alice.get(&path).await.ok()["rotation_period_msgs"], 10);
}
