use serde_json::{Value, json};

use crate::support::{Answer, Person, Server, bodies};

const PATH: &str = "../unstable/org.matrix.simplified_msc3575/sync";

async fn slides(person: &Person, pos: Option<&str>, timeout: u64, body: Value) -> Answer {
    let pos = pos.map(|pos| format!("&pos={pos}")).unwrap_or_default();
    person.post(&format!("{PATH}?timeout={timeout}{pos}"), body).await
}

fn pos(answer: &Value) -> String {
    answer["pos"].as_str().unwrap().to_owned()
}

fn list(first: usize, last: usize) -> Value {
    json!({ "all": {
        "ranges": [[first, last]], "timeline_limit": 1,
        "required_state": [["m.room.name", ""], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]],
    } })
}

fn types(events: &Value) -> Vec<String> {
    let events = events.as_array().cloned().unwrap_or_default();
    events
        .iter()
        .map(|event| format!("{} {}", event["type"].as_str().unwrap(), event["state_key"].as_str().unwrap_or("-")))
        .collect()
}

#[tokio::test]
async fn a_list_shows_the_rooms_of_its_window_by_activity() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut rooms = Vec::new();
    for number in 0..5 {
        let room = alice.creates_room(json!({ "name": format!("Room {number}"), "preset": "public_chat" })).await;
        bob.joins(&room).await;
        alice.says(&room, &format!("hello {number}")).await;
        rooms.push(room);
    }
    let first = slides(&bob, None, 0, json!({ "lists": list(0, 1) })).await.ok();
    assert_eq!(first["lists"]["all"]["count"], 5);
    let shown: Vec<&String> = first["rooms"].as_object().unwrap().keys().collect();
    assert_eq!(shown.len(), 2);
    let newest = &first["rooms"][&rooms[4]];
    assert_eq!(
        (&newest["name"], &newest["initial"], &newest["limited"]),
        (&json!("Room 4"), &json!(true), &json!(true))
    );
    assert_eq!(bodies(&newest["timeline"]), ["hello 4"]);
    let mut state = types(&newest["required_state"]);
    state.sort();
    assert_eq!(state, ["m.room.member @alice:localhost", "m.room.member @bob:localhost", "m.room.name "]);
    assert_eq!((&newest["notification_count"], &newest["joined_count"]), (&json!(1), &json!(2)));
    assert!(newest["bump_stamp"].as_i64().unwrap() > first["rooms"][&rooms[3]]["bump_stamp"].as_i64().unwrap());

    // What is new is told, and nothing twice.
    alice.says(&rooms[4], "again").await;
    let second = slides(&bob, Some(&pos(&first)), 0, json!({ "lists": list(0, 1) })).await.ok();
    let newest = &second["rooms"][&rooms[4]];
    assert_eq!(bodies(&newest["timeline"]), ["again"]);
    assert_eq!(
        (&newest["initial"], &newest["required_state"], &newest["num_live"]),
        (&Value::Null, &Value::Null, &json!(1))
    );
    assert_eq!(newest["notification_count"], 2);
    assert_eq!(second["rooms"].as_object().unwrap().len(), 1);
    // An answer that got lost is given again; one that is older is not known any more.
    let again = slides(&bob, Some(&pos(&first)), 0, json!({ "lists": list(0, 1) })).await.ok();
    assert_eq!(bodies(&again["rooms"][&rooms[4]]["timeline"]), ["again"]);
    let third = slides(&bob, Some(&pos(&again)), 0, json!({ "lists": list(0, 1) })).await.ok();
    assert_eq!(third["rooms"], json!({}));
    slides(&bob, Some(&pos(&first)), 0, json!({})).await.refused(400, "M_UNKNOWN_POS");
    slides(&bob, Some("9_9"), 0, json!({})).await.refused(400, "M_UNKNOWN_POS");
    slides(&alice, Some(&pos(&third)), 0, json!({})).await.refused(400, "M_UNKNOWN_POS");

    // Activity moves a room into the window; a wider window shows more.
    alice.says(&rooms[0], "up").await;
    let fourth = slides(&bob, Some(&pos(&third)), 0, json!({ "lists": list(0, 1) })).await.ok();
    assert_eq!(fourth["rooms"].as_object().unwrap().keys().collect::<Vec<_>>(), [&rooms[0]]);
    let fifth = slides(&bob, Some(&pos(&fourth)), 0, json!({ "lists": list(0, 4) })).await.ok();
    assert_eq!(fifth["rooms"].as_object().unwrap().len(), 2);
    // A topic does not move a room.
    alice.put(&format!("rooms/{}/state/m.room.topic", rooms[1]), json!({ "topic": "x" })).await.ok();
    let sixth = slides(&bob, Some(&pos(&fifth)), 0, json!({ "lists": list(0, 4) })).await.ok();
    assert_eq!(sixth["rooms"][&rooms[1]]["bump_stamp"], fifth["rooms"][&rooms[1]]["bump_stamp"]);
}

