//! Who is written to who is nobody, or of whom it is not known yet whether there is such a Matrix user.

use super::*;

const BOB: &str = "bob@xmpp.test/phone";
const CAROL: &str = "carol%here@matrix.test";

impl Scene {
    /// Bob tells somebody something.
    fn bob_tells(&self, whom: &str, text: &str) {
        self.server.sends(from("message", BOB, whom, "chat").with("id", text).child(body(text)));
    }

    /// What the framework was told that somebody said, in order.
    fn said(&self) -> Vec<String> {
        let text = |event| match event {
            RemoteEvent::<XmppNetwork>::Message { body, .. } => Some(body.text.to_plain()),
            _ => None,
        };
        self.events().into_iter().filter_map(text).collect()
    }

    /// What was refused for this reason, by id and type of error, in order.
    fn refused(&self, why: &str) -> Vec<(String, String)> {
        let refused = |stanza: &Element| {
            let error = stanza.get_child("error", ns::COMPONENT)?;
            error.get_child(why, ns::STANZA_ERROR)?;
            Some((stanza.attr("id")?.to_owned(), error.attr("type")?.to_owned()))
        };
        self.server.came().iter().filter_map(refused).collect()
    }
}

#[tokio::test]
async fn what_is_said_to_somebody_who_has_to_be_found_arrives_in_its_order_and_holds_up_nobody_else() {
    let scene = Scene::start().await;
    let carol = user_id!("@carol:here");
    scene.shelf.says(carol, None);
    scene.bob_tells(CAROL, "one");
    scene.bob_tells(CAROL, "two");
    scene.server.sends(from("presence", "bob@xmpp.test", CAROL, "subscribe"));
    scene.bob_tells(ALICE, "hello");
    scene.hears("hello").await;
    assert_eq!(scene.said(), ["hello"]);
    scene.settles().await;
    assert_eq!(scene.server.came().iter().filter(|stanza| stanza.kind() == "subscribed").count(), 0);
    scene.shelf.says(carol, Some(Ok(true)));
    scene.bob_tells(CAROL, "three");
    scene.hears("three").await;
    assert_eq!(scene.said(), ["hello", "one", "two", "three"]);
    scene.server.until("that he may see her", &scene.told, |stanza| stanza.kind() == "subscribed").await;
}

#[tokio::test]
async fn who_turns_out_to_be_nobody_is_answered_as_nobody() {
    let scene = Scene::start().await;
    let carol = user_id!("@carol:here");
    scene.shelf.says(carol, None);
    scene.bob_tells(CAROL, "one");
    let ask = from("iq", BOB, CAROL, "get").with("id", "card");
    scene.server.sends(ask.child(Element::bare("vCard", ns::VCARD)));
    scene.settles().await;
    assert_eq!(scene.refused("service-unavailable"), []);
    scene.shelf.says(carol, Some(Ok(false)));
    scene.server.until("a refusal", &scene.told, |stanza| stanza.attr("id") == Some("card")).await;
    let cancelled = |id: &str| (id.to_owned(), "cancel".to_owned());
    assert_eq!(scene.refused("service-unavailable"), [cancelled("one"), cancelled("card")]);
    assert_eq!(scene.events(), []);
}

#[tokio::test]
async fn whoever_writes_more_than_can_wait_is_asked_to_wait() {
    let scene = Scene::start().await;
    let carol = user_id!("@carol:here");
    scene.shelf.says(carol, None);
    (0..103).for_each(|n| scene.bob_tells(CAROL, &n.to_string()));
    scene.settles().await;
    let later = |n: usize| (n.to_string(), "wait".to_owned());
    assert_eq!(scene.refused("resource-constraint"), [later(100), later(101), later(102)]);
    scene.shelf.says(carol, Some(Ok(true)));
    scene.hears("99").await;
    assert_eq!(scene.said(), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    // Where the framework cannot ask at all, it is the same.
    scene.shelf.says(carol, Some(Err(Busy)));
    scene.bob_tells(CAROL, "more");
    scene.server.sends(from("presence", "bob@xmpp.test", CAROL, "subscribe"));
    scene.settles().await;
    assert_eq!(scene.refused("resource-constraint").pop(), Some(("more".to_owned(), "wait".to_owned())));
    assert_eq!(scene.said().len(), 100);
}

#[tokio::test]
async fn what_waits_when_the_bridge_stops_is_kept() {
    let scene = Scene::start().await;
    scene.shelf.says(user_id!("@carol:here"), None);
    scene.bob_tells(CAROL, "one");
    scene.bob_tells(CAROL, "two");
    scene.settles().await;
    scene.listener.shared.stopping.lock().cancel();
    scene.hears("two").await;
    assert_eq!(scene.said(), ["one", "two"]);
}

#[tokio::test]
async fn an_address_that_is_nobodys_is_answered_as_nobodys() {
    let scene = Scene::start().await;
    let bob = "bob@xmpp.test/phone";
    scene.shelf.says(user_id!("@nobody:here"), Some(Ok(false)));
    for nobody in [
        "nobody@matrix.test",
        "nobody@matrix.test/x",
        "alice%@matrix.test",
        "Bridge2@matrix.test",
        // These read as Matrix ids.
        "nobody%here@matrix.test",
        "nobody%here@matrix.test/matrix",
    ] {
        let before = scene.server.came().len();
        for kind in ["", "normal", "chat", "headline", "groupchat", "error"] {
            scene.server.sends(from("message", bob, nobody, kind).with("id", "m").child(body("hello")));
        }
        for kind in ["", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"] {
            scene.server.sends(from("presence", "bob@xmpp.test", nobody, kind));
        }
        for (name, about) in [
            ("ping", ns::PING),
            ("query", ns::VERSION),
            ("query", ns::DISCO_INFO),
            ("query", ns::DISCO_ITEMS),
            ("vCard", ns::VCARD),
        ] {
            scene.server.sends(from("iq", bob, nobody, "get").with("id", "q").child(Element::bare(name, about)));
        }
        scene.settles().await;
        let sent = scene.server.came().split_off(before);
        let refused = |stanza: &&Element| {
            let why = stanza.get_child("error", ns::COMPONENT);
            stanza.kind() == "error"
                && why.is_some_and(|why| why.get_child("service-unavailable", ns::STANZA_ERROR).is_some())
        };
        let refused: Vec<_> = sent.iter().filter(refused).map(|stanza| stanza.attr("id").unwrap()).collect();
        assert_eq!(refused, ["m", "m", "m", "q", "q", "q", "q", "q"], "{sent:#?}");
        // A seat in what may be a room, of which the message of one tells, is left.
        let presences: Vec<_> = sent.iter().filter(|stanza| stanza.name() == "presence").map(Element::kind).collect();
        let presences: Vec<_> = presences.into_iter().filter(|kind| *kind != "unavailable").collect();
        assert_eq!(presences, ["unsubscribed"], "{nobody}");
    }
    assert_eq!(scene.events(), []);
    assert!(scene.shelf.notes.lock().is_empty(), "nobody sees nobody");
}
