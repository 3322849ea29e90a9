//! A room that is upgraded goes on in another, and nothing is lost on the way.

use serde_json::json;

use super::stage::{Stage, by};
use crate::{dispatch::Kill, network::Membership};

const BOB: &str = "@test_bob:localhost";

#[tokio::test]
async fn a_portal_goes_on_in_the_room_that_replaces_it() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.hears("#lobby", "bob", "before").await.unwrap();
    room.hears(BOB, "before").await;
    let new = alice.upgrades(&room, true);
    new.has("@testbot:localhost", "join").await;
    new.has(BOB, "join").await;
    room.has(BOB, "leave").await;
    stage.settles().await;
    stage.script.hears("#lobby", "bob", "after").await.unwrap();
    new.hears(BOB, "after").await;
    alice.says(&new, "so it does");
    stage.script.expects("#lobby", "alice: so it does").await;
    assert_eq!(stage.homeserver.room("#test_#lobby:localhost").unwrap().id, new.id, "the alias leads there");
    assert_eq!(by(&room, BOB), ["before"]);
    assert_eq!(stage.bridge().mappings().len(), 1);
}

#[tokio::test]
async fn whom_the_network_keeps_out_is_kept_out_of_the_room_that_replaces_theirs() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.hears("#lobby", "bob", "before").await.unwrap();
    room.hears(BOB, "before").await;
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    room.has(BOB, "ban").await;
    let new = alice.upgrades(&room, true);
    new.has(BOB, "ban").await;
    stage.script.hears_member("#lobby", "bob", Membership::Unban).await.unwrap();
    new.has(BOB, "leave").await;
    stage.script.hears("#lobby", "bob", "after").await.unwrap();
    new.hears(BOB, "after").await;
}

#[tokio::test]
async fn what_is_said_before_we_are_let_in_waits_also_over_a_crash() {
    let (mut stage, alice, room) = Stage::lobby().await;
    let new = alice.upgrades(&room, false);
    stage.homeserver.all_taken().await;
    // The old room takes nothing any more.
    let refused = crate::testing::Fault::Refused(http::StatusCode::FORBIDDEN, "M_FORBIDDEN");
    stage.homeserver.fail_times(
        &format!("rooms/{}/send", room.id.replace('!', "%21").replace(':', "%3A")),
        refused.clone(),
        1000,
    );
    stage.homeserver.fail_times(&format!("rooms/{}/send", room.id), refused, 1000);
    stage.script.hears("#lobby", "bob", "one").await.unwrap();
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    stage.script.hears("#lobby", "bob", "two").await.unwrap();
    alice.invites(&new, "@testbot:localhost").await;
    alice.says(&new, "welcome");
    new.hears(BOB, "two").await;
    assert_eq!(by(&new, BOB), ["one", "two"]);
    stage.script.expects("#lobby", "alice: welcome").await;
    stage.settles().await;
    assert!(by(&room, BOB).is_empty());
}

#[tokio::test]
async fn a_room_that_does_not_name_its_predecessor_is_not_followed() {
    let (stage, alice, room) = Stage::lobby().await;
    let trap = alice.makes_room("trap");
    alice.sets(&room, "m.room.tombstone", json!({ "replacement_room": trap.id, "body": "come" }));
    stage.script.expects("#lobby", &format!("goes on in {}", trap.id)).await;
    stage.settles().await;
    stage.script.hears("#lobby", "bob", "still here").await.unwrap();
    room.hears(BOB, "still here").await;
    assert!(by(&trap, BOB).is_empty());
}
