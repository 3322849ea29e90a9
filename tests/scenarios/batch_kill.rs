//! The homeserver is killed (SIGKILL) while a bridge fills rooms up: a batch is there whole or not at all, what was acknowledged is there,
//! and what the bridge sends again is there once.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use landbridge_tests::{ForeignBridge, Homeserver, Port, http};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const KILLS: u32 = 8;
/// How many batches each room takes before the next kill, at least.
const BATCHES: u32 = 2;
const EVENTS: usize = 60;

/// Where the batches of a room go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    ToTheEnd,
    IntoHistory,
}

/// What a bridge asks of the homeserver; nobody is called.
#[derive(Clone)]
struct Bridge {
    base: String,
}

impl Bridge {
    async fn ask(&self, method: Method, path: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let request = http().request(method, format!("{}/_matrix/client/{path}", self.base));
        let request = request.bearer_auth(ForeignBridge::AS_TOKEN).timeout(Duration::from_secs(30));
        let answer = request.json(body).send().await.ok()?;
        let status = answer.status();
        Some((status, answer.json().await.ok()?))
    }

    async fn ok(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await.expect("an answer");
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    async fn sends(&self, room: &str, batch: &Value) -> Option<(StatusCode, Value)> {
        let path = format!("unstable/com.beeper.backfill/rooms/{room}/batch_send");
        self.ask(Method::POST, &path, batch).await
    }

    async fn makes_room(&self) -> String {
        let made = self.ok(Method::POST, "v3/createRoom", &json!({ "preset": "private_chat" })).await;
        made["room_id"].as_str().expect("a room").to_owned()
    }

    /// What was said in a room, from its beginning, as the bot reads it.
    async fn texts(&self, room: &str) -> Vec<String> {
        let (mut texts, mut from) = (Vec::new(), String::new());
        loop {
            let path = format!("v3/rooms/{room}/messages?dir=f&limit=1000{from}");
            let page = self.ok(Method::GET, &path, &json!({})).await;
            let chunk = page["chunk"].as_array().expect("a page");
            texts.extend(chunk.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)));
            match page["end"].as_str() {
                Some(end) => from = format!("&from={end}"),
                None => return texts,
            }
        }
    }
}

/// A homeserver that takes batches, and a bridge with a bot and somebody who speaks.
async fn started() -> (Homeserver, Bridge) {
    let port = Port::free();
    let mut registration: Value = serde_json::from_str(&ForeignBridge::registration(&port)).expect("JSON");
    registration["url"] = Value::Null;
    let hs = Homeserver::start_with_behaving(&registration.to_string(), "bridge_extensions: true\n").await;
    let bridge = Bridge { base: hs.url().as_str().trim_end_matches('/').to_owned() };
    for name in ["echobot", "echo_guest"] {
        let body = json!({ "type": "m.login.application_service", "username": name });
        // The bot may be there already.
        bridge.ask(Method::POST, "v3/register", &body).await;
    }
    (hs, bridge)
}

/// The texts of a batch, oldest first.
fn said(room: usize, number: usize) -> Vec<String> {
    (0..EVENTS).map(|event| format!("{room}.{number}.{event}")).collect()
}

/// The n-th batch of a room. Somebody speaks in it who is not in the room.
fn batch(goes: Goes, room: usize, number: usize) -> Value {
    let event = |text: String| {
        json!({
            "sender": "@echo_guest:localhost",
            "type": "m.room.message",
            "event_id": format!("${text}:echo"),
            "origin_server_ts": 1_000 + number,
            "content": { "msgtype": "m.text", "body": text },
        })
    };
    let events: Vec<Value> = said(room, number).into_iter().map(event).collect();
    json!({ "events": events, "forward": goes == Goes::ToTheEnd })
}

/// The names of the events of a batch, as they are answered.
fn names(room: usize, number: usize) -> Value {
    json!({ "event_ids": said(room, number).iter().map(|text| format!("${text}:echo")).collect::<Vec<_>>() })
}

