//! Who comes, who goes, who talks in private, who may join rooms.

use http::StatusCode;

use super::stage::{SERVER, Stage};
use crate::{
    bridge::mappings::remote_lane,
    dispatch::Kill,
    network::{Dedupe, Direction, IdentityMode, Membership, SessionId},
    testing::{Fault, Heard, SimRoom, SimUser},
};

#[tokio::test]
async fn virtual_users_are_in_the_room_who_are_in_the_channel() {
    let (stage, _, room) = Stage::lobby().await;
    let members = (0..30).map(|n| (format!("u{n}"), Some(format!("User {n}")))).collect();
    let list = Heard::Members { room: "#lobby".to_owned(), members };
    stage.script.happens(list, Dedupe::Never).await.unwrap();
    for n in 0..30 {
        room.has(&format!("@test_u{n}:localhost"), "join").await;
    }
    assert_eq!(stage.homeserver.profile("@test_u7:localhost").unwrap()["displayname"], "User 7");
    stage.script.hears_member("#lobby", "u7", Membership::Leave).await.unwrap();
    room.has("@test_u7:localhost", "leave").await;
    let list = Heard::Members { room: "#lobby".to_owned(), members: vec![("u1".to_owned(), None)] };
    stage.script.happens(list, Dedupe::Never).await.unwrap();
    room.has("@test_u2:localhost", "leave").await;
    assert_eq!(room.membership("@test_u1:localhost"), "join");
}

#[tokio::test]
async fn who_says_a_word_and_goes_is_gone() {
    let (stage, _, room) = Stage::lobby().await;
    stage.script.hears("#lobby", "bob", "bye").await.unwrap();
    stage.script.hears_member("#lobby", "bob", Membership::Leave).await.unwrap();
    room.hears("@test_bob:localhost", "bye").await;
    room.has("@test_bob:localhost", "leave").await;
    let renamed = Heard::Renamed { room: "#lobby".into(), from: "carl".into(), to: "karl".into(), name: None };
    stage.script.hears("#lobby", "carl", "I am carl").await.unwrap();
    stage.script.happens(renamed, Dedupe::Never).await.unwrap();
    room.has("@test_karl:localhost", "join").await;
    room.has("@test_carl:localhost", "leave").await;
}

#[tokio::test]
async fn who_was_put_out_in_matrix_is_brought_back_by_what_they_say() {
    let (stage, _, room) = Stage::lobby().await;
    stage.script.hears("#lobby", "bob", "one").await.unwrap();
    room.hears("@test_bob:localhost", "one").await;
    let bot = stage.homeserver.user("testbot");
    bot.kicks(&room, "@test_bob:localhost", None);
    stage.homeserver.all_taken().await;
    stage.script.hears("#lobby", "bob", "two").await.unwrap();
    room.hears("@test_bob:localhost", "two").await;
}

#[tokio::test]
async fn who_is_banned_on_the_network_is_banned_in_matrix_until_it_lets_them_in() {
    let (mut stage, _, room) = Stage::lobby().await;
    let bob = "@test_bob:localhost";
    stage.script.hears("#lobby", "bob", "one").await.unwrap();
    room.hears(bob, "one").await;
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    room.has(bob, "ban").await;
    // That they are gone, too, lifts nothing, nor does a restart.
    stage.script.hears_member("#lobby", "bob", Membership::Leave).await.unwrap();
    let list = Heard::Members { room: "#lobby".to_owned(), members: vec![("carl".to_owned(), None)] };
    stage.script.happens(list, Dedupe::Never).await.unwrap();
    room.has("@test_carl:localhost", "join").await;
    stage.settles().await;
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    assert_eq!(room.membership(bob), "ban");
    stage.script.hears_member("#lobby", "bob", Membership::Unban).await.unwrap();
    room.has(bob, "leave").await;
    stage.script.hears("#lobby", "bob", "two").await.unwrap();
    room.hears(bob, "two").await;
    // Whoever comes in again was let in, whether that was told or not.
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    room.has(bob, "ban").await;
    stage.script.hears_member("#lobby", "bob", Membership::Join).await.unwrap();
    room.has(bob, "join").await;
}

#[tokio::test]
async fn who_is_let_in_in_matrix_is_so_when_the_network_follows() {
    let (stage, alice, room) = Stage::lobby().await;
    let bob = "@test_bob:localhost";
    stage.script.hears("#lobby", "bob", "one").await.unwrap();
    room.hears(bob, "one").await;
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    room.has(bob, "ban").await;
    // To take somebody's ban away is, in the room's state, the same as to kick them.
    alice.kicks(&room, bob, None);
    stage.homeserver.all_taken().await;
    stage.settles().await;
    assert_eq!(room.membership(bob), "leave");
    // The network tells of the ban only now, and then that it is over.
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    stage.script.hears_member("#lobby", "bob", Membership::Unban).await.unwrap();
    stage.script.hears_member("#lobby", "bob", Membership::Join).await.unwrap();
    room.has(bob, "join").await;
    stage.script.hears("#lobby", "bob", "two").await.unwrap();
    room.hears(bob, "two").await;
}

