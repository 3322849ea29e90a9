use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Person, Server, bodies};

pub(crate) fn next(sync: &Value) -> String {
    sync["next_batch"].as_str().unwrap().to_owned()
}

pub(crate) fn joined<'a>(sync: &'a Value, room: &str) -> &'a Value {
    &sync["rooms"]["join"][room]
}

pub(crate) async fn two_in_a_room(server: &Server) -> (Person, Person, String) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    (alice, bob, room)
}

fn types(events: &Value) -> Vec<&str> {
    events
        .as_array()
        .map(|events| events.iter().map(|event| event["type"].as_str().unwrap()).collect())
        .unwrap_or_default()
}

#[tokio::test]
async fn the_first_sync_tells_everything_and_the_next_what_is_new() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    alice.says(&room, "one").await;
    let first = bob.syncs(None, "").await;
    let tea = joined(&first, &room);
    assert_eq!(bodies(&tea["timeline"]["events"]), ["one"]);
    assert_eq!(tea["summary"]["m.joined_member_count"], 2);
    assert_eq!(tea["summary"]["m.heroes"], json!([alice.user_id]));
    assert!(types(&first["account_data"]["events"]).contains(&"m.push_rules"));
    assert_eq!(first["device_one_time_keys_count"]["signed_curve25519"], 0);
    alice.says(&room, "two").await;
    let second = bob.syncs(Some(&next(&first)), "").await;
    assert_eq!(bodies(&joined(&second, &room)["timeline"]["events"]), ["two"]);
    assert_eq!(joined(&second, &room)["state"], Value::Null);
    let third = bob.syncs(Some(&next(&second)), "").await;
    assert_eq!(third["rooms"], Value::Null);
    bob.get("sync?since=nonsense").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_long_timeline_is_cut_and_its_state_told() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let since = next(&bob.syncs(None, "").await);
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "changed" })).await.ok();
    for number in 0..12 {
        alice.says(&room, &format!("message {number}")).await;
    }
    let sync = bob.syncs(Some(&since), "").await;
    let timeline = &joined(&sync, &room)["timeline"];
    assert_eq!(timeline["limited"], true);
    assert_eq!(bodies(&timeline["events"]).first().unwrap(), "message 2");
    assert_eq!(types(&joined(&sync, &room)["state"]["events"]), ["m.room.topic"]);
    let before = timeline["prev_batch"].as_str().unwrap();
    let page = bob.get(&format!("rooms/{room}/messages?dir=b&from={before}&limit=2")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["message 1", "message 0"]);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_news() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let since = next(&bob.syncs(None, "").await);
    let path = format!("sync?timeout=60000&since={since}");
    let poll = tokio::spawn({
        let bob = bob.clone();
        async move { bob.get(&path).await.ok() }
    });
    // What happens elsewhere does not end it.
    let elsewhere = alice.creates_room(json!({})).await;
    alice.says(&elsewhere, "not for bob").await;
    assert!(!poll.is_finished());
    alice.says(&room, "for bob").await;
    let sync = tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap().unwrap();
    assert_eq!(bodies(&joined(&sync, &room)["timeline"]["events"]), ["for bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_follows_a_burst_hears_each_line_once_and_in_order() {
    const LINES: usize = 100;
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let mut since = next(&bob.syncs(None, "").await);
    let said: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    let burst = tokio::spawn({
        let (room, said) = (room.clone(), said.clone());
        async move {
            for line in &said {
                alice.says(&room, line).await;
            }
        }
    });
    let mut heard = Vec::new();
    let whole = url(&json!({ "room": { "timeline": { "limit": LINES } } }).to_string());
    while heard.len() < LINES {
        let sync = bob.get(&format!("sync?timeout=60000&since={since}&filter={whole}")).await.ok();
        heard.extend(bodies(&joined(&sync, &room)["timeline"]["events"]));
        since = next(&sync);
    }
    burst.await.unwrap();
    assert_eq!(heard, said);
    assert_eq!(bob.syncs(Some(&since), "").await["rooms"], Value::Null);
}

#[tokio::test]
async fn a_long_poll_without_news_ends_in_time() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let since = next(&alice.syncs(None, "").await);
    let sync = alice.get(&format!("sync?timeout=20&since={since}")).await.ok();
    assert_eq!(sync["rooms"], Value::Null);
}

