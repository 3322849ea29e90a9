//! Batches that stand before everything that was said in a room.

use landbridge_sql::{Db, DbOptions};
use serde_json::{Value, json};

use super::batches::{Portal, message, name, portal_of_bot, portal_on};
use crate::{
    rooms_support::Postgres,
    support::{Answer, Person, Server, Service, all_of, bodies, irc_registration, virtual_user},
};

impl Server {
    /// The bot sends a batch into the history of the room.
    async fn backfills(&self, room: &str, events: &[Value]) -> Answer {
        self.batch(room, json!({ "events": events })).await
    }
}

/// Messages of `@irc_bob`, called by their numbers.
fn said(numbers: &[usize]) -> Vec<Value> {
    numbers.iter().map(|number| message("irc_bob", *number, &number.to_string())).collect()
}

/// Reads a room page by page until there is no more.
async fn pages(reader: &Person, room: &str, direction: &str, from: Option<&str>, limit: usize) -> Vec<Value> {
    let mut from = from.map(str::to_owned);
    let mut found = Vec::new();
    for _ in 0..200 {
        let place = from.map(|from| format!("&from={from}")).unwrap_or_default();
        let page = reader.get(&format!("rooms/{room}/messages?dir={direction}&limit={limit}{place}")).await.ok();
        found.extend(page["chunk"].as_array().unwrap().iter().cloned());
        match page["end"].as_str() {
            Some(end) => from = Some(end.to_owned()),
            None => return found,
        }
    }
    panic!("it never ends")
}

fn texts(events: &[Value]) -> Vec<String> {
    bodies(&Value::Array(events.to_vec()))
}

/// The texts of a room, oldest first, by pages of every length and from both ends.
async fn reads(reader: &Person, room: &str) -> Vec<String> {
    let ids = |events: &[Value]| events.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>();
    let forward = pages(reader, room, "f", None, 100).await;
    assert_eq!(forward[0]["type"], "m.room.create", "what a room begins with comes first");
    for limit in [1, 2, 3, 7] {
        assert_eq!(ids(&pages(reader, room, "f", None, limit).await), ids(&forward));
        let mut backward = pages(reader, room, "b", None, limit).await;
        backward.reverse();
        assert_eq!(ids(&backward), ids(&forward));
    }
    texts(&forward)
}

fn extended_on(database: Option<String>) -> impl Fn(&mut landbridge_homeserver::Config) {
    move |config| {
        config.bridge_extensions = true;
        config.database.clone_from(&database);
    }
}

#[tokio::test]
async fn history_stands_before_what_was_said_on_sqlite() {
    story(None).await;
}

#[tokio::test]
async fn history_stands_before_what_was_said_on_postgresql() {
    let Some(postgres) = Postgres::start().await else { return };
    story(Some(postgres.url.clone())).await;
}

