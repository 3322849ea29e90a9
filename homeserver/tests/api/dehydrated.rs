//! A device that nobody is logged in on.

use serde_json::{Value, json};

use crate::support::{Person, Server};

const DEVICE: &str = "../unstable/org.matrix.msc3814.v1/dehydrated_device";

fn device(who: &Person, id: &str) -> Value {
    json!({
        "device_id": id,
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "pickle", "nonce": "nonce" },
        "initial_device_display_name": "Dehydrated",
        "device_keys": { "user_id": who.user_id, "device_id": id, "dehydrated": true, "algorithms": [],
            "keys": {}, "signatures": {} },
        "one_time_keys": { "signed_curve25519:A": { "key": "a", "signatures": {} } },
        "fallback_keys": { "signed_curve25519:F": { "key": "f", "signatures": {}, "fallback": true } },
    })
}

fn events(id: &str) -> String {
    format!("{DEVICE}/{}/events", id.replace('/', "%2F"))
}

/// All that waited for the device, page by page, and how long the pages were.
async fn read(who: &Person, id: &str) -> (Vec<u64>, Vec<usize>) {
    let (mut numbers, mut pages, mut from) = (Vec::new(), Vec::new(), json!({}));
    loop {
        let page = who.post(&events(id), from).await.ok();
        let told = page["events"].as_array().unwrap();
        pages.push(told.len());
        numbers.extend(told.iter().map(|event| event["content"]["n"].as_u64().unwrap()));
        if told.is_empty() {
            return (numbers, pages);
        }
        from = json!({ "next_batch": page["next_batch"] });
    }
}

async fn ids_of(who: &Person, whose: &Person) -> Vec<String> {
    let found = who.post("keys/query", json!({ "device_keys": { &whose.user_id: [] } })).await.ok();
    found["device_keys"][&whose.user_id].as_object().unwrap().keys().cloned().collect()
}

/// Base64 has slashes.
const ID: &str = "cur/ve25519+key";

async fn what_a_dehydrated_device_heard_is_read_by_the_next(server: Server) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    alice.get(DEVICE).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.put(DEVICE, device(&alice, ID)).await.ok(), json!({ "device_id": ID }));

    let found = bob.post("keys/query", json!({ "device_keys": { &alice.user_id: [] } })).await.ok();
    let shown = &found["device_keys"][&alice.user_id][ID];
    assert_eq!((&shown["dehydrated"], &shown["unsigned"]["device_display_name"]), (&json!(true), &json!("Dehydrated")));
    let wanted = json!({ "one_time_keys": { &alice.user_id: { (ID): "signed_curve25519" } } });
    for expected in ["signed_curve25519:A", "signed_curve25519:F"] {
        let claimed = bob.post("keys/claim", wanted.clone()).await.ok();
        assert!(claimed["one_time_keys"][&alice.user_id][ID].get(expected).is_some(), "{claimed}");
    }
    alice.post("logout", json!({})).await.ok();
    for number in 0..150 {
        let body = json!({ "messages": { &alice.user_id: { "*": { "n": number } } } });
        bob.put(&format!("sendToDevice/m.room.encrypted/{number}"), body).await.ok();
    }
    let server = server.restart().await;
    let next = Person::of(&server, &server.logs_in("alice").await, &alice.user_id);
    let kept = next.get(DEVICE).await.ok();
    assert_eq!((&kept["device_id"], &kept["device_data"]), (&json!(ID), &device(&alice, ID)["device_data"]));
    assert_eq!(next.syncs(None, "").await["to_device"], Value::Null, "they are for the other device");
    // Who is interrupted begins anew.
    for _ in 0..2 {
        let (numbers, pages) = read(&next, ID).await;
        assert_eq!((numbers, pages), ((0..150).collect(), vec![100, 50, 0]));
    }
    assert_eq!(next.call("DELETE", DEVICE, Some(json!({}))).await.ok(), json!({ "device_id": ID }));
    next.post(&events(ID), json!({})).await.refused(403, "M_FORBIDDEN");
    next.call("DELETE", DEVICE, Some(json!({}))).await.refused(404, "M_NOT_FOUND");
    let bob = bob.on(&server);
    assert!(ids_of(&bob, &next).await.is_empty());
    let claimed = bob.post("keys/claim", wanted).await.ok();
    assert_eq!(claimed["one_time_keys"], json!({}));
}

#[tokio::test]
async fn what_a_dehydrated_device_heard_is_read_by_the_next_on_sqlite() {
    what_a_dehydrated_device_heard_is_read_by_the_next(Server::start().await).await;
}