#[tokio::test]
async fn invitations_joins_and_leaving_are_told_once() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let since = next(&bob.syncs(None, "").await);
    let room = alice.creates_room(json!({ "name": "Tea", "invite": [bob.user_id] })).await;
    alice.says(&room, "before").await;
    let invited = bob.syncs(Some(&since), "").await;
    let state = &invited["rooms"]["invite"][&room]["invite_state"]["events"];
    assert!(types(state).contains(&"m.room.name"), "{state}");
    assert_eq!(bob.syncs(Some(&next(&invited)), "").await["rooms"], Value::Null);
    bob.joins(&room).await;
    let in_it = bob.syncs(Some(&next(&invited)), "").await;
    // The state before the timeline and the timeline hold the room whole.
    let mut all = types(&joined(&in_it, &room)["state"]["events"]);
    all.extend(types(&joined(&in_it, &room)["timeline"]["events"]));
    assert!(all.contains(&"m.room.create") && all.contains(&"m.room.name"), "{all:?}");
    alice.post(&format!("rooms/{room}/kick"), json!({ "user_id": bob.user_id })).await.ok();
    alice.says(&room, "after").await;
    let out = bob.syncs(Some(&next(&in_it)), "").await;
    let left = &out["rooms"]["leave"][&room]["timeline"]["events"];
    assert_eq!(types(left), ["m.room.member"]);
    assert_eq!(bob.syncs(Some(&next(&out)), "").await["rooms"], Value::Null);
    // A first sync has left rooms only if they are asked for.
    assert_eq!(bob.syncs(None, "").await["rooms"]["leave"], Value::Null);
    let filter = "&filter=%7B%22room%22%3A%7B%22include_leave%22%3Atrue%7D%7D";
    assert!(bob.syncs(None, filter).await["rooms"]["leave"][&room].is_object());
}

#[tokio::test]
async fn filters_choose() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    for number in 0..4 {
        alice.says(&room, &format!("message {number}")).await;
    }
    let filter = json!({ "room": { "timeline": { "limit": 2 }, "state": { "types": ["m.room.create"] } },
                         "account_data": { "types": [] } });
    let id = bob.post(&format!("user/{}/filter", bob.user_id), filter).await.ok()["filter_id"].clone();
    let sync = bob.syncs(None, &format!("&filter={}", id.as_str().unwrap())).await;
    assert_eq!(bodies(&joined(&sync, &room)["timeline"]["events"]), ["message 2", "message 3"]);
    assert_eq!(types(&joined(&sync, &room)["state"]["events"]), ["m.room.create"]);
    assert_eq!(sync["account_data"], Value::Null);
    bob.get("sync?filter=unknown").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn lazy_members_are_those_who_speak() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let carol = server.person("carol").await;
    carol.joins(&room).await;
    // A room without a name is called by its members, who are told then.
    alice.put(&format!("rooms/{room}/state/m.room.name"), json!({ "name": "Tea" })).await.ok();
    alice.says(&room, "hello").await;
    let lazy = json!({ "room": { "timeline": { "limit": 1 }, "state": { "lazy_load_members": true } } });
    let lazy = format!("&filter={}", url(&lazy.to_string()));
    let first = bob.syncs(None, &lazy).await;
    let state = joined(&first, &room)["state"]["events"].as_array().unwrap();
    let mut members: Vec<&str> = state
        .iter()
        .filter(|event| event["type"] == "m.room.member")
        .map(|event| event["state_key"].as_str().unwrap())
        .collect();
    members.sort_unstable();
    assert_eq!(members, [&alice.user_id, &bob.user_id]);
    // Who speaks later is told with what is said.
    carol.says(&room, "me too").await;
    let sync = bob.syncs(Some(&next(&first)), &lazy).await;
    let state = joined(&sync, &room)["state"]["events"].as_array().unwrap();
    assert_eq!(state[0]["state_key"], json!(carol.user_id));
    // Nobody is told twice, unless the answer may not have arrived, or it is asked for.
    carol.says(&room, "and again").await;
    let state_of = async |since: &str, filter: &str| {
        bob.syncs(Some(since), filter).await["rooms"]["join"][&room]["state"]["events"][0]["state_key"].clone()
    };
    assert_eq!(state_of(&next(&sync), &lazy).await, Value::Null);
    assert_eq!(state_of(&next(&first), &lazy).await, json!(carol.user_id));
    let redundant = lazy.replace(&url("true"), &url("true,\"include_redundant_members\":true"));
    assert_eq!(state_of(&next(&sync), &redundant).await, json!(carol.user_id));
}

