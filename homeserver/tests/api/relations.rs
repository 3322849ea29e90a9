use serde_json::{Value, json};

use crate::support::{Person, Server, bodies};

async fn two(server: &Server) -> (Person, Person, String) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    (alice, bob, room)
}

async fn relations_of(reader: &Person, room: &str, event: &str) -> Value {
    reader.get(&format!("rooms/{room}/event/{event}")).await.ok()["unsigned"]["m.relations"].clone()
}

#[tokio::test]
async fn an_event_is_told_with_its_last_valid_edit() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let event = alice.says(&room, "teh").await;
    assert_eq!(relations_of(&bob, &room, &event).await, Value::Null);
    alice.edits(&room, &event, "the").await;
    let last = alice.edits(&room, &event, "The").await;
    // Nobody edits what another said, and an edit without new content is none.
    bob.edits(&room, &event, "mine").await;
    alice.relates(&room, "m.replace", &event, "nothing new").await;
    let relations = relations_of(&bob, &room, &event).await;
    assert_eq!(relations["m.replace"]["event_id"], json!(last));
    assert_eq!(relations["m.replace"]["content"]["m.new_content"]["body"], "The");
    // It is in the timeline of a first sync, and in pages, too.
    let sync = bob.syncs(None, "").await;
    let timeline = sync["rooms"]["join"][&room]["timeline"]["events"].as_array().unwrap().clone();
    let shown = timeline.iter().find(|shown| shown["event_id"] == json!(event)).unwrap();
    assert_eq!(shown["unsigned"]["m.relations"]["m.replace"]["event_id"], json!(last));
    assert_eq!(shown["content"]["body"], "teh");
    // What is redacted is edited no more.
    alice.put(&format!("rooms/{room}/redact/{last}/r1"), json!({})).await.ok();
    assert_ne!(relations_of(&bob, &room, &event).await["m.replace"]["event_id"], json!(last));
    alice.put(&format!("rooms/{room}/redact/{event}/r2"), json!({})).await.ok();
    assert_eq!(relations_of(&bob, &room, &event).await, Value::Null);
}

#[tokio::test]
async fn a_thread_is_summed_up_at_its_root_and_listed() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let (first, second) = (alice.says(&room, "first").await, alice.says(&room, "second").await);
    let answer = alice.relates(&room, "m.thread", &first, "answer").await;
    bob.relates(&room, "m.thread", &second, "bob's").await;
    let last = alice.relates(&room, "m.thread", &first, "last").await;
    let edit = alice.edits(&room, &last, "at last").await;
    let thread = relations_of(&bob, &room, &first).await["m.thread"].clone();
    assert_eq!((&thread["count"], &thread["current_user_participated"]), (&json!(2), &json!(false)));
    assert_eq!(thread["latest_event"]["event_id"], json!(last));
    assert_eq!(thread["latest_event"]["unsigned"]["m.relations"]["m.replace"]["event_id"], json!(edit));
    assert_eq!(relations_of(&bob, &room, &second).await["m.thread"]["current_user_participated"], true);
    let listed = bob.get_v1(&format!("rooms/{room}/threads?limit=1")).await.ok();
    assert_eq!(bodies(&listed["chunk"]), ["first"]);
    let from = listed["next_batch"].as_str().unwrap();
    let listed = bob.get_v1(&format!("rooms/{room}/threads?from={from}")).await.ok();
    assert_eq!(bodies(&listed["chunk"]), ["second"]);
    let mine = bob.get_v1(&format!("rooms/{room}/threads?include=participated")).await.ok();
    assert_eq!(bodies(&mine["chunk"]), ["second"]);
    // A thread does not branch.
    let branch =
        json!({ "msgtype": "m.text", "body": "x", "m.relates_to": { "rel_type": "m.thread", "event_id": answer } });
    bob.put(&format!("rooms/{room}/send/m.room.message/branch"), branch).await.refused(400, "M_UNKNOWN");
    // Whom one ignores does not count.
    let ignored = json!({ "ignored_users": { alice.user_id.clone(): {} } });
    let me = bob.user_id.clone();
    bob.put(&format!("user/{me}/account_data/m.ignored_user_list"), ignored).await.ok();
    let listed = bob.get_v1(&format!("rooms/{room}/threads")).await.ok();
    assert_eq!(bodies(&listed["chunk"]), Vec::<String>::new());
}