#[tokio::test]
async fn a_kill_in_the_midst_of_batches_leaves_each_whole_or_not_at_all() {
    let (mut hs, bridge) = started().await;
    let mut rooms = Vec::new();
    for goes in [Goes::ToTheEnd, Goes::IntoHistory, Goes::ToTheEnd, Goes::IntoHistory] {
        rooms.push((goes, bridge.makes_room().await));
    }
    // How many batches each room has that were acknowledged.
    let mut acknowledged = vec![0; rooms.len()];
    for round in 0..KILLS {
        let (tell, mut told) = mpsc::unbounded_channel();
        let over = Arc::new(AtomicBool::new(false));
        let mut senders = Vec::new();
        for (index, (goes, room)) in rooms.iter().cloned().enumerate() {
            let (bridge, tell, over, first) = (bridge.clone(), tell.clone(), over.clone(), acknowledged[index]);
            senders.push(tokio::spawn(async move {
                for number in first.. {
                    match bridge.sends(&room, &batch(goes, index, number)).await {
                        Some((StatusCode::OK, answer)) => assert_eq!(answer, names(index, number)),
                        // Whether this one was written, nobody knows.
                        _ => return number,
                    }
                    let _ = tell.send(index);
                    // Its last answer came right before the kill, and it has not sent the next.
                    if over.load(Ordering::Relaxed) {
                        return number + 1;
                    }
                }
                unreachable!("numbers do not end")
            }));
        }
        drop(tell);
        let began = Instant::now();
        let mut seen = vec![0; rooms.len()];
        while seen.iter().any(|batches| *batches < BATCHES) {
            seen[told.recv().await.expect("they send")] += 1;
        }
        // All of them are sending while it dies: each time at another point of a batch, as long as one takes.
        let takes = began.elapsed() / seen.iter().copied().max().unwrap_or(1);
        tokio::time::sleep(takes * round / KILLS).await;
        hs.killed_and_started_again().await;
        over.store(true, Ordering::Relaxed);
        for (index, sender) in senders.into_iter().enumerate() {
            let doubtful = sender.await.expect("a sender ends");
            let (goes, room) = &rooms[index];
            let there: HashSet<String> = bridge.texts(room).await.into_iter().collect();
            for number in 0..doubtful {
                assert!(said(index, number).iter().all(|text| there.contains(text)), "{goes:?} {number} is not whole");
            }
            let of_doubtful = said(index, doubtful).iter().filter(|text| there.contains(*text)).count();
            assert!(of_doubtful == 0 || of_doubtful == EVENTS, "{goes:?} {of_doubtful} of {EVENTS}");
            println!("{goes:?}: {doubtful} acknowledged, of the next {of_doubtful}");
            // The bridge sends it again, and once more for good measure; and one that it had an answer for.
            for number in [doubtful, doubtful, doubtful - 1] {
                let (status, answer) = bridge.sends(room, &batch(*goes, index, number)).await.expect("an answer");
                assert_eq!((status, answer), (StatusCode::OK, names(index, number)));
            }
            acknowledged[index] = doubtful + 1;
        }
    }
    // All of it is there, once and in its place.
    for (index, (goes, room)) in rooms.iter().enumerate() {
        let mut batches: Vec<usize> = (0..acknowledged[index]).collect();
        if *goes == Goes::IntoHistory {
            batches.reverse();
        }
        let expected: Vec<String> = batches.into_iter().flat_map(|number| said(index, number)).collect();
        assert_eq!(bridge.texts(room).await, expected, "{goes:?}");
        // And nobody stayed who came for a batch.
        let path = format!("v3/rooms/{room}/joined_members");
        let members = bridge.ok(Method::GET, &path, &json!({})).await;
        assert_eq!(members["joined"].as_object().expect("members").len(), 1, "{members}");
    }
}

#[tokio::test]
async fn a_batch_that_was_written_and_never_answered_is_there_once() {
    let (mut hs, bridge) = started().await;
    for (index, goes) in [Goes::ToTheEnd, Goes::IntoHistory].into_iter().enumerate() {
        let room = bridge.makes_room().await;
        for (number, point) in [(0, "batch.committed"), (1, "batch.started"), (2, "batch.committed")] {
            hs.started_again_to_die_at(point).await;
            let answer = bridge.sends(&room, &batch(goes, index, number)).await;
            assert!(answer.is_none(), "it dies before it answers: {answer:?}");
            hs.has_died_and_is_started_again().await;
            let there: HashSet<String> = bridge.texts(&room).await.into_iter().collect();
            let written = said(index, number).iter().filter(|text| there.contains(*text)).count();
            assert_eq!(written, if point == "batch.committed" { EVENTS } else { 0 }, "{goes:?} {number}");
            // The bridge heard nothing, and sends it again.
            for _ in 0..2 {
                let (status, answer) = bridge.sends(&room, &batch(goes, index, number)).await.expect("an answer");
                assert_eq!((status, answer), (StatusCode::OK, names(index, number)));
            }
        }
        let mut batches = [0, 1, 2];
        if goes == Goes::IntoHistory {
            batches.reverse();
        }
        let expected: Vec<String> = batches.into_iter().flat_map(|number| said(index, number)).collect();
        assert_eq!(bridge.texts(&room).await, expected, "{goes:?}");
    }
}