fn url(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn typing_receipts_and_account_data_are_told() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let event = alice.says(&room, "hello").await;
    let since = next(&alice.syncs(None, "").await);
    let typing = format!("rooms/{room}/typing/{}", bob.user_id);
    bob.put(&typing, json!({ "typing": true, "timeout": 30000 })).await.ok();
    bob.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    bob.post(&format!("rooms/{room}/receipt/m.read.private/{event}"), json!({})).await.ok();
    alice.put(&format!("user/{}/rooms/{room}/account_data/x.note", alice.user_id), json!({ "n": 1 })).await.ok();
    let sync = alice.syncs(Some(&since), "").await;
    let ephemeral = joined(&sync, &room)["ephemeral"]["events"].as_array().unwrap();
    let of = |kind: &str| ephemeral.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(of("m.typing")["content"]["user_ids"], json!([bob.user_id]));
    assert!(of("m.receipt")["content"][&event]["m.read"][&bob.user_id]["ts"].is_number());
    assert_eq!(of("m.receipt")["content"][&event]["m.read.private"], Value::Null);
    assert_eq!(types(&joined(&sync, &room)["account_data"]["events"]), ["x.note"]);
    // The user's own private receipt is told to the user.
    let own = bob.syncs(Some(&since), "").await;
    let own = joined(&own, &room)["ephemeral"]["events"].to_string();
    assert!(own.contains("m.read.private"), "{own}");
    bob.put(&typing, json!({ "typing": false })).await.ok();
    let sync = alice.syncs(Some(&next(&sync)), "").await;
    assert_eq!(joined(&sync, &room)["ephemeral"]["events"][0]["content"]["user_ids"], json!([]));
    let marker = json!({ "m.fully_read": event, "m.read": event });
    alice.post(&format!("rooms/{room}/read_markers"), marker).await.ok();
    let sync = alice.syncs(Some(&next(&sync)), "").await;
    assert_eq!(types(&joined(&sync, &room)["account_data"]["events"]), ["m.fully_read"]);
}

#[tokio::test]
async fn who_stops_without_a_word_is_not_typing_for_ever() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let since = next(&alice.syncs(None, "").await);
    let typing = json!({ "typing": true, "timeout": 30 });
    bob.put(&format!("rooms/{room}/typing/{}", bob.user_id), typing).await.ok();
    let mut since = since;
    loop {
        let sync = alice.get(&format!("sync?timeout=10000&since={since}")).await.ok();
        since = next(&sync);
        if joined(&sync, &room)["ephemeral"]["events"][0]["content"]["user_ids"] == json!([]) {
            break;
        }
    }
}

#[tokio::test]
async fn a_token_lasts_over_a_restart() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let since = next(&bob.syncs(None, "").await);
    alice.says(&room, "while you were away").await;
    let server = server.restart().await;
    let path = format!("/_matrix/client/v3/sync?since={since}");
    let sync = server.call("GET", &path, Some(&bob.token), None).await.ok();
    assert_eq!(bodies(&joined(&sync, &room)["timeline"]["events"]), ["while you were away"]);
}

