//! What cannot be delivered is told, or kept, and holds up nothing.

use std::time::Duration;

use super::stage::{Stage, by};
use crate::{
    bridge::{DeadLetters, mappings::remote_lane},
    clock::Clock as _,
    dispatch::Kill,
    network::{Direction, Reject, SendError},
    testing::{Fault, Script},
};

const BOT: &str = "@testbot:localhost";

#[tokio::test]
async fn who_is_refused_is_told_why() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.refuses_next(SendError::Rejected(Reject::Forbidden("you are banned".to_owned())));
    let event_id = alice.says(&room, "hi");
    let told = room.hears(BOT, "Not delivered to Test: you are banned.").await;
    assert_eq!(told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], event_id.as_str());
    alice.says(&room, "again");
    stage.script.expects("#lobby", "alice: again").await;
    assert_eq!(stage.lines().len(), 1);
}

#[tokio::test]
async fn what_waits_for_the_connection_crosses_once_it_is_back() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.goes_down();
    for text in ["one", "two", "three"] {
        alice.says(&room, text);
    }
    stage.homeserver.all_taken().await;
    stage.script.comes_up();
    assert_eq!(stage.expects_lines(3).await, ["#lobby alice: one", "#lobby alice: two", "#lobby alice: three"]);
    assert!(by(&room, BOT).is_empty(), "nobody is told of what only waits");
}

#[tokio::test]
async fn what_waits_too_long_is_told_and_parked_and_can_be_tried_again() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.goes_down();
    alice.says(&room, "old");
    stage.homeserver.all_taken().await;
    stage.clock.advance(Duration::from_mins(11));
    room.hears(BOT, "Not delivered to Test: not connected.").await;
    let letters = DeadLetters::open(&stage.database()).await.unwrap();
    let parked = letters.list(10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].error, "not connected");
    stage.script.comes_up();
    assert_eq!(letters.retry(Some(parked[0].id)).await.unwrap(), 1);
    stage.bridge().revive();
    stage.script.expects("#lobby", "alice: old").await;
    assert!(letters.list(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_found_out_about() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.loses_next_answer(true);
    alice.says(&room, "landed");
    alice.says(&room, "next");
    stage.script.expects("#lobby", "alice: next").await;
    stage.script.loses_next_answer(false);
    alice.says(&room, "did not");
    stage.script.expects("#lobby", "alice: did not").await;
    stage.settles().await;
    assert_eq!(stage.lines(), ["#lobby alice: landed", "#lobby alice: next", "#lobby alice: did not"]);
    assert!(by(&room, BOT).is_empty());
}

/// Twenty lines that waited for the network, of which these fail on the way.
async fn a_burst_told_at_once(fails: impl FnOnce(&Script)) -> Vec<String> {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.takes_at_once(8);
    alice.says(&room, "first");
    stage.script.expects("#lobby", "alice: first").await;
    stage.script.goes_down();
    (0..20).for_each(|number| drop(alice.says(&room, &number.to_string())));
    alice.says(&room, "last");
    fails(&stage.script);
    stage.script.comes_up();
    stage.script.expects("#lobby", "alice: last").await;
    stage.settles().await;
    let lines = stage.lines().into_iter().skip(1);
    lines.map(|line| line.trim_start_matches("#lobby alice: ").to_owned()).collect()
}

#[tokio::test]
async fn what_is_told_at_once_crosses_once_and_in_order() {
    let wanted: Vec<String> = (0..20).map(|number| number.to_string()).chain(["last".to_owned()]).collect();
    assert_eq!(a_burst_told_at_once(|_| {}).await, wanted);
    // The first is told alone or with others: wherever it breaks, all the rest waits for that one.
    for error in [SendError::RetryAfter(Duration::ZERO), SendError::Disconnected] {
        let broken = a_burst_told_at_once(|script| (0..3).for_each(|_| script.refuses_next(error.clone()))).await;
        assert_eq!(broken, wanted);
    }
    for landed in [true, false] {
        let lost = a_burst_told_at_once(|script| (0..3).for_each(|_| script.loses_next_answer(landed))).await;
        assert_eq!(lost, wanted, "landed: {landed}");
    }
}

#[tokio::test]
async fn more_than_memory_holds_is_told_at_once_too() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.takes_at_once(8);
    alice.says(&room, "first");
    stage.script.expects("#lobby", "alice: first").await;
    stage.script.goes_down();
    (0..600).for_each(|number| drop(alice.says(&room, &number.to_string())));
    let waiting = async || {
        stage.bridge().parts.store.outbox_of(Direction::ToRemote, &remote_lane(&"#lobby".to_owned()), 0, 600).await
    };
    while waiting().await.unwrap().len() < 600 {
        tokio::task::yield_now().await;
    }
    stage.script.comes_up();
    stage.script.expects("#lobby", "alice: 599").await;
    stage.settles().await;
    let wanted: Vec<String> = (0..600).map(|number| format!("#lobby alice: {number}")).collect();
    assert_eq!(stage.lines()[1..], wanted);
    let at_once = stage.script.told_at_once();
    assert!(at_once > 550, "{at_once} of 600");
}

