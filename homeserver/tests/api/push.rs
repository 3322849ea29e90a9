use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use landbridge_homeserver::push::{GatewayError, PushGateway};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{Person, Server};

async fn two(server: &Server) -> (Person, Person, String) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let third = server.person("carol").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    third.joins(&room).await;
    (alice, bob, room)
}

/// A push gateway of this process.
#[derive(Debug, Default)]
struct Gateway {
    got: Mutex<Vec<Value>>,
    down: Mutex<bool>,
    rejects: Mutex<Vec<String>>,
    called: Notify,
}

#[async_trait]
impl PushGateway for Gateway {
    async fn notify(&self, url: &str, body: String) -> Result<Vec<String>, GatewayError> {
        assert_eq!(url, "https://push.example/_matrix/push/v1/notify");
        let answer = if *self.down.lock() {
            Err(GatewayError::Refused(502))
        } else {
            let body: Value = serde_json::from_str(&body).unwrap();
            self.got.lock().push(body["notification"].clone());
            Ok(self.rejects.lock().clone())
        };
        self.called.notify_one();
        answer
    }
}

impl Gateway {
    async fn called(&self) {
        tokio::time::timeout(Duration::from_secs(20), self.called.notified()).await.unwrap();
    }

    /// The next notification.
    async fn next(&self) -> Value {
        loop {
            let first = {
                let mut got = self.got.lock();
                if got.is_empty() { None } else { Some(got.remove(0)) }
            };
            match first {
                Some(first) => return first,
                None => self.called().await,
            }
        }
    }
}

fn pusher(key: &str, format: Option<&str>) -> Value {
    let mut data = json!({ "url": "https://push.example/_matrix/push/v1/notify", "brand": "x" });
    if let Some(format) = format {
        data["format"] = format.into();
    }
    json!({
        "kind": "http", "app_id": "app", "pushkey": key, "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": data,
    })
}

/// What operators see of what waits.
async fn operators(server: &Server) -> Value {
    let token = std::fs::read_to_string(server.folder().join(landbridge_homeserver::OPERATOR_TOKEN_FILE)).unwrap();
    server.call("GET", "/_landbridge/admin/v1/queues", Some(token.trim()), None).await.ok()
}

/// Says something to somebody.
async fn says_to(speaker: &Person, room: &str, whom: &Person, text: &str) -> String {
    let mentions = json!({ "user_ids": [whom.user_id] });
    let content = json!({ "msgtype": "m.text", "body": text, "m.mentions": mentions });
    speaker.sends(room, "m.room.message", content).await
}

async fn unread(person: &Person, room: &str, since: &str) -> (Value, Value) {
    let sync = person.syncs(Some(since), "").await;
    let counts = &sync["rooms"]["join"][room]["unread_notifications"];
    (counts["notification_count"].clone(), counts["highlight_count"].clone())
}

