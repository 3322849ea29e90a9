//! What people say crosses once, in order, and looks as it should on the other side.

use landbridge_tests::XmppDeployment;

use super::everywhere::everywhere;
use crate::everywhere::said;

everywhere! {
    people_talk_both_ways_without_echo_or_doubles,
    nobody_speaks_for_another,
    formatting_crosses_both_ways,
    answers_corrections_and_reactions_cross_both_ways,
    what_is_taken_back_is_taken_back_on_the_other_side,
    a_stanza_that_ends_other_bridges_ends_nothing,
    the_order_of_a_burst_is_kept,
    the_order_of_a_burst_by_several_people_is_kept,
}

async fn people_talk_both_ways_without_echo_or_doubles(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;

    room.says("hello from Matrix").await;
    bob.sees(&tea, "alice", "hello from Matrix").await;
    bob.says(&tea, "hello from XMPP").await;
    room.sees(&ghost, "hello from XMPP").await;
    // Said twice is twice, also under one id.
    room.says("again").await;
    room.says("again").await;
    for _ in 0..2 {
        bob.sends(&format!("<message to='{tea}' type='groupchat' id='1'><body>once more</body></message>")).await;
    }
    bob.sees(&tea, "alice", "again").await;
    bob.sees(&tea, "alice", "again").await;
    room.sees(&ghost, "once more").await;
    room.sees(&ghost, "once more").await;
    // Whatever came back would have come before these.
    room.says("that was all").await;
    bob.sees(&tea, "alice", "that was all").await;
    bob.says(&tea, "here too").await;
    room.sees(&ghost, "here too").await;

    let from_matrix = ["hello from Matrix", "again", "again", "that was all"].map(|text| ("alice", text));
    let hers: Vec<_> = bob.heard(&tea).into_iter().filter(|(nick, _)| nick != "bob").collect();
    assert_eq!(hers, said(from_matrix));
    let own: Vec<_> = room.heard().into_iter().filter(|(sender, _)| *sender == alice.id).collect();
    assert_eq!(own.len(), 4, "nothing of hers came back: {own:?}");
    let his: Vec<_> = room.heard().into_iter().filter(|(sender, _)| *sender != alice.id).collect();
    let from_xmpp = ["hello from XMPP", "once more", "once more", "here too"].map(|text| (ghost.as_str(), text));
    assert_eq!(his, said(from_xmpp));
}

async fn nobody_speaks_for_another(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    let mallory = d.xmpp_in("tea", "mallory").await;
    let hers = d.until_member(&room, "mallory").await;
    bob.sends(&format!("<message to='{tea}' type='groupchat' id='b1'><body>hello</body></message>")).await;
    room.sees(&ghost, "hello").await;
    // Rooms pass on whatever somebody writes of themselves and of the time.
    let item = format!("<x xmlns='http://jabber.org/protocol/muc#user'><item jid='{}'/></x>", bob.jid);
    let delay = format!("<delay xmlns='urn:xmpp:delay' from='{tea}' stamp='2001-01-01T00:00:00Z'/>");
    let forge =
        |id: &str, what: &str| format!("<message to='{tea}' type='groupchat' id='{id}'>{what}{delay}{item}</message>");
    mallory.sends(&forge("f1", "<body>I am bob</body>")).await;
    let said = room.sees(&hers, "I am bob").await;
    assert!(said.json["origin_server_ts"].as_i64().unwrap_or_default() > 1_700_000_000_000, "{said:?}");
    // What bob said stays as it is, and an invitation is of whoever sends it.
    let retract =
        "<apply-to xmlns='urn:xmpp:fasten:0' id='b1'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>";
    mallory.sends(&forge("f2", retract)).await;
    mallory.sends(&forge("f3", "<body>changed</body><replace xmlns='urn:xmpp:message-correct:0' id='b1'/>")).await;
    let news = room.sees(&hers, "changed").await;
    assert_eq!(news.content()["m.relates_to"]["rel_type"], serde_json::Value::Null, "{news:?}");
    assert!(room.heard().contains(&(ghost.clone(), "hello".to_owned())), "{:?}", room.heard());
}

