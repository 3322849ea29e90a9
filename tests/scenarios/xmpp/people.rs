//! Coming, going, being put out, names, and talking in private.

use landbridge_tests::{XmppDeployment, eventually};

use super::everywhere::{everywhere, on};

everywhere! {
    people_come_and_go_and_change_their_names,
    who_is_put_out_is_out_on_both_sides,
    a_topic_crosses_both_ways,
    people_talk_in_private,
    who_does_not_exist_is_answered_as_nobody_and_who_does_is_written_to_in_order,
    people_talk_in_private_through_a_room,
    another_name_in_matrix_is_another_nick,
    an_invitation_comes_once,
    who_is_invited_in_matrix_is_invited_on_xmpp_and_may_decline,
    an_emoji_and_a_taken_nick_are_no_hindrance,
    a_room_that_does_not_exist_is_not_made,
    others_find_out_who_we_are,
    who_types_and_who_read_is_shown,
    what_people_look_like_is_shown_on_both_sides,
}

// Prosody 0.12 passes on what anybody in an open room invites.
on!(
    own_ejabberd,
    over_ejabberd(landbridge_tests::On::Embedded),
    who_is_invited_by_nobody_in_the_room_is_invited_by_who_does,
);
on!(
    synapse_ejabberd_too,
    over_ejabberd(landbridge_tests::On::Synapse),
    who_is_invited_by_nobody_in_the_room_is_invited_by_who_does,
);

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
    assert_eq!(room.is_called().await, "bob");
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

    // A client that makes two ids of its own: he corrects it by the stanza's, and reacts to it and takes it back by the other.
    bob.sends(&format!(
        "<message to='{her}' type='chat' id='m2'><body>teh</body><origin-id xmlns='urn:xmpp:sid:0' id='o2'/>\
         <markable xmlns='urn:xmpp:chat-markers:0'/></message>"
    ))
    .await;
    let said = room.sees(&ghost, "teh").await;
    room.has_read(said.id()).await;
    let read = |stanza: &landbridge_tests::Stanza| stanza.xml().contains("displayed");
    let read = bob.sees_stanza("that she has read it", read).await;
    assert!(read.xml().contains("id=\"m2\""), "a marker names the id of the stanza: {}", read.xml());
    let replace = "<replace xmlns='urn:xmpp:message-correct:0' id='m2'/>";
    bob.messages(&her, "chat", Some("tea"), replace).await;
    let edit = room.sees_event("its correction", |event| event.content()["m.new_content"]["body"] == "tea").await;
    assert_eq!(edit.content()["m.relates_to"]["event_id"], said.id());
    for (named, key) in [("o2", "☕"), ("m2", "👍")] {
        let reaction =
            format!("<reactions xmlns='urn:xmpp:reactions:0' id='{named}'><reaction>{key}</reaction></reactions>");
        bob.messages(&her, "chat", None, &reaction).await;
        let reacted = |event: &landbridge_tests::RoomEvent| event.content()["m.relates_to"]["key"] == key;
        let reaction = room.sees_event("a reaction", reacted).await;
        assert_eq!(reaction.content()["m.relates_to"]["event_id"], said.id(), "{named}");
    }
    bob.messages(&her, "chat", Some("(taken back)"), "<retract xmlns='urn:xmpp:message-retract:1' id='o2'/>").await;
    room.sees_redaction(said.id()).await;

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

