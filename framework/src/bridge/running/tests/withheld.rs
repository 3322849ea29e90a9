//! What somebody may not say yet is kept until they may, or for so long.

use std::time::Duration;

use super::stage::{Stage, by};
use crate::{
    bridge::mappings::remote_lane,
    dispatch::Kill,
    network::{IdentityMode, SessionId},
    testing::{SimRoom, SimUser},
};

const BOT: &str = "@testbot:localhost";
const HOUR: Duration = Duration::from_hours(1);

fn hers() -> SessionId {
    SessionId::User("@alice:localhost".try_into().unwrap())
}

/// Alice and Bob are in a room, each with a session of their own, and nothing that Alice says is let through.
async fn muted() -> (Stage, SimUser, SimUser, SimRoom) {
    let mut stage = Stage::dark();
    stage.mode = IdentityMode::AutoPuppet;
    stage.starts(Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    let (bob, _) = stage.enters("bob", "#lobby").await;
    stage.script.withholds(&hers(), HOUR);
    (stage, alice, bob, room)
}

impl Stage {
    /// Waits until this much of Alice's is kept.
    async fn keeps(&self, count: usize) {
        let lane = format!("{}\u{1f}@alice:localhost", remote_lane(&"#lobby".to_owned()));
        let kept = async {
            while self.bridge().parts.store.outbox_count(&lane).await.unwrap() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), kept).await.expect("that much is kept");
    }
}

fn without_prefix(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.trim_start_matches("#lobby ")).collect()
}

#[tokio::test]
async fn what_may_not_be_said_yet_is_kept_and_said_once_and_in_order_and_holds_up_nobody() {
    let (stage, alice, bob, room) = muted().await;
    let first = alice.says(&room, "one");
    let told = room
        .hears(
            BOT,
            "Not delivered to Test yet: you are muted. It is kept until you may, for 60 minutes at most, and so is what you say meanwhile.",
        )
        .await;
    assert_eq!(told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], first.as_str());
    alice.says(&room, "two");
    alice.says(&room, "three");
    bob.says(&room, "and I?");
    stage.script.expects("#lobby", "and I?").await;
    stage.keeps(3).await;
    stage.script.lets_speak(&hers());
    stage.script.expects("#lobby", "three").await;
    stage.settles().await;
    alice.says(&room, "four");
    stage.script.expects("#lobby", "four").await;
    assert_eq!(without_prefix(&stage.lines()), ["and I?", "one", "two", "three", "four"]);
    assert_eq!(by(&room, BOT).len(), 1, "once");
}

#[tokio::test]
async fn what_is_kept_is_kept_over_a_crash() {
    let (mut stage, alice, _, room) = muted().await;
    alice.says(&room, "one");
    alice.says(&room, "two");
    stage.keeps(2).await;
    stage.crashes().await;
    stage.clock.advance(Duration::from_mins(30));
    stage.starts(Kill::default()).await;
    alice.says(&room, "three");
    stage.keeps(3).await;
    stage.script.lets_speak(&hers());
    stage.script.expects("#lobby", "three").await;
    stage.settles().await;
    assert_eq!(without_prefix(&stage.lines()), ["one", "two", "three"]);
    assert_eq!(by(&room, BOT).len(), 1, "{:?}", by(&room, BOT));
}

#[tokio::test]
async fn what_is_kept_too_long_is_given_up_and_its_sender_told() {
    let (stage, alice, bob, room) = muted().await;
    alice.says(&room, "one");
    stage.keeps(1).await;
    stage.clock.advance(Duration::from_mins(30));
    alice.says(&room, "two");
    stage.keeps(2).await;
    stage.clock.advance(Duration::from_mins(31));
    room.hears(BOT, "Not delivered to Test, and given up after 60 minutes: you are muted.").await;
    stage.keeps(1).await;
    stage.script.lets_speak(&hers());
    stage.script.expects("#lobby", "two").await;
    bob.says(&room, "aha");
    stage.script.expects("#lobby", "aha").await;
    assert_eq!(without_prefix(&stage.lines()), ["two", "aha"]);
}

#[tokio::test]
async fn what_is_taken_back_while_it_is_kept_is_not_said() {
    let (stage, alice, _, room) = muted().await;
    let first = alice.says(&room, "one");
    let second = alice.says(&room, "two");
    alice.says(&room, "three");
    stage.keeps(3).await;
    alice.redacts(&room, &second, None);
    stage.keeps(2).await;
    alice.redacts(&room, &first, None);
    stage.keeps(1).await;
    stage.script.lets_speak(&hers());
    stage.script.expects("#lobby", "three").await;
    stage.settles().await;
    assert_eq!(without_prefix(&stage.lines()), ["three"]);
}