#[tokio::test]
async fn a_room_that_is_opened_is_told_in_full() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "topic": "Tea" })).await;
    bob.joins(&room).await;
    for number in 0..5 {
        alice.says(&room, &number.to_string()).await;
    }
    let first = slides(&bob, None, 0, json!({ "lists": list(0, 9) })).await.ok();
    // Without a name it is called by its members.
    assert_eq!(first["rooms"][&room]["heroes"][0]["user_id"], json!(alice.user_id));
    let subscribed = json!({
        "lists": list(0, 9),
        "room_subscriptions": { room.clone(): { "timeline_limit": 4, "required_state": [["*", "*"]] } },
    });
    let opened = slides(&bob, Some(&pos(&first)), 0, subscribed.clone()).await.ok();
    let shown = &opened["rooms"][&room];
    assert_eq!(bodies(&shown["timeline"]), ["1", "2", "3", "4"]);
    assert_eq!((&shown["unstable_expanded_timeline"], &shown["limited"]), (&json!(true), &json!(true)));
    let state = types(&shown["required_state"]);
    assert!(state.contains(&"m.room.topic ".to_owned()) && state.contains(&"m.room.create ".to_owned()), "{state:?}");
    let older = format!("rooms/{room}/messages?dir=b&limit=1&from={}", shown["prev_batch"].as_str().unwrap());
    assert_eq!(bodies(&bob.get(&older).await.ok()["chunk"]), ["0"]);
    // Later on, only what changed.
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "Coffee" })).await.ok();
    let next = slides(&bob, Some(&pos(&opened)), 0, subscribed.clone()).await.ok();
    assert_eq!(types(&next["rooms"][&room]["required_state"]), ["m.room.topic "]);
    // Reading is told by the counts.
    let event = alice.says(&room, "read me").await;
    let next = slides(&bob, Some(&pos(&next)), 0, subscribed.clone()).await.ok();
    assert_eq!(next["rooms"][&room]["notification_count"], 6);
    bob.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let next = slides(&bob, Some(&pos(&next)), 0, subscribed).await.ok();
    assert_eq!(next["rooms"][&room]["notification_count"], 0);
    // Rooms of others cannot be opened.
    let other = alice.creates_room(json!({})).await;
    let body = json!({ "room_subscriptions": { other.clone(): { "timeline_limit": 1, "required_state": [] } } });
    assert_eq!(slides(&bob, Some(&pos(&next)), 0, body).await.ok()["rooms"], json!({}));
}

