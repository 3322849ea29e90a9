//! What is kept nowhere crosses too, both ways, and holds up nothing; and what changes a room is told.

use serde_json::json;

use super::stage::Stage;
use crate::{
    network::{Dedupe, IdentityMode, Picture, PictureContent, Pictured, Presence, SessionId, Whom, event::RemoteEvent},
    testing::{Fault, SimRoom, SimUser},
};

fn typing(room: &SimRoom, who: &[&str]) -> serde_json::Value {
    json!({ "type": "m.typing", "room_id": room.id, "content": { "user_ids": who } })
}

fn receipt(room: &SimRoom, kind: &str, who: &str, event_id: &str) -> serde_json::Value {
    json!({ "type": "m.receipt", "room_id": room.id, "content": { event_id: { kind: { who: { "ts": 5 } } } } })
}

/// Alice has a session of her own, bob has not.
async fn alice_speaks() -> (Stage, SimUser, SimRoom) {
    let mut stage = Stage::dark();
    stage.mode = IdentityMode::AutoPuppet;
    stage.starts(crate::dispatch::Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    alice.says(&room, "hi");
    stage.script.expects("#lobby", "hi").await;
    stage.script.expects_connected(&SessionId::User(ruma::UserId::parse(&alice.id).unwrap())).await;
    stage.settles().await;
    (stage, alice, room)
}

#[tokio::test]
async fn who_types_and_who_has_read_is_told_to_the_network() {
    let (stage, _, room) = alice_speaks().await;
    let bob = stage.homeserver.user("bob");
    bob.joins(&room.id).await.unwrap();
    stage.homeserver.push_ephemeral(typing(&room, &["@alice:localhost", "@bob:localhost", "@test_carl:localhost"]));
    stage.script.expects_ephemeral("@alice:localhost types in #lobby").await;
    stage.script.expects_ephemeral("@bob:localhost types in #lobby (relay)").await;
    stage.homeserver.push_ephemeral(typing(&room, &["@bob:localhost"]));
    stage.script.expects_ephemeral("@alice:localhost stops in #lobby").await;

    stage.script.hears("#lobby", "carl", "read me").await.unwrap();
    let event_id = room.hears("@test_carl:localhost", "read me").await["event_id"].as_str().unwrap().to_owned();
    stage.settles().await;
    let private = receipt(&room, "m.read.private", "@bob:localhost", &event_id);
    stage.homeserver.push_ephemeral(private);
    stage.homeserver.push_ephemeral(receipt(&room, "m.read", "@alice:localhost", "$unknown"));
    stage.homeserver.push_ephemeral(receipt(&room, "m.read", "@alice:localhost", &event_id));
    let presence = json!({ "type": "m.presence", "sender": "@alice:localhost", "content": { "presence": "unavailable", "status_msg": "lunch" } });
    stage.homeserver.push_ephemeral(presence);
    stage.script.expects_ephemeral("@alice:localhost is Unavailable (lunch)").await;
    let told = loop {
        let told = stage.script.ephemeral();
        if told.iter().any(|told| told.starts_with("@alice:localhost has read m")) {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert!(!told.iter().any(|told| told.contains("carl") || told.contains("@bob:localhost has read")), "{told:?}");
}

#[tokio::test]
async fn what_a_network_has_no_word_for_is_not_told() {
    let (stage, _, room) = alice_speaks().await;
    stage.script.can(|caps| caps.typing = crate::network::Level::Drop);
    stage.homeserver.push_ephemeral(typing(&room, &["@alice:localhost"]));
    let gone = json!({ "type": "m.presence", "sender": "@alice:localhost", "content": { "presence": "offline" } });
    for nonsense in [json!({}), json!({ "type": "m.typing" }), json!({ "type": "m.what", "room_id": 5 }), gone] {
        stage.homeserver.push_ephemeral(nonsense);
    }
    stage.script.expects_ephemeral("@alice:localhost is Offline").await;
    assert_eq!(stage.script.ephemeral(), ["@alice:localhost is Offline"]);
}

#[tokio::test]
async fn who_types_reads_and_comes_on_the_network_is_seen_in_matrix() {
    let (stage, alice, room) = Stage::lobby().await;
    let event_id = alice.says(&room, "hi");
    let said = stage.script.expects("#lobby", "alice: hi").await;
    stage.script.hears("#lobby", "bob", "hello").await.unwrap();
    room.hears("@test_bob:localhost", "hello").await;
    stage.settles().await;
    stage.script.types("#lobby", "bob", true);
    room.has_typing("@test_bob:localhost", true).await;
    stage.script.types("#lobby", "bob", false);
    room.has_typing("@test_bob:localhost", false).await;
    stage.script.reads("#lobby", "stranger", &said.id);
    stage.script.reads("#lobby", "bob", &said.id);
    room.has_read("@test_bob:localhost", &event_id).await;
    stage.script.is("stranger", Presence::Online, None);
    stage.script.is("bob", Presence::Unavailable, Some("lunch"));
    stage.homeserver.has_presence("@test_bob:localhost", "unavailable", Some("lunch")).await;
    let asked = stage.homeserver.requests();
    assert!(!asked.iter().any(|request| request.contains("stranger")), "{asked:?}");
}

#[tokio::test]
async fn a_picture_is_stored_once_and_shown_by_all_who_have_it() {
    let (stage, ..) = Stage::lobby().await;
    let named = |content| Some(Picture { hash: "abc".to_owned(), content });
    let content = || Some(PictureContent { mime: "image/png".to_owned(), bytes: vec![1, 2, 3] });
    assert_eq!(stage.script.shows("bob", named(None)).await, Ok(Pictured::ContentWanted));
    stage.homeserver.fail("/upload", Fault::BadGateway);
    assert_eq!(stage.script.shows("bob", named(content())).await, Ok(Pictured::NotNow));
    assert_eq!(stage.script.shows("bob", named(content())).await, Ok(Pictured::Shown));
    assert_eq!(stage.script.shows("carl", named(None)).await, Ok(Pictured::Shown));
    let avatar = |who: &str| stage.homeserver.profile(who).unwrap()["avatar_url"].clone();
    assert!(avatar("@test_bob:localhost").as_str().unwrap().starts_with("mxc://"));
    assert_eq!(avatar("@test_bob:localhost"), avatar("@test_carl:localhost"));
    let before = stage.homeserver.requests().len();
    assert_eq!(stage.script.shows("carl", named(None)).await, Ok(Pictured::Shown));
    assert_eq!(stage.homeserver.requests().len(), before, "what is shown already is not said again");
    let large = Some(PictureContent { mime: "image/png".to_owned(), bytes: vec![0; PictureContent::MOST + 1] });
    let other = Some(Picture { hash: "def".to_owned(), content: large });
    assert_eq!(stage.script.shows("bob", other).await, Ok(Pictured::Refused));
    assert_eq!(stage.script.shows("bob", None).await, Ok(Pictured::Shown));
    assert_eq!(stage.homeserver.profile("@test_bob:localhost").unwrap()["avatar_url"], json!(""));
}

#[tokio::test]
async fn power_bans_and_pardons_are_told_to_the_network() {
    let (stage, _, room) = Stage::lobby().await;
    stage.script.hears("#lobby", "bob", "hello").await.unwrap();
    room.hears("@test_bob:localhost", "hello").await;
    let admin = stage.homeserver.user("admin");
    admin.joins(&room.id).await.unwrap();
    let mut levels = room.state("m.room.power_levels", "").unwrap();
    levels["users"]["@test_bob:localhost"] = 50.into();
    levels["users"]["@alice:localhost"] = 25.into();
    admin.sets(&room, "m.room.power_levels", levels);
    stage.script.expects("#lobby", "admin empowers @alice:localhost 0 to 25, bob 0 to 50").await;
    admin.bans(&room, "@alice:localhost", Some("spam"));
    stage.script.expects("#lobby", "admin expels @alice:localhost").await;
    admin.kicks(&room, "@alice:localhost", None);
    stage.script.expects("#lobby", "admin pardons @alice:localhost").await;
    admin.bans(&room, "@test_bob:localhost", None);
    stage.script.expects("#lobby", "admin Ban bob").await;
    admin.kicks(&room, "@test_bob:localhost", None);
    stage.script.expects("#lobby", "admin Unban bob").await;
}

#[tokio::test]
async fn power_that_the_network_gives_a_matrix_user_is_theirs_unless_they_have_another() {
    let (stage, alice, room) = Stage::lobby().await;
    let levels = || room.state("m.room.power_levels", "").unwrap()["users"].clone();
    let gives = async |level, before| {
        let who = Whom::Matrix("@alice:localhost".try_into().unwrap());
        let event = RemoteEvent::Power { room: "#lobby".to_owned(), who, level, before: Some(before) };
        stage.script.happens(event, Dedupe::Never).await.unwrap();
        // What comes behind it in the room has come through, and so has it.
        alice.says(&room, "and now?");
        stage.script.expects("#lobby", "alice: and now?").await;
        stage.settles().await;
    };
    gives(50, 0).await;
    assert_eq!(levels()["@alice:localhost"], 50);
    gives(0, 75).await;
    assert_eq!(levels()["@alice:localhost"], 50, "she has what nobody there gave her");
    gives(0, 50).await;
    assert_eq!(levels()["@alice:localhost"], 0);
    assert!(!stage.lines().iter().any(|line| line.contains("empowers")), "and the network is not told what it said");
}
