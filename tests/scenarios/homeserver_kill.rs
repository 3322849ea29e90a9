//! The homeserver is killed (SIGKILL) while many write: what was acknowledged is there afterwards, once, and no stream goes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use landbridge_tests::{Homeserver, On, http};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const SENDERS: usize = 8;
const KILLS: usize = 3;

#[derive(Clone)]
struct Person {
    base: String,
    token: String,
}

impl Person {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<(StatusCode, Value)> {
        let path = format!("{}/_matrix/client/v3/{path}", self.base);
        let request = http().request(method, path).bearer_auth(&self.token).timeout(Duration::from_secs(30));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.ok()?;
        let status = answer.status();
        Some((status, answer.json().await.ok()?))
    }

    async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body).await.expect("an answer");
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }
}

async fn register(hs: &Homeserver, name: &str) -> Person {
    let body = json!({ "username": name, "password": "x", "auth": { "type": "m.login.dummy" } });
    let answer = http().post(hs.path("/_matrix/client/v3/register")).json(&body).send().await.expect("an answer");
    let account: Value = answer.json().await.expect("JSON");
    let base = hs.url().as_str().trim_end_matches('/').to_owned();
    Person { base, token: account["access_token"].as_str().expect("a token").to_owned() }
}

/// The place in the log that a token stands for.
fn place(token: &str) -> i64 {
    let digits = token.trim_start_matches('s').split('_').next().unwrap_or_default();
    digits.parse().expect("a token of this server")
}

#[tokio::test]
async fn a_kill_under_load_loses_nothing_and_no_stream_goes_back() {
    let mut hs = Homeserver::start(On::Embedded).await;
    let alice = register(&hs, "alice").await;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let made = alice.ok(Method::POST, "createRoom", Some(json!({ "preset": "public_chat" }))).await;
        rooms.push(made["room_id"].as_str().expect("a room").to_owned());
    }
    let filter = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A1000%7D%7D%7D";
    let first = alice.ok(Method::GET, &format!("sync?filter={filter}"), None).await;
    let mut since = first["next_batch"].as_str().expect("a token").to_owned();
    // Acknowledged events by transaction; and how often the sync brought each event.
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..KILLS {
        let over = Arc::new(AtomicBool::new(false));
        let mut senders = Vec::new();
        for sender in 0..SENDERS {
            let (alice, room, over) = (alice.clone(), rooms[sender % rooms.len()].clone(), over.clone());
            senders.push(tokio::spawn(async move {
                let mut answered = Vec::new();
                for number in 0.. {
                    let txn = format!("{round}.{sender}.{number}");
                    let path = format!("rooms/{room}/send/m.room.message/{txn}");
                    let body = json!({ "msgtype": "m.text", "body": txn });
                    match alice.ask(Method::PUT, &path, Some(body)).await {
                        Some((StatusCode::OK, answer)) => {
                            answered.push((path, answer["event_id"].as_str().expect("an id").to_owned()));
                        }
                        // Whether this one was written, nobody knows: it is asked again afterwards.
                        _ => return (answered, Some(path)),
                    }
                    if over.load(Ordering::Relaxed) {
                        return (answered, None);
                    }
                }
                (answered, None)
            }));
        }
        // Some syncs while all of this goes on.
        for _ in 0..5 {
            since = follow(&alice, &since, filter, &mut seen).await;
        }
        hs.killed_and_started_again().await;
        over.store(true, Ordering::Relaxed);
        let mut doubtful = Vec::new();
        for sender in senders {
            let (answered, unknown) = sender.await.expect("a sender ends");
            acknowledged.extend(answered);
            doubtful.extend(unknown);
        }
        assert!(!acknowledged.is_empty(), "something was acknowledged before the kill");
        // A request whose answer was lost is made again, and is one event however often.
        for path in doubtful {
            let body = json!({ "msgtype": "m.text", "body": path.rsplit('/').next() });
            let first = alice.ok(Method::PUT, &path, Some(body.clone())).await;
            let again = alice.ok(Method::PUT, &path, Some(body)).await;
            assert_eq!(first, again);
            acknowledged.insert(path, first["event_id"].as_str().expect("an id").to_owned());
        }
        since = follow(&alice, &since, filter, &mut seen).await;
    }
    // Everything that was acknowledged came through the sync, once, though the server was killed in between.
    let acknowledged: BTreeSet<&String> = acknowledged.values().collect();
    let missed: Vec<_> = acknowledged.iter().filter(|id| !seen.contains_key(**id)).collect();
    assert!(missed.is_empty(), "{} of {} were lost: {missed:?}", missed.len(), acknowledged.len());
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told twice: {twice:?}");
    // And nothing else was said.
    assert_eq!(seen.len(), acknowledged.len());
}

/// One sync; its token is not before the last one.
async fn follow(alice: &Person, since: &str, filter: &str, seen: &mut BTreeMap<String, usize>) -> String {
    let answer = alice.ok(Method::GET, &format!("sync?timeout=0&filter={filter}&since={since}"), None).await;
    let next = answer["next_batch"].as_str().expect("a token").to_owned();
    assert!(place(&next) >= place(since), "{next} is before {since}");
    for (_, room) in answer["rooms"]["join"].as_object().into_iter().flatten() {
        assert_ne!(room["timeline"]["limited"], true, "nothing is left out");
        for event in room["timeline"]["events"].as_array().into_iter().flatten() {
            if event["type"] == "m.room.message" {
                *seen.entry(event["event_id"].as_str().expect("an id").to_owned()).or_default() += 1;
            }
        }
    }
    next
}
