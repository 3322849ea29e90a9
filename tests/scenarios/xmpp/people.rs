//! Coming, going, being put out, names, and talking in private.

use landbridge_tests::{XmppDeployment, eventually};

use super::everywhere::everywhere;

everywhere! {
    people_come_and_go_and_change_their_names,
    who_is_put_out_is_out_on_both_sides,
    a_topic_crosses_both_ways,
    people_talk_in_private,
    an_emoji_and_a_taken_nick_are_no_hindrance,
    a_room_that_does_not_exist_is_not_made,
    others_find_out_who_we_are,
    who_types_and_who_read_is_shown,
}

async fn people_come_and_go_and_change_their_names(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;

    bob.sends(&format!("<presence to='{tea}/robert'/>")).await;
    assert_eq!(d.until_member(&room, "robert").await, ghost, "the same person under another name");
    let carol = d.xmpp_in("tea", "carol").await;
    let hers = d.until_member(&room, "carol").await;
    carol.leaves(&tea, "carol").await;
    room.sees_membership(&hers, "leave").await;
    assert!(room.members().await.contains_key(&ghost));
}

async fn who_is_put_out_is_out_on_both_sides(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;

    // Whoever made the room owns it.
    let kick = "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='alice' role='none'><reason>enough</reason></item></query>";
    bob.sets(&tea, kick).await.expect("the owner may");
    bob.sees_leave(&tea, "alice").await;
    let left = alice
        .sees_event("she is out", |event| {
            event.kind() == "m.room.member"
                && event.json["state_key"] == alice.id.as_str()
                && event.content()["membership"] == "leave"
        })
        .await;
    assert!(left.content()["reason"].as_str().unwrap_or_default().contains("enough"), "{left:?}");
}

async fn a_topic_crosses_both_ways(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;

    bob.sends(&format!("<message to='{tea}' type='groupchat'><subject>black or green</subject></message>")).await;
    room.sees_topic("black or green").await;
    assert_eq!(room.reads_state("m.room.topic", "").await.expect("a topic")["topic"], "black or green");
}

async fn people_talk_in_private(d: XmppDeployment) {
    let bob = d.xmpp("bob").await;
    let alice = d.matrix("alice").await;
    let her = d.puppet("alice");
    let ghost = d.ghost("bob");

    bob.sends(&format!(
        "<message to='{her}' type='chat' id='m1'><body>psst</body><request xmlns='urn:xmpp:receipts'/></message>"
    ))
    .await;
    let room = alice.accepts_invitation(&ghost).await;
    room.sees(&ghost, "psst").await;
    bob.sees_stanza("a receipt", |stanza| {
        stanza.xml().contains("urn:xmpp:receipts") && stanza.xml().contains("id=\"m1\"")
    })
    .await;
    room.says("what?").await;
    let said = bob.sees_stanza("an answer", |stanza| stanza.kind() == "chat" && stanza.body() == "what?").await;
    assert!(said.from().starts_with(&her), "{said:?}");
    let replace = "<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>";
    bob.messages(&her, "chat", Some("psst!"), replace).await;
    room.sees_event("the correction", |event| event.content()["m.new_content"]["body"] == "psst!").await;

    // From the other side, to somebody new.
    let carol = d.xmpp("carol").await;
    let chat = alice.chats_with(&d.ghost("carol")).await;
    chat.sees_membership(&d.ghost("carol"), "join").await;
    chat.says("hello Carol").await;
    carol.sees_stanza("hello", |stanza| stanza.body() == "hello Carol").await;
    carol.tells(&her, "hello Alice").await;
    chat.sees(&d.ghost("carol"), "hello Alice").await;

    let nobody = alice.chats_with(&d.ghost("nobody")).await;
    nobody.sees_membership(&d.ghost("nobody"), "join").await;
    nobody.says("anybody there?").await;
    nobody.sees_event("that it did not arrive", |event| event.body().contains("not delivered")).await;
}

async fn an_emoji_and_a_taken_nick_are_no_hindrance(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "melting").await;
    let tea = d.room("tea");
    let alice = d.matrix("alice").await;
    alice.is_called("🫠 melting").await;
    let room = d.join(&alice, "tea").await;
    d.until_member(&room, "melting").await;
    room.says("it is hot").await;
    let said = bob.sees(&tea, "melting [m]", "it is hot").await;
    assert_eq!(said.nick(), "melting [m]");
}

async fn a_room_that_does_not_exist_is_not_made(d: XmppDeployment) {
    let bob = d.xmpp("bob").await;
    let alice = d.matrix("alice").await;
    let error = alice.tries_to_join(&d.alias("nowhere")).await.expect_err("there is no such room");
    assert!(error.contains("M_NOT_FOUND") || error.contains("M_UNKNOWN"), "{error}");
    let items =
        bob.asks(&format!("muc.{}", d.xmpp.domain()), "<query xmlns='http://jabber.org/protocol/disco#items'/>").await;
    assert!(!items.expect("the service answers").contains("nowhere"), "it was not made");
}

async fn others_find_out_who_we_are(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "bob").await;
    let alice = d.matrix("alice").await;
    let room = d.join(&alice, "tea").await;
    room.says("hello").await;
    bob.sees(&d.room("tea"), "alice", "hello").await;

    let component = format!("matrix.{}", d.xmpp.domain());
    let info = bob.asks(&component, "<query xmlns='http://jabber.org/protocol/disco#info'/>").await.expect("an answer");
    assert!(info.contains("gateway") && info.contains("Matrix"), "{info}");
    let items =
        bob.asks(&component, "<query xmlns='http://jabber.org/protocol/disco#items'/>").await.expect("an answer");
    assert!(items.contains(&d.room("tea")) && items.contains(&d.puppet("alice")), "{items}");
    let card = bob.asks(&d.puppet("alice"), "<vCard xmlns='vcard-temp'/>").await.expect("a card");
    assert!(card.contains("alice"), "{card}");
    bob.asks(&d.puppet("alice"), "<ping xmlns='urn:xmpp:ping'/>").await.expect("a pong");
    bob.asks(&d.puppet("alice"), "<query xmlns='urn:nobody:knows'/>").await.expect_err("an error, and nothing else");
    // Subscriptions are granted, and returned.
    bob.sends(&format!("<presence to='{}' type='subscribe'/>", d.puppet("alice"))).await;
    let her = d.puppet("alice");
    bob.sees_stanza("her presence", |stanza| {
        stanza.is("presence") && stanza.kind().is_empty() && stanza.from().starts_with(&her)
    })
    .await;
    bob.sees_stanza("returned", |stanza| stanza.kind() == "subscribe").await;
}

async fn who_types_and_who_read_is_shown(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;

    bob.says_with(&tea, None, "<composing xmlns='http://jabber.org/protocol/chatstates'/>").await;
    alice
        .sees_event("he types", |event| {
            event.kind() == "m.typing" && event.content()["user_ids"].to_string().contains(&ghost)
        })
        .await;
    // A notice that comes too soon after another is left out: it is typed until it is seen.
    eventually("she types", || async {
        room.types().await;
        let typed = bob.stanzas().iter().any(|stanza| stanza.nick() == "alice" && stanza.xml().contains("composing"));
        typed.then_some(())
    })
    .await;
}
