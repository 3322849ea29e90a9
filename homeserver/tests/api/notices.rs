//! What the server has to say, what it forgets, and who is forgotten.

use serde_json::{Value, json};

use crate::{
    rooms_support::Postgres,
    support::{Answer, Person, Server, bodies},
};

async fn operator(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    let token = std::fs::read_to_string(server.folder().join("operator-token")).unwrap();
    server.call(method, &format!("/_landbridge/admin/v1/{path}"), Some(token.trim()), Some(body)).await
}

async fn tell(server: &Server, who: &Person, text: &str) -> String {
    let body = json!({ "user_id": who.user_id, "body": text });
    operator(server, "POST", "notices", body).await.ok()["room_id"].as_str().unwrap().to_owned()
}

async fn heard(who: &Person, room: &str) -> Vec<String> {
    bodies(&who.get(&format!("rooms/{room}/messages?dir=f&limit=100")).await.ok()["chunk"])
}

#[tokio::test]
async fn what_the_server_says_cannot_be_refused() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = tell(&server, &alice, "the server moves on Monday").await;
    let sync = alice.syncs(None, "").await;
    let invited = &sync["rooms"]["invite"][&room];
    assert!(invited.is_object(), "{sync}");
    let tags = alice.get(&format!("user/{}/rooms/{room}/tags", alice.user_id)).await.ok();
    assert!(tags["tags"]["m.server_notice"].is_object(), "{tags}");
    let leave = format!("rooms/{room}/leave");
    alice.post(&leave, json!({})).await.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
    let member = format!("rooms/{room}/state/m.room.member/{}", alice.user_id);
    let refusal = alice.put(&member, json!({ "membership": "leave" })).await;
    refusal.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
    alice.joins(&room).await;
    assert_eq!(heard(&alice, &room).await, ["the server moves on Monday"]);
    // It is not a place to answer in, nor to bring others to.
    let path = format!("rooms/{room}/send/m.room.message/1");
    alice.put(&path, json!({ "msgtype": "m.text", "body": "why?" })).await.refused(403, "M_FORBIDDEN");
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": bob.user_id })).await.refused(403, "M_FORBIDDEN");
    // One room for each user, also after a restart; another for another user.
    assert_ne!(tell(&server, &bob, "for bob").await, room);
    let server = server.restart().await;
    let alice = alice.on(&server);
    assert_eq!(tell(&server, &alice, "it moved").await, room);
    assert_eq!(heard(&alice, &room).await, ["the server moves on Monday", "it moved"]);
    // Who left is asked in again.
    alice.post(&leave, json!({})).await.ok();
    assert_eq!(tell(&server, &alice, "still there?").await, room);
    alice.post(&leave, json!({})).await.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
}

#[tokio::test]
async fn only_operators_speak_for_the_server() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let body = json!({ "user_id": alice.user_id, "body": "free tea" });
    let path = "/_landbridge/admin/v1/notices";
    server.call("POST", path, Some(&alice.token), Some(body)).await.refused(403, "M_FORBIDDEN");
    let nobody = json!({ "user_id": "@nobody:localhost", "body": "hello?" });
    operator(&server, "POST", "notices", nobody).await.refused(404, "M_NOT_FOUND");
    let both = json!({ "user_id": alice.user_id, "body": "a", "content": {} });
    operator(&server, "POST", "notices", both).await.refused(400, "M_INVALID_PARAM");
    let list = json!({ "user_id": alice.user_id, "content": [] });
    operator(&server, "POST", "notices", list).await.refused(400, "M_BAD_JSON");
    let name = json!({ "username": "notices", "password": "secret", "auth": { "type": "m.login.dummy" } });
    server.call("POST", "/_matrix/client/v3/register", None, Some(name)).await.refused(400, "M_EXCLUSIVE");
}

#[tokio::test]
async fn history_that_is_purged_is_gone_and_the_room_lives_on_sqlite() {
    history_that_is_purged_is_gone(Server::start().await).await;
}

