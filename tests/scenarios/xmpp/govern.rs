//! Who may do what in a room: kicks, bans, power, names and topics, messages that moderators take out, and what a room refuses.

use landbridge_tests::{XmppDeployment, eventually};

use super::everywhere::{everywhere, on};

everywhere! {
    a_room_is_governed_from_matrix,
    a_room_is_governed_from_xmpp,
    a_bridge_that_is_put_out_stays_out_until_it_is_wanted_again,
    what_moderators_take_out_is_out_on_both_sides,
    what_a_room_refuses_is_told_to_who_said_it,
    what_is_said_without_a_voice_is_kept_until_there_is_one,
}

on!(own_prosody, over_prosody(landbridge_tests::On::Embedded), who_may_plumb_has_a_kicked_bridge_come_back,);
on!(patient_prosody, over_prosody(landbridge_tests::On::Embedded), no_more_is_kept_than_a_hundred_messages,);

async fn a_room_is_governed_from_matrix(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "bob").await;
    let tea = d.room("tea");
    let alice = d.matrix("alice").await;
    let room = d.own_room(&alice, &bob, "tea").await;
    let _carol = d.xmpp_in("tea", "carol").await;
    let hers = d.until_member(&room, "carol").await;
    assert_eq!(hers, d.ghost("carol"), "an owner sees real addresses");

    let by_bob = format!("<message to='{tea}' type='groupchat'><subject>from XMPP</subject></message>");
    bob.sends(&by_bob).await;
    room.sees_topic("from XMPP").await;
    room.sets_topic("from Matrix").await;
    bob.sees_stanza("the topic", |stanza| stanza.subject() == Some("from Matrix")).await;
    bob.sends(&by_bob).await;
    eventually("the topic is what it was", || async {
        let topic = room.reads_state("m.room.topic", "").await.ok()?;
        (topic["topic"] == "from XMPP").then_some(())
    })
    .await;
    room.sets_state("m.room.name", "", serde_json::json!({ "name": "The tea room" })).await;
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    eventually("the room is called so", || async {
        bob.asks(&tea, info).await.ok().filter(|info| info.contains("The tea room"))
    })
    .await;

    for (level, what) in [(50, "role=\"moderator\""), (75, "affiliation=\"admin\""), (0, "affiliation=\"none\"")] {
        room.gives_power(&hers, level).await;
        bob.sees_become(&tea, "carol", what).await;
    }
    room.gives_power(&hers, -1).await;
    bob.sees_become(&tea, "carol", "role=\"visitor\"").await;
    room.gives_power(&hers, 0).await;
    bob.sees_become(&tea, "carol", "role=\"participant\"").await;

    // (ejabberd 23.01 lets outcasts in who were given a role before: this is somebody else.)
    let eve = d.xmpp_in("tea", "eve").await;
    let hers = d.until_member(&room, "eve").await;
    room.kicks(&hers, "not here").await;
    let kicked = eve.sees_leave(&tea, "eve").await;
    assert!(kicked.has_code(307) && kicked.xml().contains("not here"), "{}", kicked.xml());
    room.sees_membership(&hers, "leave").await;
    eve.joins(&tea, "eve").await;
    assert_eq!(d.until_member(&room, "eve").await, hers);
    room.bans(&hers, "never again").await;
    let banned = eve.sees_leave(&tea, "eve").await;
    assert!(banned.has_code(301) && banned.xml().contains("never again"), "{}", banned.xml());
    eve.tries_to_join(&tea, "eve").await.expect_err("she is kept out");
    room.unbans(&hers).await;
    eventually("she is let in again", || async { eve.tries_to_join(&tea, "eve").await.ok() }).await;
    assert_eq!(d.until_member(&room, "eve").await, hers);

    // A Matrix user who is banned in Matrix is kept out on the other side, too.
    let dora = d.matrix("dora").await;
    dora.joins(&room.id).await.says("hello").await;
    bob.sees(&tea, "dora", "hello").await;
    room.bans(&dora.id, "").await;
    bob.sees_leave(&tea, "dora").await;
    let her = d.puppet("dora");
    eventually("she is an outcast", || async { bob.lists(&tea, "outcast").await.contains(&her).then_some(()) }).await;
    room.unbans(&dora.id).await;
    eventually("she is none", || async { (!bob.lists(&tea, "outcast").await.contains(&her)).then_some(()) }).await;
}

