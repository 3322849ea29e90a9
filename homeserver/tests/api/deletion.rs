//! Rooms that operators delete: who was in them is told, and nothing is left.

use std::{collections::BTreeMap, time::Duration};

use landbridge_homeserver::OPERATOR_TOKEN_FILE;
use serde_json::{Value, json};

use crate::{
    rooms_support::Postgres,
    support::{AS_TOKEN, Answer, Person, Server, Service, all_of, irc_registration, registers},
};

async fn operates(server: &Server, method: &str, path: &str, body: Option<Value>) -> Answer {
    let token = std::fs::read_to_string(server.folder().join(OPERATOR_TOKEN_FILE)).unwrap();
    server.call(method, &format!("/_landbridge/admin/v1/{path}"), Some(token.trim()), body).await
}

/// Waits until an operator does not find a room any more.
async fn is_gone(server: &Server, room: &str) {
    let gone = async {
        while operates(server, "GET", &format!("rooms/{room}"), None).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
}

async fn number(server: &Server, sql: String) -> i64 {
    let rows = server.hs.store().db().fetch_all(Box::leak(sql.into_boxed_str()), &[]).await.unwrap();
    rows[0].int(0).unwrap()
}

/// Waits until the last row of a deletion is gone.
async fn is_done(server: &Server) {
    let done = async {
        while number(server, "SELECT count(*) FROM room_deletion".to_owned()).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), done).await.unwrap();
}

/// How many rows there are in each table; not in those that say what was deleted, nor in those of the index of words, whose form is
/// its own.
async fn rows(server: &Server) -> BTreeMap<String, i64> {
    let list = match server.database() {
        None => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Some(_) => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
    };
    let mut found = BTreeMap::new();
    for row in server.hs.store().db().fetch_all(list, &[]).await.unwrap() {
        let table = row.text(0).unwrap();
        // What is unread is stored some seconds after it is counted.
        let told = ["deleted_membership", "blocked_room", "search_cursor", "unread"].contains(&&*table);
        if !told && !table.starts_with("search_text") && !table.starts_with('_') && !table.starts_with("sqlite_") {
            found.insert(table.clone(), number(server, format!("SELECT count(*) FROM {table}")).await);
        }
    }
    found
}

/// A room in which much happened.
async fn lively(alice: &Person, bob: &Person) -> String {
    let wish = json!({ "preset": "public_chat", "name": "Tea", "room_alias_name": "tea", "visibility": "public" });
    let room = alice.creates_room(wish).await;
    bob.joins(&room).await;
    let said = alice.says(&room, "camomile").await;
    alice.edits(&room, &said, "hibiscus").await;
    bob.sends(
        &room,
        "m.reaction",
        json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": said, "key": "1" } }),
    )
    .await;
    alice.put(&format!("rooms/{room}/redact/{}/r", bob.says(&room, "coffee").await), json!({})).await.ok();
    // More states than lie between two whose parts are stored.
    for n in 0..150 {
        alice.put(&format!("rooms/{room}/state/x.note/{}", n % 70), json!({ "n": n })).await.ok();
    }
    bob.post(&format!("rooms/{room}/receipt/m.read/{said}"), json!({})).await.ok();
    bob.put(&format!("user/{}/rooms/{room}/tags/m.favourite", bob.user_id), json!({ "order": 0.5 })).await.ok();
    bob.post(&format!("rooms/{room}/report/{said}"), json!({ "reason": "tea" })).await.ok();
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": "@carol:localhost" })).await.ok();
    room
}

fn left(sync: &Value, room: &str) -> bool {
    sync["rooms"]["leave"][room].is_object()
}

#[tokio::test]
async fn a_deleted_room_leaves_nothing_behind_on_sqlite() {
    nothing_is_left(Server::start().await).await;
}

#[tokio::test]
async fn a_deleted_room_leaves_nothing_behind_on_postgresql() {
    let Some(postgres) = Postgres::start().await else { return };
    nothing_is_left(Server::start_on(Some(postgres.url.clone())).await).await;
}

