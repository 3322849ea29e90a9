use serde_json::{Value, json};

use crate::support::{Person, Server};

fn ids(answer: &Value) -> Vec<String> {
    answer["rooms"].as_array().unwrap().iter().map(|room| room["room_id"].as_str().unwrap().to_owned()).collect()
}

async fn space(owner: &Person, name: &str) -> String {
    let content = json!({ "type": "m.space" });
    owner.creates_room(json!({ "name": name, "preset": "public_chat", "creation_content": content })).await
}

async fn child(owner: &Person, space: &str, room: &str, content: Value) {
    owner.put(&format!("rooms/{space}/state/m.space.child/{room}"), content).await.ok();
}

#[tokio::test]
async fn spaces_are_walked_depth_first_as_far_as_one_may_see() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let (root, inner) = (space(&alice, "Root").await, space(&alice, "Inner").await);
    let public = alice.creates_room(json!({ "name": "Public", "preset": "public_chat" })).await;
    let deep = alice.creates_room(json!({ "name": "Deep", "preset": "public_chat" })).await;
    let hidden = alice.creates_room(json!({ "name": "Hidden" })).await;
    let rules = json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": root }] });
    let restricted = json!([{ "type": "m.room.join_rules", "content": rules }]);
    let restricted = alice.creates_room(json!({ "name": "Restricted", "initial_state": restricted })).await;
    let via = json!({ "via": ["localhost"] });
    child(&alice, &root, &public, json!({ "via": ["localhost"], "order": "b", "suggested": true })).await;
    child(&alice, &root, &inner, json!({ "via": ["localhost"], "order": "a" })).await;
    child(&alice, &root, &hidden, via.clone()).await;
    child(&alice, &root, &restricted, via.clone()).await;
    child(&alice, &inner, &deep, via.clone()).await;
    // A circle ends.
    child(&alice, &inner, &root, via.clone()).await;
    // What has no way in is no child.
    child(&alice, &root, "!gone:localhost", json!({})).await;

    let path = format!("rooms/{root}/hierarchy");
    let walk = bob.get_v1(&path).await.ok();
    assert_eq!(ids(&walk), [&root, &inner, &deep, &public].map(String::clone));
    assert_eq!(walk["rooms"][0]["children_state"].as_array().unwrap().len(), 4);
    assert_eq!(walk["rooms"][0]["room_type"], "m.space");
    bob.joins(&root).await;
    assert_eq!(ids(&bob.get_v1(&path).await.ok()), [&root, &inner, &deep, &public, &restricted].map(String::clone));
    assert_eq!(ids(&alice.get_v1(&path).await.ok()).len(), 6);
    assert_eq!(
        ids(&bob.get_v1(&format!("{path}?suggested_only=true")).await.ok()),
        [&root, &public].map(String::clone)
    );
    assert_eq!(ids(&bob.get_v1(&format!("{path}?max_depth=0")).await.ok()), std::slice::from_ref(&root));
    assert_eq!(ids(&bob.get_v1(&format!("{path}?max_depth=1")).await.ok()).len(), 4);

    let page = bob.get_v1(&format!("{path}?limit=2")).await.ok();
    assert_eq!(ids(&page), [&root, &inner].map(String::clone));
    let from = page["next_batch"].as_str().unwrap();
    let page = bob.get_v1(&format!("{path}?limit=3&from={from}")).await.ok();
    assert_eq!(ids(&page), [&deep, &public, &restricted].map(String::clone));
    assert_eq!(page["next_batch"], Value::Null);
    bob.get_v1(&format!("{path}?limit=3&max_depth=1&from={from}")).await.refused(400, "M_INVALID_PARAM");
    bob.get_v1(&format!("rooms/{hidden}/hierarchy")).await.refused(403, "M_FORBIDDEN");
    bob.get_v1("rooms/!none:localhost/hierarchy").await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_room_is_summed_up_for_those_who_may_know_of_it() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let encrypted = json!([{ "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }]);
    let room = alice
        .creates_room(
            json!({ "name": "Tea", "preset": "public_chat", "room_alias_name": "tea", "initial_state": encrypted }),
        )
        .await;
    let summary = bob.get_v1("room_summary/%23tea:localhost").await.ok();
    assert_eq!((&summary["room_id"], &summary["name"]), (&json!(room), &json!("Tea")));
    assert_eq!((&summary["encryption"], &summary["room_version"]), (&json!("m.megolm.v1.aes-sha2"), &json!("12")));
    assert_eq!((&summary["membership"], &summary["num_joined_members"]), (&json!("leave"), &json!(1)));
    assert_eq!(alice.get_v1(&format!("room_summary/{room}")).await.ok()["membership"], "join");
    let open = server.call("GET", &format!("/_matrix/client/v1/room_summary/{room}"), None, None).await.ok();
    assert_eq!(open["membership"], Value::Null);
    let private = alice.creates_room(json!({})).await;
    bob.get_v1(&format!("room_summary/{private}")).await.refused(404, "M_NOT_FOUND");
    alice.post(&format!("rooms/{private}/invite"), json!({ "user_id": bob.user_id })).await.ok();
    assert_eq!(bob.get_v1(&format!("room_summary/{private}")).await.ok()["membership"], "invite");
}

#[tokio::test]
async fn public_rooms_are_found_by_word_and_type_and_come_in_pages() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    for (name, kind) in [("Tea", None), ("Coffee", None), ("All drinks", Some("m.space"))] {
        let mut body = json!({ "name": name, "preset": "public_chat", "visibility": "public" });
        if let Some(kind) = kind {
            body["creation_content"] = json!({ "type": kind });
        }
        alice.creates_room(body).await;
    }
    let found = async |filter: Value| -> Vec<String> {
        let answer = bob.post("publicRooms", json!({ "filter": filter })).await.ok();
        let mut names: Vec<String> =
            answer["chunk"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(found(json!({})).await.len(), 3);
    assert_eq!(found(json!({ "room_types": ["m.space"] })).await, ["All drinks"]);
    assert_eq!(found(json!({ "room_types": [null] })).await, ["Coffee", "Tea"]);
    assert_eq!(found(json!({ "room_types": [null, "m.space"], "generic_search_term": "TEA" })).await, ["Tea"]);
    let page = bob.get("publicRooms?limit=2").await.ok();
    assert_eq!((page["chunk"].as_array().unwrap().len(), &page["total_room_count_estimate"]), (2, &json!(3)));
    let next = page["next_batch"].as_str().unwrap();
    let page = bob.get(&format!("publicRooms?limit=2&since={next}")).await.ok();
    assert_eq!(page["chunk"].as_array().unwrap().len(), 1);
    assert_eq!((page["next_batch"].clone(), page["prev_batch"].is_string()), (Value::Null, true));
    // Only those with the power put a room there.
    let room = alice.creates_room(json!({ "preset": "public_chat", "name": "Late" })).await;
    bob.joins(&room).await;
    let path = format!("directory/list/room/{room}");
    bob.put(&path, json!({ "visibility": "public" })).await.refused(403, "M_FORBIDDEN");
    alice.put(&path, json!({ "visibility": "public" })).await.ok();
    assert_eq!(found(json!({ "room_types": [null] })).await.len(), 3);
}

#[tokio::test]
async fn an_upgrade_carries_over_what_there_is() {
    let server = Server::start().await;
    let (alice, bob, eve) = (server.person("alice").await, server.person("bob").await, server.person("eve").await);
    for (from, to) in [("9", "11"), ("11", "12"), ("12", "12"), ("12", "10")] {
        let alias = format!("tea{from}{to}");
        let room = alice
            .creates_room(json!({
                "preset": "public_chat", "room_version": from, "name": "Tea", "topic": "Green", "room_alias_name": alias,
                "visibility": "public", "power_level_content_override": { "users": { bob.user_id.clone(): 60, alice.user_id.clone(): 100 } },
                "creation_content": { "type": "x.kind" },
            }))
            .await;
        bob.joins(&room).await;
        alice.post(&format!("rooms/{room}/ban"), json!({ "user_id": eve.user_id })).await.ok();
        bob.put(&format!("user/{}/rooms/{room}/tags/m.favourite", bob.user_id), json!({ "order": 0.5 })).await.ok();
        bob.put(&format!("pushrules/global/room/{room}"), json!({ "actions": [] })).await.ok();
        bob.post(&format!("rooms/{room}/upgrade"), json!({ "new_version": to })).await.refused(403, "M_FORBIDDEN");
        alice
            .post(&format!("rooms/{room}/upgrade"), json!({ "new_version": "99" }))
            .await
            .refused(400, "M_UNSUPPORTED_ROOM_VERSION");
        let new = alice.post(&format!("rooms/{room}/upgrade"), json!({ "new_version": to })).await.ok();
        let new = new["replacement_room"].as_str().unwrap().to_owned();

        let tombstone = bob.get(&format!("rooms/{room}/state/m.room.tombstone")).await.ok();
        assert_eq!(tombstone["replacement_room"], json!(new));
        let create = alice.get(&format!("rooms/{new}/state/m.room.create")).await.ok();
        assert_eq!((&create["predecessor"]["room_id"], &create["room_version"]), (&json!(room), &json!(to)));
        assert_eq!(create["type"], "x.kind");
        assert!(create["predecessor"]["event_id"].is_string());
        for (kind, field, value) in
            [("name", "name", "Tea"), ("topic", "topic", "Green"), ("join_rules", "join_rule", "public")]
        {
            assert_eq!(alice.get(&format!("rooms/{new}/state/m.room.{kind}")).await.ok()[field], value, "{from} {to}");
        }
        let levels = alice.get(&format!("rooms/{new}/state/m.room.power_levels")).await.ok();
        assert_eq!(levels["users"][&bob.user_id], 60, "{from} {to}");
        assert_eq!(levels["users"].get(&alice.user_id).is_some(), to != "12", "{from} {to}");
        let banned = alice.get(&format!("rooms/{new}/members?membership=ban")).await.ok();
        assert_eq!(banned["chunk"][0]["state_key"], json!(eve.user_id), "{from} {to}");
        let found = bob.get(&format!("directory/room/%23{alias}:localhost")).await.ok();
        assert_eq!(found["room_id"], json!(new));
        assert_eq!(alice.get(&format!("directory/list/room/{new}")).await.ok()["visibility"], "public");
        assert_eq!(alice.get(&format!("directory/list/room/{room}")).await.ok()["visibility"], "private");
        // The old room is closed to those without power; who comes over finds their settings there.
        let old_levels = bob.get(&format!("rooms/{room}/state/m.room.power_levels")).await.ok();
        assert_eq!((&old_levels["events_default"], &old_levels["invite"]), (&json!(50), &json!(50)));
        bob.joins(&new).await;
        let tags = bob.get(&format!("user/{}/rooms/{new}/tags", bob.user_id)).await.ok();
        assert_eq!(tags["tags"]["m.favourite"]["order"], 0.5);
        assert_eq!(bob.get(&format!("pushrules/global/room/{new}")).await.ok()["actions"], json!([]));
    }
}

#[tokio::test]
async fn a_room_whose_power_levels_name_nobody_is_upgraded() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for to in ["12", "11"] {
        let room = alice.creates_room(json!({ "room_version": "12" })).await;
        let path = format!("rooms/{room}/state/m.room.power_levels");
        alice.put(&path, json!({ "ban": 60 })).await.ok();
        let new = alice.post(&format!("rooms/{room}/upgrade"), json!({ "new_version": to })).await.ok();
        let new = new["replacement_room"].as_str().unwrap();
        let levels = alice.get(&format!("rooms/{new}/state/m.room.power_levels")).await.ok();
        assert_eq!(levels["ban"], 60, "to {to}: {levels}");
        assert_ne!(levels.get("users"), Some(&Value::Null), "to {to}");
    }
}

#[tokio::test]
async fn what_is_wrong_can_be_reported() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let event = alice.says(&room, "bad").await;
    let path = format!("rooms/{room}/report/{event}");
    bob.post(&path, json!({ "reason": "bad" })).await.refused(404, "M_NOT_FOUND");
    bob.joins(&room).await;
    bob.post(&path, json!({ "reason": "bad" })).await.ok();
    bob.post(&path, json!({})).await.ok();
    bob.post(&format!("rooms/{room}/report/$none"), json!({})).await.refused(404, "M_NOT_FOUND");
    bob.post(&path, json!({ "reason": 5 })).await.refused(400, "M_BAD_JSON");
    let private = alice.creates_room(json!({})).await;
    bob.post(&format!("rooms/{private}/report"), json!({ "reason": "x" })).await.ok();
    bob.post("rooms/!none:localhost/report", json!({ "reason": "x" })).await.refused(404, "M_NOT_FOUND");
    bob.post(&format!("users/{}/report", alice.user_id), json!({ "reason": "x" })).await.ok();
    bob.post("users/@none:localhost/report", json!({ "reason": "x" })).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn shared_rooms_are_told_and_only_those_nearby_are_found() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let hermit = server.person("hermit").await;
    hermit.creates_room(json!({})).await;
    let one = alice.creates_room(json!({ "invite": [bob.user_id] })).await;
    let mutual = async || alice.get_v1(&format!("mutual_rooms?user_id={}", bob.user_id)).await.ok();
    assert_eq!(mutual().await, json!({ "joined": [], "count": 0 }));
    bob.joins(&one).await;
    assert_eq!(mutual().await, json!({ "joined": [one], "count": 1 }));
    alice.get_v1(&format!("mutual_rooms?user_id={}", alice.user_id)).await.refused(400, "M_INVALID_PARAM");
    alice.get_v1("mutual_rooms?user_id=nobody").await.refused(400, "M_INVALID_PARAM");
    alice.get_v1("mutual_rooms").await.refused(400, "M_MISSING_PARAM");

    let found = async |person: &Person, term: &str| {
        let answer = person.post("user_directory/search", json!({ "search_term": term })).await.ok();
        answer["results"].as_array().unwrap().len()
    };
    assert_eq!(found(&alice, "bob").await, 1);
    assert_eq!(found(&hermit, "bob").await, 0);
    assert_eq!(found(&alice, "hermit").await, 0);
    hermit.creates_room(json!({ "preset": "public_chat" })).await;
    assert_eq!(found(&alice, "hermit").await, 1);
    // Who takes no invitations gets none.
    let path = format!("user/{}/account_data/m.invite_permission_config", bob.user_id);
    bob.put(&path, json!({ "default_action": "block" })).await.ok();
    let other = alice.creates_room(json!({})).await;
    let invite = json!({ "user_id": bob.user_id });
    alice.post(&format!("rooms/{other}/invite"), invite).await.refused(403, "M_INVITE_BLOCKED");
    let member = format!("rooms/{other}/state/m.room.member/{}", bob.user_id);
    alice.put(&member, json!({ "membership": "invite" })).await.refused(403, "M_INVITE_BLOCKED");
    alice.post("createRoom", json!({ "invite": [bob.user_id] })).await.refused(403, "M_INVITE_BLOCKED");
}

#[tokio::test]
async fn open_rooms_can_be_looked_into() {
    let server = Server::start().await;
    let (alice, eve) = (server.person("alice").await, server.person("eve").await);
    let open = json!([{ "type": "m.room.history_visibility", "content": { "history_visibility": "world_readable" } }]);
    let room = alice.creates_room(json!({ "initial_state": open })).await;
    alice.says(&room, "hello").await;
    let first = eve.get(&format!("rooms/{room}/initialSync")).await.ok();
    assert_eq!(crate::support::bodies(&first["messages"]["chunk"]), ["hello"]);
    assert!(first["state"].as_array().unwrap().iter().any(|event| event["type"] == "m.room.create"));
    let from = first["messages"]["end"].as_str().unwrap().to_owned();
    let path = format!("events?room_id={room}&timeout=20000&from={from}");
    let poll = tokio::spawn({
        let eve = eve.clone();
        async move { eve.get(&path).await.ok() }
    });
    alice.says(&room, "again").await;
    assert_eq!(crate::support::bodies(&poll.await.unwrap()["chunk"]), ["again"]);
    let closed = alice.creates_room(json!({})).await;
    eve.get(&format!("rooms/{closed}/initialSync")).await.refused(403, "M_FORBIDDEN");
    eve.get(&format!("events?room_id={closed}")).await.refused(403, "M_FORBIDDEN");
}