async fn a_room_is_governed_from_xmpp(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let bob = d.xmpp_in("tea", "bob").await;
    let tea = d.room("tea");
    bob.affiliates(&tea, &d.bot_jid(), "owner").await;
    let room = d.join(&alice, "tea").await;
    let carol = d.xmpp_in("tea", "carol").await;
    let hers = d.until_member(&room, "carol").await;
    room.has_power(&d.ghost("bob"), 100).await;

    bob.affiliates(&tea, &carol.jid, "admin").await;
    room.has_power(&hers, 75).await;
    bob.affiliates(&tea, &carol.jid, "none").await;
    bob.gives_role(&tea, "carol", "moderator").await;
    room.has_power(&hers, 50).await;
    bob.gives_role(&tea, "carol", "participant").await;
    room.has_power(&hers, 0).await;

    bob.configures(&tea, "roomname", "Tea and cake").await;
    let named = |event: &landbridge_tests::RoomEvent| event.content()["name"] == "Tea and cake";
    room.sees_event("the name", |event| event.kind() == "m.room.name" && named(event)).await;

    bob.affiliates(&tea, &carol.jid, "outcast").await;
    let banned = room.sees_membership(&hers, "ban").await;
    assert!(banned.content()["reason"].as_str().unwrap_or_default().contains("enough"), "{banned:?}");
    bob.affiliates(&tea, &carol.jid, "none").await;
    room.sees_event("she may come back", |event| {
        event.json["state_key"] == hers.as_str()
            && event.content()["membership"] == "leave"
            && event.json["unsigned"]["prev_content"]["membership"] == "ban"
    })
    .await;
    carol.joins(&tea, "carol").await;
    assert_eq!(d.until_member(&room, "carol").await, hers);
    if d.xmpp.domain() != "xmpp.test" {
        // This ejabberd gives no voice to who was banned before.
        bob.gives_role(&tea, "carol", "participant").await;
        carol.sees_become(&tea, "carol", "role=\"participant\"").await;
    }
    carol.says(&tea, "sorry").await;
    room.sees(&hers, "sorry").await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    bob.affiliates(&tea, &d.puppet("alice"), "admin").await;
    room.has_power(&alice.id, 75).await;
    bob.affiliates(&tea, &d.puppet("alice"), "none").await;
    room.has_power(&alice.id, 0).await;
    bob.affiliates(&tea, &d.puppet("alice"), "outcast").await;
    let banned = alice
        .sees_event("she is banned", |event| {
            event.json["state_key"] == alice.id.as_str() && event.content()["membership"] == "ban"
        })
        .await;
    assert!(banned.content()["reason"].as_str().unwrap_or_default().contains("enough"), "{banned:?}");

    bob.affiliates(&tea, &d.puppet("alice"), "none").await;
    alice
        .sees_event("she may come back", |event| {
            event.json["state_key"] == alice.id.as_str() && event.content()["membership"] == "leave"
        })
        .await;
    let room = d.join(&alice, "tea").await;
    if d.xmpp.domain() != "xmpp.test" {
        // This ejabberd gives no voice to who was banned before.
        room.says("am I heard?").await;
        room.sees_event("that she is not", |event| event.body().contains("no voice")).await;
        bob.gives_role(&tea, "alice", "participant").await;
        bob.sees(&tea, "alice", "am I heard?").await;
    }
    room.says("sorry").await;
    bob.sees(&tea, "alice", "sorry").await;
}

async fn a_bridge_that_is_put_out_stays_out_until_it_is_wanted_again(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    bob.sees_join(&tea, "Matrix").await;

    bob.gives_role(&tea, "Matrix", "none").await;
    bob.sees_leave(&tea, "Matrix").await;
    room.sees_event("that it is out", |event| event.body().contains("the bridge was kicked")).await;
    room.says("anybody?").await;
    room.sees_event("that nobody heard her", |event| event.body().starts_with("Not delivered")).await;
    let invite = format!("<x xmlns='http://jabber.org/protocol/muc#user'><invite to='{}'/></x>", d.bot_jid());
    bob.sends(&format!("<message to='{tea}'>{invite}</message>")).await;
    bob.sees_join(&tea, "Matrix").await;
    room.says("back again").await;
    bob.sees(&tea, "alice", "back again").await;

    bob.affiliates(&tea, &d.bot_jid(), "outcast").await;
    bob.sees_leave(&tea, "Matrix").await;
    room.sees_event("that it is banned", |event| event.body().contains("the bridge was banned")).await;
    room.says("and now?").await;
    let refused = |event: &landbridge_tests::RoomEvent| {
        event.body().starts_with("Not delivered") && event.body().contains("banned from the room")
    };
    room.sees_event("that nobody heard that", refused).await;
    bob.affiliates(&tea, &d.bot_jid(), "none").await;
    room.says("and again").await;
    bob.sees(&tea, "alice", "and again").await;
    assert!(!bob.heard(&tea).iter().any(|(_, body)| body == "anybody?" || body == "and now?"));
}