#[tokio::test]
async fn what_somebody_said_before_they_were_banned_is_said_and_they_stay_banned() {
    let (stage, _, room) = Stage::lobby().await;
    let bob = "@test_bob:localhost";
    stage.script.hears_member("#lobby", "bob", Membership::Join).await.unwrap();
    room.has(bob, "join").await;
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    room.has(bob, "ban").await;
    stage.script.hears("#lobby", "bob", "what came late").await.unwrap();
    room.hears(bob, "what came late").await;
    room.has(bob, "ban").await;
}

#[tokio::test]
async fn where_the_bot_may_not_ban_they_leave_and_a_ban_of_others_is_not_made_twice() {
    let (stage, alice, room) = Stage::lobby().await;
    let (bob, carl) = ("@test_bob:localhost", "@test_carl:localhost");
    for (name, id) in [("bob", bob), ("carl", carl)] {
        stage.script.hears_member("#lobby", name, Membership::Join).await.unwrap();
        room.has(id, "join").await;
    }
    alice.bans(&room, carl, None);
    stage.homeserver.all_taken().await;
    // The first who is asked to be banned is not.
    stage.homeserver.fail("/ban", Fault::Refused(StatusCode::FORBIDDEN, "M_FORBIDDEN"));
    stage.script.hears_member("#lobby", "carl", Membership::Ban).await.unwrap();
    stage.script.hears_member("#lobby", "bob", Membership::Ban).await.unwrap();
    room.has(bob, "leave").await;
    assert_eq!(room.membership(carl), "ban");
    // The network's word lets him in again, whoever kept him out.
    stage.script.hears_member("#lobby", "carl", Membership::Unban).await.unwrap();
    room.has(carl, "leave").await;
}

#[tokio::test]
async fn a_private_message_makes_a_private_room_and_its_owner_can_answer() {
    let stage = Stage::lit().await;
    let alice = stage.homeserver.user("alice");
    stage.script.hears("=@alice:localhost=bob", "bob", "psst").await.unwrap();
    let room = loop {
        if let Some(room) = stage.homeserver.rooms().into_iter().find(|room| room.membership(&alice.id) == "invite") {
            break room;
        }
        tokio::task::yield_now().await;
    };
    room.hears("@test_bob:localhost", "psst").await;
    // Her client is to call it "bob", not by the alias.
    assert_eq!(room.state("m.room.canonical_alias", ""), Some(serde_json::json!({})));
    alice.joins(&room.id).await.unwrap();
    alice.says(&room, "yes?");
    stage.script.expects("=@alice:localhost=bob", "alice: yes?").await;
    stage.script.hears("=@alice:localhost=bob", "bob", "hi").await.unwrap();
    room.hears("@test_bob:localhost", "hi").await;
}

const PRIVATE: &str = "=@alice:localhost=bob";