#[tokio::test]
async fn relations_come_in_pages_both_ways_and_at_any_depth() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let event = alice.says(&room, "root").await;
    for number in 0..5 {
        bob.relates(&room, "m.thread", &event, &format!("{number}")).await;
    }
    let reference = bob.relates(&room, "m.reference", &event, "see above").await;
    let reaction = |key: &str| json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": key } });
    bob.sends(&room, "m.reaction", reaction("👍")).await;
    bob.put(&format!("rooms/{room}/send/m.reaction/again"), reaction("👍"))
        .await
        .refused(400, "M_DUPLICATE_ANNOTATION");
    bob.sends(&room, "m.reaction", reaction("👎")).await;
    let relations = relations_of(&alice, &room, &event).await;
    assert_eq!(relations["m.reference"]["chunk"], json!([{ "event_id": reference }]));
    assert_eq!(relations["m.annotation"], Value::Null);

    let path = format!("rooms/{room}/relations/{event}");
    let page = alice.get_v1(&format!("{path}/m.thread?limit=2")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["4", "3"]);
    let from = page["next_batch"].as_str().unwrap();
    let page = alice.get_v1(&format!("{path}/m.thread?limit=9&from={from}")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["2", "1", "0"]);
    assert_eq!((&page["next_batch"], &page["prev_batch"]), (&Value::Null, &json!(from)));
    let page = alice.get_v1(&format!("{path}/m.thread/m.room.message?dir=f&limit=2")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["0", "1"]);
    let page = alice.get_v1(&format!("{path}/m.annotation/m.reaction")).await.ok();
    assert_eq!(page["chunk"].as_array().unwrap().len(), 2);
    let page = alice.get_v1(&format!("{path}?limit=100")).await.ok();
    assert_eq!(page["chunk"].as_array().unwrap().len(), 8);

    bob.edits(&room, &reference, "see below").await;
    let page = alice.get_v1(&format!("{path}?limit=100")).await.ok();
    assert_eq!(page["chunk"].as_array().unwrap().len(), 8);
    let page = alice.get_v1(&format!("{path}?limit=100&recurse=true")).await.ok();
    assert_eq!((page["chunk"].as_array().unwrap().len(), &page["recursion_depth"]), (9, &json!(3)));
    // Strangers learn nothing.
    let eve = server.person("eve").await;
    eve.get_v1(&path).await.refused(404, "M_NOT_FOUND");
    eve.get_v1(&format!("rooms/{room}/threads")).await.refused(403, "M_FORBIDDEN");
    // It is all there after a restart, when nothing is known by heart.
    let server = server.restart().await;
    let alice = alice.on(&server);
    assert_eq!(relations_of(&alice, &room, &event).await["m.thread"]["count"], 5);
}

#[tokio::test]
async fn an_edit_that_one_may_not_see_is_not_told() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let event = alice.says(&room, "before").await;
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    alice.edits(&room, &event, "secret").await;
    alice.relates(&room, "m.thread", &event, "secret").await;
    assert_eq!(relations_of(&bob, &room, &event).await, Value::Null);
}

#[tokio::test]
async fn an_event_is_found_by_its_time() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let event = alice.says(&room, "then").await;
    let shown = alice.get(&format!("rooms/{room}/event/{event}")).await.ok();
    let ts = shown["origin_server_ts"].as_u64().unwrap();
    let path = format!("rooms/{room}/timestamp_to_event");
    let found = bob.get_v1(&format!("{path}?ts={}&dir=b", ts + 100_000)).await.ok();
    assert_eq!((&found["event_id"], &found["origin_server_ts"]), (&json!(event), &json!(ts)));
    let found = bob.get_v1(&format!("{path}?ts=0&dir=f")).await.ok();
    let found = bob.get(&format!("rooms/{room}/event/{}", found["event_id"].as_str().unwrap())).await.ok();
    assert_eq!(found["type"], "m.room.create");
    bob.get_v1(&format!("{path}?ts=0&dir=b")).await.refused(404, "M_NOT_FOUND");
    server.person("eve").await.get_v1(&format!("{path}?ts=0&dir=f")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_service_puts_events_where_they_were_and_they_are_found_there() {
    let server = Server::start().await;
    server.appservice(crate::support::irc_registration(), &crate::support::Service::default()).await;
    let bot = crate::support::registers(&server, "irc_history").await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bot.joins(&room).await;
    let mut events = Vec::new();
    for (number, ts) in [3000_u64, 1000, 2000].into_iter().enumerate() {
        let path = format!("rooms/{room}/send/m.room.message/t{number}?ts={ts}");
        let body = json!({ "msgtype": "m.text", "body": format!("of {ts}") });
        events.push(bot.call("PUT", &path, Some(body)).await.ok()["event_id"].clone());
    }
    let at = async |ts: u64, dir: &str| {
        alice.get_v1(&format!("rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}")).await.ok()["event_id"].clone()
    };
    assert_eq!(at(1500, "b").await, events[1]);
    assert_eq!(at(1500, "f").await, events[2]);
    assert_eq!(at(2500, "f").await, events[0]);
    assert_eq!(at(2000, "f").await, events[2]);
    assert_eq!(at(2000, "b").await, events[2]);
    assert_eq!(at(0, "f").await, events[1]);
}
