//! Who is written to who is nobody, or of whom it is not known yet whether there is such a Matrix user.

use super::*;
use crate::stanza::Bounds;

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
async fn whoever_says_more_than_is_read_is_told_so() {
    let scene = Scene::start().await;
    let deep =
        || (0..60).fold(Element::bare("x", "urn:deep"), |inside, _| Element::bare("x", "urn:deep").child(inside));
    let wide = || body(&"x".repeat(Bounds::default().bytes));
    let preview = |stanza: Element| stanza.with("preview", "x".repeat(Bounds::default().bytes));
    let to_alice = |name, who: &str, kind: &str, id: &str| from(name, who, ALICE, kind).with("id", id);
    scene.server.sends(to_alice("message", BOB, "chat", "deep").child(body("look")).child(deep()));
    scene.server.sends(to_alice("message", BOB, "", "wide").child(wide()));
    scene.server.sends(preview(to_alice("message", BOB, "normal", "preview")));
    scene.server.sends(to_alice("iq", BOB, "get", "asked").child(deep()));
    // To nobody of ours, but to our component.
    scene.server.sends(from("message", BOB, "nobody@matrix.test", "chat").with("id", "nobody").child(deep()));
    // These are answered by nothing: what rooms send, what needs no answer, what comes from nobody.
    let through = format!("{TEA}/bob");
    for (who, kind) in [(through.as_str(), "groupchat"), (through.as_str(), "chat"), (BOB, "groupchat")] {
        scene.server.sends(to_alice("message", who, kind, "room").child(deep()));
    }
    for kind in ["error", "headline"] {
        scene.server.sends(to_alice("message", BOB, kind, kind).child(deep()));
    }
    scene.server.sends(to_alice("iq", BOB, "result", "answer").child(deep()));
    scene.server.sends(to_alice("presence", BOB, "", "here").child(deep()));
    scene.server.sends(Element::bare("message", ns::COMPONENT).with("to", ALICE).with("id", "whose").child(deep()));
    scene.bob_tells(ALICE, "and then?");
    scene.hears("and then?").await;
    scene.settles().await;
    let refused: Vec<_> =
        ["deep", "wide", "preview", "asked", "nobody"].map(|id| (id.to_owned(), "modify".to_owned())).into();
    assert_eq!(scene.refused("policy-violation"), refused);
    let errors = scene.server.came().into_iter().filter(|stanza| stanza.kind() == "error").count();
    assert_eq!(errors, refused.len());
    assert_eq!(scene.said(), ["and then?"]);
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