#[tokio::test]
async fn what_waits_behind_others_is_not_in_doubt() {
    let (stage, alice, room) = Stage::lobby().await;
    let lane = remote_lane(&"#lobby".to_owned());
    let claimed = async || {
        let rows = stage.bridge().parts.store.outbox_of(Direction::ToRemote, &lane, 0, 10).await.unwrap();
        rows.iter().map(|row| row.claimed).collect::<Vec<_>>()
    };
    stage.script.refuses_next(SendError::RetryAfter(Duration::from_hours(1)));
    alice.says(&room, "one");
    while stage.script.attempts() == 0 || claimed().await != [false] {
        tokio::task::yield_now().await;
    }
    alice.says(&room, "two");
    while claimed().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(claimed().await, [false, false], "a crash now leaves nothing to find out");
}

#[tokio::test]
async fn while_nobody_can_be_asked_what_may_have_been_said_waits_in_its_place() {
    for landed in [true, false] {
        let (stage, alice, room) = Stage::lobby().await;
        stage.script.cannot_be_asked(3);
        stage.script.loses_next_answer(landed);
        let heard = stage.clock.now();
        alice.says(&room, "perhaps");
        while stage.script.asked_since().is_empty() {
            tokio::task::yield_now().await;
        }
        stage.clock.advance(Duration::from_mins(1));
        alice.says(&room, "next");
        stage.script.expects("#lobby", "alice: next").await;
        let said: Vec<_> = stage.lines().into_iter().filter(|line| line.contains("alice: ")).collect();
        assert_eq!(said.len(), 2, "once, and in order: {said:?}");
        assert!(said[0].contains("perhaps"), "{said:?}");
        assert_eq!(stage.script.asked_since(), [heard; 4], "however long it takes");
    }
}

#[tokio::test]
async fn when_nobody_can_tell_the_sender_is_told_and_nothing_is_doubled() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.cannot_tell();
    stage.script.loses_next_answer(true);
    alice.says(&room, "perhaps");
    room.hears(BOT, "This may not have been delivered to Test.").await;
    alice.says(&room, "next");
    stage.script.expects("#lobby", "alice: next").await;
    assert_eq!(stage.lines().len(), 2);
    let letters = DeadLetters::open(&stage.database()).await.unwrap();
    assert_eq!(letters.list(10).await.unwrap().len(), 1);
    assert_eq!(letters.drop(None).await.unwrap(), 1);
}

