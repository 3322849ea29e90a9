use serde_json::{Value, json};

use crate::support::{Server, bodies};

#[tokio::test]
async fn two_people_talk_in_a_room_found_by_its_alias() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "room_alias_name": "tea", "name": "Tea" })).await;
    bob.joins("#tea:localhost").await;
    alice.says(&room, "hello").await;
    bob.says(&room, "hi").await;
    let page = bob.get(&format!("rooms/{room}/messages?dir=b&limit=2")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["hi", "hello"]);
    let older = format!("rooms/{room}/messages?dir=b&from={}", page["end"].as_str().unwrap());
    assert!(!bob.get(&older).await.ok()["chunk"].as_array().unwrap().is_empty());
    assert_eq!(bob.get("joined_rooms").await.ok()["joined_rooms"], json!([room]));
    let found = bob.get("directory/room/%23tea:localhost").await.ok();
    assert_eq!(found, json!({ "room_id": room, "servers": ["localhost"] }));
}

#[tokio::test]
async fn a_message_sent_twice_is_said_once() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let first = alice.says_as(&room, "txn1", "once").await;
    assert_eq!(alice.says_as(&room, "txn1", "once").await, first);
    assert_ne!(alice.says_as(&room, "txn2", "once").await, first);
    let page = alice.get(&format!("rooms/{room}/messages?dir=b&limit=10")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["once", "once"]);
    let mine = page["chunk"][0].clone();
    assert_eq!(mine["unsigned"]["transaction_id"], "txn2");
}

#[tokio::test]
async fn empty_state_keys_need_no_slash() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "one" })).await.ok();
    let with_slash = format!("rooms/{room}/state/m.room.topic/");
    assert_eq!(alice.get(&with_slash).await.ok(), json!({ "topic": "one" }));
    alice.put(&with_slash, json!({ "topic": "two" })).await.ok();
    assert_eq!(alice.get(&format!("rooms/{room}/state/m.room.topic")).await.ok(), json!({ "topic": "two" }));
    alice.put(&format!("rooms/{room}/state/x.y/key%2Fwith%20more"), json!({ "a": 1 })).await.ok();
    assert_eq!(alice.get(&format!("rooms/{room}/state/x.y/key%2Fwith%20more")).await.ok(), json!({ "a": 1 }));
    alice.get(&format!("rooms/{room}/state/x.z")).await.refused(404, "M_NOT_FOUND");
    let all = alice.get(&format!("rooms/{room}/state")).await.ok();
    assert!(all.as_array().unwrap().iter().any(|event| event["type"] == "m.room.create"));
    let whole = alice.get(&format!("rooms/{room}/state/m.room.topic?format=event")).await.ok();
    assert_eq!(whole["content"], json!({ "topic": "two" }));
}