/// Addresses that read as Matrix ids, of which the homeserver has to say whether there is such a user.
async fn who_does_not_exist_is_answered_as_nobody_and_who_does_is_written_to_in_order(d: XmppDeployment) {
    let bob = d.xmpp("bob").await;
    let (her, nobody) = (d.puppet("alice"), d.puppet("nobody"));
    let alice = d.matrix("alice").await;
    let refused = |id: String| {
        move |stanza: &landbridge_tests::Stanza| {
            stanza.id() == id && stanza.kind() == "error" && stanza.xml().contains("service-unavailable")
        }
    };

    let hello = bob.tells(&nobody, "hello?").await;
    bob.sees_stanza("that there is nobody", refused(hello)).await;
    let card = bob.asks(&nobody, "<vCard xmlns='vcard-temp'/>").await.expect_err("nobody has no card");
    assert!(card.contains("service-unavailable"), "{card}");
    bob.sends(&format!("<presence to='{nobody}' type='subscribe'/>")).await;
    // All at once, the first of it while nobody knows yet whether she is there.
    for n in 0..20 {
        bob.tells(&her, &n.to_string()).await;
    }
    let room = alice.accepts_invitation(&d.ghost("bob")).await;
    room.sees(&d.ghost("bob"), "19").await;
    let past = room.past().await;
    let said: Vec<_> = past.iter().filter_map(|event| event["content"]["body"].as_str()).collect();
    assert_eq!(said, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    bob.asks(&her, "<vCard xmlns='vcard-temp'/>").await.expect("she has one");
    let here = |stanza: &landbridge_tests::Stanza| stanza.is("presence") && stanza.from().starts_with(&nobody);
    let shown = bob.stanzas().into_iter().find(|stanza| here(stanza) && stanza.kind().is_empty());
    assert!(shown.is_none(), "{shown:?}");
}

/// In a room that tells nobody's address.
async fn people_talk_in_private_through_a_room(d: XmppDeployment) {
    let owner = d.xmpp_in("tea", "owner").await;
    let tea = d.room("tea");
    owner.configures(&tea, "whois", "moderators").await;
    let bob = d.xmpp_in("tea", "bob").await;
    let alice = d.matrix("alice").await;
    let room = d.join(&alice, "tea").await;
    let ghost = d.until_member(&room, "bob").await;
    assert_ne!(ghost, d.ghost("bob"), "the room does not say who he is");
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;

    bob.tells(&format!("{tea}/alice"), "psst").await;
    let chat = alice.accepts_invitation(&ghost).await;
    chat.sees(&ghost, "psst").await;
    chat.says("what?").await;
    let said = bob.sees_stanza("an answer", |stanza| stanza.kind() == "chat" && stanza.body() == "what?").await;
    assert_eq!(said.from(), format!("{tea}/alice"));

    // Whoever takes his nick is not him.
    bob.leaves(&tea, "bob").await;
    room.sees_membership(&ghost, "leave").await;
    let eve = d.xmpp("eve").await;
    eve.joins(&tea, "bob").await;
    let hers = d.until_member(&room, "bob").await;
    assert_ne!(hers, ghost);
    chat.says("for Bob alone").await;
    chat.sees_event("that it did not arrive", |event| event.body().contains("delivered")).await;
    room.says("that was all").await;
    eve.sees(&tea, "alice", "that was all").await;
    assert!(!eve.stanzas().iter().any(|stanza| stanza.body() == "for Bob alone"), "{:?}", eve.stanzas());
}

async fn an_invitation_comes_once(d: XmppDeployment) {
    let bob = d.xmpp_in("cake", "bob").await;
    let (alice, cake, her, ghost) = (d.matrix("alice").await, d.room("cake"), d.puppet("alice"), d.ghost("bob"));
    let invites = format!("{} invites you to {cake}", bob.jid);
    bob.sends(&format!("<message to='{her}'><x xmlns='jabber:x:conference' jid='{cake}'/></message>")).await;
    let chat = alice.accepts_invitation(&ghost).await;
    chat.sees(&ghost, &invites).await;
    // By way of the room, which in Prosody tells nobody's address, and adds both the other form and words for old clients.
    let invite = format!("<invite to='{her}'><reason>some is left</reason></invite>");
    bob.sends(&format!("<message to='{cake}'><x xmlns='http://jabber.org/protocol/muc#user'>{invite}</x></message>"))
        .await;
    if d.xmpp.domain() == "xmpp.test" {
        let room = format!("@xmpp_{}:localhost", cake.replace('@', "=40"));
        let other = alice.accepts_invitation(&room).await;
        other.sees(&room, &format!("bob invites you to {cake}: some is left")).await;
        assert_eq!(other.heard().len(), 1, "{:?}", other.heard());
    } else {
        chat.sees(&ghost, &format!("{invites}: some is left")).await;
    }
    bob.tells(&her, "well?").await;
    chat.sees(&ghost, "well?").await;
    let times = chat.heard().iter().filter(|(_, text)| text.contains("invites you")).count();
    assert_eq!(times, if d.xmpp.domain() == "xmpp.test" { 1 } else { 2 });
}

async fn who_is_invited_in_matrix_is_invited_on_xmpp_and_may_decline(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "bob").await;
    let (alice, tea) = (d.matrix("alice").await, d.room("tea"));
    let room = d.own_room(&alice, &bob, "tea").await;
    let (carol, dora) = (d.xmpp("carol").await, d.xmpp("dora").await);
    let invited = |stanza: &landbridge_tests::Stanza| {
        stanza.is("message") && stanza.from() == tea && stanza.xml().contains("invite")
    };

    // By the bridge: she is not in the room there yet.
    room.invites(&d.ghost("carol")).await;
    let invitation = carol.sees_stanza("an invitation", invited).await;
    assert!(invitation.xml().contains("alice invites you"), "{}", invitation.xml());
    carol.joins(&tea, "carol").await;
    room.sees_membership(&d.ghost("carol"), "join").await;
    carol.says(&tea, "you called?").await;
    room.sees(&d.ghost("carol"), "you called?").await;
    room.says("I did").await;
    carol.sees(&tea, "alice", "I did").await;
    assert_eq!(carol.stanzas().into_iter().filter(invited).count(), 1);

    room.invites(&d.ghost("dora")).await;
    let invitation = dora.sees_stanza("an invitation", invited).await;
    // In ejabberd only moderators may invite: the bridge is one, she is not.
    let by_the_bridge = invitation.xml().contains("alice invites you");
    assert_eq!(by_the_bridge, d.xmpp.domain() != "xmpp.test", "{}", invitation.xml());
    let inviter = if by_the_bridge { d.bot_jid() } else { d.puppet("alice") };
    let decline = format!("<decline to='{inviter}'><reason>too busy</reason></decline>");
    dora.sends(&format!("<message to='{tea}'><x xmlns='http://jabber.org/protocol/muc#user'>{decline}</x></message>"))
        .await;
    let left = room.sees_membership(&d.ghost("dora"), "leave").await;
    assert_eq!(left.content()["reason"], "too busy");
}

