//! One story over everything that is stored, on both databases.

use serde_json::{Value, json};

use crate::{
    rooms_support::Postgres,
    support::{AS_TOKEN, Person, Server, Service, bodies, irc_registration, registers, virtual_user},
};

#[tokio::test]
async fn everything_is_kept_on_sqlite() {
    story(Server::start().await).await;
}

#[tokio::test]
async fn everything_is_kept_on_postgres() {
    let Some(postgres) = Postgres::start().await else { return };
    story(Server::start_on(Some(postgres.url.clone())).await).await;
}

async fn story(server: Server) {
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "name": "Tea" })).await;
    bob.joins(&room).await;
    registers(&server, "irc_bob").await.joins(&room).await;
    let event = alice.says(&room, "one").await;

    // What alice keeps on the server.
    let device = alice.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    let note = format!("user/{}/account_data/x.note", alice.user_id);
    alice.put(&note, json!({ "n": 1, "nul": "\u{0}" })).await.ok();
    let filter = json!({ "room": { "timeline": { "limit": 3 } } });
    let filter_id = alice.post(&format!("user/{}/filter", alice.user_id), filter).await.ok()["filter_id"].clone();
    alice.put(&format!("profile/{}/displayname", alice.user_id), json!({ "displayname": "Alice" })).await.ok();
    let keys = json!({ "user_id": alice.user_id, "device_id": device, "algorithms": [], "keys": {}, "signatures": {} });
    let one_time = json!({ "signed_curve25519:A": { "key": "a", "signatures": {} } });
    let fallback = json!({ "signed_curve25519:F": { "key": "f", "signatures": {} } });
    let upload = json!({ "device_keys": keys, "one_time_keys": one_time, "fallback_keys": fallback });
    alice.post("keys/upload", upload).await.ok();
    bob.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let message = json!({ "messages": { &alice.user_id: { &device: { "n": 1 } } } });
    bob.put("sendToDevice/x.hello/t1", message).await.ok();
    let upload = axum::body::Body::from("tea");
    let mut request =
        crate::support::request("POST", "/_matrix/media/v3/upload?filename=tea.txt", Some(&alice.token), None);
    *request.body_mut() = upload;
    let uri = server.send(request).await.ok()["content_uri"].as_str().unwrap().to_owned();

    // Nothing that clients send is too odd to store, or it is refused.
    let odd = json!({ "type": "m.login.password", "user": "bob", "password": "secret", "device_id": "a\u{0}b" });
    server.call("POST", "/_matrix/client/v3/login", None, Some(odd)).await.refused(400, "M_INVALID_PARAM");
    let odd = json!({ "type": "m.login.password", "user": "bob", "password": "secret", "device_id": "ODD",
                      "initial_device_display_name": "c\u{0}d" });
    server.call("POST", "/_matrix/client/v3/login", None, Some(odd)).await.ok();
    assert_eq!(bob.get("devices/ODD").await.ok()["display_name"], "c\u{fffd}d");
    let odd = json!({ "type": "m.login.password", "user": "b\u{0}b", "password": "secret" });
    server.call("POST", "/_matrix/client/v3/login", None, Some(odd)).await.refused(403, "M_FORBIDDEN");
    let odd = json!({ "messages": { &alice.user_id: { "a\u{0}b": { "n": 2 } } } });
    bob.put("sendToDevice/x.hello/t2", odd).await.ok();
    let odd = json!({ "one_time_keys": { &alice.user_id: { "a\u{0}b": "signed_curve25519" } } });
    bob.post("keys/claim", odd).await.ok();
    bob.get("devices/a%00b").await.refused(400, "M_INVALID_PARAM");
    bob.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({ "thread_id": "$a\u{0}" }))
        .await
        .refused(400, "M_INVALID_PARAM");
    alice.put(&format!("rooms/{room}/state/x.odd/key"), json!({ "a\u{0}": "\u{0}" })).await.ok();

    // The application service goes down, and the homeserver is started again.
    assert_eq!(service.hears("one").await, ["one"]);
    let before = service.transactions().len();
    service.always(500);
    alice.says(&room, "two").await;
    service.until(|service| service.transactions().len() > before).await;
    let tried = service.transactions()[before].clone();
    let server = server.restart().await;
    let (alice, bob) = (Person::again(&server, &alice), Person::again(&server, &bob));
    service.always(200);
    server.appservice(irc_registration(), &service).await;
    alice.says(&room, "three").await;
    assert_eq!(service.hears("three").await, ["one", "two", "three"]);
    let repeated = service.transactions().into_iter().rfind(|call| call.path == tried.path).unwrap();
    assert_eq!(repeated.body, tried.body);

    // All of it is there.
    assert_eq!(alice.get(&note).await.ok(), json!({ "n": 1, "nul": "\u{0}" }));
    assert_eq!(bob.get(&format!("profile/{}", alice.user_id)).await.ok(), json!({ "displayname": "Alice" }));
    let sync = alice.syncs(None, &format!("&filter={}", filter_id.as_str().unwrap())).await;
    let tea = &sync["rooms"]["join"][&room];
    assert_eq!(bodies(&tea["timeline"]["events"]).last().unwrap(), "three");
    let receipts = tea["ephemeral"]["events"].as_array().unwrap();
    assert!(receipts[0]["content"][&event]["m.read"][&bob.user_id].is_object());
    assert_eq!(sync["to_device"]["events"][0]["content"], json!({ "n": 1 }));
    assert_eq!(sync["device_one_time_keys_count"], json!({ "signed_curve25519": 1 }));
    assert_eq!(sync["device_unused_fallback_key_types"], json!(["signed_curve25519"]));
    let wanted = json!({ "one_time_keys": { &alice.user_id: { &device: "signed_curve25519" } } });
    for expected in ["signed_curve25519:A", "signed_curve25519:F"] {
        let claimed = bob.post("keys/claim", wanted.clone()).await.ok();
        let claimed: &Value = &claimed["one_time_keys"][&alice.user_id][&device];
        assert_eq!(claimed.as_object().unwrap().keys().collect::<Vec<_>>(), [expected]);
    }
    let path = format!("/_matrix/client/v1/media/download/{}", uri.strip_prefix("mxc://").unwrap());
    assert_eq!(server.call("GET", &path, Some(&bob.token), None).await.bytes, "tea");
    let login = json!({ "type": "m.login.password", "user": "bob", "password": "secret" });
    server.call("POST", "/_matrix/client/v3/login", None, Some(login)).await.ok();
    let taken = json!({ "type": "m.login.application_service", "username": "irc_bob" });
    server.call("POST", "/_matrix/client/v3/register", Some(AS_TOKEN), Some(taken)).await.refused(400, "M_USER_IN_USE");
    virtual_user(&server, "irc_bob").call("POST", &format!("rooms/{room}/leave"), Some(json!({}))).await.ok();
    let found = alice.post("user_directory/search", json!({ "search_term": "bob" })).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_derived_of_rooms_is_the_same_on_postgresql() {
    let Some(postgres) = Postgres::start().await else { return };
    let server = Server::start_on(Some(postgres.url.clone())).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "version": "12" })).await;
    bob.joins(&room).await;
    let root = alice.says(&room, "root").await;
    let first = bob.relates(&room, "m.thread", &root, "first").await;
    let edit = bob.edits(&room, &first, "First").await;
    let page = alice.get_v1(&format!("rooms/{room}/relations/{root}?recurse=true")).await.ok();
    assert_eq!(page["chunk"].as_array().unwrap().len(), 2);
    assert_eq!(page["chunk"][0]["event_id"], json!(edit));
    let threads = alice.get_v1(&format!("rooms/{room}/threads?include=participated")).await.ok();
    assert_eq!(threads["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["count"], 1);
    let found = alice.get_v1(&format!("rooms/{room}/timestamp_to_event?ts=0&dir=f")).await.ok();
    assert!(found["event_id"].is_string());
    let sync = alice.syncs(None, "").await;
    assert_eq!(sync["rooms"]["join"][&room]["unread_notifications"]["notification_count"], 1);
    alice.post(&format!("rooms/{room}/receipt/m.read/{first}"), json!({})).await.ok();
    assert_eq!(alice.get("notifications").await.ok()["notifications"].as_array().unwrap().len(), 1);
    assert_eq!(alice.get_v1(&format!("mutual_rooms?user_id={}", bob.user_id)).await.ok()["count"], 1);
    alice.post(&format!("rooms/{room}/report/{first}"), json!({ "reason": "nul\u{0}" })).await.ok();
    let new = alice.post(&format!("rooms/{room}/upgrade"), json!({ "new_version": "12" })).await.ok();
    assert!(new["replacement_room"].is_string());
    let pusher = json!({
        "kind": "http", "app_id": "app", "pushkey": "key", "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": { "url": "https://push.example/_matrix/push/v1/notify" },
    });
    alice.post("pushers/set", pusher).await.ok();
    let server = server.restart().await;
    let alice = alice.on(&server);
    assert_eq!(alice.get("pushers").await.ok()["pushers"].as_array().unwrap().len(), 1);
    let page = alice.get_v1(&format!("rooms/{room}/relations/{root}/m.thread")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["first"]);
}