#[tokio::test]
async fn rules_are_made_moved_switched_and_taken_away() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let path = "pushrules/global/override";
    let rule = |key: &str| json!({ "actions": ["notify"], "conditions": [{ "kind": "event_match", "key": "type", "pattern": key }] });
    alice.put(&format!("{path}/one"), rule("a")).await.ok();
    alice.put(&format!("{path}/two"), rule("b")).await.ok();
    alice.put(&format!("{path}/three?after=two"), rule("c")).await.ok();
    alice.put(&format!("{path}/four?before=one"), rule("d")).await.ok();
    let ids = async || {
        let rules = alice.get("pushrules/").await.ok();
        let rules = rules["global"]["override"].as_array().unwrap().clone();
        rules.iter().map(|rule| rule["rule_id"].as_str().unwrap().to_owned()).take(6).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [".m.rule.master", "two", "three", "four", "one", ".m.rule.suppress_notices"]);
    // A rule that is put again keeps its place unless it is told to move.
    alice.put(&format!("{path}/one?before=two"), rule("e")).await.ok();
    assert_eq!(ids().await[1], "one");
    alice.put(&format!("{path}/x?after=none"), rule("f")).await.refused(400, "M_UNKNOWN");
    alice.put(&format!("{path}/x?after=.m.rule.master"), rule("f")).await.refused(400, "M_INVALID_PARAM");
    alice.put(&format!("{path}/.dot"), rule("f")).await.refused(400, "M_INVALID_PARAM");
    alice.put("pushrules/global/nonsense/x", rule("f")).await.refused(400, "M_INVALID_PARAM");
    alice.put(&format!("{path}/x"), json!({ "actions": 5 })).await.refused(400, "M_BAD_JSON");
    alice.put("pushrules/global/room/noroom", json!({ "actions": [] })).await.refused(400, "M_INVALID_PARAM");

    alice.put(&format!("{path}/two/enabled"), json!({ "enabled": false })).await.ok();
    assert_eq!(alice.get(&format!("{path}/two/enabled")).await.ok(), json!({ "enabled": false }));
    alice.put(&format!("{path}/two/actions"), json!({ "actions": [] })).await.ok();
    assert_eq!(alice.get(&format!("{path}/two")).await.ok()["actions"], json!([]));
    alice.put(&format!("{path}/.m.rule.master/enabled"), json!({ "enabled": true })).await.ok();
    alice.call("DELETE", &format!("{path}/.m.rule.master"), None).await.refused(400, "M_INVALID_PARAM");
    alice.call("DELETE", &format!("{path}/two"), None).await.ok();
    alice.get(&format!("{path}/two")).await.refused(404, "M_NOT_FOUND");
    alice.put(&format!("{path}/two/enabled"), json!({ "enabled": false })).await.refused(404, "M_NOT_FOUND");
    // Sync tells of the change.
    let sync = alice.syncs(None, "").await;
    let rules = sync["account_data"]["events"].as_array().unwrap().clone();
    let rules = rules.iter().find(|event| event["type"] == "m.push_rules").unwrap();
    assert_eq!(rules["content"]["global"]["override"][0]["enabled"], true);
}

#[tokio::test]
async fn actions_that_there_were_mean_nothing_and_those_there_never_were_are_refused() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let path = "pushrules/global/override/one";
    for nonsense in [json!("nope"), json!({ "nope": 1 }), json!("")] {
        let actions = json!({ "actions": ["notify", nonsense] });
        alice.put(path, actions.clone()).await.refused(400, "M_INVALID_PARAM");
        alice.get(path).await.refused(404, "M_NOT_FOUND");
        alice.put("pushrules/global/override/.m.rule.master/actions", actions).await.refused(400, "M_INVALID_PARAM");
    }
    alice.put(path, json!({ "actions": ["dont_notify"] })).await.ok();
    assert_eq!(alice.get(path).await.ok()["actions"], json!([]));
    let odd = json!({ "set_tweak": "x.light", "value": "red" });
    let actions = json!({ "actions": ["coalesce", "notify", odd] });
    alice.put(&format!("{path}/actions"), actions).await.ok();
    assert_eq!(alice.get(path).await.ok()["actions"], json!(["notify", odd]));
}

#[tokio::test]
async fn what_is_unread_is_counted_and_read_away() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let first = alice.says(&room, "one").await;
    says_to(&alice, &room, &bob, "bob: look").await;
    let third = alice.says(&room, "three").await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(3), json!(1)));
    assert_eq!(unread(&alice, &room, "s0").await, (json!(0), json!(0)));
    let read = async |event: &str, kind: &str, body: Value| {
        bob.post(&format!("rooms/{room}/receipt/{kind}/{event}"), body).await.ok();
    };
    read(&first, "m.read", json!({})).await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(2), json!(1)));
    // A private receipt counts as much, and none goes back.
    read(&third, "m.read.private", json!({})).await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(0), json!(0)));
    read(&first, "m.read.private", json!({})).await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(0), json!(0)));
    // What is taken back is not to be read any more; notices are not told of; who answers has read.
    let gone = alice.says(&room, "gone").await;
    alice.put(&format!("rooms/{room}/redact/{gone}/r"), json!({})).await.ok();
    alice.sends(&room, "m.room.message", json!({ "msgtype": "m.notice", "body": "notice" })).await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(0), json!(0)));
    alice.says(&room, "question").await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(1), json!(0)));
    bob.says(&room, "answer").await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(0), json!(0)));
    // The rules decide.
    let silent = json!({ "actions": [] });
    bob.put(&format!("pushrules/global/room/{room}"), silent).await.ok();
    alice.says(&room, "quiet").await;
    says_to(&alice, &room, &bob, "Bob!").await;
    assert_eq!(unread(&bob, &room, &since).await, (json!(1), json!(1)));
    // After a restart it is the same.
    let server = server.restart().await;
    let (alice, bob) = (alice.on(&server), bob.on(&server));
    assert_eq!(unread(&bob, &room, &since).await, (json!(1), json!(1)));
    // Whom one ignores says nothing.
    let me = bob.user_id.clone();
    let ignored = json!({ "ignored_users": { alice.user_id.clone(): {} } });
    bob.put(&format!("user/{me}/account_data/m.ignored_user_list"), ignored).await.ok();
    says_to(&alice, &room, &bob, "bob bob bob").await;
    bob.post(&format!("rooms/{room}/receipt/m.read/{third}"), json!({ "thread_id": "main" })).await.ok();
    assert_eq!(unread(&bob, &room, &since).await, (json!(1), json!(1)));
}