#[tokio::test]
async fn a_filter_decides_on_fields_and_form_and_what_it_hides_of_the_state_is_told() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let since = next(&bob.syncs(None, "").await);
    let with = async |filter: Value, more: &str| {
        let filter = format!("&filter={}{more}", url(&filter.to_string()));
        joined(&bob.syncs(Some(&since), &filter).await, &room).clone()
    };
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "one" })).await.ok();
    alice.sends(&room, "m.room.message", json!({ "msgtype": "m.image", "body": "cat", "url": "mxc://x/y" })).await;
    let event = alice.sends(&room, "x.y", json!({ "a.b": { "c": 1 }, "d": 2 })).await;
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "two" })).await.ok();

    // Only some fields, with a dot in a name.
    let fields = json!(["type", "content.a\\.b.c", "content.topic"]);
    let shown = with(json!({ "event_fields": fields }), "").await["timeline"]["events"].clone();
    assert_eq!(shown[2], json!({ "type": "x.y", "content": { "a.b": { "c": 1 } } }));
    assert_eq!(shown[3], json!({ "type": "m.room.topic", "content": { "topic": "two" } }));
    // As other servers get it.
    let shown = with(json!({ "event_format": "federation" }), "").await["timeline"]["events"].clone();
    assert!(shown[2]["prev_events"].is_array() && shown[2]["signatures"].is_object() && shown[2]["unsigned"].is_null());
    // With a file, and without.
    let only = |filter: Value| json!({ "room": { "timeline": filter } });
    let has_url = with(only(json!({ "contains_url": true })), "").await;
    assert_eq!(bodies(&has_url["timeline"]["events"]), ["cat"]);
    // The state that the timeline hides is told beside it, as it is now.
    assert_eq!(has_url["state"]["events"][0]["content"]["topic"], "two");
    let shown = with(only(json!({ "types": ["m.*", "x.*"], "not_types": ["m.room.m*"], "limit": 50 })), "").await;
    assert_eq!(types(&shown["timeline"]["events"]), ["m.room.topic", "x.y", "m.room.topic"]);
    assert_eq!(
        types(&with(only(json!({ "not_senders": [alice.user_id] })), "").await["state"]["events"]),
        ["m.room.topic"]
    );
    assert_eq!(with(only(json!({ "rooms": [] })), "").await["timeline"], Value::Null);
    // A timeline that is cut looks further back for what fits.
    let cut = with(only(json!({ "types": ["x.y"], "limit": 1 })), "").await;
    assert_eq!(
        (cut["timeline"]["events"][0]["event_id"].clone(), &cut["timeline"]["events"][1]),
        (json!(event), &Value::Null)
    );
    // The state at the end rather than at the beginning.
    let after = with(json!({}), "&use_state_after=true").await;
    assert_eq!(after["state_after"]["events"][0]["content"]["topic"], "two");
    assert_eq!((after["state_after"]["events"].as_array().unwrap().len(), &after["state"]), (1, &Value::Null));
    let cut = with(only(json!({ "limit": 1 })), "").await;
    assert_eq!(
        (&cut["timeline"]["limited"], &cut["state"]["events"][0]["content"]["topic"]),
        (&json!(true), &json!("one"))
    );
    let full = with(json!({}), "&full_state=true").await;
    assert!(types(&full["state"]["events"]).contains(&"m.room.create"));
}