#[tokio::test]
async fn a_fault_in_the_bridge_parks_the_message_and_not_its_lane() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.refuses_next(SendError::Bug("index out of bounds".to_owned()));
    alice.says(&room, "poison");
    alice.says(&room, "next");
    stage.script.expects("#lobby", "alice: next").await;
    room.hears(BOT, "Not delivered: a fault in the bridge. Its operator can see it and try again.").await;
    let letters = DeadLetters::open(&stage.database()).await.unwrap();
    let parked = letters.list(10).await.unwrap().remove(0);
    assert!(parked.error.contains("index out of bounds"), "{parked:?}");
    assert!(letters.show(parked.id).await.unwrap().unwrap().input.contains("poison"));
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_loses_nothing() {
    let (stage, alice, room) = Stage::lobby().await;
    alice.says(&room, "before");
    stage.script.expects("#lobby", "alice: before").await;
    stage.settles().await;
    stage.bridge().parts.store.limit_pages(Some(1)).await;
    for n in 0..200 {
        alice.says(&room, &format!("{n} {}", "x".repeat(2000)));
    }
    let long = "y".repeat(3000);
    let heard = stage.script.hears("#lobby", "bob", &long);
    tokio::pin!(heard);
    // Whatever still fits into free pages may cross; then nothing is taken.
    let stuck = tokio::time::timeout(Duration::from_millis(700), stage.homeserver.all_taken()).await;
    assert!(stuck.is_err(), "a full disk must not be acknowledged");
    stage.bridge().parts.store.limit_pages(None).await;
    heard.await.unwrap();
    let lines = stage.expects_lines(201).await;
    let order: Vec<String> = lines[1..].iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(order, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    room.hears("@test_bob:localhost", &long).await;
}

#[tokio::test]
async fn a_transaction_of_ten_thousand_events_is_taken_whole() {
    let (stage, _, room) = Stage::lobby().await;
    for n in 0..10_000 {
        stage.homeserver.push_raw(serde_json::json!({
            "type": "m.room.message", "event_id": format!("$e{n}"), "room_id": room.id, "sender": "@eve:elsewhere",
            "origin_server_ts": 1, "content": { "msgtype": "m.text", "body": n.to_string() },
        }));
    }
    while stage.script.attempts() < 10_001 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.settles().await;
    let lines = stage.lines();
    assert_eq!(lines.len(), 10_000);
    let order: Vec<&str> = lines.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert!(order.iter().enumerate().all(|(n, text)| *text == n.to_string()), "in order");
}

/// What crosses when 40 lines of two people wait behind one that cannot be sent yet, and one of them meets this on the way.
async fn a_burst_in_turn(fault: Option<Fault>) -> Vec<String> {
    let mut stage = Stage::dark();
    stage.homeserver.take_turns();
    stage.starts(Kill::default()).await;
    let (_, room) = stage.enters("alice", "#lobby").await;
    for who in ["bob", "carl", "dora"] {
        stage.script.hears("#lobby", who, "hello").await.unwrap();
        room.hears(&format!("@test_{who}:localhost"), "hello").await;
    }
    stage.homeserver.fail_times("user_id=%40test_dora", Fault::Unreachable, 4);
    stage.script.hears("#lobby", "dora", "first").await.unwrap();
    if let Some(fault) = fault {
        stage.homeserver.fail("user_id=%40test_carl", fault);
    }
    for number in 0..40 {
        let who = if number % 2 == 0 { "bob" } else { "carl" };
        stage.script.hears("#lobby", who, &number.to_string()).await.unwrap();
    }
    room.hears("@test_carl:localhost", "39").await;
    stage.settles().await;
    assert!(stage.homeserver.turns() > 2, "nothing was sent in its turn");
    room.messages().into_iter().map(|(_, text)| text).filter(|text| text != "hello").collect()
}

#[tokio::test]
async fn what_is_sent_in_its_turn_crosses_once_and_in_order() {
    let wanted: Vec<String> =
        ["first".to_owned()].into_iter().chain((0..40).map(|number| number.to_string())).collect();
    let forbidden = Fault::Refused(http::StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let limited = Fault::RateLimited(Duration::from_millis(1));
    let faults = [forbidden, limited, Fault::BadGateway, Fault::AnswerLost, Fault::Unreachable];
    for fault in [None].into_iter().chain(faults.into_iter().map(Some)) {
        assert_eq!(a_burst_in_turn(fault.clone()).await, wanted, "{fault:?}");
    }
}
