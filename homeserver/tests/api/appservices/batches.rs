//! Batches of events that a service sends under names of its own.

use serde_json::{Value, json};

use crate::support::*;

/// A server where bridges may do more, with the service on it.
pub(crate) async fn extended() -> (Server, Service) {
    let server = Server::with(|config| config.bridge_extensions = true).await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    (server, service)
}

/// What the service calls the n-th event.
pub(crate) fn name(number: usize) -> String {
    format!("$name{number}:localhost")
}

/// A message of a virtual user, under a name.
pub(crate) fn message(sender: &str, number: usize, text: &str) -> Value {
    json!({
        "sender": format!("@{sender}:localhost"),
        "type": "m.room.message",
        "content": { "msgtype": "m.text", "body": text },
        "origin_server_ts": 1_000 + number,
        "event_id": name(number),
    })
}

impl Server {
    /// The bot sends a batch.
    pub(crate) async fn batch(&self, room: &str, body: Value) -> Answer {
        let path = format!("/_matrix/client/unstable/com.beeper.backfill/rooms/{room}/batch_send");
        self.call("POST", &path, Some(AS_TOKEN), Some(body)).await
    }

    /// The bot sends a batch to the end of the room.
    pub(crate) async fn forward(&self, room: &str, events: Value) -> Answer {
        self.batch(room, json!({ "events": events, "forward": true })).await
    }
}

/// A room that the bot made, with a virtual user and Alice in it.
pub(crate) struct Portal {
    pub(crate) server: Server,
    pub(crate) service: Service,
    pub(crate) alice: Person,
    pub(crate) bot: Virtual,
    pub(crate) room: String,
}

pub(crate) async fn portal_of_bot() -> Portal {
    let (server, service) = extended().await;
    portal_on(server, service).await
}

pub(crate) async fn portal_on(server: Server, service: Service) -> Portal {
    let alice = server.person("alice").await;
    registers(&server, "irc_bob").await;
    registers(&server, "irc_gone").await;
    let bot = virtual_user(&server, "ircbot");
    let body = json!({ "preset": "private_chat", "invite": [alice.user_id],
        "com.beeper.initial_members": ["@irc_bob:localhost"] });
    let room = bot.call("POST", "createRoom", Some(body)).await.ok()["room_id"].as_str().unwrap().to_owned();
    alice.joins(&room).await;
    Portal { server, service, alice, bot, room }
}

fn texts(answer: &Value) -> Vec<String> {
    bodies(&answer["chunk"])
}