async fn who_may_plumb_has_a_kicked_bridge_come_back(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "bob").await;
    let tea = d.room("tea");
    let alice = d.matrix("alice").await;
    let room = d.own_room(&alice, &bob, "tea").await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    bob.sees_join(&tea, "Matrix").await;

    // Nobody kicks an owner.
    bob.affiliates(&tea, &d.bot_jid(), "none").await;
    bob.gives_role(&tea, "Matrix", "none").await;
    bob.sees_leave(&tea, "Matrix").await;
    room.sees_event("that it is out", |event| event.body().contains("the bridge was kicked")).await;
    room.says("anybody?").await;
    room.sees_event("that nobody heard her", |event| event.body().starts_with("Not delivered")).await;

    let dora = d.matrix("dora").await;
    let hers = dora.joins(&room.id).await;
    hers.says("!xmpp enter").await;
    hers.sees_some(&d.bot(), "that she may not", |event| event.body().contains("You need the power")).await;
    room.says("still nobody?").await;
    room.sees_event("that they are still alone", |event| event.body().starts_with("Not delivered")).await;
    room.says("!xmpp enter").await;
    let back = format!("We are in {tea}");
    room.sees_some(&d.bot(), "that it is back", |event| event.body().contains(&back)).await;
    room.says("back again").await;
    bob.sees(&tea, "alice", "back again").await;
    bob.says(&tea, "so I hear").await;
    room.sees_event("what Bob says", |event| event.body() == "so I hear").await;
    let heard = bob.heard(&tea);
    assert!(!heard.iter().any(|(_, body)| body.contains("body?") || body.contains("!xmpp")), "{heard:?}");
}

async fn what_moderators_take_out_is_out_on_both_sides(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "bob").await;
    let tea = d.room("tea");
    let alice = d.matrix("alice").await;
    let room = d.own_room(&alice, &bob, "tea").await;
    let ghost = d.until_member(&room, "bob").await;
    bob.says(&tea, "spam").await;
    let spam = room.sees(&ghost, "spam").await;
    let slip = room.says("a slip").await;
    let his = bob.sees(&tea, "alice", "a slip").await.stanza_id();

    room.redacts(spam.id(), "no spam").await;
    if d.xmpp.domain() != "xmpp.test" {
        // This ejabberd has no moderation: then she is told.
        room.sees_event("that it did not cross", |event| event.body().contains("take out messages of others")).await;
        return;
    }
    let out = bob.sees_stanza("it is taken out", |stanza| stanza.xml().contains("moderated")).await;
    assert!(out.xml().contains("no spam"), "{}", out.xml());
    let moderate = format!(
        "<apply-to xmlns='urn:xmpp:fasten:0' id='{his}'><moderate xmlns='urn:xmpp:message-moderate:0'>\
         <retract xmlns='urn:xmpp:message-retract:0'/><reason>off topic</reason></moderate></apply-to>"
    );
    bob.sets(&tea, &moderate).await.expect("the owner may");
    let redaction = room.sees_redaction(&slip).await;
    let reason = redaction.content()["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("bob") && reason.contains("off topic"), "{redaction:?}");
    bob.says(&tea, "that was all").await;
    room.sees(&ghost, "that was all").await;
    let redactions = alice.events().into_iter().filter(|event| event.kind() == "m.room.redaction").count();
    assert_eq!(redactions, 2, "what she took out is not taken out again");
}

