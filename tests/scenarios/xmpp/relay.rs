//! Nobody has an address of their own: the bridge speaks for all.

use landbridge_tests::{Ejabberd, On, Prosody, XmppDeployment, Xmppd};

#[tokio::test]
async fn one_speaks_for_all_over_prosody() {
    Box::pin(one_speaks_for_all(Prosody::start().await)).await;
}

#[tokio::test]
async fn one_speaks_for_all_over_ejabberd() {
    Box::pin(one_speaks_for_all(Ejabberd::start().await)).await;
}

async fn one_speaks_for_all(xmpp: Xmppd) {
    let relay = serde_json::json!({ "bridge": { "mode": "relay" } });
    let d = Box::pin(XmppDeployment::beside(xmpp, On::Embedded, relay)).await;
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    let said = room.says("hello").await;
    let heard = bob.sees(&tea, "Matrix", "<alice> hello").await;
    room.does("waves").await;
    bob.sees(&tea, "Matrix", "* alice waves").await;
    bob.says(&tea, "hello Alice").await;
    let his = room.sees(&ghost, "hello Alice").await;

    room.edits(&said, "hello, Bob").await;
    let corrected = bob.sees(&tea, "Matrix", "<alice> hello, Bob").await;
    assert!(corrected.xml().contains(&format!("id=\"{}\"", heard.id())), "{}", corrected.xml());
    room.reacts(his.id(), "👍").await;
    bob.sees_stanza("a thumb", |stanza| stanza.nick() == "Matrix" && stanza.xml().contains("👍")).await;
    room.redacts(&said, "").await;
    bob.sees_stanza("it is taken back", |stanza| stanza.xml().contains("urn:xmpp:message-retract:1")).await;
    let dora = d.matrix("dora").await;
    dora.joins(&room.id).await.says("me too").await;
    bob.sees(&tea, "Matrix", "<dora> me too").await;
    let in_room = |stanza: &landbridge_tests::Stanza| stanza.is("presence") && stanza.from().starts_with(&tea);
    let seated: Vec<_> = bob.stanzas().into_iter().filter(in_room).collect();
    assert!(seated.iter().all(|stanza| ["Matrix", "bob", ""].contains(&stanza.nick())), "{seated:?}");

    // There is no address of hers to speak from.
    let chat = alice.chats_with(&d.ghost("bob")).await;
    chat.sees_membership(&d.ghost("bob"), "join").await;
    chat.says("psst").await;
    chat.sees_event("that it did not arrive", |event| event.body().contains("address of your own")).await;
}