#[tokio::test]
async fn threads_are_counted_and_read_apart() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let root = alice.says(&room, "root").await;
    let in_thread = alice.relates(&room, "m.thread", &root, "in it").await;
    let reaction = json!({ "m.relates_to": { "rel_type": "m.reference", "event_id": in_thread }, "msgtype": "m.text",
        "body": "x" });
    alice.sends(&room, "m.room.message", reaction).await;
    let last = alice.says(&room, "beside it").await;
    let filter = r#"&filter={"room":{"timeline":{"unread_thread_notifications":true}}}"#;
    let filter = filter.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    let counts = async || {
        let sync = bob.syncs(Some(&since), &filter).await;
        let of_room = &sync["rooms"]["join"][&room];
        let thread = &of_room["unread_thread_notifications"][&root]["notification_count"];
        (of_room["unread_notifications"]["notification_count"].clone(), thread.clone())
    };
    assert_eq!(counts().await, (json!(2), json!(2)));
    assert_eq!(unread(&bob, &room, &since).await.0, json!(4));
    bob.post(&format!("rooms/{room}/receipt/m.read/{last}"), json!({ "thread_id": "main" })).await.ok();
    assert_eq!(counts().await, (json!(0), json!(2)));
    bob.post(&format!("rooms/{room}/receipt/m.read/{in_thread}"), json!({ "thread_id": root })).await.ok();
    assert_eq!(counts().await, (json!(0), json!(1)));
    bob.post(&format!("rooms/{room}/receipt/m.read/{last}"), json!({})).await.ok();
    assert_eq!(counts().await, (json!(0), Value::Null));
    bob.post(&format!("rooms/{room}/receipt/m.read/{last}"), json!({ "thread_id": "nonsense" }))
        .await
        .refused(400, "M_INVALID_PARAM");
    // Each thread's receipt is told.
    let sync = bob.syncs(None, "").await;
    let told = sync["rooms"]["join"][&room]["ephemeral"]["events"].to_string();
    assert!(told.contains(&format!("\"thread_id\":\"{root}\"")) && told.contains("\"thread_id\":\"main\""), "{told}");
}

#[tokio::test]
async fn notifications_are_listed_with_whether_they_were_read() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let first = alice.says(&room, "one").await;
    says_to(&alice, &room, &bob, "bob").await;
    alice.sends(&room, "m.room.message", json!({ "msgtype": "m.notice", "body": "notice" })).await;
    alice.says(&room, "three").await;
    bob.post(&format!("rooms/{room}/receipt/m.read/{first}"), json!({})).await.ok();
    let texts = |page: &Value| -> Vec<(String, bool)> {
        let list = page["notifications"].as_array().unwrap().clone();
        let entry =
            |n: &Value| (n["event"]["content"]["body"].as_str().unwrap().to_owned(), n["read"].as_bool().unwrap());
        list.iter().map(entry).collect()
    };
    let page = bob.get("notifications?limit=2").await.ok();
    assert_eq!(texts(&page), [("three".to_owned(), false), ("bob".to_owned(), false)]);
    let page = bob.get(&format!("notifications?from={}", page["next_token"].as_str().unwrap())).await.ok();
    assert_eq!(texts(&page), [("one".to_owned(), true)]);
    assert_eq!(page["next_token"], Value::Null);
    assert_eq!(texts(&bob.get("notifications?only=highlight").await.ok()), [("bob".to_owned(), false)]);
}