async fn formatting_crosses_both_ways(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;

    room.says_html("bold and code", "<b>bold</b> and <code>code</code>").await;
    bob.sees(&tea, "alice", "*bold* and `code`").await;
    room.says("2 *is* 3").await;
    let plain = bob.sees(&tea, "alice", "2 *is* 3").await;
    assert!(plain.xml().contains("urn:xmpp:styling:0"), "it says that it has no styling: {}", plain.xml());
    room.does("waves").await;
    bob.sees(&tea, "alice", "/me waves").await;

    bob.says(&tea, "*bold* and _slanted_ <b>").await;
    let event = room.sees(&ghost, "bold and slanted <b>").await;
    let html = event.content()["formatted_body"].as_str().unwrap_or_default();
    assert!(html.contains("<strong>bold</strong>") && html.contains("<em>slanted</em>"), "{html}");
    assert!(html.contains("&lt;b&gt;"), "what looks like a tag is text: {html}");
    bob.says(&tea, "/me waves back").await;
    let event = room.sees(&ghost, "waves back").await;
    assert_eq!(event.content()["msgtype"], "m.emote");
    let html = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>\
                an <strong>old</strong> <a href='javascript:alert(1)'>client</a></body></html>";
    bob.says_with(&tea, Some("an old client"), html).await;
    let event = room.sees(&ghost, "an old client").await;
    let html = event.content()["formatted_body"].as_str().unwrap_or_default();
    assert!(html.contains("<strong>old</strong>") && !html.contains("javascript"), "{html}");
}

async fn answers_corrections_and_reactions_cross_both_ways(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;

    let question = room.says("tea or coffee?").await;
    let seen = bob.sees(&tea, "alice", "tea or coffee?").await;
    let asked = seen.stanza_id();
    assert!(!asked.is_empty(), "the room gave it an id: {}", seen.xml());
    let quoted = "> alice: tea or coffee?\n";
    let reply = format!(
        "<reply xmlns='urn:xmpp:reply:0' to='{tea}/alice' id='{asked}'/><fallback xmlns='urn:xmpp:fallback:0' \
         for='urn:xmpp:reply:0'><body start='0' end='{}'/></fallback>",
        quoted.chars().count()
    );
    bob.says_with(&tea, Some(&format!("{quoted}teh")), &reply).await;
    let answer = room.sees(&ghost, "teh").await;
    assert_eq!(answer.content()["m.relates_to"]["m.in_reply_to"]["event_id"], question.as_str());
    // He corrects what he said, by the id that he gave it.
    let said = bob.sees(&tea, "bob", &format!("{quoted}teh")).await;
    let replace = format!("<replace xmlns='urn:xmpp:message-correct:0' id='{}'/>", said.id());
    bob.says_with(&tea, Some("tea"), &replace).await;
    let edit = room.sees_event("the correction", |event| event.content()["m.new_content"]["body"] == "tea").await;
    assert_eq!(edit.content()["m.relates_to"]["event_id"], answer.id());
    assert_eq!(edit.sender(), ghost);

    room.replies(answer.id(), "with milk?").await;
    let stanza = bob.sees_some(&tea, "alice", "an answer", |stanza| stanza.body().ends_with("with milk?")).await;
    assert!(stanza.xml().contains("urn:xmpp:reply:0") && stanza.xml().contains(&said.stanza_id()), "{}", stanza.xml());
    assert!(!stanza.body().contains('@') && stanza.body().starts_with("> bob: "), "{}", stanza.body());
    room.edits(&question, "tea, or coffee?").await;
    let stanza = bob.sees(&tea, "alice", "tea, or coffee?").await;
    assert!(
        stanza.xml().contains("message-correct") && stanza.xml().contains(&format!("id=\"{}\"", seen.id())),
        "{}",
        stanza.xml()
    );

    let react = |keys: &[&str]| {
        let reactions: String = keys.iter().map(|key| format!("<reaction>{key}</reaction>")).collect();
        format!("<reactions xmlns='urn:xmpp:reactions:0' id='{asked}'>{reactions}</reactions>")
    };
    bob.says_with(&tea, None, &react(&["👋", "☕"])).await;
    let key = |event: &landbridge_tests::RoomEvent| {
        event.content()["m.relates_to"]["key"].as_str().unwrap_or_default().to_owned()
    };
    let wave = room.sees_event("a wave", |event| key(event) == "👋" && event.sender() == ghost).await;
    room.sees_event("a cup", |event| key(event) == "☕" && event.sender() == ghost).await;
    bob.says_with(&tea, None, &react(&["☕"])).await;
    room.sees_redaction(wave.id()).await;
    let reaction = room.reacts(answer.id(), "👍").await;
    let up = |stanza: &landbridge_tests::Stanza, there| {
        stanza.nick() == "alice" && stanza.xml().contains("reactions:0") && stanza.xml().contains("👍") == there
    };
    bob.sees_stanza("a thumb", |stanza| up(stanza, true)).await;
    room.redacts(&reaction, "").await;
    bob.sees_stanza("no thumb", |stanza| up(stanza, false)).await;
}