#[tokio::test]
async fn who_comes_back_learns_what_changed_meanwhile() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    alice
        .put(&format!("rooms/{room}/state/m.room.history_visibility"), json!({ "history_visibility": "joined" }))
        .await
        .ok();
    let tag = format!("user/{}/rooms/{room}/tags/m.favourite", bob.user_id);
    let since = next(&bob.syncs(None, "").await);
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "meanwhile" })).await.ok();
    let away = next(&bob.syncs(Some(&since), "").await);
    bob.put(&tag, json!({})).await.ok();
    bob.joins(&room).await;
    for since in [&since, &away] {
        let sync = bob.syncs(Some(since), "").await;
        let back = joined(&sync, &room);
        let told = types(&back["state"]["events"]);
        assert!(told.contains(&"m.room.topic"), "{told:?}");
        assert!(!types(&back["timeline"]["events"]).contains(&"m.room.topic"));
        assert_eq!(types(&back["account_data"]["events"]), ["m.tag"]);
    }
    // Who was in a room at a time, as far as one may know.
    let then = bob.get(&format!("rooms/{room}/members?at={away}&membership=join")).await.ok();
    assert_eq!(then["chunk"].as_array().unwrap().len(), 1);
    let now = bob.get(&format!("rooms/{room}/members?not_membership=leave")).await.ok();
    assert_eq!(now["chunk"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_filter_asks_for_a_form_that_there_is() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let filters = format!("user/{}/filter", alice.user_id);
    for (format, taken) in [("client", true), ("federation", true), ("nope", false), ("", false)] {
        let filter = json!({ "event_format": format });
        let kept = alice.post(&filters, filter.clone()).await;
        let text =
            percent_encoding::utf8_percent_encode(&filter.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string();
        let asked = alice.get(&format!("sync?filter={text}")).await;
        for answer in [kept, asked] {
            if taken {
                answer.ok();
            } else {
                answer.refused(400, "M_INVALID_PARAM");
            }
        }
    }
}

#[tokio::test]
async fn an_event_says_how_one_stood_to_the_room_then() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    alice.says(&room, "before").await;
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": bob.user_id })).await.ok();
    alice.says(&room, "invited").await;
    bob.joins(&room).await;
    alice.says(&room, "joined").await;
    let page = bob.get(&format!("rooms/{room}/messages?dir=f&limit=100")).await.ok();
    let of = |body: &str| {
        let event = page["chunk"].as_array().unwrap().iter().find(|event| event["content"]["body"] == body).unwrap();
        event["unsigned"]["membership"].as_str().unwrap().to_owned()
    };
    assert_eq!([of("before"), of("invited"), of("joined")], ["leave", "invite", "join"]);
    let own = |event: &&Value| event["state_key"] == json!(bob.user_id) && event["content"]["membership"] == "join";
    let sync = bob.syncs(None, "").await;
    let events = sync["rooms"]["join"][&room]["timeline"]["events"].as_array().unwrap();
    assert_eq!(events.iter().find(own).unwrap()["unsigned"]["membership"], "join", "its own change counts");
    assert_eq!(events.last().unwrap()["unsigned"]["membership"], "join");
}

#[tokio::test]
async fn a_receipt_is_for_an_event_of_the_room_and_of_its_thread() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let elsewhere = alice.creates_room(json!({})).await;
    let foreign = alice.says(&elsewhere, "elsewhere").await;
    let (root, plain) = (alice.says(&room, "root").await, alice.says(&room, "plain").await);
    let inside = alice.relates(&room, "m.thread", &root, "inside").await;
    let read = async |kind: &str, event: &str, body: Value| {
        bob.post(&format!("rooms/{room}/receipt/{kind}/{event}"), body).await
    };
    for (kind, event, thread) in [
        ("m.read", &plain, json!("")),
        ("m.read", &plain, json!(5)),
        ("m.read", &plain, json!({})),
        ("m.read", &plain, json!(root)),
        ("m.read", &inside, json!("main")),
        ("m.read", &inside, json!("$other")),
        ("m.fully_read", &plain, json!("main")),
    ] {
        read(kind, event, json!({ "thread_id": thread })).await.refused(400, "M_INVALID_PARAM");
    }
    for kind in ["m.read", "m.read.private", "m.fully_read"] {
        for event in [&*foreign, "$nothing"] {
            read(kind, event, json!({})).await.refused(404, "M_NOT_FOUND");
        }
    }
    for marker in ["m.read", "m.read.private", "m.fully_read"] {
        let body = json!({ marker: foreign });
        bob.post(&format!("rooms/{room}/read_markers"), body).await.refused(404, "M_NOT_FOUND");
    }
    read("m.nonsense", &plain, json!({})).await.refused(400, "M_INVALID_PARAM");
    read("m.read", &inside, json!({ "thread_id": root })).await.ok();
    read("m.read", &root, json!({ "thread_id": root })).await.ok();
    read("m.read", &plain, json!({ "thread_id": "main" })).await.ok();
    read("m.read", &inside, json!({})).await.ok();
    read("m.fully_read", &plain, json!({})).await.ok();
}