#[tokio::test]
async fn what_a_dehydrated_device_heard_is_read_by_the_next_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    what_a_dehydrated_device_heard_is_read_by_the_next(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn there_is_one_dehydrated_device_at_most() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    alice.put(DEVICE, device(&alice, "FIRST")).await.ok();
    let body = json!({ "messages": { &alice.user_id: { "FIRST": { "n": 1 } } } });
    bob.put("sendToDevice/m.room.encrypted/1", body).await.ok();
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    alice.put(DEVICE, device(&alice, "SECOND")).await.ok();
    assert_eq!(ids_of(&bob, &alice).await, ["SECOND"]);
    assert_eq!(bob.syncs(Some(&since), "").await["device_lists"]["changed"], json!([alice.user_id]));
    alice.post(&events("FIRST"), json!({})).await.refused(403, "M_FORBIDDEN");
    // The same again is a new one.
    let body = json!({ "messages": { &alice.user_id: { "SECOND": { "n": 2 } } } });
    bob.put("sendToDevice/m.room.encrypted/2", body).await.ok();
    assert_eq!(read(&alice, "SECOND").await.0, [2]);
    alice.put(DEVICE, device(&alice, "SECOND")).await.ok();
    assert!(read(&alice, "SECOND").await.0.is_empty());

    let ids: Vec<String> = (0..8).map(|number| format!("D{number}")).collect();
    let uploads = ids.iter().map(|id| alice.put(DEVICE, device(&alice, id)));
    for answer in futures_util::future::join_all(uploads).await {
        answer.ok();
    }
    let kept = alice.get(DEVICE).await.ok()["device_id"].as_str().unwrap().to_owned();
    assert_eq!(ids_of(&bob, &alice).await, [kept]);
    assert_eq!(alice.get("devices").await.ok()["devices"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_dehydrated_device_goes_as_other_devices_do() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let auth = json!({ "type": "m.login.password", "password": "secret",
        "identifier": { "type": "m.id.user", "user": "alice" } });
    alice.put(DEVICE, device(&alice, "DRY")).await.ok();
    alice.post("delete_devices", json!({ "devices": ["DRY"], "auth": auth })).await.ok();
    alice.get(DEVICE).await.refused(404, "M_NOT_FOUND");
    alice.put(DEVICE, device(&alice, "DRY")).await.ok();
    alice.post("logout/all", json!({})).await.ok();
    let again = Person::of(&server, &server.logs_in("alice").await, &alice.user_id);
    again.get(DEVICE).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_is_no_dehydrated_device_is_refused() {
    let server = Server::with(|config| config.guests = true).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let refused = async |change: &dyn Fn(&mut Value), status: u16, errcode: &str| {
        let mut body = device(&alice, "DRY");
        change(&mut body);
        alice.put(DEVICE, body).await.refused(status, errcode);
    };
    refused(&|body| body["device_keys"]["device_id"] = json!("WET"), 400, "M_INVALID_PARAM").await;
    refused(&|body| body["device_keys"]["user_id"] = json!("@bob:localhost"), 400, "M_INVALID_PARAM").await;
    refused(&|body| drop(body.as_object_mut().unwrap().remove("device_keys")), 400, "M_BAD_JSON").await;
    refused(&|body| body["device_data"] = json!({}), 400, "M_BAD_JSON").await;
    refused(&|body| body["device_data"]["device_pickle"] = json!("x".repeat(300_000)), 413, "M_TOO_LARGE").await;
    refused(&|body| body["device_id"] = json!(""), 400, "M_INVALID_PARAM").await;
    let own = alice.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    alice.put(DEVICE, device(&alice, &own)).await.refused(400, "M_INVALID_PARAM");
    let key = json!({ "user_id": alice.user_id, "usage": ["master"], "keys": { "ed25519:KEY": "KEY" } });
    alice.post("keys/device_signing/upload", json!({ "master_key": key })).await.ok();
    alice.put(DEVICE, device(&alice, "KEY")).await.refused(403, "M_FORBIDDEN");

    alice.put(DEVICE, device(&alice, "DRY")).await.ok();
    for token in ["", "12", "s-1", "x"] {
        alice.post(&events("DRY"), json!({ "next_batch": token })).await.refused(400, "M_INVALID_PARAM");
    }
    bob.post(&events("DRY"), json!({})).await.refused(403, "M_FORBIDDEN");
    // Nobody logs in on it: what waits for it would be lost.
    let login = json!({ "type": "m.login.password", "password": "secret", "device_id": "DRY",
        "identifier": { "type": "m.id.user", "user": "alice" } });
    server.call("POST", "/_matrix/client/v3/login", None, Some(login)).await.refused(403, "M_FORBIDDEN");
    let guest = server.call("POST", "/_matrix/client/v3/register?kind=guest", None, Some(json!({}))).await.ok();
    let path = DEVICE.replace("..", "/_matrix/client");
    server.call("GET", &path, guest["access_token"].as_str(), None).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
}
