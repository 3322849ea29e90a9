//! Stops and starts of every part, in the middle of talk.

use landbridge_tests::{On, Prosody, XmppDeployment};

use super::everywhere::everywhere;

everywhere! {
    a_restart_is_noticed_by_nobody_and_loses_nothing,
    the_xmpp_server_restarts,
    what_was_said_while_the_bridge_was_dead_comes_after,
}

async fn a_restart_is_noticed_by_nobody_and_loses_nothing(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    room.says("before").await;
    bob.sees(&tea, "alice", "before").await;
    bob.says(&tea, "me too").await;
    room.sees(&ghost, "me too").await;

    assert!(d.bridge.stop().await.success());
    d.start_again().await;
    room.says("after").await;
    bob.sees(&tea, "alice", "after").await;
    bob.says(&tea, "good to see you").await;
    room.sees(&ghost, "good to see you").await;

    let gone: Vec<_> =
        bob.stanzas().into_iter().filter(|stanza| stanza.is("presence") && stanza.kind() == "unavailable").collect();
    assert!(gone.is_empty(), "nobody left: {gone:?}");
    let heard: Vec<_> = room.heard().into_iter().filter(|(sender, _)| *sender == ghost).map(|(_, text)| text).collect();
    assert_eq!(heard, ["me too", "good to see you"]);
    // None of ours became somebody on XMPP.
    let members = room.members().await;
    assert!(
        !members.iter().any(|(id, name)| id.starts_with("@xmpp_") && name.as_deref() == Some("alice")),
        "{members:?}"
    );
}

async fn the_xmpp_server_restarts(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    room.says("before").await;
    bob.sees(&tea, "alice", "before").await;

    d.xmpp.kill();
    bob.sees_stanza("the end", |stanza| stanza.is("disconnected")).await;
    d.xmpp.start_again().await;
    let robert = d.xmpp_in("tea", "robert").await;
    // Said before or after the bridge is back: it waits for the link.
    room.says("after").await;
    robert.sees(&tea, "alice", "after").await;
    robert.says(&tea, "welcome back").await;
    let ghost = d.until_member(&room, "robert").await;
    room.sees(&ghost, "welcome back").await;
    assert_eq!(robert.heard(&tea).into_iter().filter(|(nick, _)| nick == "alice").count(), 1);
}

async fn what_was_said_while_the_bridge_was_dead_comes_after(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    bob.says(&tea, "before").await;
    room.sees(&ghost, "before").await;

    d.bridge.kill();
    let missed: Vec<String> = (0..5).map(|n| format!("nobody hears {n}")).collect();
    for line in &missed {
        bob.says(&tea, line).await;
        bob.sees(&tea, "bob", line).await;
    }
    d.start_again().await;
    for line in &missed {
        room.sees(&ghost, line).await;
    }
    bob.says(&tea, "after").await;
    room.sees(&ghost, "after").await;
    let heard: Vec<_> = room.heard().into_iter().map(|(_, text)| text).collect();
    let wanted: Vec<_> = ["before".to_owned()].into_iter().chain(missed).chain(["after".to_owned()]).collect();
    assert_eq!(heard, wanted, "in order, once");
}

/// Without an archive, the room's own history has to do.
#[tokio::test]
async fn a_room_without_archive_tells_what_was_missed_when_it_is_entered() {
    let prosody = Prosody::start_without_archive().await;
    let d = Box::pin(XmppDeployment::beside(prosody, On::Embedded, serde_json::json!({}))).await;
    Box::pin(what_was_said_while_the_bridge_was_dead_comes_after(d)).await;
}

/// As when the room's server lost its state: nobody says so, and nothing comes.
#[tokio::test]
async fn a_seat_that_is_lost_without_a_word_is_taken_again() {
    let changes = serde_json::json!({ "xmpp": { "rooms": { "check_every": "1s" } } });
    let d = Box::pin(XmppDeployment::beside(Prosody::start().await, On::Embedded, changes)).await;
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    room.says("before").await;
    bob.sees(&tea, "alice", "before").await;
    let forget = async |nick: &str| {
        bob.sends(&format!("<message to='{tea}'><forget xmlns='urn:landbridge:tests' nick='{nick}'/></message>")).await;
    };

    forget("Matrix").await;
    bob.says(&tea, "nobody hears this").await;
    bob.says(&tea, "nor this").await;
    room.sees(&ghost, "nobody hears this").await;
    room.sees(&ghost, "nor this").await;
    // Hers is found out to be lost when she speaks.
    forget("alice").await;
    room.says("still here").await;
    bob.sees(&tea, "alice", "still here").await;
    bob.says(&tea, "me too").await;
    room.sees(&ghost, "me too").await;
    assert_eq!(bob.heard(&tea).into_iter().filter(|(nick, _)| nick == "alice").count(), 2, "nothing came twice");
    assert_eq!(room.heard().into_iter().filter(|(sender, _)| *sender == ghost).count(), 3);
}