#[tokio::test]
async fn clients_from_before_sync_find_their_rooms() {
    let server = Server::start().await;
    let (alice, bob, room) = two_in_a_room(&server).await;
    let invited = alice.creates_room(json!({ "invite": [bob.user_id] })).await;
    let event = alice.says(&room, "hello").await;
    alice.put(&format!("presence/{}/status", alice.user_id), json!({ "presence": "online" })).await.ok();
    bob.put(&format!("user/{}/account_data/x.note", bob.user_id), json!({ "n": 1 })).await.ok();
    let all = bob.get("initialSync?limit=1").await.ok();
    let of = |room: &str| all["rooms"].as_array().unwrap().iter().find(|shown| shown["room_id"] == room).unwrap();
    assert_eq!(bodies(&of(&room)["messages"]["chunk"]), ["hello"]);
    assert_eq!(of(&room)["membership"], "join");
    assert_eq!((&of(&invited)["membership"], &of(&invited)["inviter"]), (&json!("invite"), &json!(alice.user_id)));
    assert_eq!(of(&invited)["invite"]["content"]["membership"], "invite");
    assert_eq!(all["presence"][0]["sender"], json!(alice.user_id));
    assert_eq!(types(&all["account_data"]), ["x.note"]);
    // What comes later comes as from any sync.
    alice.says(&room, "later").await;
    let later = bob.syncs(all["end"].as_str(), "").await;
    assert_eq!(bodies(&joined(&later, &room)["timeline"]["events"]), ["later"]);

    assert_eq!(bob.get(&format!("events/{event}")).await.ok()["content"]["body"], "hello");
    let carol = server.person("carol").await;
    carol.get(&format!("events/{event}")).await.refused(404, "M_NOT_FOUND");
    bob.get("events/$nothing").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn who_takes_no_invitations_does_not_hear_of_those_that_came_before() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let since = next(&bob.syncs(None, "").await);
    let room = alice.creates_room(json!({ "name": "Tea", "invite": [bob.user_id] })).await;
    let list = json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] } } });
    let hears = async || {
        let slide = bob.post("../unstable/org.matrix.simplified_msc3575/sync?timeout=0", list.clone()).await.ok();
        let syncs = [bob.syncs(None, "").await, bob.syncs(Some(&since), "").await];
        let of_syncs = syncs.iter().map(|sync| sync["rooms"]["invite"].get(&room).is_some());
        of_syncs.chain([slide["rooms"].get(&room).is_some()]).collect::<Vec<_>>()
    };
    let config = format!("user/{}/account_data/m.invite_permission_config", bob.user_id);
    assert_eq!(hears().await, [true; 3]);
    bob.put(&config, json!({ "default_action": "block" })).await.ok();
    assert_eq!(hears().await, [false; 3]);
    // The invitation is there all the same: for those in the room, and for bob once he takes invitations again.
    let member = format!("rooms/{room}/state/m.room.member/{}", bob.user_id);
    assert_eq!(alice.get(&member).await.ok()["membership"], "invite");
    bob.put(&config, json!({})).await.ok();
    assert_eq!(hears().await, [true; 3]);
}
