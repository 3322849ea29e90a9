//! Stops and starts of every part, in the middle of talk.

use landbridge_tests::{On, Prosody, XmppDeployment};

use super::everywhere::{everywhere, on};

everywhere! {
    a_restart_is_noticed_by_nobody_and_loses_nothing,
    the_xmpp_server_restarts,
    what_was_said_while_the_bridge_was_dead_comes_after,
    reactions_are_still_known_after_a_restart,
    who_leaves_after_a_restart_is_gone,
}

// Synapse is run without presence.
on!(own_prosody, over_prosody(landbridge_tests::On::Embedded), who_sees_whom_is_known_after_a_restart,);
on!(own_ejabberd, over_ejabberd(landbridge_tests::On::Embedded), who_sees_whom_is_known_after_a_restart,);
on!(own_in_one, in_one_over_prosody(), who_sees_whom_is_known_after_a_restart,);

/// Their seat is still the one that they had before.
async fn who_leaves_after_a_restart_is_gone(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    let dora = d.matrix("dora").await;
    let hers = dora.joins(&room.id).await;
    for (room, name) in [(&room, "alice"), (&hers, "dora")] {
        room.says("hello").await;
        bob.sees(&tea, name, "hello").await;
    }
    assert!(d.bridge.stop().await.success());
    d.start_again().await;
    hers.leaves().await;
    bob.sees_leave(&tea, "dora").await;
    room.says("bye, Dora").await;
    bob.sees(&tea, "alice", "bye, Dora").await;
}

async fn who_sees_whom_is_known_after_a_restart(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let bob = d.xmpp("bob").await;
    let (her, ghost) = (d.puppet("alice"), d.ghost("bob"));
    bob.tells(&her, "hello").await;
    let chat = alice.accepts_invitation(&ghost).await;
    chat.sees(&ghost, "hello").await;
    bob.sends(&format!("<presence to='{her}' type='subscribe'/>")).await;
    bob.sees_stanza("returned", |stanza| stanza.kind() == "subscribe").await;
    bob.sends(&format!("<presence to='{her}' type='subscribed'/>")).await;
    let shown = async |show: Option<&str>, status: &str| {
        let fits = |stanza: &landbridge_tests::Stanza| {
            stanza.is("presence")
                && stanza.kind().is_empty()
                && stanza.from().starts_with(&her)
                && stanza.xml().contains(status)
                && show.map_or(!stanza.xml().contains("show>"), |show| stanza.xml().contains(&format!("{show}</")))
        };
        bob.sees_stanza(&format!("{show:?}: {status}"), fits).await
    };
    alice.is_now("unavailable", Some("at lunch")).await;
    shown(Some("away"), "at lunch").await;
    bob.sends("<presence><show>away</show><status>making tea</status></presence>").await;
    alice.sees_absence(&ghost, "making tea").await;

    d.bridge.kill();
    bob.sends("<presence><show>away</show><status>out of tea</status></presence>").await;
    d.start_again().await;
    alice.sees_absence(&ghost, "out of tea").await;
    // His other client, which has seen nothing before, is told how she is.
    let phone = d.xmpp("bob").await;
    phone.sees_stanza("at lunch", |stanza| stanza.from().starts_with(&her) && stanza.xml().contains("at lunch")).await;
    alice.is_now("unavailable", Some("still at lunch")).await;
    shown(Some("away"), "still at lunch").await;
    alice.is_now("offline", None).await;
    bob.sees_stanza("she is gone", |stanza| stanza.kind() == "unavailable" && stanza.from().starts_with(&her)).await;
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

/// Each message of reactions says all of somebody's: those before the restart are among them.
async fn reactions_are_still_known_after_a_restart(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    bob.says(&tea, "tea?").await;
    let asked = room.sees(&ghost, "tea?").await;
    let up = room.reacts(asked.id(), "👍").await;
    let with = |stanza: &landbridge_tests::Stanza, there: &[&str]| {
        let all = ["👍", "☕", "🍰"];
        let xml = stanza.xml();
        stanza.nick() == "alice"
            && xml.contains("reactions:0")
            && all.iter().all(|key| xml.contains(key) == there.contains(key))
    };
    bob.sees_stanza("a thumb", |stanza| with(stanza, &["👍"])).await;
    assert!(d.bridge.stop().await.success());
    d.start_again().await;
    room.reacts(asked.id(), "☕").await;
    bob.sees_stanza("a thumb and a cup", |stanza| with(stanza, &["👍", "☕"])).await;
    room.redacts(&up, "").await;
    bob.sees_stanza("a cup", |stanza| with(stanza, &["☕"])).await;
    d.bridge.kill();
    d.start_again().await;
    room.reacts(asked.id(), "🍰").await;
    bob.sees_stanza("a cup and cake", |stanza| with(stanza, &["☕", "🍰"])).await;
}

/// Where a room says nothing of people but their nicks: who takes a nick after another is not them, also after a restart.
#[tokio::test]
async fn who_takes_a_nick_in_an_anonymous_room_does_not_become_who_had_it() {
    let d = Box::pin(XmppDeployment::over_ejabberd(On::Embedded)).await;
    Box::pin(who_takes_a_nick_is_somebody_else(d)).await;
}

async fn who_takes_a_nick_is_somebody_else(mut d: XmppDeployment) {
    let owner = d.xmpp_in("tea", "owner").await;
    let tea = d.room("tea");
    owner.configures(&tea, "whois", "moderators").await;
    let bob = d.xmpp("bob").await;
    bob.joins(&tea, "somebody").await;
    let alice = d.matrix("alice").await;
    let room = d.join(&alice, "tea").await;
    let first = d.until_member(&room, "somebody").await;
    assert_ne!(first, d.ghost("bob"), "the room does not say who he is");
    bob.says(&tea, "it is me").await;
    room.sees(&first, "it is me").await;

    // A restart that he stays through changes nothing.
    assert!(d.bridge.stop().await.success());
    d.start_again().await;
    bob.says(&tea, "still me").await;
    room.sees(&first, "still me").await;
    bob.leaves(&tea, "somebody").await;
    room.sees_membership(&first, "leave").await;
    let eve = d.xmpp("eve").await;
    eve.joins(&tea, "somebody").await;
    let second = d.until_member(&room, "somebody").await;
    assert_ne!(first, second);
    assert!(d.bridge.stop().await.success());
    d.start_again().await;
    eve.says(&tea, "I am nobody you know").await;
    room.sees(&second, "I am nobody you know").await;
}
