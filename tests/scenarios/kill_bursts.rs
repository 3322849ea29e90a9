//! SIGKILL in the midst of bursts of several people at once: much is under way then, in both directions, and all of it must be found
//! out about. Nothing is lost, nothing is doubled, and everybody is heard in the order of the room.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use landbridge_tests::{Deployment, IrcUser, On, Over, Room, With, http};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::{
    everywhere::LOBBY,
    kills::{Kill, come_and_go, die_and_return, same},
};

/// How many lines a burst has.
const BURST: usize = 10;
/// The steps at which much is under way, and at which pass the process dies there.
const PLAN: [(&str, u64); 9] = [
    ("remote.claimed", 3),
    ("remote.delivered", 5),
    ("remote.delivered", 20),
    ("remote.committed", 2),
    ("convert.committed", 3),
    ("matrix.started", 12),
    ("matrix.delivered", 9),
    ("matrix.delivered", 30),
    ("matrix.committed", 2),
];

#[tokio::test]
async fn kill_in_the_midst_of_bursts() {
    let mut d = Deployment::start(On::Embedded, Over::Inspircd, With::Sqlite, &[LOBBY]).await;
    let bob = d.irc_in(LOBBY, "bob").await;
    bob.sends("OPER", &["admin", "admin"]);
    bob.sees_line("381, an operator", |line| line.command == "381").await;
    bob.sends("SAMODE", &[LOBBY, "+H", "1000:1h"]);
    bob.sees_line("the mode", |line| line.command == "MODE" && line.params.get(1).is_some_and(|m| m == "+H")).await;
    let people = [d.matrix("alice").await, d.matrix("carol").await, d.matrix("dave").await];
    let mut rooms = Vec::new();
    for person in &people {
        let room = d.join(person, LOBBY).await;
        room.says("hello").await;
        bob.sees_line("hello", |line| line.params.get(1).is_some_and(|text| text == "hello")).await;
        rooms.push(room);
    }
    let [alice, carol, dave] = rooms.as_slice() else { panic!("three people") };
    // Something that the bridge heard: what a history reaches back to, it tells of.
    bob.says(LOBBY, "hello");
    alice.sees(&d.ghost("bob"), "hello").await;
    // Not everything can be decided as it is heard, then: all steps are passed.
    let erin = d.irc("erin").await;

    let enough = AtomicBool::new(false);
    let later = (0..6).map(|n| Kill::After(Duration::from_millis(1500 + 400 * n)));
    let plan = PLAN.into_iter().map(|(point, pass)| Kill::AtPass(point, pass)).chain(later);
    let murder = async {
        for kill in plan {
            Box::pin(die_and_return(&mut d, kill)).await;
        }
        enough.store(true, Ordering::Relaxed);
    };
    let ((), (), from_irc, mut by_alice, mut by_carol, mut by_dave) = tokio::join!(
        murder,
        come_and_go(&erin, &enough),
        bursts_on_irc(&bob, &enough),
        bursts_on_matrix(alice, "alice", &enough),
        bursts_on_matrix(carol, "carol", &enough),
        bursts_on_matrix(dave, "dave", &enough),
    );
    alice.says("the end").await;
    bob.sees_line("the end", |line| line.params.get(1).is_some_and(|text| text == "the end")).await;
    bob.says(LOBBY, "the end of IRC");
    alice.sees(&d.ghost("bob"), "the end of IRC").await;

    let known = |text: &String| text.starts_with("burst");
    let ghost = d.ghost("bob");
    // A client that syncs is shown the end of a burst only.
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let past = everything_said(&d, &d.alias(LOBBY)).await;
    let timeline = past.iter().map(|event| (text(&event["sender"]), text(&event["content"]["body"])));
    let (on_matrix, in_the_room): (Vec<_>, Vec<_>) = timeline.partition(|(who, _)| *who == ghost);
    let texts =
        |heard: Vec<(String, String)>| heard.into_iter().map(|(_, text)| text).filter(known).collect::<Vec<_>>();
    same("IRC → Matrix", &from_irc, &texts(on_matrix));
    let in_the_room = texts(in_the_room);
    same("Matrix → IRC, in the order of the room", &in_the_room, &texts(bob.heard(LOBBY)));
    by_alice.append(&mut by_carol);
    by_alice.append(&mut by_dave);
    assert_eq!(in_the_room.len(), by_alice.len(), "everything that was said is in the room");
    println!("{} lines from IRC and {} events from Matrix crossed once, in order", from_irc.len(), in_the_room.len());
}

/// All messages of a room, oldest first, as somebody new pages through them.
async fn everything_said(d: &Deployment, alias: &str) -> Vec<Value> {
    let (http, base) = (http(), format!("{}_matrix/client/v3", d.url()));
    let account = json!({ "username": "reader", "password": "a long password", "auth": { "type": "m.login.dummy" } });
    let reader: Value = ask(http.post(format!("{base}/register")).json(&account)).await;
    let token = reader["access_token"].as_str().expect("a token");
    let join = http.post(format!("{base}/join/{}", alias.replace('#', "%23"))).bearer_auth(token).json(&json!({}));
    let room = ask(join).await["room_id"].as_str().expect("a room").to_owned();
    let (mut said, mut from) = (Vec::new(), String::new());
    loop {
        let page = http.get(format!("{base}/rooms/{room}/messages?dir=f&limit=500{from}")).bearer_auth(token);
        let mut page: Value = ask(page).await;
        let chunk = page["chunk"].take();
        let events = chunk.as_array().expect("events");
        said.extend(events.iter().filter(|event| event["type"] == "m.room.message").cloned());
        match page["end"].as_str() {
            Some(end) if !events.is_empty() => from = format!("&from={end}"),
            _ => return said,
        }
    }
}

async fn ask(request: reqwest::RequestBuilder) -> Value {
    request.send().await.expect("an answer").json().await.expect("JSON")
}

async fn bursts_on_irc(bob: &IrcUser, enough: &AtomicBool) -> Vec<String> {
    let mut said = Vec::new();
    // The channel's history is bounded: what is said while the process is dead must be in there when it comes back.
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !enough.load(Ordering::Relaxed) {
        pace.tick().await;
        for _ in 0..BURST {
            let line = format!("burst from IRC {}", said.len());
            bob.says(LOBBY, &line);
            said.push(line);
        }
    }
    said
}

async fn bursts_on_matrix(room: &Room<'_>, who: &str, enough: &AtomicBool) -> Vec<String> {
    let mut said = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(1500));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !enough.load(Ordering::Relaxed) {
        pace.tick().await;
        for _ in 0..BURST {
            let text = format!("burst from {who} {}", said.len());
            room.says(&text).await;
            said.push(text);
        }
    }
    said
}
