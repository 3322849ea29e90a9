//! Matrix users who want somebody of the network in a room.

use super::stage::{Stage, by};
use crate::{
    dispatch::Kill,
    network::{Dedupe, Level, Membership, Reject, SendError},
    testing::{Fault, Heard, SimRoom},
};

const BOT: &str = "@testbot:localhost";
const BOB: &str = "@test_bob:localhost";

/// How often the network was told that somebody is invited.
fn invitations(stage: &Stage) -> Vec<String> {
    stage.lines().into_iter().filter(|line| line.contains(" Invite ")).collect()
}

/// What somebody was in a room, one after the other.
fn past(room: &SimRoom, who: &str) -> Vec<String> {
    let timeline = room.timeline();
    let members = timeline.iter().filter(|event| event["type"] == "m.room.member" && event["state_key"] == who);
    members.filter_map(|event| event["content"]["membership"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn who_is_invited_is_asked_once_over_restarts_and_comes_in() {
    let (mut stage, alice, room) = Stage::lobby().await;
    stage.script.goes_down();
    alice.invites(&room, BOB).await;
    stage.homeserver.all_taken().await;
    stage.crashes().await;
    stage.script.comes_up();
    stage.starts(Kill::default()).await;
    stage.script.expects("#lobby", "alice Invite bob").await;
    stage.settles().await;
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    // He comes, and is where he was wanted.
    stage.script.hears_member("#lobby", "bob", Membership::Join).await.unwrap();
    room.has(BOB, "join").await;
    stage.script.hears("#lobby", "bob", "you called?").await.unwrap();
    room.hears(BOB, "you called?").await;
    alice.says(&room, "I did");
    stage.script.expects("#lobby", "alice: I did").await;
    assert_eq!(invitations(&stage), ["#lobby alice Invite bob"]);
    assert_eq!(past(&room, BOB), ["invite", "join"]);
    assert!(by(&room, BOT).is_empty());
}

#[tokio::test]
async fn an_invitation_of_our_own_or_into_a_private_conversation_is_none_for_the_network() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.hears_member("#lobby", "bob", Membership::Join).await.unwrap();
    room.has(BOB, "join").await;
    stage.homeserver.user("testbot").invites(&room, "@test_carl:localhost").await;
    stage.homeserver.user(BOB).invites(&room, "@test_dora:localhost").await;
    // What the network tells everybody of an invitation asks nobody again.
    let told = |who: &str| Heard::Member {
        room: "#lobby".to_owned(),
        who: who.to_owned(),
        name: None,
        membership: Membership::Invite,
        by: Some("bob".to_owned()),
        reason: None,
    };
    stage.script.happens(told("carl"), Dedupe::Never).await.unwrap();
    stage.script.happens(told("emil"), Dedupe::Never).await.unwrap();
    let chat = alice.invites_to_chat(BOB).await;
    chat.has(BOB, "join").await;
    stage.settles().await;
    alice.invites(&chat, "@test_carl:localhost").await;
    alice.says(&chat, "psst");
    stage.script.expects("=@alice:localhost=bob", "alice: psst").await;
    alice.says(&room, "hello");
    stage.script.expects("#lobby", "alice: hello").await;
    assert_eq!(invitations(&stage), Vec::<String>::new());
    assert_eq!(past(&room, "@test_emil:localhost"), Vec::<String>::new());
}

#[tokio::test]
async fn who_is_on_the_way_is_not_asked() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.homeserver.fail_times("/join", Fault::Unreachable, 1);
    stage.script.hears_member("#lobby", "bob", Membership::Join).await.unwrap();
    stage.settles().await;
    alice.invites(&room, BOB).await;
    room.has(BOB, "join").await;
    alice.says(&room, "there you are");
    stage.script.expects("#lobby", "alice: there you are").await;
    assert_eq!(invitations(&stage), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_network_refuses_is_told_to_who_invites() {
    let (stage, alice, room) = Stage::lobby().await;
    let invitation = |who: &'static str| {
        room.sees("an invitation", move |event| event["state_key"] == who && event["content"]["membership"] == "invite")
    };
    stage.script.refuses_next(SendError::Rejected(Reject::Forbidden("no such nick".to_owned())));
    alice.invites(&room, BOB).await;
    let told = room.hears(BOT, "Not delivered to Test: no such nick.").await;
    assert_eq!(told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], invitation(BOB).await["event_id"]);
    // Nobody can be invited at all.
    stage.script.can(|caps| caps.member_actions = Level::Reject);
    alice.invites(&room, "@test_carl:localhost").await;
    let told = room.hears(BOT, "Not delivered to Test: an invitation cannot be sent there.").await;
    let carl = invitation("@test_carl:localhost").await;
    assert_eq!(told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], carl["event_id"]);
}

#[tokio::test]
async fn who_declines_declines_in_matrix_and_nobody_else() {
    let (stage, alice, room) = Stage::lobby().await;
    let declines = |who: &str| Heard::Declined {
        room: "#lobby".to_owned(),
        who: who.to_owned(),
        reason: Some("too busy".to_owned()),
    };
    stage.script.hears("#lobby", "bob", "hi").await.unwrap();
    room.hears(BOB, "hi").await;
    alice.invites(&room, "@test_carl:localhost").await;
    stage.script.expects("#lobby", "alice Invite carl").await;
    for who in ["bob", "dora", "carl", "carl"] {
        stage.script.happens(declines(who), Dedupe::Never).await.unwrap();
    }
    stage.script.hears("#lobby", "bob", "that was all").await.unwrap();
    room.hears(BOB, "that was all").await;
    assert_eq!(past(&room, "@test_carl:localhost"), ["invite", "leave"]);
    let left = room.state("m.room.member", "@test_carl:localhost").unwrap();
    assert_eq!(left["reason"], "too busy");
    assert_eq!(past(&room, BOB), ["join"]);
    assert_eq!(past(&room, "@test_dora:localhost"), Vec::<String>::new());
    // Who is asked again may come after all.
    alice.invites(&room, "@test_carl:localhost").await;
    stage.script.expects_count(stage.script.lines().len() + 1).await;
    stage.script.hears_member("#lobby", "carl", Membership::Join).await.unwrap();
    room.has("@test_carl:localhost", "join").await;
}
