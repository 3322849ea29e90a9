//! What a service hears of, and what not.

use landbridge_registration::Namespace;
use serde_json::{Value, json};

use crate::support::{HS_TOKEN, Server, Service, all_of, bridged, irc_registration, portal, virtual_user};

#[tokio::test]
async fn a_service_hears_what_interests_it_and_nothing_else() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let elsewhere = alice.creates_room(json!({})).await;
    alice.says(&elsewhere, "not for you").await;
    // Rooms with a virtual user in them.
    let room = portal(&server, &alice).await;
    alice.says(&room, "with bob").await;
    // Rooms with one of its aliases.
    let bot = virtual_user(&server, "ircbot");
    let named = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let alias = "directory/room/%23irc_tea:localhost";
    bot.call("PUT", alias, Some(json!({ "room_id": named }))).await.ok();
    alice.says(&named, "by alias").await;
    // Its own user needs no namespace.
    let of_bot = alice.creates_room(json!({ "invite": ["@ircbot:localhost"] })).await;
    bot.joins(&of_bot).await;
    alice.says(&of_bot, "with the bot").await;
    assert_eq!(service.hears("with the bot").await, ["with bob", "by alias", "with the bot"]);
    let call = &service.transactions()[0];
    assert_eq!(call.token, format!("Bearer {HS_TOKEN}"));
    let invitation = service.events().into_iter().find(|event| event["content"]["membership"] == "invite").unwrap();
    assert!(invitation["unsigned"]["invite_room_state"].is_array(), "{invitation}");
    assert_eq!(invitation["room_id"], json!(of_bot));
    // After the last of its users has left, no more.
    let bob = virtual_user(&server, "irc_bob");
    bob.call("POST", &format!("rooms/{room}/leave"), Some(json!({}))).await.ok();
    alice.says(&room, "bob is gone").await;
    alice.says(&of_bot, "the end").await;
    assert!(!service.hears("the end").await.contains(&"bob is gone".to_owned()));
    let leaving = service.events().into_iter().any(|event| event["content"]["membership"] == "leave");
    assert!(leaving, "its own leaving is told");
}

#[tokio::test]
async fn typing_and_receipts_come_under_both_names() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let elsewhere = alice.creates_room(json!({})).await;
    let room = portal(&server, &alice).await;
    let (other, event) = (alice.says(&elsewhere, "hush").await, alice.says(&room, "hello").await);
    service.hears("hello").await;
    for (room, event) in [(&elsewhere, other), (&room, event)] {
        alice.put(&format!("rooms/{room}/typing/{}", alice.user_id), json!({ "typing": true })).await.ok();
        alice.post(&format!("rooms/{room}/receipt/m.read.private/{event}"), json!({})).await.ok();
        alice.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    }
    let all = |service: &Service, key: &str| -> Vec<Value> {
        let calls = service.transactions();
        calls.iter().flat_map(|call| call.json()[key].as_array().cloned().unwrap_or_default()).collect()
    };
    service.until(|service| all(service, "ephemeral").iter().any(|event| event["type"] == "m.receipt")).await;
    service.until(|service| all(service, "ephemeral").iter().any(|event| event["type"] == "m.typing")).await;
    let told = all(&service, "ephemeral");
    assert_eq!(told, all(&service, "de.sorunome.msc2409.ephemeral"));
    assert!(told.iter().all(|event| event["room_id"] == json!(room)), "{told:?}");
    let typing = told.iter().find(|event| event["type"] == "m.typing").unwrap();
    assert_eq!(typing["content"], json!({ "user_ids": [alice.user_id] }));
    assert!(!Value::from(told).to_string().contains("m.read.private"));
}

#[tokio::test]
async fn presence_of_those_in_its_rooms_is_told_to_a_service() {
    let (server, service) = bridged().await;
    let (alice, carol) = (server.person("alice").await, server.person("carol").await);
    portal(&server, &alice).await;
    for person in [&carol, &alice] {
        let path = format!("presence/{}/status", person.user_id);
        person.put(&path, json!({ "presence": "online", "status_msg": "tea" })).await.ok();
    }
    let told = |service: &Service| {
        let all = all_of(service, "ephemeral");
        all.into_iter().filter(|event| event["type"] == "m.presence").collect::<Vec<_>>()
    };
    service.until(|service| !told(service).is_empty()).await;
    let told = told(&service);
    assert_eq!((&told[0]["sender"], &told[0]["content"]["status_msg"]), (&json!(alice.user_id), &json!("tea")));
    assert!(told.iter().all(|event| event["sender"] != json!(carol.user_id)));
}

#[tokio::test]
async fn nobody_gives_a_room_they_are_not_in_to_a_service() {
    let (server, service) = (Server::start().await, Service::default());
    let mut registration = irc_registration();
    registration.namespaces.aliases.push(Namespace::new(false, "#pub_.*:localhost"));
    server.appservice(registration, &service).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let (room, open) =
        (alice.creates_room(json!({})).await, alice.creates_room(json!({ "preset": "public_chat" })).await);
    let alias = "directory/room/%23pub_tea:localhost";
    let nowhere = bob.put(alias, json!({ "room_id": "!nowhere:localhost" })).await.refused(403, "M_FORBIDDEN");
    for room in [&room, &open] {
        let refused = bob.put(alias, json!({ "room_id": room })).await.refused(403, "M_FORBIDDEN");
        assert_eq!(refused, nowhere, "a stranger is not told which rooms there are");
    }
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": bob.user_id })).await.ok();
    bob.put(alias, json!({ "room_id": room })).await.refused(403, "M_FORBIDDEN");
    alice.says(&room, "in private").await;
    // Who is in the room may, and so may a service in its namespace.
    alice.put(alias, json!({ "room_id": open })).await.ok();
    let bot = virtual_user(&server, "ircbot");
    bot.call("PUT", "directory/room/%23pub_hats:localhost", Some(json!({ "room_id": open }))).await.ok();
    bot.call("PUT", "directory/room/%23other:localhost", Some(json!({ "room_id": open })))
        .await
        .refused(403, "M_FORBIDDEN");
    alice.says(&open, "in the open").await;
    assert_eq!(service.hears("in the open").await, ["in the open"]);
}