/// The id that everybody else knows of the newest message with a text.
async fn real_id(reader: &Person, room: &str, text: &str) -> String {
    let page = reader.get(&format!("rooms/{room}/messages?dir=b&limit=100")).await.ok();
    let found = page["chunk"].as_array().unwrap().iter().find(|event| event["content"]["body"] == text).unwrap();
    found["event_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_said_before_comes_to_the_end_of_the_room_and_notifies_nobody() {
    let Portal { server, service, alice, room, .. } = portal_of_bot().await;
    let before = alice.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let to_alice = |number, text| {
        let mut event = message("irc_bob", number, text);
        event["content"]["m.mentions"] = json!({ "user_ids": [alice.user_id] });
        event
    };
    let events = json!([message("irc_bob", 1, "one"), to_alice(2, "alice: two"), message("ircbot", 3, "three")]);
    let answer = server.forward(&room, events.clone()).await.ok();
    assert_eq!(answer["event_ids"], json!([name(1), name(2), name(3)]));

    let synced = alice.syncs(Some(&before), "").await;
    let joined = &synced["rooms"]["join"][&room];
    assert_eq!(bodies(&joined["timeline"]["events"]), ["one", "alice: two", "three"]);
    let times = joined["timeline"]["events"].as_array().unwrap().iter().map(|event| event["origin_server_ts"].clone());
    assert_eq!(times.collect::<Vec<_>>(), [1001, 1002, 1003]);
    assert_eq!(joined["unread_notifications"], json!({ "notification_count": 0, "highlight_count": 0 }));

    // Said again with the answer lost, nothing is doubled; and the service hears each under its own name.
    assert_eq!(server.forward(&room, events).await.ok(), answer);
    alice.says(&room, "four").await;
    assert_eq!(service.hears("four").await, ["one", "alice: two", "three", "four"]);
    let heard: Vec<Value> = service.events().into_iter().filter(|event| event["type"] == "m.room.message").collect();
    let ids: Vec<&str> = heard.iter().filter_map(|event| event["event_id"].as_str()).collect();
    assert_eq!(ids[..3], [name(1), name(2), name(3)]);

    // With notifications, they count as others do.
    let more = json!({ "forward": true, "send_notification": true, "events": [to_alice(5, "alice: five")] });
    server.batch(&room, more).await.ok();
    let joined = &alice.syncs(None, "").await["rooms"]["join"][&room];
    assert_eq!(joined["unread_notifications"], json!({ "notification_count": 1, "highlight_count": 1 }));
}

#[tokio::test]
async fn a_name_means_the_event_wherever_its_service_says_it_and_to_nobody_else() {
    let Portal { server, service, alice, bot, room } = portal_of_bot().await;
    let mut reply = message("irc_bob", 2, "a reply");
    reply["content"]["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": name(1) } });
    let reaction = json!({ "sender": "@ircbot:localhost", "type": "m.reaction", "event_id": name(3),
        "content": { "m.relates_to": { "rel_type": "m.annotation", "event_id": name(1), "key": "+" } } });
    server.forward(&room, json!([message("irc_bob", 1, "one"), reply, reaction])).await.ok();
    let one = real_id(&alice, &room, "one").await;
    assert!(!one.contains(':'), "{one}");

    // Within the batch.
    let two = real_id(&alice, &room, "a reply").await;
    let shown = alice.get(&format!("rooms/{room}/event/{two}")).await.ok();
    assert_eq!(shown["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], one.as_str());
    let related = alice.get_v1(&format!("rooms/{room}/relations/{one}/m.annotation")).await.ok();
    assert_eq!(related["chunk"].as_array().unwrap().len(), 1);

    // In what it sends later, and in paths.
    let edit = json!({ "msgtype": "m.text", "body": "* uno", "m.new_content": { "msgtype": "m.text", "body": "uno" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": name(1) } });
    let bob = virtual_user(&server, "irc_bob");
    bob.call("PUT", &format!("rooms/{room}/send/m.room.message/t1"), Some(edit)).await.ok();
    let shown = alice.get(&format!("rooms/{room}/event/{one}")).await.ok();
    assert_eq!(shown["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"], "uno");
    let read = bot.call("GET", &format!("rooms/{room}/event/{}", name(1)), None).await.ok();
    assert_eq!(read["event_id"], name(1), "what the service reads has its names");
    let around = bot.call("GET", &format!("rooms/{room}/context/{}?limit=2", name(2)), None).await.ok();
    assert_eq!(around["event"]["event_id"], name(2));
    bot.call("POST", &format!("rooms/{room}/receipt/m.read/{}", name(1)), Some(json!({}))).await.ok();
    bot.call("POST", &format!("rooms/{room}/read_markers"), Some(json!({ "m.fully_read": name(2) }))).await.ok();
    let synced = alice.syncs(None, "").await;
    let ephemeral = &synced["rooms"]["join"][&room]["ephemeral"]["events"];
    assert!(ephemeral.to_string().contains(&one), "{ephemeral}");

    // Nobody else knows the names.
    alice.get(&format!("rooms/{room}/event/{}", name(1))).await.refused(404, "M_NOT_FOUND");
    assert!(!synced.to_string().contains(&name(1)));

    // Out to the service: replies, receipts, redactions.
    let reply = json!({ "msgtype": "m.text", "body": "to one",
        "m.relates_to": { "m.in_reply_to": { "event_id": one } } });
    alice.sends(&room, "m.room.message", reply).await;
    alice.post(&format!("rooms/{room}/receipt/m.read/{two}"), json!({})).await.ok();
    service.hears("to one").await;
    let heard = service.events();
    let heard = heard.iter().find(|event| event["content"]["body"] == "to one").unwrap();
    assert_eq!(heard["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], name(1));
    let receipts =
        |service: &Service| all_of(service, "ephemeral").iter().any(|event| !event["content"][name(2)].is_null());
    service.until(receipts).await;
    bob.call("PUT", &format!("rooms/{room}/redact/{}/t2", name(1)), Some(json!({}))).await.ok();
    let redacted = |service: &Service| {
        service.events().iter().any(|event| event["type"] == "m.room.redaction" && event["redacts"] == name(1))
    };
    service.until(redacted).await;
    assert_eq!(alice.get(&format!("rooms/{room}/event/{one}")).await.ok()["content"], json!({}));
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let Portal { server, alice, bot, room, .. } = portal_of_bot().await;
    let good = || message("irc_bob", 1, "good");
    let with = |field: &str, value: Value| {
        let mut event = message("irc_bob", 2, "bad");
        event[field] = value;
        event
    };
    server.person("carol").await;
    let elsewhere = bot.call("POST", "createRoom", Some(json!({}))).await.ok()["room_id"].as_str().unwrap().to_owned();
    server.forward(&elsewhere, json!([message("ircbot", 7, "elsewhere")])).await.ok();
    let known = alice.says(&room, "known").await;
    let invalid = [
        with("state_key", json!("")),
        with("type", json!("m.room.redaction")),
        with("type", json!("m.room.member")),
        with("type", json!("")),
        with("room_id", json!("!other:localhost")),
        with("event_id", json!("no id")),
        with("event_id", json!("@irc_bob:localhost")),
        with("event_id", json!(name(1))),
        with("event_id", json!(name(7))),
        with("event_id", json!(known)),
        with("event_id", json!(format!("${}:x", "a".repeat(255)))),
    ];
    for event in invalid {
        server.forward(&room, json!([good(), event])).await.refused(400, "M_INVALID_PARAM");
    }
    for sender in [&alice.user_id, "@carol:localhost", "@irc_nobody:localhost", "@irc_bob:elsewhere"] {
        server.forward(&room, json!([good(), with("sender", json!(sender))])).await.refused(403, "M_FORBIDDEN");
    }
    let large = with("content", json!({ "body": "x".repeat(70_000) }));
    server.forward(&room, json!([good(), large])).await.refused(413, "M_TOO_LARGE");
    server.forward(&room, json!([good(), with("content", json!("text"))])).await.refused(400, "M_BAD_JSON");
    let many: Vec<Value> = (0..1001).map(|number| message("irc_bob", number, "many")).collect();
    server.forward(&room, json!(many)).await.refused(413, "M_TOO_LARGE");
    let reader = json!({ "forward": true, "events": [good()], "mark_read_by": "@x:elsewhere" });
    server.batch(&room, reader).await.refused(400, "M_INVALID_PARAM");
    server.batch(&room, json!({ "events": {} })).await.refused(400, "M_BAD_JSON");
    for history in [true, false] {
        let body = json!({ "forward": !history, "events": [good(), with("sender", json!("@carol:localhost"))] });
        server.batch(&room, body).await.refused(403, "M_FORBIDDEN");
    }
    let page = alice.get(&format!("rooms/{room}/messages?dir=b&limit=100")).await.ok();
    assert_eq!(texts(&page), ["known"]);

    // Rooms that the bot is not in; people; and everybody where it is not allowed.
    let private = alice.creates_room(json!({})).await;
    server.forward(&private, json!([good()])).await.refused(403, "M_FORBIDDEN");
    server.forward("!none:localhost", json!([good()])).await.refused(403, "M_FORBIDDEN");
    let path = format!("../unstable/com.beeper.backfill/rooms/{room}/batch_send");
    alice.post(&path, json!({ "events": [good()], "forward": true })).await.refused(403, "M_FORBIDDEN");
    let server = server.restart().await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    server.forward(&room, json!([good()])).await.refused(404, "M_UNRECOGNIZED");
    server.batch(&room, json!("anything")).await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn who_is_not_in_the_room_comes_for_the_batch_and_goes() {
    let Portal { server, alice, bot, room, .. } = portal_of_bot().await;
    server.forward(&room, json!([message("irc_gone", 1, "I was here"), message("irc_bob", 2, "yes")])).await.ok();
    let page = alice.get(&format!("rooms/{room}/messages?dir=f&limit=100")).await.ok();
    assert_eq!(texts(&page), ["I was here", "yes"]);
    let members = alice.get(&format!("rooms/{room}/joined_members")).await.ok();
    assert!(members["joined"]["@irc_gone:localhost"].is_null());
    assert!(!members["joined"]["@irc_bob:localhost"].is_null());
    // One who is kept out is not let in.
    bot.call("POST", &format!("rooms/{room}/ban"), Some(json!({ "user_id": "@irc_gone:localhost" }))).await.ok();
    let events = json!([message("irc_bob", 3, "three"), message("irc_gone", 4, "four")]);
    server.forward(&room, events).await.refused(403, "M_FORBIDDEN");
    assert_eq!(texts(&alice.get(&format!("rooms/{room}/messages?dir=f&limit=100")).await.ok()), ["I was here", "yes"]);
    // The room goes on as before.
    server.forward(&room, json!([message("irc_bob", 3, "three")])).await.ok();
    alice.says(&room, "four").await;
    let page = alice.get(&format!("rooms/{room}/messages?dir=f&limit=100")).await.ok();
    assert_eq!(texts(&page), ["I was here", "yes", "three", "four"]);
}

#[tokio::test]
async fn a_member_has_read_the_batch_where_the_bridge_says_so() {
    let Portal { server, alice, room, .. } = portal_of_bot().await;
    let body = json!({ "forward": true, "send_notification": true, "mark_read_by": alice.user_id,
        "events": [message("irc_bob", 1, "one"), message("irc_bob", 2, "two")] });
    server.batch(&room, body.clone()).await.ok();
    let joined = &alice.syncs(None, "").await["rooms"]["join"][&room];
    assert_eq!(joined["unread_notifications"]["notification_count"], 0);
    let two = real_id(&alice, &room, "two").await;
    let receipt = &joined["ephemeral"]["events"][0]["content"][&two]["m.read"][&alice.user_id];
    assert!(receipt.is_object() && receipt["thread_id"].is_null(), "{joined}");
    // Sent again after something else was said, it takes nothing back; one who is not in the room has nothing to read.
    server.person("carol").await;
    let bob = virtual_user(&server, "irc_bob");
    let text = json!({ "msgtype": "m.text", "body": "three" });
    bob.call("PUT", &format!("rooms/{room}/send/m.room.message/t1"), Some(text)).await.ok();
    server.batch(&room, body.clone()).await.ok();
    let mut other = body;
    other["mark_read_by"] = json!("@carol:localhost");
    server.batch(&room, other).await.ok();
    let joined = &alice.syncs(None, "").await["rooms"]["join"][&room];
    assert_eq!(joined["unread_notifications"]["notification_count"], 1);
}

#[tokio::test]
async fn a_reaction_that_is_sent_again_under_another_name_is_the_same() {
    let Portal { server, alice, room, .. } = portal_of_bot().await;
    let reaction = |number| {
        json!({ "sender": "@irc_bob:localhost", "type": "m.reaction", "event_id": name(number),
            "content": { "m.relates_to": { "rel_type": "m.annotation", "event_id": name(1), "key": "+" } } })
    };
    let batch = |number| json!([message("irc_bob", 1, "one"), reaction(number)]);
    assert_eq!(server.forward(&room, batch(2)).await.ok()["event_ids"], json!([name(1), name(2)]));
    assert_eq!(server.forward(&room, batch(3)).await.ok()["event_ids"], json!([name(1), name(3)]));
    let one = real_id(&alice, &room, "one").await;
    let related = alice.get_v1(&format!("rooms/{room}/relations/{one}/m.annotation")).await.ok();
    assert_eq!(related["chunk"].as_array().unwrap().len(), 1);
    // Taken back under the name that the bridge keeps.
    let bob = virtual_user(&server, "irc_bob");
    bob.call("PUT", &format!("rooms/{room}/redact/{}/t1", name(3)), Some(json!({}))).await.ok();
    let related = alice.get_v1(&format!("rooms/{room}/relations/{one}/m.annotation")).await.ok();
    assert_eq!(related["chunk"], json!([]));
}

#[tokio::test]
async fn what_a_service_syncs_and_finds_has_its_names() {
    let Portal { server, alice, room, .. } = portal_of_bot().await;
    alice.says(&room, "first").await;
    server.batch(&room, json!({ "events": [message("irc_bob", 1, "old tea")] })).await.ok();
    let mut answer = message("irc_bob", 3, "more tea");
    answer["content"]["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": name(2) } });
    server.forward(&room, json!([message("irc_bob", 2, "new tea"), answer])).await.ok();
    let bob = virtual_user(&server, "irc_bob");
    bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.ok();
    let read = format!("rooms/{room}/receipt/m.read/{}", name(3));
    bob.call("POST", &read, Some(json!({}))).await.ok();

    let told = |timeline: &Value| -> Vec<(String, String)> {
        let said = timeline.as_array().unwrap().iter().filter(|event| event["content"]["body"].is_string());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        said.map(|event| {
            let to = &event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"];
            (text(&event["event_id"]), text(to))
        })
        .collect()
    };
    let named = [(name(2), String::new()), (name(3), name(2))];
    let synced = bob.call("GET", "sync?timeout=0", None).await.ok();
    let joined = &synced["rooms"]["join"][&room];
    assert_eq!(told(&joined["timeline"]["events"])[1..], named);
    assert!(joined["ephemeral"]["events"][0]["content"][name(3)].is_object(), "{joined}");
    let window = json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 2, "required_state": [] } } });
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
    let sliding = format!("{sliding}&device_id=BRIDGE&user_id={}", bob.user_id);
    let slid = server.call("POST", &sliding, Some(AS_TOKEN), Some(window)).await.ok();
    assert_eq!(told(&slid["rooms"][&room]["timeline"]), named);

    let criteria = json!({ "search_term": "tea", "order_by": "recent",
        "groupings": { "group_by": [{ "key": "room_id" }] } });
    let body = json!({ "search_categories": { "room_events": criteria } });
    let found = |answer: Value| {
        let found = answer["search_categories"]["room_events"].clone();
        let results = found["results"].as_array().unwrap().iter();
        let ids: Vec<Value> = results.map(|one| one["result"]["event_id"].clone()).collect();
        assert_eq!(found["groups"]["room_id"][&room]["results"], json!(ids));
        ids
    };
    assert_eq!(found(bob.call("POST", "search", Some(body.clone())).await.ok()), [name(3), name(2), name(1)]);

    // Everybody else is told ids.
    for id in found(alice.post("search", body).await.ok()) {
        assert!(!id.as_str().unwrap().starts_with("$name"), "{id}");
    }
    let synced = alice.syncs(None, "").await;
    for (id, to) in told(&synced["rooms"]["join"][&room]["timeline"]["events"]) {
        assert!(!id.starts_with("$name") && !to.starts_with("$name"), "{id} {to}");
    }
}