#[tokio::test]
async fn lists_are_filtered_and_invitations_and_leaving_are_told() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let space = alice.creates_room(json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } })).await;
    let encrypted = json!([{ "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }]);
    let secret =
        alice.creates_room(json!({ "preset": "public_chat", "name": "Secret", "initial_state": encrypted })).await;
    for room in [&space, &secret] {
        bob.joins(room).await;
    }
    alice.put(&format!("rooms/{space}/state/m.space.child/{secret}"), json!({ "via": ["localhost"] })).await.ok();
    let invited = alice.creates_room(json!({ "name": "Come", "invite": [bob.user_id] })).await;
    let me = &bob.user_id;
    bob.put(&format!("user/{me}/account_data/m.direct"), json!({ alice.user_id.clone(): [secret] })).await.ok();
    bob.put(&format!("user/{me}/rooms/{secret}/tags/m.favourite"), json!({})).await.ok();
    let with = async |filters: Value| {
        let body = json!({ "lists": { "l": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [], "filters": filters } } });
        let answer = slides(&bob, None, 0, body).await.ok();
        let mut rooms: Vec<String> = answer["rooms"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(answer["lists"]["l"]["count"], rooms.len());
        rooms.sort();
        rooms
    };
    for (filters, expected) in [
        (json!({}), vec![&space, &secret, &invited]),
        (json!({ "is_invite": true }), vec![&invited]),
        (json!({ "is_encrypted": true }), vec![&secret]),
        (json!({ "is_dm": true }), vec![&secret]),
        (json!({ "is_dm": false, "is_invite": false }), vec![&space]),
        (json!({ "room_types": ["m.space"] }), vec![&space]),
        (json!({ "not_room_types": ["m.space"] }), vec![&secret, &invited]),
        (json!({ "room_types": [null] }), vec![&secret, &invited]),
        (json!({ "room_name_like": "SECR" }), vec![&secret]),
        (json!({ "tags": ["m.favourite"] }), vec![&secret]),
        (json!({ "not_tags": ["m.favourite"] }), vec![&space, &invited]),
        (json!({ "spaces": [space] }), vec![&secret]),
    ] {
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(with(filters.clone()).await, expected, "{filters}");
    }
    let first = slides(&bob, None, 0, json!({ "lists": list(0, 9) })).await.ok();
    let invite = &first["rooms"][&invited];
    assert!(types(&invite["invite_state"]).contains(&"m.room.name ".to_owned()), "{invite}");
    assert_eq!(invite["timeline"], Value::Null);
    bob.joins(&invited).await;
    alice.post(&format!("rooms/{secret}/kick"), json!({ "user_id": bob.user_id })).await.ok();
    alice.sends(&secret, "m.room.message", json!({ "body": "after", "msgtype": "m.text" })).await;
    let second = slides(&bob, Some(&pos(&first)), 0, json!({ "lists": list(0, 9) })).await.ok();
    // As one who was invited he was told little: now it is a new room, with all of its state.
    let entered = &second["rooms"][&invited];
    assert_eq!(entered["initial"], true, "{entered}");
    assert_eq!(types(&entered["timeline"]).last().map(String::as_str), Some("m.room.member @bob:localhost"));
    assert!(types(&entered["required_state"]).contains(&"m.room.name ".to_owned()), "{entered}");
    assert_eq!(types(&second["rooms"][&secret]["timeline"]), ["m.room.member @bob:localhost"]);
    let third = slides(&bob, Some(&pos(&second)), 0, json!({ "lists": list(0, 9) })).await.ok();
    assert_eq!((&third["lists"]["all"]["count"], &third["rooms"]), (&json!(2), &json!({})));
}

#[tokio::test]
async fn extensions_carry_what_is_not_in_rooms() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    let event = alice.says(&room, "hello").await;
    let me = bob.user_id.clone();
    bob.put(&format!("user/{me}/account_data/x.y"), json!({ "a": 1 })).await.ok();
    bob.put(&format!("user/{me}/rooms/{room}/account_data/x.z"), json!({ "b": 1 })).await.ok();
    alice.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let ask = |since: Option<&str>| {
        let on = json!({ "enabled": true });
        let to_device = json!({ "enabled": true, "since": since });
        json!({ "lists": list(0, 9), "extensions": {
            "to_device": to_device, "e2ee": on, "account_data": on, "receipts": on, "typing": on,
        } })
    };
    let first = slides(&bob, None, 0, ask(None)).await.ok();
    let extensions = &first["extensions"];
    let global = types(&extensions["account_data"]["global"]);
    assert!(global.contains(&"x.y -".to_owned()) && global.contains(&"m.push_rules -".to_owned()), "{global:?}");
    assert_eq!(extensions["account_data"]["rooms"][&room][0]["content"], json!({ "b": 1 }));
    assert_eq!(extensions["receipts"]["rooms"][&room]["content"][&event]["m.read"].as_object().unwrap().len(), 1);
    assert_eq!(extensions["e2ee"]["device_one_time_keys_count"]["signed_curve25519"], 0);
    let since = extensions["to_device"]["next_batch"].as_str().unwrap().to_owned();

    // Who asks for them later is told all of them then, and afterwards what is new.
    let without = slides(&bob, None, 0, json!({ "conn_id": "late", "lists": list(0, 9) })).await.ok();
    let typing = json!({ "typing": true, "timeout": 30_000 });
    alice.put(&format!("rooms/{room}/typing/{}", alice.user_id), typing).await.ok();
    let without = slides(&bob, Some(&pos(&without)), 0, json!({ "conn_id": "late", "lists": list(0, 9) })).await.ok();
    let mut late = ask(Some(&since));
    late["conn_id"] = "late".into();
    let with = slides(&bob, Some(&pos(&without)), 30_000, late.clone()).await.ok();
    let shown = &with["extensions"];
    assert_eq!(types(&shown["account_data"]["global"]).len(), global.len());
    for extension in ["account_data", "receipts"] {
        assert_eq!(shown[extension]["rooms"], extensions[extension]["rooms"], "{extension}");
    }
    assert_eq!(shown["typing"]["rooms"][&room]["content"]["user_ids"], json!([alice.user_id]));
    let again = slides(&bob, Some(&pos(&with)), 0, late).await.ok();
    assert_eq!(again["extensions"]["typing"]["rooms"], json!({}));
    alice.put(&format!("rooms/{room}/typing/{}", alice.user_id), json!({ "typing": false })).await.ok();
    let first = slides(&bob, Some(&pos(&first)), 0, ask(Some(&since))).await.ok();
    assert_eq!(again["extensions"]["account_data"], json!({ "global": [], "rooms": {} }));
    assert_eq!(again["extensions"]["receipts"]["rooms"], json!({}));

    // A poll waits for what comes.
    let poll = tokio::spawn({
        let (bob, pos, body) = (bob.clone(), pos(&first), ask(Some(&since)));
        async move { slides(&bob, Some(&pos), 30_000, body).await.ok() }
    });
    let typing = json!({ "typing": true, "timeout": 30_000 });
    alice.put(&format!("rooms/{room}/typing/{}", alice.user_id), typing).await.ok();
    let second = poll.await.unwrap();
    assert_eq!(second["extensions"]["typing"]["rooms"][&room]["content"]["user_ids"], json!([alice.user_id]));
    assert_eq!(second["extensions"]["account_data"], json!({ "global": [], "rooms": {} }));
    // Messages to the device come until they are seen.
    let message = json!({ "messages": { me.clone(): { "*": { "k": 1 } } } });
    alice.put("sendToDevice/x.y/t1", message).await.ok();
    for _ in 0..2 {
        let third = slides(&bob, Some(&pos(&second)), 0, ask(Some(&since))).await.ok();
        assert_eq!(third["extensions"]["to_device"]["events"][0]["content"], json!({ "k": 1 }));
    }
    let third = slides(&bob, Some(&pos(&second)), 0, ask(Some(&since))).await.ok();
    let since = third["extensions"]["to_device"]["next_batch"].as_str().unwrap();
    let fourth = slides(&bob, Some(&pos(&third)), 0, ask(Some(since))).await.ok();
    assert_eq!(fourth["extensions"]["to_device"]["events"], json!([]));
    for bad in [
        json!({ "lists": { "a": { "ranges": [[5, 1]], "timeline_limit": 1 } } }),
        json!({ "conn_id": "x".repeat(100) }),
    ] {
        slides(&bob, None, 0, bad).await.refused(400, "M_INVALID_PARAM");
    }
    slides(&bob, None, 0, json!({ "lists": 5 })).await.refused(400, "M_BAD_JSON");
    let versions = server.call("GET", "/_matrix/client/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.simplified_msc3575"], true);
}