/// Waits until somebody is invited, elsewhere than there.
async fn invited(stage: &Stage, who: &SimUser, elsewhere_than: Option<&SimRoom>) -> SimRoom {
    loop {
        let rooms = stage.homeserver.rooms().into_iter();
        let mut rooms = rooms.filter(|room| elsewhere_than.is_none_or(|other| other.id != room.id));
        if let Some(room) = rooms.find(|room| room.membership(&who.id) == "invite") {
            return room;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_declined_or_left_a_private_conversation_is_invited_to_what_is_said_next() {
    let mut stage = Stage::lit().await;
    let alice = stage.homeserver.user("alice");
    stage.script.hears(PRIVATE, "bob", "psst").await.unwrap();
    let room = invited(&stage, &alice, None).await;
    alice.leaves(&room);
    stage.homeserver.all_taken().await;
    stage.settles().await;
    stage.script.hears(PRIVATE, "bob", "hello?").await.unwrap();
    assert_eq!(invited(&stage, &alice, None).await.id, room.id);
    room.hears("@test_bob:localhost", "hello?").await;
    alice.joins(&room.id).await.unwrap();
    // What is not said to her invites nobody: she is there.
    stage.script.hears(PRIVATE, "bob", "there you are").await.unwrap();
    room.hears("@test_bob:localhost", "there you are").await;
    // She leaves, and the next life knows it.
    alice.leaves(&room);
    stage.homeserver.all_taken().await;
    stage.settles().await;
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    assert_eq!(room.membership(&alice.id), "leave");
    stage.script.hears(PRIVATE, "bob", "one more thing").await.unwrap();
    room.hears("@test_bob:localhost", "one more thing").await;
    room.has(&alice.id, "invite").await;
    assert_eq!(stage.homeserver.rooms().len(), 1);
}

#[tokio::test]
async fn who_put_out_whom_they_talked_with_is_invited_to_another_room() {
    let mut stage = Stage::lit().await;
    let alice = stage.homeserver.user("alice");
    stage.script.hears(PRIVATE, "bob", "psst").await.unwrap();
    let old = invited(&stage, &alice, None).await;
    alice.joins(&old.id).await.unwrap();
    alice.kicks(&old, "@test_bob:localhost", None);
    stage.homeserver.all_taken().await;
    stage.settles().await;
    // The room is made, and the bridge dies before it hears of it.
    stage.homeserver.fail("createRoom", crate::testing::Fault::AnswerLost);
    stage.script.hears(PRIVATE, "bob", "sorry").await.unwrap();
    let new = invited(&stage, &alice, Some(&old)).await;
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    new.hears("@test_bob:localhost", "sorry").await;
    alice.joins(&new.id).await.unwrap();
    alice.says(&new, "well");
    stage.script.expects(PRIVATE, "alice: well").await;
    stage.script.hears(PRIVATE, "bob", "thanks").await.unwrap();
    new.hears("@test_bob:localhost", "thanks").await;
    assert_eq!(stage.homeserver.rooms().len(), 2);
    assert_eq!(old.membership("@test_bob:localhost"), "leave");
}

#[tokio::test]
async fn who_invites_a_virtual_user_talks_to_them_also_for_the_second_time() {
    let stage = Stage::lit().await;
    let alice = stage.homeserver.user("alice");
    for text in ["one", "two"] {
        let room = alice.invites_to_chat("@test_bob:localhost").await;
        room.has("@test_bob:localhost", "join").await;
        stage.settles().await;
        alice.says(&room, text);
        stage.script.expects("=@alice:localhost=bob", &format!("alice: {text}")).await;
        stage.script.hears("=@alice:localhost=bob", "bob", text).await.unwrap();
        room.hears("@test_bob:localhost", text).await;
    }
}

#[tokio::test]
async fn a_room_is_plumbed_by_who_has_the_power() {
    let stage = Stage::lit().await;
    let (owner, guest) = (stage.homeserver.user("owner"), stage.homeserver.user("guest"));
    let room = owner.makes_room("Ours");
    owner.invites(&room, "@testbot:localhost").await;
    room.has("@testbot:localhost", "join").await;
    guest.joins(&room.id).await.unwrap();
    guest.says(&room, "!test plumb #ours");
    room.hears("@testbot:localhost", "You need the power to change this room's settings to do that.").await;
    owner.says(&room, "!test plumb #ours");
    room.hears("@testbot:localhost", "This room is now joined to #ours on Test.").await;
    stage.script.expects_entered("#ours").await;
    guest.says(&room, "hello");
    stage.script.expects("#ours", "guest: hello").await;
    stage.script.hears("#ours", "bob", "hi").await.unwrap();
    room.hears("@test_bob:localhost", "hi").await;
    owner.says(&room, "!test unplumb");
    room.hears("@testbot:localhost", "This room is joined to nothing any more.").await;
    room.has("@test_bob:localhost", "leave").await;
    let ingested = stage.script.hears("#ours", "bob", "anybody?").await.unwrap();
    assert_eq!(ingested, crate::network::Ingested::NotMapped);
}

#[tokio::test]
async fn commands_are_for_whom_the_configuration_says() {
    use crate::bridge::Role::{Admins, Everybody, Moderators};
    const POWER: &str = "You need the power to change this room's settings to do that.";
    const ADMINS: &str = "Only the bridge's admins may do that.";
    let mut stage = Stage::dark();
    stage.permissions.admins = vec![ruma::user_id!("@admin:localhost").to_owned()];
    for (role, guest, owner) in
        [(Everybody, None, None), (Moderators, Some(POWER), None), (Admins, Some(ADMINS), Some(ADMINS))]
    {
        let permissions = &mut stage.permissions;
        (permissions.plumb, permissions.status, permissions.revoke) = (role, role, role);
        stage.starts(crate::dispatch::Kill::default()).await;
        let people = ["guest", "owner", "admin"].map(|name| stage.homeserver.user(name));
        let room = people[1].makes_room("Ours");
        people[1].invites(&room, "@testbot:localhost").await;
        room.has("@testbot:localhost", "join").await;
        for (person, refusal) in people.iter().zip([guest, owner, None]) {
            if person.id != people[1].id {
                person.joins(&room.id).await.unwrap();
            }
            for (command, allowed) in [
                ("status", "This room is joined to nothing. The bridge is running."),
                ("unplumb", "This room is joined to nothing."),
                ("enter", "This room is joined to nothing."),
                ("plumb =nobody=", "=nobody= was not joined to this room: there is no such place."),
                ("revoke mxc://localhost/x", "Links to that file lead nowhere any more."),
                ("revoke nonsense", "That is no link to a file."),
            ] {
                stage.script.refuses_rooms(command.starts_with("plumb"));
                let event_id = person.says(&room, &format!("!test {command}"));
                let answer = room
                    .sees(&format!("an answer to {command}"), |event| {
                        event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == event_id.as_str()
                    })
                    .await;
                assert_eq!(
                    answer["content"]["body"],
                    refusal.unwrap_or(allowed),
                    "{} says {command}, which is for {role:?}",
                    person.id
                );
            }
        }
        stage.crashes().await;
    }
}

#[tokio::test]
async fn the_bot_is_called_what_the_configuration_says() {
    let stage = Stage::lit().await;
    stage.homeserver.has_display_name("@testbot:localhost", "Test bridge").await;
}

#[tokio::test]
async fn each_who_speaks_has_a_session_of_their_own() {
    let mut stage = Stage::dark();
    stage.mode = IdentityMode::AutoPuppet;
    stage.starts(crate::dispatch::Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    alice.says(&room, "hi");
    let said = stage.script.expects("#lobby", "hi").await;
    assert_eq!(said.session, SessionId::User(ruma::user_id!("@alice:localhost").to_owned()));
}

#[tokio::test]
async fn who_has_something_left_to_say_after_a_crash_goes_by_the_same_name() {
    let mut stage = Stage::dark();
    stage.mode = IdentityMode::AutoPuppet;
    stage.starts(crate::dispatch::Kill::default()).await;
    let alice = stage.homeserver.user("alice");
    alice.is_called("Alice Liddell");
    let room = alice.joins(&format!("#test_#lobby:{SERVER}")).await.expect("the portal is there");
    stage.script.expects_entered("#lobby").await;
    alice.says(&room, "hi");
    stage.script.expects("#lobby", "hi").await;
    stage.settles().await;
    stage.script.goes_down();
    alice.says(&room, "again");
    stage.homeserver.all_taken().await;
    let lane = remote_lane(&"#lobby".to_owned());
    let rows = async || stage.bridge().parts.store.outbox_of(Direction::ToRemote, &lane, 0, 10).await.unwrap();
    while rows().await.is_empty() {
        tokio::task::yield_now().await;
    }
    stage.crashes().await;
    stage.script.comes_up();
    stage.starts(crate::dispatch::Kill::default()).await;
    stage.script.expects("#lobby", "again").await;
    let alice = ruma::user_id!("@alice:localhost").to_owned();
    assert_eq!(stage.bridge().parts.speakers.names(), [(alice, "Alice Liddell".to_owned())]);
}

#[tokio::test]
async fn one_who_cannot_connect_holds_up_nobody_else_and_loses_nothing() {
    let mut stage = Stage::dark();
    stage.mode = IdentityMode::AutoPuppet;
    stage.starts(crate::dispatch::Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    let (bert, _) = stage.enters("bert", "#lobby").await;
    let session = SessionId::User(ruma::user_id!("@alice:localhost").to_owned());
    stage.script.keeps_out(&session, true);
    for text in ["one", "two"] {
        alice.says(&room, text);
    }
    bert.says(&room, "hello");
    stage.script.expects("#lobby", "hello").await;
    alice.says(&room, "three");
    stage.homeserver.all_taken().await;
    assert_eq!(stage.lines(), ["#lobby hello"]);
    stage.script.keeps_out(&session, false);
    stage.script.expects("#lobby", "three").await;
    assert_eq!(stage.lines(), ["#lobby hello", "#lobby one", "#lobby two", "#lobby three"]);
}

#[tokio::test]
async fn who_was_kept_out_by_the_network_may_come_back_when_it_says_so() {
    let (stage, _, room) = Stage::lobby().await;
    let alice = || ruma::user_id!("@alice:localhost").to_owned();
    let pardoned =
        || Heard::Pardoned { room: "#lobby".to_owned(), user_id: alice(), by: Some("bob".to_owned()), reason: None };
    // Who was never kept out is not put out by being forgiven.
    stage.script.happens(pardoned(), Dedupe::Never).await.unwrap();
    stage.script.hears("#lobby", "bob", "one").await.unwrap();
    room.hears("@test_bob:localhost", "one").await;
    assert_eq!(room.membership("@alice:localhost"), "join");
    let expelled = Heard::Expelled {
        room: "#lobby".to_owned(),
        user_id: alice(),
        by: Some("bob".to_owned()),
        reason: Some("spam".to_owned()),
        banned: true,
    };
    stage.script.happens(expelled, Dedupe::Never).await.unwrap();
    room.has("@alice:localhost", "ban").await;
    stage.script.happens(pardoned(), Dedupe::Never).await.unwrap();
    room.has("@alice:localhost", "leave").await;
}