async fn nothing_is_left(server: Server) {
    let (alice, bob, carol) = (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let other = alice.creates_room(json!({ "preset": "public_chat", "name": "Tea" })).await;
    bob.joins(&other).await;
    alice.says(&other, "camomile").await;
    let before = rows(&server).await;
    let room = lively(&alice, &bob).await;
    let since = |sync: Value| sync["next_batch"].as_str().unwrap().to_owned();
    let (of_alice, of_bob, of_carol) =
        (since(alice.syncs(None, "").await), since(bob.syncs(None, "").await), since(carol.syncs(None, "").await));
    let waiting = tokio::spawn({
        let (bob, of_bob) = (bob.clone(), of_bob.clone());
        async move { bob.get(&format!("sync?timeout=30000&since={of_bob}")).await.ok() }
    });
    let search = json!({ "search_categories": { "room_events": { "search_term": "camomile" } } });
    let found = async |who: &Person| {
        let found = who.post("search", search.clone()).await.ok();
        let results = found["search_categories"]["room_events"]["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["result"]["room_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let wish = json!({ "block": true, "purge": true, "reason": "no more tea" });
    let answer = operates(&server, "DELETE", &format!("rooms/{room}"), Some(wish)).await.ok();
    assert_eq!(answer["left"], 3, "alice, bob, and carol who was asked in");
    is_gone(&server, &room).await;
    is_done(&server).await;
    assert_eq!(rows(&server).await, before);

    // Whoever waits, or comes back later, hears that it is over.
    let mut heard = waiting.await.unwrap();
    while !left(&heard, &room) {
        heard = bob.syncs(heard["next_batch"].as_str(), "").await;
    }
    assert!(left(&alice.syncs(Some(&of_alice), "").await, &room));
    assert!(left(&carol.syncs(Some(&of_carol), "").await, &room));
    assert_eq!(alice.syncs(None, "").await["rooms"]["leave"][&room], Value::Null);
    assert_eq!(bob.get("joined_rooms").await.ok()["joined_rooms"], json!([other]));
    assert!(!found(&bob).await.contains(&room));
    alice.get("directory/room/%23tea:localhost").await.refused(404, "M_NOT_FOUND");
    assert!(!bob.get("publicRooms").await.ok().to_string().contains(&room));
    assert!(matches!(bob.get(&format!("rooms/{room}/messages?dir=b")).await.status.as_u16(), 403 | 404));
    assert_eq!(number(&server, format!("SELECT count(*) FROM unread WHERE room_id = '{room}'")).await, 0);
    bob.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    operates(&server, "DELETE", &format!("rooms/{room}"), None).await.refused(404, "M_NOT_FOUND");

    let server = server.restart().await;
    let (alice, bob) = (alice.on(&server), bob.on(&server));
    assert!(left(&bob.syncs(Some(&of_bob), "").await, &room));
    bob.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    operates(&server, "PUT", &format!("rooms/{room}/blocked"), Some(json!({ "blocked": false }))).await.ok();
    bob.post(&format!("join/{room}"), json!({})).await.refused(404, "M_NOT_FOUND");
    alice.says(&other, "still here").await;
}

#[tokio::test]
async fn a_blocked_room_stays_and_nobody_comes_in() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    alice.says(&room, "hello").await;
    let wish = json!({ "block": true, "purge": false });
    assert_eq!(operates(&server, "DELETE", &format!("rooms/{room}"), Some(wish)).await.ok()["left"], 1);
    bob.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    alice.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    assert_eq!(operates(&server, "GET", &format!("rooms/{room}"), None).await.ok()["blocked"], true);
    alice.get(&format!("rooms/{room}/messages?dir=b")).await.ok();
    let server = server.restart().await;
    let (alice, bob) = (alice.on(&server), bob.on(&server));
    bob.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    operates(&server, "PUT", &format!("rooms/{room}/blocked"), Some(json!({ "blocked": false }))).await.ok();
    alice.joins(&room).await;
    bob.joins(&room).await;
}

#[tokio::test]
async fn moderators_close_rooms_and_administrators_delete_them() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let role = json!({ "role": "moderator" });
    operates(&server, "PUT", &format!("users/{}/role", alice.user_id), Some(role)).await.ok();
    let path = format!("/_landbridge/admin/v1/rooms/{room}");
    server.call("DELETE", &path, Some(&alice.token), None).await.refused(403, "M_FORBIDDEN");
    server.call("DELETE", &path, Some(&alice.token), Some(json!({ "purge": false }))).await.ok();
}

#[tokio::test]
async fn a_service_hears_that_its_users_left_before_the_room_is_gone_also_over_a_restart() {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    registers(&server, "irc_bob").await.joins(&room).await;
    service.hears_of(&room, "join").await;
    service.always(500);
    assert_eq!(operates(&server, "DELETE", &format!("rooms/{room}"), None).await.ok()["left"], 2);
    // Nobody does anything there any more, but it waits.
    alice.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    let server = server.restart().await;
    operates(&server, "GET", &format!("rooms/{room}"), None).await.ok();
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    service.hears_of(&room, "leave").await;
    is_gone(&server, &room).await;
    is_done(&server).await;
    server.call("GET", "/_matrix/client/v3/account/whoami", Some(AS_TOKEN), None).await.ok();
}

#[tokio::test]
async fn a_deletion_that_broke_off_goes_on() {
    let server = Server::start().await;
    let (alice, bob, carol) = (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let before = rows(&server).await;
    let room = lively(&alice, &bob).await;
    let since = carol.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    // The database refuses to go on, first with the events half gone, then with the last row.
    let breaks = [
        "CREATE TRIGGER early BEFORE DELETE ON event WHEN (SELECT count(*) FROM event) < 60 BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE TRIGGER late BEFORE DELETE ON room BEGIN SELECT RAISE(ABORT, 'no'); END",
    ];
    let does = async |server: &Server, sql: &'static str| {
        let mut tx = server.hs.store().db().begin().await.unwrap();
        tx.execute(sql, &[]).await.unwrap();
        tx.commit().await.unwrap();
    };
    does(&server, breaks[0]).await;
    operates(&server, "DELETE", &format!("rooms/{room}"), None).await.ok();
    is_gone(&server, &room).await;
    let server = server.restart().await;
    let carol = carol.on(&server);
    operates(&server, "GET", &format!("rooms/{room}"), None).await.refused(404, "M_NOT_FOUND");
    carol.post(&format!("join/{room}"), json!({})).await.refused(403, "M_FORBIDDEN");
    does(&server, breaks[1]).await;
    does(&server, "DROP TRIGGER early").await;
    // Asked again, it goes on, and so it does after a start.
    operates(&server, "DELETE", &format!("rooms/{room}"), None).await.ok();
    let server = server.restart().await;
    does(&server, "DROP TRIGGER late").await;
    let server = server.restart().await;
    is_done(&server).await;
    assert_eq!(rows(&server).await, before);
    assert!(left(&carol.on(&server).syncs(Some(&since), "").await, &room));
}

impl Service {
    /// Waits until it was told that somebody came into a room, or left.
    async fn hears_of(&self, room: &str, membership: &str) {
        let says = |event: &Value| {
            event["room_id"] == room
                && event["content"]["membership"] == membership
                && event["state_key"] == "@irc_bob:localhost"
        };
        self.until(|service| all_of(service, "events").iter().any(says)).await;
    }
}

#[tokio::test]
async fn a_client_that_looks_at_a_window_is_told_once_that_a_room_is_gone() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "name": "Tea" })).await;
    let other = alice.creates_room(json!({ "preset": "public_chat", "name": "Coffee" })).await;
    for room in [&room, &other] {
        bob.joins(room).await;
    }
    let slides = async |pos: Option<&str>| {
        let pos = pos.map(|pos| format!("&pos={pos}")).unwrap_or_default();
        let filters = json!({ "room_name_like": "e" });
        let list = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [], "filters": filters });
        let path = format!("../unstable/org.matrix.simplified_msc3575/sync?timeout=0{pos}");
        bob.post(&path, json!({ "lists": { "all": list } })).await.ok()
    };
    let first = slides(None).await;
    assert_eq!((&first["lists"]["all"]["count"], &first["rooms"][&room]["membership"]), (&json!(2), &json!("join")));
    operates(&server, "DELETE", &format!("rooms/{room}"), Some(json!({ "purge": true }))).await.ok();
    is_gone(&server, &room).await;
    is_done(&server).await;
    let second = slides(first["pos"].as_str()).await;
    let gone = &second["rooms"][&room];
    assert_eq!((&gone["membership"], &gone["timeline"], &gone["initial"]), (&json!("leave"), &json!([]), &json!(true)));
    assert_eq!(second["lists"]["all"]["count"], 1);
    // As often as the client asks from there, and no more once it knows.
    assert_eq!(slides(first["pos"].as_str()).await["rooms"][&room]["membership"], "leave");
    let third = slides(slides(first["pos"].as_str()).await["pos"].as_str()).await;
    assert_eq!(third["rooms"], json!({}));
    alice.says(&other, "more").await;
    assert!(slides(third["pos"].as_str()).await["rooms"][&other].is_object());
}