#[tokio::test]
async fn history_that_is_purged_is_gone_and_the_room_lives_on_postgresql() {
    let Some(postgres) = Postgres::start().await else { return };
    history_that_is_purged_is_gone(Server::start_on(Some(postgres.url.clone())).await).await;
}

async fn history_that_is_purged_is_gone(server: Server) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "name": "Tea" })).await;
    bob.joins(&room).await;
    let mut said = Vec::new();
    for number in 0..20 {
        said.push(alice.says(&room, &format!("old {number}")).await);
    }
    alice.relates(&room, "m.thread", &said[0], "in a thread").await;
    let redacted = alice.says(&room, "a mistake").await;
    alice.put(&format!("rooms/{room}/redact/{redacted}/r1"), json!({})).await.ok();
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "leaves" })).await.ok();
    bob.post(&format!("rooms/{room}/receipt/m.read/{}", said[4]), json!({})).await.ok();
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let first_new = alice.says(&room, "new").await;
    alice.says(&room, "newest").await;
    let before = json!({ "before_event": first_new });
    let path = format!("rooms/{room}/purge");
    let purged = operator(&server, "POST", &path, before.clone()).await.ok();
    assert_eq!(purged["purged"], 21, "twenty, one in the thread and the mistake, but for what bob has read up to");
    assert_eq!(operator(&server, "POST", &path, before).await.ok()["purged"], 0);
    assert_eq!(heard(&alice, &room).await, ["old 4", "new", "newest"]);
    alice.get(&format!("rooms/{room}/event/{}", said[0])).await.refused(404, "M_NOT_FOUND");
    let server = server.restart().await;
    let (alice, bob) = (alice.on(&server), bob.on(&server));
    assert_eq!(heard(&bob, &room).await, ["old 4", "new", "newest"]);
    alice.get(&format!("rooms/{room}/event/{}", said[0])).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.get(&format!("rooms/{room}/state/m.room.topic")).await.ok()["topic"], "leaves");
    let sync = bob.syncs(Some(&since), "").await;
    assert_eq!(bodies(&sync["rooms"]["join"][&room]["timeline"]["events"]), ["new", "newest"]);
    // The same transaction id is a new message now.
    assert_ne!(alice.says(&room, "old 3").await, said[3]);
    bob.says(&room, "and on").await;
    let page = alice.get(&format!("rooms/{room}/messages?dir=b&limit=3")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["and on", "old 3", "newest"]);
    let back = json!({ "before_ts": 1 });
    assert_eq!(operator(&server, "POST", &format!("rooms/{room}/purge"), back).await.ok()["purged"], 0);
    // Everything but the last can go.
    let all = json!({ "before_ts": i64::MAX });
    operator(&server, "POST", &format!("rooms/{room}/purge"), all).await.ok();
    assert_eq!(heard(&alice, &room).await, ["old 4", "and on"]);
    alice.says(&room, "still here").await;
}

#[tokio::test]
async fn who_had_themselves_erased_is_blank_to_those_who_come_later() {
    let server = Server::start().await;
    let (alice, bob, carol) = (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    let name = format!("profile/{}/displayname", bob.user_id);
    bob.put(&name, json!({ "displayname": "Robert" })).await.ok();
    bob.says(&room, "my secret").await;
    alice.says(&room, "no secret").await;
    let auth = json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "bob" }, "password": "secret" });
    bob.post("account/deactivate", json!({ "auth": auth, "erase": true })).await.ok();
    carol.joins(&room).await;
    assert!(heard(&alice, &room).await.contains(&"my secret".to_owned()), "who was there still sees it");
    assert_eq!(heard(&carol, &room).await, ["no secret"]);
    let server = server.restart().await;
    let carol = carol.on(&server);
    assert_eq!(heard(&carol, &room).await, ["no secret"]);
    let page = carol.get(&format!("rooms/{room}/messages?dir=f&limit=100")).await.ok();
    assert!(!page.to_string().contains("Robert"), "{page}");
    let sync = carol.syncs(None, "").await.to_string();
    assert!(!sync.contains("my secret") && sync.contains("no secret"));
}
