//! What rooms send, and which rooms there are.

use super::*;
use crate::convert::ids::XmppUser as Person;

#[tokio::test]
async fn nothing_that_a_room_sends_is_answered_with_an_error() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    let before = scene.server.came().len();
    for to in [LISTENER, ALICE, "bob%here@matrix.test/matrix", "nobody@matrix.test/x", "matrix.test"] {
        for who in [&format!("{TEA}/bob"), TEA, "cake@muc.test/bob", "cake@muc.test"] {
            for kind in ["groupchat", "error", "bogus", "headline"] {
                scene.server.sends(from("message", who, to, kind).with("id", "1").child(body("?")));
            }
            for kind in ["", "unavailable", "error", "bogus"] {
                scene.server.sends(from("presence", who, to, kind));
            }
            scene.server.sends(from("iq", who, to, "result"));
            scene.server.sends(from("iq", who, to, "error").with("id", "never asked"));
        }
    }
    scene.settles().await;
    let sent = scene.server.came().split_off(before);
    let errors: Vec<_> = sent.iter().filter(|stanza| stanza.kind() == "error").collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test]
async fn a_message_of_a_room_is_found_by_every_id_that_it_has() {
    let scene = Scene::start().await;
    scene.server.sends(occupant("bob", "", "b"));
    let said = |id: &str| from("message", &format!("{TEA}/bob"), LISTENER, "groupchat").with("id", id);
    let given = |id: &str| Element::bare("stanza-id", ns::SID).with("by", TEA).with("id", id);
    let origin = |id: &str| Element::bare("origin-id", ns::SID).with("id", id);
    let corrects = |id: &str| Element::bare("replace", ns::CORRECT).with("id", id);
    let retracts = |id: &str| Element::bare("retract", ns::RETRACT_1).with("id", id);
    scene.server.sends(said("m1").child(body("teh")).child(origin("o1")).child(given("s1")));
    for id in ["o1", "m1"] {
        scene
            .server
            .sends(said(&format!("c{id}")).child(body("tea")).child(corrects(id)).child(given(&format!("c{id}"))));
    }
    for id in ["o1", "s1"] {
        scene.server.sends(said(&format!("r{id}")).child(retracts(id)).child(given(&format!("r{id}"))));
    }
    // A room that gives ids to what it archives may archive no retractions.
    scene.server.sends(said("r1").child(retracts("s1")));
    // Where the room gives no ids, there are only the senders'.
    scene.server.sends(said("m7").child(body("nobody counts")));
    scene.server.sends(said("r2").child(retracts("m7")));
    scene.settles().await;
    let targets = scene.events().into_iter().filter_map(|event| match event {
        RemoteEvent::<XmppNetwork>::Edit { target, .. } | RemoteEvent::<XmppNetwork>::Retract { target, .. } => {
            Some(target.encode())
        }
        _ => None,
    });
    let targets: Vec<_> = targets.collect();
    let [his, uncounted] = ["m1", "m7"].map(|id| XmppMessage::by(&Person::of_occupant(TEA, "b"), id).encode());
    let the_rooms = XmppMessage::archived("s1").encode();
    assert_eq!(targets, [his.clone(), his.clone(), his, the_rooms.clone(), the_rooms, uncounted]);
}

#[tokio::test]
async fn only_rooms_that_their_service_lists_are_listed() {
    let scene = Scene::start().await;
    let room = Jid::parse(TEA).unwrap();
    let listed = async || {
        let id = format!("list{}", scene.server.came().len());
        let ask = from("iq", "bob@xmpp.test/phone", "matrix.test", "get").with("id", id.clone());
        scene.server.sends(ask.child(Element::bare("query", ns::DISCO_ITEMS)));
        let answer = scene.server.until("the list", &scene.told, |stanza| stanza.attr("id") == Some(&id)).await;
        let list = answer.get_child("query", ns::DISCO_ITEMS).unwrap().clone();
        list.children().any(|item| item.attr("jid") == Some(TEA))
    };
    assert!(!listed().await);
    scene.server.lists_the_room(true);
    scene.listener.ask_room(&room).await.unwrap();
    assert!(listed().await);
    scene.server.lists_the_room(false);
    // As the room says when it is configured.
    let code = Element::bare("status", ns::MUC_USER).with("code", "104");
    let configured = from("message", TEA, LISTENER, "groupchat").child(Element::bare("x", ns::MUC_USER).child(code));
    scene.server.sends(configured);
    let hidden = async { while listed().await {} };
    tokio::time::timeout(Duration::from_secs(20), hidden).await.expect("the room is asked again");
}

#[tokio::test]
async fn nobody_and_no_room_of_our_own_is_bridged() {
    let scene = Scene::start().await;
    let network = &scene.network;
    let alias = |jid: &str| landbridge::network::ids::escape_localpart(jid);
    assert!(network.room_from_alias(&alias("tea@muc.test")).is_some());
    assert!(network.user_from_localpart(&alias("bob@xmpp.test")).is_some());
    for ours in ["alice%here@matrix.test", "bridge@matrix.test", "tea@matrix.test"] {
        assert_eq!(network.room_from_alias(&alias(ours)), None, "{ours}");
        assert_eq!(network.user_from_localpart(&alias(ours)), None, "{ours}");
        // What one of ours says to another comes back to nobody.
        scene.server.sends(from("message", ours, ALICE, "chat").child(body("hello")));
        scene.server.sends(from("presence", ours, "alice%here@matrix.test", "subscribe"));
    }
    let found = scene.alice.resolve("alice%here@matrix.test").await.unwrap();
    assert!(found.user.is_none() && found.room.is_none(), "{found:?}");
    let before = scene.server.came().len();
    scene.settles().await;
    assert_eq!(scene.events(), []);
    let sent = scene.server.came().split_off(before);
    assert!(sent.iter().all(|stanza| stanza.name() == "iq"), "{sent:#?}");
}