#[tokio::test]
async fn invited_kicked_banned_and_back() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({})).await;
    let whom = json!({ "user_id": bob.user_id });
    bob.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    alice.post(&format!("rooms/{room}/invite"), whom.clone()).await.ok();
    bob.joins(&room).await;
    bob.post(&format!("rooms/{room}/kick"), json!({ "user_id": alice.user_id })).await.refused(403, "M_FORBIDDEN");
    alice.post(&format!("rooms/{room}/kick"), whom.clone()).await.ok();
    alice.post(&format!("rooms/{room}/kick"), whom.clone()).await.refused(403, "M_FORBIDDEN");
    bob.get(&format!("rooms/{room}/state")).await.ok();
    alice.post(&format!("rooms/{room}/ban"), whom.clone()).await.ok();
    alice.post(&format!("rooms/{room}/invite"), whom.clone()).await.refused(403, "M_FORBIDDEN");
    alice.post(&format!("rooms/{room}/unban"), whom.clone()).await.ok();
    alice.post(&format!("rooms/{room}/unban"), whom.clone()).await.refused(403, "M_BAD_STATE");
    alice.post(&format!("rooms/{room}/invite"), whom).await.ok();
    bob.joins(&room).await;
    let members = alice.get(&format!("rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().unwrap().len(), 2);
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    bob.post(&format!("rooms/{room}/forget"), json!({})).await.ok();
    let left = alice.get(&format!("rooms/{room}/members?membership=leave")).await.ok();
    assert_eq!(left["chunk"][0]["state_key"], json!(bob.user_id));
}

#[tokio::test]
async fn a_redacted_message_keeps_no_text() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let event = alice.says(&room, "oops").await;
    alice.put(&format!("rooms/{room}/redact/{event}/t1"), json!({ "reason": "typo" })).await.ok();
    let shown = alice.get(&format!("rooms/{room}/event/{event}")).await.ok();
    assert_eq!(shown["content"], json!({}));
    assert_eq!(shown["unsigned"]["redacted_because"]["sender"], json!(alice.user_id));
    let context = alice.get(&format!("rooms/{room}/context/{event}?limit=4")).await.ok();
    assert_eq!(context["event"]["event_id"], json!(event));
    assert!(!context["events_before"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn strangers_see_nothing() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({})).await;
    let event = alice.says(&room, "secret").await;
    for path in ["state", "members", "joined_members", "messages?dir=b"] {
        bob.get(&format!("rooms/{room}/{path}")).await.refused(403, "M_FORBIDDEN");
    }
    bob.get(&format!("rooms/{room}/event/{event}")).await.refused(404, "M_NOT_FOUND");
    bob.put(&format!("rooms/{room}/typing/{}", bob.user_id), json!({ "typing": true }))
        .await
        .refused(403, "M_FORBIDDEN");
    let hello = json!({ "msgtype": "m.text", "body": "hello" });
    bob.put(&format!("rooms/{room}/send/m.room.message/t"), hello).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn rooms_are_published_and_found() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let tea = alice.creates_room(json!({ "preset": "public_chat", "visibility": "public", "name": "Tea" })).await;
    let hats = alice.creates_room(json!({ "preset": "public_chat", "name": "Hats" })).await;
    let names = |list: serde_json::Value| -> Vec<String> {
        list["chunk"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(bob.get("publicRooms").await.ok()), ["Tea"]);
    let path = format!("directory/list/room/{hats}");
    bob.put(&path, json!({ "visibility": "public" })).await.refused(403, "M_FORBIDDEN");
    alice.put(&path, json!({ "visibility": "public" })).await.ok();
    assert_eq!(alice.get(&path).await.ok(), json!({ "visibility": "public" }));
    let found = bob.post("publicRooms", json!({ "filter": { "generic_search_term": "hat" } })).await.ok();
    assert_eq!(names(found), ["Hats"]);
    alice.put(&format!("directory/list/room/{tea}"), json!({ "visibility": "private" })).await.ok();
    assert_eq!(names(bob.get("publicRooms?limit=1").await.ok()), ["Hats"]);
}

#[tokio::test]
async fn aliases_come_and_go() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({})).await;
    let path = "directory/room/%23hats:localhost";
    alice.get(path).await.refused(404, "M_NOT_FOUND");
    alice.put(path, json!({ "room_id": room })).await.ok();
    alice.put(path, json!({ "room_id": room })).await.refused(409, "M_UNKNOWN");
    let canonical = format!("rooms/{room}/state/m.room.canonical_alias");
    alice.put(&canonical, json!({ "alias": "#hats:localhost" })).await.ok();
    alice.put(&canonical, json!({ "alias": "#caps:localhost" })).await.refused(400, "M_BAD_ALIAS");
    bob.call("DELETE", path, None).await.refused(403, "M_FORBIDDEN");
    alice.call("DELETE", path, None).await.ok();
    alice.get(path).await.refused(404, "M_NOT_FOUND");
    alice.creates_room(json!({ "room_alias_name": "hats" })).await;
    alice.post("createRoom", json!({ "room_alias_name": "hats" })).await.refused(400, "M_ROOM_IN_USE");
}

#[tokio::test]
async fn a_room_is_called_by_its_alias_unless_its_maker_says_otherwise() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let canonical = |room: &str| format!("rooms/{room}/state/m.room.canonical_alias");
    let hats = alice.creates_room(json!({ "room_alias_name": "hats" })).await;
    assert_eq!(alice.get(&canonical(&hats)).await.ok(), json!({ "alias": "#hats:localhost" }));
    let unnamed = json!({ "type": "m.room.canonical_alias", "state_key": "", "content": {} });
    let caps = alice.creates_room(json!({ "room_alias_name": "caps", "initial_state": [unnamed] })).await;
    assert_eq!(alice.get(&canonical(&caps)).await.ok(), json!({}));
    assert_eq!(alice.get("directory/room/%23caps:localhost").await.ok()["room_id"], caps.as_str());
}