async fn what_a_room_refuses_is_told_to_who_said_it(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    let refused = async |room: &landbridge_tests::Room<'_>, why: &str| {
        room.sees_event(why, |event| event.body().contains("delivered") && event.body().contains(why)).await;
    };

    // Without a voice; one is asked for.
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    bob.configures(&tea, "moderatedroom", "1").await;
    bob.gives_role(&tea, "alice", "visitor").await;
    bob.sees_become(&tea, "alice", "role=\"visitor\"").await;
    room.says("may I?").await;
    refused(&room, "kept until you may").await;
    bob.sees_stanza("she asks for a voice", |stanza| {
        stanza.xml().contains("muc#request") && stanza.xml().contains("alice")
    })
    .await;
    bob.gives_role(&tea, "alice", "participant").await;
    bob.sees(&tea, "alice", "may I?").await;
    room.says("now I may").await;
    bob.sees(&tea, "alice", "now I may").await;

    bob.configures(&tea, "moderatedroom", "0").await;
    // Prosody makes members of those who are in the room, ejabberd puts them out.
    bob.configures(&tea, "membersonly", "1").await;
    let dora = d.matrix("dora").await;
    let hers = dora.joins(&room.id).await;
    hers.says("let me in").await;
    refused(&hers, "for members only").await;
    bob.configures(&tea, "membersonly", "0").await;
    bob.affiliates(&tea, &d.puppet("dora"), "outcast").await;
    hers.says("and now?").await;
    refused(&hers, "banned").await;
}

async fn what_is_said_without_a_voice_is_kept_until_there_is_one(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    let dora = d.matrix("dora").await;
    let hers = dora.joins(&room.id).await;
    for (room, name) in [(&room, "alice"), (&hers, "dora")] {
        room.says("hello").await;
        bob.sees(&tea, name, "hello").await;
    }
    bob.configures(&tea, "moderatedroom", "1").await;
    bob.gives_role(&tea, "alice", "visitor").await;
    bob.sees_become(&tea, "alice", "role=\"visitor\"").await;
    room.says("one").await;
    room.sees_event("that it is kept", |event| event.body().contains("for 60 minutes at most")).await;
    let slip = room.says("a slip").await;
    room.says("two").await;
    // Others are not held up.
    hers.says("go on").await;
    bob.sees(&tea, "dora", "go on").await;
    room.redacts(&slip, "").await;

    assert!(d.bridge.stop().await.success());
    d.start_again().await;
    room.says("three").await;
    hers.says("and on").await;
    bob.sees(&tea, "dora", "and on").await;
    bob.gives_role(&tea, "alice", "participant").await;
    bob.sees(&tea, "alice", "three").await;
    room.says("four").await;
    bob.sees(&tea, "alice", "four").await;
    let heard = bob.heard(&tea).into_iter().filter(|(nick, _)| nick == "alice");
    let heard: Vec<_> = heard.map(|(_, body)| body).collect();
    assert_eq!(heard, ["hello", "one", "two", "three", "four"], "in order, once, and without what was taken back");

    // Who leaves leaves at once, and says nothing more.
    bob.gives_role(&tea, "alice", "visitor").await;
    bob.sees_become(&tea, "alice", "role=\"visitor\"").await;
    room.says("five").await;
    let refused = |event: &landbridge_tests::RoomEvent| event.body().contains("kept until you may");
    let five = |event: &landbridge_tests::RoomEvent| refused(event) && event.sender() == d.bot();
    while alice.events().iter().filter(|event| five(event)).count() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    room.leaves().await;
    bob.sees_leave(&tea, "alice").await;
}

async fn no_more_is_kept_than_a_hundred_messages(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    bob.configures(&tea, "moderatedroom", "1").await;
    bob.gives_role(&tea, "alice", "visitor").await;
    bob.sees_become(&tea, "alice", "role=\"visitor\"").await;
    for number in 0..100 {
        room.says(&number.to_string()).await;
    }
    let beyond = room.says("one too many").await;
    let told =
        room.sees_event("that no more is kept", |event| event.body().contains("100 of your messages are kept")).await;
    assert_eq!(told.content()["m.relates_to"]["m.in_reply_to"]["event_id"], beyond);
    bob.gives_role(&tea, "alice", "participant").await;
    bob.sees(&tea, "alice", "99").await;
    room.says("done").await;
    bob.sees(&tea, "alice", "done").await;
    let heard = bob.heard(&tea).into_iter().filter(|(nick, _)| nick == "alice");
    let heard: Vec<_> = heard.map(|(_, body)| body).collect();
    let numbers = (0..100).map(|number| number.to_string());
    let wanted: Vec<_> = ["hello".to_owned()].into_iter().chain(numbers).chain(["done".to_owned()]).collect();
    assert_eq!(heard, wanted);
}