async fn what_is_taken_back_is_taken_back_on_the_other_side(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    let eve = d.xmpp_in("tea", "eve").await;

    bob.says(&tea, "a slip").await;
    let event = room.sees(&ghost, "a slip").await;
    let his = bob.sees(&tea, "bob", "a slip").await.stanza_id();
    // Nobody takes back what another said.
    let retract = |id: &str| format!("<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>");
    eve.says_with(&tea, None, &retract(&his)).await;
    eve.says(&tea, "hm").await;
    let hers = d.until_member(&room, "eve").await;
    room.sees(&hers, "hm").await;
    assert!(!alice.events().iter().any(|event| event.kind() == "m.room.redaction"), "nothing was redacted");
    bob.says_with(&tea, None, &retract(&his)).await;
    room.sees_redaction(event.id()).await;

    let slip = room.says("my slip").await;
    let seen = bob.sees(&tea, "alice", "my slip").await.stanza_id();
    room.redacts(&slip, "").await;
    bob.sees_stanza("a retraction", |stanza| {
        stanza.nick() == "alice" && stanza.xml().contains("urn:xmpp:message-retract:1") && stanza.xml().contains(&seen)
    })
    .await;
}

async fn a_stanza_that_ends_other_bridges_ends_nothing(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;

    let her = d.puppet("alice");
    let long = "x".repeat(100_000);
    let attribute = "y".repeat(20_000);
    for xml in [
        format!("<message to='{her}' type='bogus'><body/></message>"),
        format!("<presence to='{her}/🫠'><show>busy</show><priority>300</priority></presence>"),
        format!(
            "<message to='{tea}' type='groupchat'><thread>1</thread><thread>2</thread><x xmlns='urn:x' a='{attribute}'/></message>"
        ),
        format!("<iq to='{her}' type='get' id='1'><nothing xmlns='urn:nobody:knows'/></iq>"),
        format!("<message to='{tea}' type='groupchat'><body>{long}</body></message>"),
        format!(
            "<message to='{tea}' type='groupchat'><reactions xmlns='urn:xmpp:reactions:0'/><retract xmlns='urn:xmpp:message-retract:1'/></message>"
        ),
    ] {
        bob.sends(&xml).await;
    }
    bob.says(&tea, "still there?").await;
    room.sees(&ghost, "still there?").await;
    room.says("yes").await;
    bob.sees(&tea, "alice", "yes").await;
    assert!(!d_log_has(d, "the session ended").await);
}

async fn d_log_has(mut d: XmppDeployment, text: &str) -> bool {
    d.bridge.log().contains(text)
}

/// Each of them is an occupant, and what they say goes out without waiting for who spoke before.
async fn the_order_of_a_burst_by_several_people_is_kept(d: XmppDeployment) {
    let people = [d.matrix("alice").await, d.matrix("carol").await, d.matrix("dan").await];
    let (bob, tea, first, _) = d.in_tea(&people[0]).await;
    let rooms = [first, d.join(&people[1], "tea").await, d.join(&people[2], "tea").await];
    let mut said = Vec::new();
    for n in 0..60 {
        let text = format!("line {n}");
        rooms[n % 3].says(&text).await;
        said.push((["alice", "carol", "dan"][n % 3].to_owned(), text));
    }
    bob.sees(&tea, "dan", "line 59").await;
    let heard: Vec<_> = bob.heard(&tea).into_iter().filter(|(nick, _)| nick != "bob").collect();
    assert_eq!(heard, said);
}

async fn the_order_of_a_burst_is_kept(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;

    let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
    for line in &lines {
        bob.says(&tea, line).await;
    }
    for line in &lines {
        room.sees(&ghost, line).await;
    }
    let heard: Vec<_> = room.heard().into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, lines);
    for line in &lines {
        room.says(line).await;
    }
    for line in &lines {
        bob.sees(&tea, "alice", line).await;
    }
    let heard: Vec<_> = bob.heard(&tea).into_iter().filter(|(nick, _)| nick == "alice").map(|(_, text)| text).collect();
    assert_eq!(heard, lines);
}