#[tokio::test]
async fn pushers_tell_their_gateway_until_it_rejects_them() {
    let server = Server::start().await;
    let gateway = Arc::new(Gateway::default());
    server.hs.start_pushing(gateway.clone()).await.unwrap();
    let (alice, bob, room) = two(&server).await;
    bob.post("pushers/set", pusher("key", None)).await.ok();
    assert_eq!(bob.get("pushers").await.ok()["pushers"][0]["pushkey"], "key");
    let event = says_to(&alice, &room, &bob, "hello bob").await;
    let told = gateway.next().await;
    assert_eq!(
        (&told["event_id"], &told["room_id"], &told["type"]),
        (&json!(event), &json!(room), &json!("m.room.message"))
    );
    assert_eq!(
        (&told["content"]["body"], &told["counts"]["unread"], &told["prio"]),
        (&json!("hello bob"), &json!(1), &json!("high"))
    );
    let device = &told["devices"][0];
    assert_eq!(
        (&device["app_id"], &device["pushkey"], &device["data"]),
        (&json!("app"), &json!("key"), &json!({ "brand": "x" }))
    );
    assert_eq!(device["tweaks"]["highlight"], true);
    // Reading takes the badge away.
    bob.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let told = gateway.next().await;
    assert_eq!((&told["counts"]["unread"], &told["event_id"]), (&json!(0), &Value::Null));
    // What happens while the gateway is down is told when it is back.
    *gateway.down.lock() = true;
    alice.says(&room, "one").await;
    alice.says(&room, "two").await;
    gateway.called().await;
    // Operators are told so.
    let queues = operators(&server).await;
    let failing = &queues["pushers"]["failing"][0];
    assert_eq!(
        (&queues["pushers"]["total"], &failing["user_id"], &failing["app_id"], &failing["failures"]),
        (&json!(1), &json!(bob.user_id), &json!("app"), &json!(1))
    );
    assert_eq!(failing["error"], json!(GatewayError::Refused(502).to_string()));
    let server = server.restart().await;
    *gateway.down.lock() = false;
    server.hs.start_pushing(gateway.clone()).await.unwrap();
    let (alice, bob) = (alice.on(&server), bob.on(&server));
    assert_eq!(gateway.next().await["content"]["body"], "one");
    assert_eq!(gateway.next().await["content"]["body"], "two");
    assert_eq!(operators(&server).await["pushers"], json!({ "total": 1, "failing": [] }));
    // A gateway can ask for ids alone.
    bob.post("pushers/set", pusher("key", Some("event_id_only"))).await.ok();
    alice.says(&room, "secret").await;
    let told = gateway.next().await;
    assert_eq!(
        (&told["content"], &told["sender"], &told["devices"][0]["data"]["format"]),
        (&Value::Null, &Value::Null, &json!("event_id_only"))
    );
    // An invitation is told of, too.
    let other = alice.creates_room(json!({ "name": "Other", "invite": [bob.user_id] })).await;
    assert_eq!(gateway.next().await["room_id"], json!(other));
    // A rejected key is gone.
    *gateway.rejects.lock() = vec!["key".to_owned()];
    alice.says(&room, "last").await;
    gateway.next().await;
    while bob.get("pushers").await.ok()["pushers"] != json!([]) {
        tokio::task::yield_now().await;
    }
    for bad in [
        json!({ "kind": "http" }),
        json!({ "kind": "email", "app_id": "m.email", "pushkey": "a@b", "app_display_name": "", "device_display_name": "", "lang": "", "data": {} }),
    ] {
        assert_eq!(bob.post("pushers/set", bad).await.status, 400);
    }
    let mut bad = pusher("k", None);
    bad["data"]["url"] = "https://push.example/other".into();
    bob.post("pushers/set", bad).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn whom_one_ignores_is_silent_everywhere() {
    let server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let me = bob.user_id.clone();
    let ignored = json!({ "ignored_users": { alice.user_id.clone(): {} } });
    bob.put(&format!("user/{me}/account_data/m.ignored_user_list"), ignored).await.ok();
    alice.says(&room, "noise").await;
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "told" })).await.ok();
    alice.creates_room(json!({ "invite": [bob.user_id] })).await;
    let typing = json!({ "typing": true, "timeout": 30_000 });
    alice.put(&format!("rooms/{room}/typing/{}", alice.user_id), typing).await.ok();
    let sync = bob.syncs(None, "").await;
    assert!(!sync["rooms"]["join"][&room]["ephemeral"].to_string().contains("m.typing"));
    let timeline = sync["rooms"]["join"][&room]["timeline"].to_string();
    assert!(!timeline.contains("noise") && timeline.contains("told"), "{timeline}");
    assert_eq!(sync["rooms"]["invite"], Value::Null);
    let page = bob.get(&format!("rooms/{room}/messages?dir=b&limit=50")).await.ok().to_string();
    assert!(!page.contains("noise") && page.contains("told"), "{page}");
    // It is all there once they listen again.
    bob.put(&format!("user/{me}/account_data/m.ignored_user_list"), json!({ "ignored_users": {} })).await.ok();
    let sync = bob.syncs(None, "").await;
    assert!(sync["rooms"]["join"][&room]["timeline"].to_string().contains("noise"));
    assert!(sync["rooms"]["join"][&room]["ephemeral"].to_string().contains("m.typing"));
    assert_eq!(sync["rooms"]["invite"].as_object().unwrap().len(), 1);
}