async fn story(database: Option<String>) {
    let server = Server::with(extended_on(database.clone())).await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    let Portal { server, service, alice, room, .. } = portal_on(server, service).await;
    alice.says(&room, "7").await;
    let first = alice.syncs(None, "").await;
    let since = first["next_batch"].as_str().unwrap();
    alice.says(&room, "8").await;
    let events = said(&[4, 5, 6]);
    let answer = server.backfills(&room, &events).await.ok();
    assert_eq!(answer["event_ids"], json!([name(4), name(5), name(6)]));
    assert_eq!(server.backfills(&room, &events).await.ok(), answer, "said again with the answer lost");
    server.backfills(&room, &said(&[1, 2, 3])).await.ok();
    assert_eq!(reads(&alice, &room).await, ["1", "2", "3", "4", "5", "6", "7", "8"]);

    // Nobody is told of it: neither who syncs, nor the service.
    let synced = alice.syncs(Some(since), "").await;
    let joined = &synced["rooms"]["join"][&room];
    assert_eq!(bodies(&joined["timeline"]["events"]), ["8"]);
    assert_eq!(joined["unread_notifications"]["notification_count"], 0);
    alice.says(&room, "9").await;
    assert_eq!(service.hears("9").await, ["7", "8", "9"]);

    // From a sync one comes there.
    let filter =
        "&filter={\"room\":{\"timeline\":{\"limit\":2}}}".replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    let short = alice.syncs(None, &filter).await;
    let timeline = &short["rooms"]["join"][&room]["timeline"];
    assert_eq!(bodies(&timeline["events"]), ["8", "9"]);
    let older = pages(&alice, &room, "b", timeline["prev_batch"].as_str(), 2).await;
    assert_eq!(texts(&older), ["7", "6", "5", "4", "3", "2", "1"]);

    // Even where a sync would show all of the room: it ends where the history stands, and what is before that comes as state.
    let whole = alice.syncs(None, "").await;
    let joined = &whole["rooms"]["join"][&room];
    assert_eq!(bodies(&joined["timeline"]["events"]), ["7", "8", "9"]);
    assert_eq!(joined["timeline"]["events"].as_array().unwrap().len(), 3);
    assert!(joined["state"]["events"].as_array().unwrap().iter().any(|event| event["type"] == "m.room.create"));
    let older = pages(&alice, &room, "b", joined["timeline"]["prev_batch"].as_str(), 4).await;
    assert_eq!(texts(&older), ["6", "5", "4", "3", "2", "1"]);
    assert_eq!(older.last().unwrap()["type"], "m.room.create");

    // It is all there after a restart, and what is added then comes before it.
    let server = server.restart_with(extended_on(database)).await;
    server.appservice(irc_registration(), &service).await;
    let alice = Person::again(&server, &alice);
    assert_eq!(server.backfills(&room, &events).await.ok(), answer);
    server.backfills(&room, &said(&[0])).await.ok();
    alice.says(&room, "10").await;
    assert_eq!(reads(&alice, &room).await, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    assert_eq!(service.hears("10").await, ["7", "8", "9", "10"]);
    let bob = virtual_user(&server, "irc_bob");
    let event = bob.call("GET", &format!("rooms/{room}/event/{}", name(4)), None).await.ok();
    assert_eq!(event["content"]["body"], "4");
}

#[tokio::test]
async fn it_is_found_by_place_by_time_and_by_relation_and_is_redacted() {
    let Portal { server, service, alice, room, .. } = portal_of_bot().await;
    alice.says(&room, "9").await;
    let relates = |number: usize, rel_type: &str, more: Value| {
        let mut event = message("irc_bob", number, "related");
        event["content"]["m.relates_to"] = json!({ "rel_type": rel_type, "event_id": name(2) });
        for (field, value) in more.as_object().unwrap() {
            event["content"][field] = value.clone();
        }
        event
    };
    let mut batch = said(&[1, 2, 3]);
    batch.push(relates(4, "m.replace", json!({ "m.new_content": { "msgtype": "m.text", "body": "two" } })));
    batch.push(relates(5, "m.thread", json!({})));
    server.backfills(&room, &batch).await.ok();
    let all = pages(&alice, &room, "f", None, 100).await;
    let id = |text: &str| {
        let found = all.iter().find(|event| event["content"]["body"] == text).unwrap();
        found["event_id"].as_str().unwrap().to_owned()
    };
    let two = id("2");

    let around = alice.get(&format!("rooms/{room}/context/{two}?limit=2")).await.ok();
    assert_eq!(bodies(&around["events_before"]), ["1"]);
    assert_eq!(bodies(&around["events_after"]), ["3"]);
    assert!(around["state"].as_array().unwrap().iter().any(|event| event["type"] == "m.room.create"));
    let on = |direction: &'static str, from: Value| {
        let (alice, room) = (alice.clone(), room.clone());
        async move { texts(&pages(&alice, &room, direction, from.as_str(), 2).await) }
    };
    assert_eq!(on("f", around["end"].clone()).await, ["related", "related", "9"]);
    assert_eq!(on("b", around["start"].clone()).await, Vec::<String>::new());
    let found = alice.get_v1(&format!("rooms/{room}/timestamp_to_event?ts=1002&dir=f")).await.ok();
    assert_eq!(found["event_id"], two.as_str());

    let shown = alice.get(&format!("rooms/{room}/event/{two}")).await.ok();
    let bundle = &shown["unsigned"]["m.relations"];
    assert_eq!(bundle["m.replace"]["content"]["m.new_content"]["body"], "two");
    assert_eq!(bundle["m.thread"]["count"], 1);
    assert_eq!(shown["unsigned"]["membership"], "join");
    let related = alice.get_v1(&format!("rooms/{room}/relations/{two}?limit=1")).await.ok();
    assert_eq!(related["chunk"].as_array().unwrap().len(), 1);
    let next = related["next_batch"].as_str().unwrap();
    let rest = alice.get_v1(&format!("rooms/{room}/relations/{two}?from={next}")).await.ok();
    assert_eq!(rest["chunk"].as_array().unwrap().len(), 1);
    let threads = alice.get_v1(&format!("rooms/{room}/threads")).await.ok();
    assert_eq!(threads["chunk"][0]["event_id"], two.as_str());

    // A reaction and a receipt of today, and a redaction.
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": two, "key": "+" } });
    alice.sends(&room, "m.reaction", reaction).await;
    alice.post(&format!("rooms/{room}/receipt/m.read/{two}"), json!({})).await.ok();
    let reacted = |service: &Service| {
        service
            .events()
            .iter()
            .any(|event| event["type"] == "m.reaction" && event["content"]["m.relates_to"]["event_id"] == name(2))
    };
    service.until(reacted).await;
    service
        .until(|service| all_of(service, "ephemeral").iter().any(|event| !event["content"][name(2)].is_null()))
        .await;
    let bob = virtual_user(&server, "irc_bob");
    bob.call("PUT", &format!("rooms/{room}/redact/{}/t1", name(3)), Some(json!({}))).await.ok();
    assert_eq!(alice.get(&format!("rooms/{room}/event/{}", id("3"))).await.ok()["content"], json!({}));

    // A place in a history is no place to sync from.
    let history = pages(&alice, &room, "f", None, 100).await.len();
    assert!(history > 5);
    alice.get("sync?timeout=0&since=h3").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn who_never_came_speaks_in_the_history_and_is_not_in_the_room() {
    let Portal { server, service, alice, bot, room } = portal_of_bot().await;
    let profile = "profile/@irc_gone:localhost/displayname";
    virtual_user(&server, "irc_gone").call("PUT", profile, Some(json!({ "displayname": "Gone" }))).await.ok();
    alice.says(&room, "2").await;
    let state = async || {
        let state = alice.get(&format!("rooms/{room}/state")).await.ok();
        let ids = state.as_array().unwrap().iter().map(|event| event["event_id"].to_string());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let before = state().await;
    let events = [message("irc_gone", 1, "1"), message("irc_bob", 5, "1b")];
    server.backfills(&room, &events).await.ok();
    assert_eq!(reads(&alice, &room).await, ["1", "1b", "2"]);
    assert_eq!(state().await, before, "the state is what it was");
    let members = alice.get(&format!("rooms/{room}/joined_members")).await.ok();
    assert!(members["joined"]["@irc_gone:localhost"].is_null());
    // Those who show it are told what to call them.
    let lazy = "%7B%22lazy_load_members%22:true%7D";
    let page = alice.get(&format!("rooms/{room}/messages?dir=b&limit=3&filter={lazy}")).await.ok();
    let members = page["state"].as_array().unwrap();
    let gone = members.iter().find(|event| event["state_key"] == "@irc_gone:localhost").unwrap();
    assert_eq!(gone["content"]["displayname"], "Gone");
    // Nobody is told that they came.
    alice.says(&room, "3").await;
    service.hears("3").await;
    assert!(!service.events().iter().any(|event| event["state_key"] == "@irc_gone:localhost"));
    // One who comes in afterwards is a member as others are.
    bot.call("POST", &format!("rooms/{room}/invite"), Some(json!({ "user_id": "@irc_gone:localhost" }))).await.ok();
    virtual_user(&server, "irc_gone").joins(&room).await;
    let joined = alice.get(&format!("rooms/{room}/joined_members")).await.ok();
    assert_eq!(joined["joined"]["@irc_gone:localhost"]["display_name"], "Gone");
    // One who was kept out where the history stands has no say in it.
    let other = bot.call("POST", "createRoom", Some(json!({}))).await.ok()["room_id"].as_str().unwrap().to_owned();
    bot.call("POST", &format!("rooms/{other}/ban"), Some(json!({ "user_id": "@irc_gone:localhost" }))).await.ok();
    server.backfills(&other, &[message("irc_gone", 9, "9")]).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn it_is_seen_by_those_who_may_see_where_it_stands() {
    let Portal { server, alice, bot, .. } = portal_of_bot().await;
    let (carol, dave) = (server.person("carol").await, server.person("dave").await);
    for (number, visibility, seen) in [(10, "shared", true), (20, "joined", false), (30, "world_readable", true)] {
        let initial = json!([{ "type": "m.room.history_visibility", "state_key": "",
            "content": { "history_visibility": visibility } }]);
        let body = json!({ "preset": "public_chat", "initial_state": initial });
        let room = bot.call("POST", "createRoom", Some(body)).await.ok()["room_id"].as_str().unwrap().to_owned();
        dave.joins(&room).await;
        dave.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
        alice.joins(&room).await;
        alice.says(&room, "later").await;
        carol.joins(&room).await;
        server.backfills(&room, &[message("ircbot", number, "before")]).await.ok();
        let page = |reader: Person| {
            let room = room.clone();
            async move { texts(&pages(&reader, &room, "b", None, 100).await) }
        };
        assert_eq!(page(alice.clone()).await, ["later", "before"], "{visibility}");
        let expected: &[&str] = if seen { &["later", "before"] } else { &[] };
        assert_eq!(page(carol.clone()).await, expected, "{visibility}");
        // Who left before that place sees it only where everybody does.
        let event = alice.get(&format!("rooms/{room}/messages?dir=b&limit=2")).await.ok()["chunk"][1].clone();
        let event = alice.get(&format!("rooms/{room}/event/{}", event["event_id"].as_str().unwrap())).await.ok();
        let path = format!("rooms/{room}/event/{}", event["event_id"].as_str().unwrap());
        assert_eq!(dave.get(&path).await.status.is_success(), visibility == "world_readable", "{visibility} {event}");
    }
}

#[tokio::test]
async fn what_goes_where_nobody_has_said_anything_goes_to_the_end() {
    let Portal { server, alice, bot, room, service } = portal_of_bot().await;
    let batch = |numbers: &[usize]| json!({ "forward_if_no_messages": true, "events": said(numbers) });
    server.batch(&room, batch(&[3, 4])).await.ok();
    assert_eq!(service.hears("4").await, ["3", "4"], "to the end, of which services are told");
    server.batch(&room, batch(&[1, 2])).await.ok();
    server.batch(&room, batch(&[3, 4])).await.ok();
    alice.says(&room, "5").await;
    assert_eq!(service.hears("5").await, ["3", "4", "5"]);
    assert_eq!(reads(&alice, &room).await, ["1", "2", "3", "4", "5"]);

    // Said to be history, it is that where there is nothing after it, too.
    let body = json!({ "preset": "public_chat" });
    let silent = bot.call("POST", "createRoom", Some(body)).await.ok()["room_id"].as_str().unwrap().to_owned();
    alice.joins(&silent).await;
    server.backfills(&silent, &[message("ircbot", 11, "before")]).await.ok();
    assert_eq!(reads(&alice, &silent).await, ["before"]);
    let timeline = alice.syncs(None, "").await["rooms"]["join"][&silent]["timeline"].clone();
    assert_eq!((&timeline["events"], &timeline["limited"]), (&json!([]), &json!(true)));
    let older = pages(&alice, &silent, "b", timeline["prev_batch"].as_str(), 2).await;
    assert_eq!((texts(&older), &older[0]["type"]), (vec!["before".to_owned()], &json!("m.room.message")));
    alice.says(&silent, "after").await;
    server.backfills(&silent, &[message("ircbot", 12, "first")]).await.ok();
    assert_eq!(reads(&alice, &silent).await, ["first", "before", "after"]);
}

#[tokio::test]
async fn a_batch_that_is_refused_leaves_nothing_of_itself() {
    let Portal { server, alice, room, .. } = portal_of_bot().await;
    alice.says(&room, "2").await;
    let mut events = vec![message("irc_gone", 0, "0")];
    events.extend(said(&[1]));
    let mut bad = message("irc_bob", 3, "bad");
    bad["content"] = json!({ "n": 1.5 });
    events.push(bad);
    server.backfills(&room, &events).await.refused(400, "M_BAD_JSON");
    assert_eq!(reads(&alice, &room).await, ["2"]);
    events.pop();
    server.backfills(&room, &events).await.ok();
    alice.says(&room, "3").await;
    assert_eq!(reads(&alice, &room).await, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn purged_history_goes_first_and_does_not_come_again() {
    let Portal { server, alice, room, .. } = portal_of_bot().await;
    alice.says(&room, "3").await;
    let events = said(&[1, 2]);
    server.backfills(&room, &events).await.ok();
    let all = pages(&alice, &room, "f", None, 100).await;
    let two =
        all.iter().find(|event| event["content"]["body"] == "2").unwrap()["event_id"].as_str().unwrap().to_owned();
    let before = landbridge_homeserver::rooms::PurgeBefore::Event(two.try_into().unwrap());
    let id = ruma::RoomId::parse(room.as_str()).unwrap();
    assert_eq!(server.hs.rooms().purge_history(&id, before).await.unwrap(), 1);
    assert_eq!(reads(&alice, &room).await, ["2", "3"]);
    server.backfills(&room, &events).await.ok();
    assert_eq!(reads(&alice, &room).await, ["2", "3"]);
}

#[tokio::test]
async fn history_is_found_by_its_words_on_sqlite() {
    found_by_words(None).await;
}

#[tokio::test]
async fn history_is_found_by_its_words_on_postgresql() {
    let Some(postgres) = Postgres::start().await else { return };
    found_by_words(Some(postgres.url.clone())).await;
}

/// The texts that somebody finds, the newest first, in pages of three.
async fn finds(who: &Person, term: &str) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let criteria = json!({ "search_term": term, "order_by": "recent", "filter": { "limit": 3 } });
        let body = json!({ "search_categories": { "room_events": criteria } });
        let answer = who.post(&format!("search{next}"), body).await.ok()["search_categories"]["room_events"].clone();
        let results = answer["results"].as_array().unwrap();
        found.extend(results.iter().map(|one| one["result"]["content"]["body"].as_str().unwrap().to_owned()));
        match answer["next_batch"].as_str() {
            Some(token) => next = format!("?next_batch={token}"),
            None => return found,
        }
    }
}

/// Takes the index away, as it was before histories were in it.
async fn forget_the_index(server: &Server, database: Option<&str>) {
    let file = format!("sqlite:{}", server.folder().join("homeserver.db").display());
    let options = DbOptions { migrations_table: "_forgotten", ..DbOptions::default() };
    let db = Db::open(database.unwrap_or(&file), &[], options).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let all = match &db {
        Db::Sqlite { .. } => "INSERT INTO search_text (search_text) VALUES ('delete-all')",
        Db::Postgres(_) => "DELETE FROM search_text",
    };
    for sql in [all, "DELETE FROM search_cursor", "DELETE FROM search_history"] {
        tx.execute(sql, &[]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn found_by_words(database: Option<String>) {
    let server = Server::with(extended_on(database.clone())).await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    let Portal { server, service, alice, bot, room } = portal_on(server, service).await;
    let carol = server.person("carol").await;
    // Who comes later does not see what was said before.
    let visibility = format!("rooms/{room}/state/m.room.history_visibility");
    bot.call("PUT", &visibility, Some(json!({ "history_visibility": "joined" }))).await.ok();
    let tea = |numbers: &[usize]| {
        let of = |number: &usize| message("irc_bob", *number, &format!("tea {number}"));
        numbers.iter().map(of).collect::<Vec<_>>()
    };
    alice.says(&room, "tea 7").await;
    bot.call("POST", &format!("rooms/{room}/invite"), Some(json!({ "user_id": carol.user_id }))).await.ok();
    carol.joins(&room).await;
    alice.says(&room, "tea 8").await;
    for batch in [&[4, 5, 6][..], &[1, 2, 3]] {
        server.backfills(&room, &tea(batch)).await.ok();
    }
    let all: Vec<String> = (1..=8).rev().map(|number| format!("tea {number}")).collect();
    assert_eq!(finds(&alice, "tea").await, all);
    assert_eq!(finds(&alice, "3").await, ["tea 3"]);
    assert_eq!(finds(&carol, "tea").await, ["tea 8"]);
    bot.call("PUT", &format!("rooms/{room}/redact/{}/r", name(5)), Some(json!({}))).await.ok();
    let all: Vec<String> = all.into_iter().filter(|text| text != "tea 5").collect();
    assert_eq!(finds(&alice, "tea").await, all);

    // What was there before histories were read, or when the server was killed before it read them, is read after the next start, once.
    forget_the_index(&server, database.as_deref()).await;
    let server = server.restart_with(extended_on(database.clone())).await;
    let again = Person::again(&server, &alice);
    assert_eq!(finds(&again, "tea").await, all);
    let server = server.restart_with(extended_on(database)).await;
    server.appservice(irc_registration(), &service).await;
    server.backfills(&room, &tea(&[0])).await.ok();
    let again = Person::again(&server, &alice);
    assert_eq!(finds(&again, "tea").await, all.into_iter().chain(["tea 0".to_owned()]).collect::<Vec<_>>());
}
