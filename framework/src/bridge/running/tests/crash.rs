//! Killed at every step at which something is persisted, under load both ways: nothing is lost, nothing is doubled.

use std::time::Duration;

use super::stage::{Stage, by};
use crate::{
    dispatch::{KILL_POINTS, Kill},
    network::{Body, Dedupe, SendError},
    testing::{Heard, Script},
};

const MESSAGES: usize = 12;

/// Says something until the bridge has it for good, as a network does that acknowledges nothing else.
async fn insists(script: Script, n: usize) {
    let id = format!("r{n}");
    loop {
        let event = Heard::Message {
            room: "#lobby".to_owned(),
            sender: "bob".to_owned(),
            name: None,
            id: Some(id.clone()),
            at: None,
            body: Body::plain(&id),
            reply_to: None,
        };
        if script.happens(event, Dedupe::Id(id.clone())).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn killed_at(point: &'static str, pass: u64) {
    let (mut stage, alice, room) = Stage::lobby().await;
    stage.settles().await;
    stage.crashes().await;
    let kill = Kill::at(point, pass);
    stage.starts(kill.clone()).await;
    let script = stage.script.clone();
    let network = tokio::spawn(async move {
        for n in 0..MESSAGES {
            insists(script.clone(), n).await;
        }
    });
    for n in 0..MESSAGES {
        alice.says(&room, &format!("m{n}"));
    }
    let all_crossed = async {
        stage.expects_lines(MESSAGES).await;
        room.has_messages(2 * MESSAGES).await;
        stage.settles().await;
    };
    // A point that is not passed so often in this much talk kills nobody; the talk must cross all the same.
    let sprung = tokio::select! {
        _ = kill.sprung() => true,
        () = all_crossed => false,
    };
    if sprung {
        stage.crashes().await;
        stage.starts(Kill::default()).await;
    }
    network.await.unwrap();
    stage.expects_lines(MESSAGES).await;
    room.has_messages(2 * MESSAGES).await;
    stage.settles().await;
    let what = format!("killed at {point}, pass {pass}: {sprung}");
    let expected: Vec<String> = (0..MESSAGES).map(|n| format!("#lobby alice: m{n}")).collect();
    assert_eq!(stage.lines(), expected, "{what}");
    let expected: Vec<String> = (0..MESSAGES).map(|n| format!("r{n}")).collect();
    assert_eq!(by(&room, "@test_bob:localhost"), expected, "{what}");
    assert!(by(&room, "@testbot:localhost").is_empty(), "{what}: nobody needs to be told anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_nothing_is_lost_and_nothing_is_doubled() {
    for point in KILL_POINTS {
        for pass in [1, 2, 5] {
            eprintln!("killed at {point}, pass {pass}");
            killed_at(point, pass).await;
        }
    }
}

#[tokio::test]
async fn what_an_earlier_life_claimed_and_the_next_could_not_say_at_once_is_claimed_again() {
    let (mut stage, alice, room) = Stage::lobby().await;
    stage.settles().await;
    stage.crashes().await;
    let kill = Kill::at("remote.claimed", 1);
    stage.starts(kill.clone()).await;
    alice.says(&room, "once");
    kill.sprung().await;
    stage.crashes().await;
    // The next life finds out that it was not said; its first try comes to nothing, the second is heard, and it dies before it knows.
    stage.script.refuses_next(SendError::Disconnected);
    let kill = Kill::at("remote.delivered", 1);
    stage.starts(kill.clone()).await;
    kill.sprung().await;
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    alice.says(&room, "and on");
    stage.script.expects("#lobby", "alice: and on").await;
    stage.settles().await;
    assert_eq!(stage.lines(), ["#lobby alice: once", "#lobby alice: and on"]);
}

#[tokio::test]
async fn a_portal_that_was_half_made_is_adopted() {
    let mut stage = Stage::lit().await;
    let alice = stage.homeserver.user("alice");
    // The room is made, and the bridge never hears of it.
    stage.homeserver.fail("createRoom", crate::testing::Fault::AnswerLost);
    assert!(alice.joins("#test_#lobby:localhost").await.is_none() || stage.bridge().mappings().is_empty());
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    stage.script.expects_entered("#lobby").await;
    let room = alice.joins("#test_#lobby:localhost").await.unwrap();
    alice.says(&room, "hi");
    stage.script.expects("#lobby", "alice: hi").await;
}

#[tokio::test]
async fn a_bridge_that_stops_finishes_what_it_has() {
    let (mut stage, alice, room) = Stage::lobby().await;
    for n in 0..50 {
        alice.says(&room, &format!("m{n}"));
    }
    stage.homeserver.all_taken().await;
    stage.bridge.take().unwrap().stop(Duration::from_secs(10)).await;
    assert_eq!(stage.lines().len(), 50);
    stage.starts(Kill::default()).await;
    alice.says(&room, "again");
    stage.script.expects("#lobby", "alice: again").await;
    assert_eq!(stage.lines().len(), 51);
}