async fn who_is_invited_by_nobody_in_the_room_is_invited_by_who_does(d: XmppDeployment) {
    let bob = d.xmpp_in("tea", "bob").await;
    let (alice, tea) = (d.matrix("alice").await, d.room("tea"));
    let room = d.own_room(&alice, &bob, "tea").await;
    let (carol, dora) = (d.xmpp("carol").await, d.xmpp("dora").await);
    // Only who administers it may invite, and that is none of ours.
    bob.sees_join(&tea, "Matrix").await;
    bob.affiliates(&tea, &d.bot_jid(), "none").await;
    bob.gives_role(&tea, "Matrix", "participant").await;

    room.invites(&d.ghost("carol")).await;
    let hers = d.puppet("alice");
    let invited = |stanza: &landbridge_tests::Stanza| {
        stanza.is("message") && stanza.from().starts_with(&hers) && stanza.xml().contains("jabber:x:conference")
    };
    let invitation = carol.sees_stanza("an invitation", invited).await;
    assert!(invitation.xml().contains(&tea), "{}", invitation.xml());
    carol.joins(&tea, "carol").await;
    room.sees_membership(&d.ghost("carol"), "join").await;

    bob.affiliates(&tea, &d.bot_jid(), "member").await;
    bob.configures(&tea, "membersonly", "1").await;
    room.invites(&d.ghost("dora")).await;
    room.sees_event("that she cannot", |event| event.body().contains("does not pass the invitation on")).await;
    assert!(!dora.stanzas().iter().any(invited));
}