/// What one who reads has not read, by the words of the specification alone.
#[derive(Default)]
struct Model {
    /// Of each event: who sent it, in which thread, whether it is addressed to the reader, whether it was taken back, its id.
    events: Vec<(usize, Option<usize>, bool, bool, String)>,
    /// Up to where was read: everywhere, in the main timeline, in each thread.
    everywhere: Option<usize>,
    main: Option<usize>,
    threads: std::collections::BTreeMap<usize, usize>,
}

impl Model {
    /// In the main timeline and in each thread: all, and those that stand out.
    fn counts(&self) -> std::collections::BTreeMap<Option<usize>, (u64, u64)> {
        let mut counts = std::collections::BTreeMap::new();
        for (index, (sender, thread, addressed, gone, _)) in self.events.iter().enumerate() {
            let mark = match thread {
                None => self.main,
                Some(root) => self.threads.get(root).copied(),
            };
            if *sender != 1 && !gone && Some(index) > self.everywhere && Some(index) > mark {
                let count = counts.entry(*thread).or_insert((0, 0));
                count.0 += 1;
                count.1 += u64::from(*addressed);
            }
        }
        counts
    }

    fn reads(&mut self, thread: Option<usize>, index: usize) {
        match thread {
            None => self.main = self.main.max(Some(index)),
            Some(root) => {
                let mark = self.threads.entry(root).or_insert(index);
                *mark = index.max(*mark);
            }
        }
    }
}

