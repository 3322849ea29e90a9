//! What a service needs to take part in encryption.

use std::sync::Arc;

use landbridge_registration::{Builder, Namespace, Token};
use parking_lot::Mutex;
use ruma::server_name;
use serde_json::{Value, json};

use crate::support::{Server, Service, all_of, irc_registration, pings, portal, registers, virtual_user};

/// A registration that asks for all that encryption needs.
fn encrypting() -> landbridge_registration::Registration {
    let mut registration = irc_registration();
    registration.msc3202 = true;
    registration
}

#[tokio::test]
async fn messages_to_devices_of_virtual_users_wait_until_the_service_has_them() {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(encrypting(), &service).await;
    let alice = server.person("alice").await;
    let bob = registers(&server, "irc_bob").await;
    bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.ok();
    service.always(500);
    let numbers: Vec<u64> = (0..1000).collect();
    for number in &numbers {
        let body = json!({ "messages": { &bob.user_id: { "BRIDGE": { "n": number } } } });
        alice.put(&format!("sendToDevice/x.n/{number}"), body).await.ok();
    }
    service.until(|service| !service.transactions().is_empty()).await;
    let server = server.restart().await;
    service.always(200);
    server.appservice(encrypting(), &service).await;
    let came = |service: &Service| {
        let came = all_of(service, "to_device");
        came.iter().map(|event| event["content"]["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    service.until(|service| came(service).len() >= numbers.len()).await;
    assert_eq!(came(&service), numbers, "all, once, in order");
    let first = &all_of(&service, "de.sorunome.msc2409.to_device")[0];
    assert_eq!((&first["to_user_id"], &first["to_device_id"]), (&json!(bob.user_id), &json!("BRIDGE")));
    assert_eq!(first["sender"], json!(alice.user_id));
    let most = service.transactions().iter().map(|call| call.json()["to_device"].as_array().map_or(0, Vec::len)).max();
    assert!(most.unwrap() <= 100, "{most:?}");
}

#[tokio::test]
async fn a_service_hears_whose_devices_changed_and_how_many_keys_are_left() {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(encrypting(), &service).await;
    let (alice, carol) = (server.person("alice").await, server.person("carol").await);
    let room = portal(&server, &alice).await;
    let bob = virtual_user(&server, "irc_bob");
    bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.ok();
    let keys = json!({ "user_id": bob.user_id, "device_id": "BRIDGE", "algorithms": [], "keys": {}, "signatures": {} });
    let upload = json!({ "device_keys": keys,
        "one_time_keys": { "signed_curve25519:A": { "key": "a", "signatures": {} }, "signed_curve25519:B": { "key": "b", "signatures": {} } },
        "fallback_keys": { "signed_curve25519:F": { "key": "f", "signatures": {} } } });
    bob.call("POST", "keys/upload?device_id=BRIDGE", Some(upload)).await.ok();
    // Of somebody in the room, of somebody elsewhere.
    for person in [&alice, &carol] {
        let master = json!({ "user_id": person.user_id, "usage": ["master"], "keys": { "ed25519:m": "m" } });
        person.post("keys/device_signing/upload", json!({ "master_key": master })).await.ok();
    }
    let lists = |service: &Service, which: &str| {
        let all = service.transactions();
        let mut users: Vec<String> = all
            .iter()
            .flat_map(|call| call.json()["device_lists"][which].as_array().cloned().unwrap_or_default())
            .map(|user| user.as_str().unwrap().to_owned())
            .collect();
        users.dedup();
        users
    };
    let wanted = json!({ "one_time_keys": { &bob.user_id: { "BRIDGE": "signed_curve25519" } } });
    let left = |count: u64| {
        let user = bob.user_id.clone();
        move |service: &Service| {
            service.transactions().iter().any(|call| {
                let counts = &call.json()["device_one_time_keys_count"][&user]["BRIDGE"]["signed_curve25519"];
                counts.as_u64() == Some(count)
            })
        }
    };
    // Each count is told once: one that changes before it is told is not.
    service.until(left(2)).await;
    alice.post("keys/claim", wanted.clone()).await.ok();
    service.until(left(1)).await;
    alice.post("keys/claim", wanted.clone()).await.ok();
    alice.post("keys/claim", wanted).await.ok();
    service.until(left(0)).await;
    service
        .until(|service| {
            service
                .transactions()
                .iter()
                .any(|call| call.json()["device_unused_fallback_key_types"][&bob.user_id]["BRIDGE"] == json!([]))
        })
        .await;
    service.until(|service| lists(service, "changed").contains(&alice.user_id)).await;
    carol.joins(&room).await;
    service.until(|service| lists(service, "changed").contains(&carol.user_id)).await;
    alice.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    service.until(|service| lists(service, "left").contains(&alice.user_id)).await;
}

#[tokio::test]
async fn two_services_that_encrypt_each_hear_of_the_same_devices() {
    let server = Server::start().await;
    let (first, second) = (Service::default(), Service::default());
    server.appservice(encrypting(), &first).await;
    let mut other = Builder::new("xmpp", "xmppbot")
        .url("http://127.0.0.1:1")
        .user_namespace(Namespace::users_with_prefix("xmpp_", server_name!("localhost")))
        .tokens(Token::from("another-as-token"), Token::from("another-hs-token"))
        .build()
        .unwrap();
    other.msc3202 = true;
    server.appservice(other, &second).await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    let path = format!("/_matrix/client/v3/join/{room}");
    server.call("POST", &path, Some("another-as-token"), Some(json!({}))).await.ok();
    let heard = |service: &Service| {
        let all = service.transactions();
        all.iter().any(|call| {
            let changed = call.json()["device_lists"]["changed"].as_array().cloned().unwrap_or_default();
            changed.contains(&json!(alice.user_id))
        })
    };
    // The one is out of reach when it happens, the other is not.
    first.always(500);
    let master = json!({ "user_id": alice.user_id, "usage": ["master"], "keys": { "ed25519:m": "m" } });
    alice.post("keys/device_signing/upload", json!({ "master_key": master })).await.ok();
    second.until(heard).await;
    first.always(200);
    pings(&server).await;
    first.until(heard).await;
}

/// A service that holds the keys of `@irc_bob` and `@irc_eve` itself, says of each request what it was, and adds what nobody asked for.
fn keeper(asked: Arc<Mutex<Vec<Value>>>) -> axum::Router {
    let answer = move |uri: http::Uri, body: axum::body::Bytes| {
        let asked = asked.clone();
        async move {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let device = |user: &str| json!({ "user_id": user, "device_id": "HELD", "algorithms": [], "keys": {}, "signatures": {} });
            let answer = match uri.path() {
                "/_matrix/app/unstable/org.matrix.msc3983/keys/claim" => json!({
                    "@irc_bob:localhost": { "HELD": { "curve25519:WRONG": "x", "signed_curve25519:HELD": { "key": "h", "signatures": {} } } },
                    "@alice:localhost": { "ALICES": { "signed_curve25519:FORGED": { "key": "f", "signatures": {} } } },
                }),
                "/_matrix/app/unstable/org.matrix.msc3984/keys/query" => json!({
                    "device_keys": {
                        "@irc_bob:localhost": { "HELD": device("@irc_bob:localhost"), "NOT": device("@irc_bob:localhost") },
                        "@alice:localhost": { "HELD": device("@alice:localhost") },
                    },
                    "master_keys": {
                        "@irc_bob:localhost": { "user_id": "@irc_bob:localhost", "usage": ["master"], "keys": {} },
                        "@alice:localhost": { "user_id": "@alice:localhost", "usage": ["master"], "keys": {} },
                    },
                }),
                _ => return axum::Json(json!({})),
            };
            asked.lock().push(body);
            axum::Json(answer)
        }
    };
    axum::Router::new().fallback(answer)
}

#[tokio::test]
async fn a_service_that_holds_the_keys_of_its_users_is_asked_for_them_and_for_no_others() {
    let server = Server::start().await;
    let asked = Arc::<Mutex<Vec<Value>>>::default();
    let mut registration = irc_registration();
    (registration.msc3983, registration.msc3984) = (true, true);
    let transport = Arc::new(landbridge_homeserver::appservice::InProcess::new(keeper(asked.clone())));
    server.hs.add_appservice_over(registration, transport).await.unwrap();
    let alice = server.person("alice").await;
    let bob = registers(&server, "irc_bob").await;
    bob.call("PUT", "devices/STORED", Some(json!({}))).await.ok();
    let keys = json!({ "user_id": bob.user_id, "device_id": "STORED", "algorithms": [], "keys": {}, "signatures": {} });
    let upload =
        json!({ "device_keys": keys, "one_time_keys": { "signed_curve25519:S": { "key": "s", "signatures": {} } } });
    bob.call("POST", "keys/upload?device_id=STORED", Some(upload)).await.ok();

    // What is stored, and what the service holds; of alice it says things, too, but nobody believes it.
    let query = json!({ "device_keys": { &bob.user_id: [], &alice.user_id: [] } });
    let found = alice.post("keys/query", query).await.ok();
    let devices: Vec<&String> = found["device_keys"][&bob.user_id].as_object().unwrap().keys().collect();
    assert_eq!(devices, ["HELD", "STORED"], "a device under another's name is none");
    assert_eq!(found["device_keys"][&alice.user_id], json!({}));
    assert_eq!(found["master_keys"].as_object().unwrap().keys().collect::<Vec<_>>(), [&bob.user_id]);
    assert_eq!(asked.lock().drain(..).collect::<Vec<_>>(), [json!({ "device_keys": { &bob.user_id: [] } })]);
    // Who asks for one device gets one.
    let found = alice.post("keys/query", json!({ "device_keys": { &bob.user_id: ["STORED"] } })).await.ok();
    let devices: Vec<&String> = found["device_keys"][&bob.user_id].as_object().unwrap().keys().collect();
    assert_eq!(devices, ["STORED"]);
    asked.lock().clear();

    // A one-time key that is stored is given first, without asking; then the service's.
    let claim = json!({ "one_time_keys": { &bob.user_id: { "STORED": "signed_curve25519", "HELD": "signed_curve25519" },
        &alice.user_id: { "ALICES": "signed_curve25519" } } });
    let found = alice.post("keys/claim", claim.clone()).await.ok();
    let given = |device: &str| found["one_time_keys"][&bob.user_id][device].as_object().unwrap().keys().next().cloned();
    assert_eq!(given("STORED").as_deref(), Some("signed_curve25519:S"));
    assert_eq!(given("HELD").as_deref(), Some("signed_curve25519:HELD"), "and not a key of another algorithm");
    assert_eq!(found["one_time_keys"].get(&alice.user_id), None);
    assert_eq!(
        asked.lock().drain(..).collect::<Vec<_>>(),
        [json!({ &bob.user_id: { "HELD": ["signed_curve25519"] } })]
    );
}

#[tokio::test]
async fn while_a_service_is_away_the_keys_that_are_stored_are_given() {
    let server = Server::start().await;
    let service = Service::default();
    let mut registration = irc_registration();
    (registration.msc3983, registration.msc3984) = (true, true);
    server.appservice(registration, &service).await;
    service.always(500);
    let alice = server.person("alice").await;
    let bob = registers(&server, "irc_bob").await;
    bob.call("PUT", "devices/STORED", Some(json!({}))).await.ok();
    let keys = json!({ "user_id": bob.user_id, "device_id": "STORED", "algorithms": [], "keys": {}, "signatures": {} });
    let fallback = json!({ "signed_curve25519:F": { "key": "f", "signatures": {}, "fallback": true } });
    let upload = json!({ "device_keys": keys, "fallback_keys": fallback });
    bob.call("POST", "keys/upload?device_id=STORED", Some(upload)).await.ok();
    let found = alice.post("keys/query", json!({ "device_keys": { &bob.user_id: [] } })).await.ok();
    assert_eq!(found["device_keys"][&bob.user_id]["STORED"]["device_id"], "STORED");
    let claim = json!({ "one_time_keys": { &bob.user_id: { "STORED": "signed_curve25519" } } });
    let found = alice.post("keys/claim", claim).await.ok();
    let given = found["one_time_keys"][&bob.user_id]["STORED"].as_object().unwrap().keys().next().cloned();
    assert_eq!(given.as_deref(), Some("signed_curve25519:F"));
}