#[tokio::test]
async fn words_that_the_specification_does_not_know_are_refused() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for bad in [json!({ "preset": "nope" }), json!({ "visibility": "nope" })] {
        alice.post("createRoom", bad).await.refused(400, "M_INVALID_PARAM");
    }
    let room = alice.creates_room(json!({ "visibility": "public" })).await;
    let listed = format!("directory/list/room/{room}");
    alice.put(&listed, json!({ "visibility": "nope" })).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(alice.get(&listed).await.ok()["visibility"], "public", "it stays where it was");
    for path in [format!("rooms/{room}/members?membership=nope"), format!("rooms/{room}/members?not_membership=nope")] {
        alice.get(&path).await.refused(400, "M_INVALID_PARAM");
    }
    alice.get_v1(&format!("rooms/{room}/threads?include=nope")).await.refused(400, "M_INVALID_PARAM");
    let search = json!({ "search_categories": { "room_events": { "search_term": "tea", "order_by": "nope" } } });
    alice.post("search", search).await.refused(400, "M_INVALID_PARAM");
    let account = json!({ "username": "bob", "password": "secret", "auth": { "type": "m.login.dummy" } });
    let path = "/_matrix/client/v3/register?kind=alien";
    server.call("POST", path, None, Some(account)).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_message_says_what_it_is_and_what_it_says() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let say = async |content: Value| alice.put(&format!("rooms/{room}/send/m.room.message/t"), content).await;
    for bad in [
        json!({}),
        json!({ "msgtype": "m.text" }),
        json!({ "body": "tea" }),
        json!({ "msgtype": "m.text", "body": 5 }),
        json!({ "msgtype": null, "body": "tea" }),
    ] {
        say(bad).await.refused(400, "M_BAD_JSON");
    }
    say(json!({ "msgtype": "x.new", "body": "" })).await.ok();
    alice.sends(&room, "m.room.encrypted", json!({ "algorithm": "x" })).await;
}

#[tokio::test]
async fn the_directory_of_another_server_is_not_ours() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    alice.creates_room(json!({ "preset": "public_chat", "visibility": "public", "name": "Tea" })).await;
    for (of, shown) in [("publicRooms?server=localhost", true), ("publicRooms?server=elsewhere.example", false)] {
        for answer in [bob.get(of).await, bob.post(of, json!({})).await] {
            if shown {
                assert_eq!(answer.ok()["chunk"][0]["name"], "Tea");
            } else {
                answer.refused(403, "M_FORBIDDEN");
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_invited_whom_no_invitation_reaches() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let far = "@bob:elsewhere.example";
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": far })).await.refused(403, "M_FORBIDDEN");
    alice.post("createRoom", json!({ "invite": [far] })).await.refused(403, "M_FORBIDDEN");
    assert_eq!(alice.get("joined_rooms").await.ok()["joined_rooms"], json!([room]), "nothing was made");
    let member = format!("rooms/{room}/state/m.room.member/{far}");
    alice.put(&member, json!({ "membership": "invite" })).await.refused(403, "M_FORBIDDEN");
    // However the word is written.
    let mut escaped = crate::support::request("PUT", &format!("/_matrix/client/v3/{member}"), Some(&alice.token), None);
    *escaped.body_mut() = r#"{"membership":"\u0069nvite"}"#.into();
    server.send(escaped).await.refused(403, "M_FORBIDDEN");
    alice.get(&member).await.refused(404, "M_NOT_FOUND");
    // Banning them is no invitation.
    alice.post(&format!("rooms/{room}/ban"), json!({ "user_id": far })).await.ok();
}

#[tokio::test]
async fn a_stranger_is_not_told_who_is_in_a_room() {
    let server = Server::start().await;
    let (alice, eve) = (server.person("alice").await, server.person("eve").await);
    let room = alice.creates_room(json!({})).await;
    let mut people = vec![alice.user_id.clone(), "@nobody:localhost".to_owned()];
    for (name, becomes) in [("bob", "invite"), ("carol", "ban"), ("dave", "leave")] {
        let person = server.person(name).await;
        let whom = json!({ "user_id": person.user_id });
        let first = if becomes == "ban" { "ban" } else { "invite" };
        alice.post(&format!("rooms/{room}/{first}"), whom).await.ok();
        if becomes == "leave" {
            person.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
        }
        people.push(person.user_id);
    }
    for what in ["kick", "ban", "unban", "invite"] {
        let mut told = Vec::new();
        for person in &people {
            let answer = eve.post(&format!("rooms/{room}/{what}"), json!({ "user_id": person })).await;
            told.push(answer.refused(403, "M_FORBIDDEN"));
        }
        assert!(told.iter().all(|answer| *answer == told[0]), "{what}: {told:#?}");
    }
    // Those inside are told what is wrong.
    let kick = alice.post(&format!("rooms/{room}/kick"), json!({ "user_id": "@nobody:localhost" })).await;
    assert_eq!(kick.refused(403, "M_FORBIDDEN")["error"], "The user is not in the room");
}