#[tokio::test]
async fn counts_are_what_a_model_says() {
    let mut server = Server::start().await;
    let (alice, bob, room) = two(&server).await;
    let mut people = [alice, bob];
    let since = people[1].syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let filter = r#"{"room":{"timeline":{"limit":1,"unread_thread_notifications":true}}}"#;
    let filter: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut state: u64 = 7;
    let mut dice = |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % u64::try_from(sides).unwrap()).unwrap()
    };
    let mut model = Model::default();
    for step in 0..400 {
        match dice(10) {
            0..=5 => {
                let sender = usize::from(dice(6) == 0);
                let roots: Vec<usize> =
                    (0..model.events.len()).filter(|index| model.events[*index].1.is_none()).collect();
                let thread = (dice(2) == 0 && !roots.is_empty()).then(|| roots[dice(roots.len().min(5))]);
                let addressed = dice(4) == 0;
                let mut content = json!({ "msgtype": "m.text", "body": format!("{step}") });
                if addressed {
                    content["m.mentions"] = json!({ "user_ids": [people[1].user_id] });
                }
                if let Some(root) = thread {
                    content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": model.events[root].4 });
                }
                let id = people[sender].sends(&room, "m.room.message", content).await;
                model.events.push((sender, thread, addressed, false, id));
                if sender == 1 {
                    model.reads(thread, model.events.len() - 1);
                }
            }
            6..=8 if !model.events.is_empty() => {
                let index = dice(model.events.len());
                let (thread, id) = (model.events[index].1, model.events[index].4.clone());
                let kind = ["m.read", "m.read.private"][dice(2)];
                let body = match (dice(3), thread) {
                    (0, _) => {
                        model.everywhere = model.everywhere.max(Some(index));
                        json!({})
                    }
                    (_, None) => {
                        model.reads(None, index);
                        json!({ "thread_id": "main" })
                    }
                    (_, Some(root)) => {
                        model.reads(Some(root), index);
                        json!({ "thread_id": model.events[root].4 })
                    }
                };
                people[1].post(&format!("rooms/{room}/receipt/{kind}/{id}"), body).await.ok();
            }
            9 if !model.events.is_empty() => {
                // Only what stands alone: what a thread hangs on keeps its place.
                let index = dice(model.events.len());
                if model.events.iter().all(|event| event.1 != Some(index)) && model.events[index].1.is_none() {
                    let (sender, id) = (model.events[index].0, model.events[index].4.clone());
                    people[sender].put(&format!("rooms/{room}/redact/{id}/r{step}"), json!({})).await.ok();
                    model.events[index].3 = true;
                    if sender == 1 {
                        // That is an event of the reader, too.
                        model.reads(None, model.events.len() - 1);
                    }
                }
            }
            _ => {}
        }
        if step == 250 {
            server = server.restart().await;
            people = people.map(|person| person.on(&server));
        }
        let sync = people[1].syncs(Some(&since), &format!("&filter={filter}")).await;
        let of_room = &sync["rooms"]["join"][&room];
        if model.events.is_empty() {
            continue;
        }
        let told = |counts: &Value| {
            (counts["notification_count"].as_u64().unwrap_or(0), counts["highlight_count"].as_u64().unwrap_or(0))
        };
        let mut found = std::collections::BTreeMap::new();
        let main = told(&of_room["unread_notifications"]);
        if main != (0, 0) {
            found.insert(None, main);
        }
        for (root, counts) in of_room["unread_thread_notifications"].as_object().into_iter().flatten() {
            let index = model.events.iter().position(|event| event.4 == *root).unwrap();
            found.insert(Some(index), told(counts));
        }
        assert_eq!(found, model.counts(), "step {step}");
    }
}

#[tokio::test]
async fn a_rule_needs_no_conditions_and_only_null_takes_a_pusher_away() {
    let server = Server::start().await;
    let (alice, ..) = two(&server).await;
    for kind in ["override", "underride"] {
        let path = format!("pushrules/global/{kind}/u1");
        alice.put(&path, json!({ "actions": ["notify"] })).await.ok();
        let rule = alice.get(&path).await.ok();
        assert_eq!((&rule["conditions"], &rule["actions"]), (&json!([]), &json!(["notify"])));
        alice.put(&path, json!({})).await.refused(400, "M_BAD_JSON");
        alice.put(&path, json!({ "actions": ["notify"], "conditions": [5] })).await.refused(400, "M_BAD_JSON");
    }
    alice.put("pushrules/global/content/u1", json!({ "actions": [] })).await.refused(400, "M_BAD_JSON");
    alice.put("pushrules/global/content/u1", json!({ "actions": [], "pattern": "tea" })).await.ok();
    alice.put("pushrules/global/room/tea", json!({ "actions": [] })).await.refused(400, "M_INVALID_PARAM");
    alice.put("pushrules/global/nope/u1", json!({ "actions": [] })).await.refused(400, "M_INVALID_PARAM");

    let pusher = json!({ "kind": "http", "app_id": "app", "pushkey": "key", "app_display_name": "App", "lang": "en",
        "device_display_name": "Phone", "data": { "url": "https://push.example/_matrix/push/v1/notify" } });
    alice.post("pushers/set", pusher).await.ok();
    let ids = json!({ "app_id": "app", "pushkey": "key" });
    alice.post("pushers/set", ids).await.refused(400, "M_MISSING_PARAM");
    assert_eq!(alice.get("pushers").await.ok()["pushers"].as_array().unwrap().len(), 1);
    alice.post("pushers/set", json!({ "kind": null, "app_id": "app", "pushkey": "key" })).await.ok();
    assert_eq!(alice.get("pushers").await.ok()["pushers"], json!([]));
}
