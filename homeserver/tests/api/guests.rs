//! Those without an account, and rooms that anybody may read.

use serde_json::json;

use crate::support::{Person, Server, request};

const REGISTER: &str = "/_matrix/client/v3/register?kind=guest";

async fn open() -> Server {
    Server::with(|config| config.guests = true).await
}

async fn guest(server: &Server) -> Person {
    let body = json!({ "initial_device_display_name": "a visit", "username": "queen", "password": "ignored" });
    let body = server.call("POST", REGISTER, None, Some(body)).await.ok();
    let person = Person::of(server, body["access_token"].as_str().unwrap(), body["user_id"].as_str().unwrap());
    assert!(!person.user_id.contains("queen"));
    person
}

/// A room whose history and guests are as said.
async fn room(owner: &Person, history: &str, guests: &str) -> String {
    let state = |kind: &str, content| json!({ "type": kind, "state_key": "", "content": content });
    let body = json!({ "preset": "public_chat", "name": "Tea", "initial_state": [
        state("m.room.history_visibility", json!({ "history_visibility": history })),
        state("m.room.guest_access", json!({ "guest_access": guests })),
    ] });
    owner.creates_room(body).await
}

#[tokio::test]
async fn guests_come_where_they_may_and_talk() {
    let server = open().await;
    let alice = server.person("alice").await;
    let (welcome, closed) = (room(&alice, "shared", "can_join").await, room(&alice, "shared", "forbidden").await);
    let guest = guest(&server).await;
    let who = guest.get("account/whoami").await.ok();
    assert_eq!((&who["is_guest"], &who["user_id"]), (&json!(true), &json!(guest.user_id)));
    assert_eq!(alice.get("account/whoami").await.ok().get("is_guest").unwrap_or(&json!(false)), &json!(false));
    guest.put(&format!("profile/{}/displayname", guest.user_id), json!({ "displayname": "Visitor" })).await.ok();
    guest.joins(&welcome).await;
    guest.says(&welcome, "hello").await;
    assert!(guest.syncs(None, "").await["rooms"]["join"][&welcome].is_object());
    guest.post(&format!("join/{closed}"), json!({})).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    guest.post(&format!("rooms/{closed}/join"), json!({})).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    let member = format!("rooms/{closed}/state/m.room.member/{}", guest.user_id);
    guest.put(&member, json!({ "membership": "join" })).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    // An invitation makes no difference.
    alice.post(&format!("rooms/{closed}/invite"), json!({ "user_id": guest.user_id })).await.ok();
    guest.post(&format!("join/{closed}"), json!({})).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    for (method, path, body) in [
        ("POST", "createRoom", json!({})),
        ("POST", "user_directory/search", json!({ "search_term": "a" })),
        ("PUT", "directory/room/%23a:localhost", json!({ "room_id": welcome })),
        ("POST", "account/password", json!({ "new_password": "x" })),
        ("POST", "account/deactivate", json!({})),
        ("PUT", &format!("presence/{}/status", guest.user_id), json!({ "presence": "online" })),
    ] {
        guest.call(method, path, Some(body)).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    // When the room lets guests in no more, they are gone, and others are not.
    let bob = server.person("bob").await;
    bob.joins(&welcome).await;
    let access = format!("rooms/{welcome}/state/m.room.guest_access");
    alice.put(&access, json!({ "guest_access": "forbidden" })).await.ok();
    let joined = alice.get(&format!("rooms/{welcome}/joined_members")).await.ok();
    let joined: Vec<_> = joined["joined"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(joined, [alice.user_id, bob.user_id]);
}

#[tokio::test]
async fn guests_are_admitted_only_where_the_operator_says_so() {
    let server = Server::start().await;
    server.call("POST", REGISTER, None, Some(json!({}))).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    let server = open().await;
    let token = guest(&server).await.token;
    let server = server.restart_with(|config| config.guests = true).await;
    let body = server.call("GET", "/_matrix/client/v3/account/whoami", Some(&token), None).await.ok();
    assert_eq!(body["is_guest"], true, "a guest stays one");
    let upload = request("POST", "/_matrix/media/v3/upload", Some(&token), Some(json!("x")));
    server.send(upload).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
}

#[tokio::test]
async fn a_room_that_anybody_may_read_is_read_from_outside() {
    let server = open().await;
    let alice = server.person("alice").await;
    let (open, shared) = (room(&alice, "world_readable", "forbidden").await, room(&alice, "shared", "can_join").await);
    let said = alice.says(&open, "to the world").await;
    alice.says(&shared, "to us").await;
    let guest = guest(&server).await;
    let outsider = server.person("bob").await;
    for reader in [&guest, &outsider] {
        let page = reader.get(&format!("rooms/{open}/messages?dir=b")).await.ok();
        assert_eq!(page["chunk"][0]["content"]["body"], "to the world");
        let state = reader.get(&format!("rooms/{open}/state")).await.ok();
        assert!(state.as_array().unwrap().iter().any(|event| event["type"] == "m.room.name"));
        assert_eq!(reader.get(&format!("rooms/{open}/state/m.room.name/")).await.ok()["name"], "Tea");
        let members = reader.get(&format!("rooms/{open}/members")).await.ok();
        assert_eq!(members["chunk"][0]["state_key"], json!(alice.user_id));
        reader.get(&format!("rooms/{open}/context/{said}")).await.ok();
        reader.get(&format!("rooms/{open}/event/{said}")).await.ok();
        assert_eq!(reader.get(&format!("rooms/{open}/initialSync")).await.ok()["room_id"], json!(open));
        for path in ["messages?dir=b", "state", "members", "state/m.room.name/", "initialSync"] {
            reader.get(&format!("rooms/{shared}/{path}")).await.refused(403, "M_FORBIDDEN");
        }
        // To look is not to speak.
        let path = format!("rooms/{open}/send/m.room.message/1");
        reader.put(&path, json!({ "msgtype": "m.text", "body": "me too" })).await.refused(403, "M_FORBIDDEN");
    }
    // What is said after the door is closed is not seen; what was said before still is.
    let visibility = format!("rooms/{open}/state/m.room.history_visibility");
    alice.put(&visibility, json!({ "history_visibility": "shared" })).await.ok();
    guest.get(&format!("rooms/{open}/messages?dir=b")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_guest_who_registers_keeps_the_name_and_the_rooms() {
    let server = open().await;
    let alice = server.person("alice").await;
    let room = room(&alice, "shared", "can_join").await;
    let visitor = guest(&server).await;
    visitor.joins(&room).await;
    let name = format!("profile/{}/displayname", visitor.user_id);
    visitor.put(&name, json!({ "displayname": "Visitor" })).await.ok();
    visitor.call("DELETE", &name, None).await.ok();
    assert_eq!(alice.get(&name).await.ok(), json!({}));
    visitor
        .call("DELETE", &name.replace("displayname", "avatar_url"), None)
        .await
        .refused(403, "M_GUEST_ACCESS_FORBIDDEN");

    let localpart = visitor.user_id.trim_start_matches('@').split(':').next().unwrap();
    let register = async |username: Option<&str>, token: &str| {
        let body = json!({ "username": username, "password": "secret", "guest_access_token": token,
            "auth": { "type": "m.login.dummy" } });
        server.call("POST", "/_matrix/client/v3/register", None, Some(body)).await
    };
    register(None, &visitor.token).await.refused(400, "M_MISSING_PARAM");
    register(Some("another"), &visitor.token).await.refused(403, "M_FORBIDDEN");
    register(Some(localpart), "nonsense").await.refused(403, "M_FORBIDDEN");
    register(Some("alice"), &alice.token).await.refused(403, "M_FORBIDDEN");
    let body = register(Some(localpart), &visitor.token).await.ok();
    assert_eq!(body["user_id"], json!(visitor.user_id));
    let user = Person::of(&server, body["access_token"].as_str().unwrap(), &visitor.user_id);
    assert_ne!(user.get("account/whoami").await.ok()["is_guest"], true);
    assert_eq!(user.get("joined_rooms").await.ok()["joined_rooms"], json!([room]));
    user.creates_room(json!({})).await;
    // Who closes the room to guests puts out no user.
    let access = format!("rooms/{room}/state/m.room.guest_access");
    alice.put(&access, json!({ "guest_access": "forbidden" })).await.ok();
    user.says(&room, "still here").await;
    visitor.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    register(Some(localpart), &visitor.token).await.refused(403, "M_FORBIDDEN");
    server.logs_in(localpart).await;
}