async fn another_name_in_matrix_is_another_nick(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;

    let becomes = async |before: &str, now: &str| {
        let from = format!("{tea}/{before}");
        let renamed = |stanza: &landbridge_tests::Stanza| stanza.kind() == "unavailable" && stanza.from() == from;
        let gone = bob.sees_stanza(&format!("{before} becomes {now}"), renamed).await;
        assert!(gone.has_code(303) && gone.xml().contains(&format!("nick=\"{now}\"")), "{}", gone.xml());
        bob.sees_join(&tea, now).await;
    };
    alice.is_called("Ann Boleyn").await;
    becomes("alice", "Ann Boleyn").await;
    room.says("it is still me").await;
    bob.sees(&tea, "Ann Boleyn", "it is still me").await;
    // A nick that is taken.
    alice.is_called("bob").await;
    becomes("Ann Boleyn", "bob [m]").await;
    room.says("and I").await;
    bob.sees(&tea, "bob [m]", "and I").await;
    bob.says(&tea, "hello, whoever you are").await;
    room.sees(&ghost, "hello, whoever you are").await;
    let members = room.members().await;
    assert!(
        !members.iter().any(|(id, name)| id.starts_with("@xmpp_") && name.as_deref() != Some("bob")),
        "{members:?}"
    );
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
    // What she is really called is said beside it (XEP-0172), and on her card.
    bob.sees_become(&tea, "melting [m]", "🫠 melting").await;
    let card = bob.asks(&d.puppet("alice"), "<vCard xmlns='vcard-temp'/>").await.expect("a card");
    assert!(card.contains("🫠 melting"), "{card}");
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
    bob.configures(&d.room("tea"), "publicroom", "0").await;
    eventually("the room is not listed any more", || async {
        let items = bob.asks(&component, "<query xmlns='http://jabber.org/protocol/disco#items'/>").await;
        (!items.expect("an answer").contains(&d.room("tea"))).then_some(())
    })
    .await;
    let card = bob.asks(&d.puppet("alice"), "<vCard xmlns='vcard-temp'/>").await.expect("a card");
    assert!(card.contains("alice"), "{card}");
    bob.asks(&d.puppet("alice"), "<ping xmlns='urn:xmpp:ping'/>").await.expect("a pong");
    // The same through the room, which gives questions other ids and some of them another address.
    let there = format!("{}/alice", d.room("tea"));
    let card = bob.asks(&there, "<vCard xmlns='vcard-temp'/>").await.expect("a card");
    assert!(card.contains("alice"), "{card}");
    bob.asks(&there, "<query xmlns='jabber:iq:version'/>").await.expect("a version");
    bob.asks(&there, "<ping xmlns='urn:xmpp:ping'/>").await.expect("a pong");
    bob.asks(&d.puppet("alice"), "<query xmlns='urn:nobody:knows'/>").await.expect_err("an error, and nothing else");
    // What is said to nobody comes back.
    let nobody = format!("nobody@{component}");
    let id = bob.messages(&nobody, "chat", Some("anybody there?"), "").await;
    let refusal = |stanza: &landbridge_tests::Stanza| stanza.kind() == "error" && stanza.id() == id;
    let refused = bob.sees_stanza("that nobody is there", refusal).await;
    assert!(refused.from() == nobody && refused.xml().contains("service-unavailable"), "{}", refused.xml());
    bob.asks(&nobody, "<ping xmlns='urn:xmpp:ping'/>").await.expect_err("nobody answers");
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
    let hers = bob.sees(&tea, "alice", "hello").await;
    let his = bob.says(&tea, "hello Alice").await;
    let event = room.sees(&ghost, "hello Alice").await;

    let types = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    bob.says_with(&tea, None, types).await;
    sees_typing(&alice, &room.id, &ghost).await;
    // A notice that comes too soon after another is left out: it is typed until it is seen.
    eventually("she types", || async {
        room.types().await;
        let typed = bob.stanzas().iter().any(|stanza| stanza.nick() == "alice" && stanza.xml().contains("composing"));
        typed.then_some(())
    })
    .await;
    let displayed = |id: &str| format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/>");
    bob.says_with(&tea, None, &displayed(&hers.stanza_id())).await;
    sees_read(&alice, &room.id, &ghost).await;
    room.has_read(event.id()).await;
    let marked = bob.sees(&tea, "bob", "hello Alice").await.stanza_id();
    assert!(!marked.is_empty() && !his.is_empty());
    bob.sees_stanza("she has read it", |stanza| {
        stanza.nick() == "alice" && stanza.xml().contains("displayed") && stanza.xml().contains(&marked)
    })
    .await;

    // The same between two, by the ids that each gives.
    let her = d.puppet("alice");
    bob.messages(&her, "chat", Some("psst"), "<markable xmlns='urn:xmpp:chat-markers:0'/>").await;
    let private = d.ghost("bob");
    let chat = alice.accepts_invitation(&private).await;
    let event = chat.sees(&private, "psst").await;
    chat.has_read(event.id()).await;
    bob.sees_stanza("she has read that", |stanza| stanza.kind() == "chat" && stanza.xml().contains("displayed")).await;
    chat.says("what?").await;
    let said = bob.sees_stanza("an answer", |stanza| stanza.kind() == "chat" && stanza.body() == "what?").await;
    assert!(said.xml().contains("urn:xmpp:receipts") && said.xml().contains("markable"), "{}", said.xml());
    bob.messages(&her, "chat", None, types).await;
    sees_typing(&alice, &chat.id, &private).await;
    bob.messages(&her, "chat", None, &displayed(said.id())).await;
    sees_read(&alice, &chat.id, &private).await;
    eventually("she types to him", || async {
        chat.types().await;
        let typed = |stanza: &landbridge_tests::Stanza| stanza.kind() == "chat" && stanza.xml().contains("composing");
        bob.stanzas().iter().any(typed).then_some(())
    })
    .await;
}

async fn sees_typing(user: &landbridge_tests::MatrixUser, room: &str, who: &str) {
    let types = |event: &landbridge_tests::RoomEvent| {
        event.kind() == "m.typing" && event.room == room && event.content()["user_ids"].to_string().contains(who)
    };
    user.sees_event(&format!("{who} types"), types).await;
}

async fn sees_read(user: &landbridge_tests::MatrixUser, room: &str, who: &str) {
    let reads = |event: &landbridge_tests::RoomEvent| {
        event.kind() == "m.receipt" && event.room == room && event.content()["users"].to_string().contains(who)
    };
    user.sees_event(&format!("{who} has read"), reads).await;
}

/// A picture of one pixel, and its hash.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PIXEL_HASH: &str = "4a5eb7171b58e08a6881721e3b43d5a44419a2be";

async fn what_people_look_like_is_shown_on_both_sides(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    // In a room (XEP-0153): announced in presence, kept in his vCard.
    let card =
        format!("<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>{PIXEL}</BINVAL></PHOTO></vCard>");
    bob.sets(&bob.jid, &card).await.expect("his own vCard");
    let update = format!("<x xmlns='vcard-temp:x:update'><photo>{PIXEL_HASH}</photo></x>");
    bob.sends(&format!("<presence to='{tea}/bob'>{update}</presence>")).await;
    let ghost = d.until_member(&room, "bob").await;
    eventually("he has a picture", || async { alice.looks_at(&ghost).await }).await;

    // In his account (XEP-0084), for those whom he lets see him.
    let carol = d.xmpp("carol").await;
    let her = d.puppet("alice");
    carol.sends(&format!("<presence to='{her}' type='subscribe'/>")).await;
    carol.sees_stanza("returned", |stanza| stanza.kind() == "subscribe").await;
    carol.sends(&format!("<presence to='{her}' type='subscribed'/>")).await;
    carol.tells(&her, "hello").await;
    let chat = alice.accepts_invitation(&d.ghost("carol")).await;
    chat.sees(&d.ghost("carol"), "hello").await;
    if d.xmpp.domain() == "xmpp.test" {
        let publish = |node: &str, item: &str| {
            format!(
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:avatar:{node}'>\
                 <item id='{PIXEL_HASH}'>{item}</item></publish></pubsub>"
            )
        };
        let data = format!("<data xmlns='urn:xmpp:avatar:data'>{PIXEL}</data>");
        carol.sets(&carol.jid, &publish("data", &data)).await.expect("her own node");
        let info = format!("<info id='{PIXEL_HASH}' bytes='70' type='image/png'/>");
        let metadata = format!("<metadata xmlns='urn:xmpp:avatar:metadata'>{info}</metadata>");
        carol.sets(&carol.jid, &publish("metadata", &metadata)).await.expect("her own node");
        eventually("she has a picture", || async { alice.looks_at(&d.ghost("carol")).await }).await;
    }

    // From Matrix: in presence, vCard and node.
    alice.shows_picture(PIXEL).await;
    room.says("look").await;
    bob.sees(&tea, "alice", "look").await;
    let announced = bob
        .sees_stanza("her picture is announced", |stanza| {
            stanza.is("presence") && stanza.nick() == "alice" && hash_in(stanza.xml()).is_some()
        })
        .await;
    let hash = hash_in(announced.xml()).unwrap_or_default();
    let card = bob.asks(&her, "<vCard xmlns='vcard-temp'/>").await.expect("her card");
    assert!(card.contains("BINVAL") && card.contains("image/png"), "{card}");
    let items = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:metadata'/></pubsub>";
    let metadata = bob.asks(&her, items).await.expect("her node");
    assert!(metadata.contains(&hash), "{hash} in {metadata}");
}

/// The hash of a picture that a presence announces.
fn hash_in(xml: &str) -> Option<String> {
    let photo = xml.split("photo>").nth(1)?.split('<').next()?;
    (photo.len() == 40).then(|| photo.to_owned())
}
