//! What servers and rooms do that is easily taken for something else.

use landbridge::network::{Ephemeral, EphemeralKind, Presence};
use ruma::event_id;

use super::*;
use crate::{
    convert::ids::XmppUser as Person,
    muc::SeatState,
    stanza::{Element, ElementExt as _, ns},
};

pub(super) const LISTENER: &str = "bridge@matrix.test/matrix";
pub(super) const ALICE: &str = "alice%here@matrix.test/matrix";

pub(super) fn from(name: &'static str, who: &str, to: &str, kind: &str) -> Element {
    Element::stanza(name, who, to, kind)
}

pub(super) fn body(text: &str) -> Element {
    Element::bare("body", ns::COMPONENT).with_text(text)
}

/// The presence of an occupant whom the room calls by this id.
fn occupant(nick: &str, kind: &str, id: &str) -> Element {
    let item = Element::bare("item", ns::MUC_USER).with("affiliation", "none").with("role", "participant");
    let presence = from("presence", &format!("{TEA}/{nick}"), LISTENER, kind);
    let presence = presence.child(Element::bare("x", ns::MUC_USER).child(item));
    presence.child(Element::bare("occupant-id", ns::OCCUPANT_ID).with("id", id))
}

fn gone(nick: &str, to: &str, codes: &[&str]) -> Element {
    let code = |code: &&str| Element::bare("status", ns::MUC_USER).with("code", *code);
    let presence = from("presence", &format!("{TEA}/{nick}"), to, "unavailable");
    presence.child(Element::bare("x", ns::MUC_USER).with_children(codes.iter().map(code)))
}

impl Scene {
    /// Alice says something in the room.
    async fn alice_says(&self, text: &str) -> Result<(), SendError> {
        self.alice.deliver(&self.op(text), &KEY, 1).await.map(drop)
    }

    pub(super) async fn settles(&self) {
        self.server.until_answered(&self.told).await;
    }

    /// What the framework was told, beside who is there.
    pub(super) fn events(&self) -> Vec<RemoteEvent<XmppNetwork>> {
        let events = self.told.events.lock();
        let all = events.iter().map(|(_, event, _)| event.clone());
        all.filter(|event| !matches!(event, RemoteEvent::<XmppNetwork>::Members { .. })).collect()
    }

    fn state(&self, seat: &XmppSession) -> SeatState {
        let room = Jid::parse(TEA).unwrap();
        seat.shared.with_room(&room, |state| state.room.state_of(&seat.seat)).unwrap()
    }
}

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

/// An earlier life of the bridge left a seat there: nobody reads what is said to it, so it is left.
#[tokio::test]
async fn a_seat_in_a_room_that_is_not_bridged_is_left() {
    let scene = Scene::start().await;
    scene.server.sends(from("message", "cake@muc.test/bob", ALICE, "groupchat").child(body("hello")));
    let leaves = |stanza: &Element| stanza.name() == "presence" && stanza.kind() == "unavailable";
    let left = scene.server.until("that she leaves", &scene.told, leaves).await;
    assert_eq!((left.attr("from"), left.to().unwrap().bare_str()), (Some(ALICE), "cake@muc.test"));
    assert_eq!(scene.events(), []);
}

#[tokio::test]
async fn whoever_is_put_out_by_a_fault_of_the_service_comes_back_and_nobody_is_told() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    let joins = || {
        let came = scene.server.came().into_iter();
        came.filter(|stanza| stanza.name() == "presence" && stanza.kind().is_empty()).count()
    };
    let before = joins();
    // The service ends (332); a stanza bounced, as Prosody says it (307 and 333); ejabberd says nothing.
    for codes in [&["332", "110"][..], &["307", "333", "110"], &[]] {
        let joined = joins();
        scene.server.sends(gone("alice", ALICE, codes));
        scene.server.sends(gone("Matrix", LISTENER, codes));
        scene.server.until("that the listener comes back", &scene.told, |_| joins() > joined).await;
        scene.alice_says("and again").await.unwrap();
        assert_eq!(scene.state(&scene.listener), SeatState::In);
    }
    assert_eq!(joins(), before + 6, "each once");
    assert_eq!(scene.events(), [], "nobody is put out in Matrix, and the room is not told");
}

impl Scene {
    /// How often somebody of ours asked for a seat.
    fn joins(&self, who: &str) -> usize {
        let came = self.server.came().into_iter();
        let asked = |stanza: &Element| stanza.name() == "presence" && stanza.kind().is_empty();
        came.filter(|stanza| asked(stanza) && stanza.attr("from") == Some(who)).count()
    }

    /// The listener is put out; what is told of it.
    async fn is_put_out(&self, code: &str) -> String {
        self.server.sends(gone("Matrix", LISTENER, &[code, "110"]));
        self.settles().await;
        let told = self.told.events.lock().pop();
        let Some((_, RemoteEvent::<XmppNetwork>::Notice { text, .. }, _)) = told else { panic!("{told:?}") };
        text
    }
}

#[tokio::test]
async fn a_listener_that_is_kicked_stays_away_until_it_is_called_back() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    let room = Jid::parse(TEA).unwrap();
    for wait in ["5 minutes", "10 minutes"] {
        let told = scene.is_put_out("307").await;
        assert!(told.contains("kicked") && told.contains(wait), "{told}");
        let before = scene.joins(LISTENER);
        scene.listener.shared.come_back(&room, 0).await;
        let said = scene.alice_says("may we?").await;
        let Err(SendError::Rejected(reject @ Reject::NotInRoom(_))) = said else { panic!("{said:?}") };
        assert!(reject.to_string().contains(wait), "{reject}");
        assert!(scene.listener.enter(&tea()).await.is_err());
        // Nobody in a room said this.
        let invite = Element::bare("invite", ns::MUC_USER).with("from", "bob@xmpp.test");
        let invite = |who: &str| {
            from("message", who, LISTENER, "").child(Element::bare("x", ns::MUC_USER).child(invite.clone()))
        };
        let direct = Element::bare("x", ns::CONFERENCE).with("jid", TEA);
        scene.server.sends(from("message", "bob@xmpp.test/phone", LISTENER, "").child(direct));
        scene.server.sends(invite("cake@muc.test"));
        scene.settles().await;
        assert_eq!(scene.joins(LISTENER), before);
        scene.server.sends(invite(TEA));
        scene.server.until("that it comes back", &scene.told, |_| scene.joins(LISTENER) > before).await;
        scene.alice_says("here we are").await.unwrap();
        assert_eq!(scene.joins(LISTENER), before + 1);
    }
}

#[tokio::test]
async fn a_listener_that_was_kicked_before_a_restart_stays_away_after_it_until_somebody_wants_it_back() {
    let mut scene = Scene::start().await;
    scene.is_put_out("307").await;
    scene.lives_again().await;
    let before = scene.joins(LISTENER);
    let entered = scene.listener.enter(&tea()).await;
    let Err(SendError::Rejected(reject @ Reject::NotInRoom(_))) = entered else { panic!("{entered:?}") };
    assert!(reject.to_string().contains("5 minutes"), "{reject}");
    scene.listener.shared.come_back(&Jid::parse(TEA).unwrap(), 0).await;
    assert_eq!(scene.joins(LISTENER), before);
    scene.listener.call_back(&tea()).await.unwrap();
    assert_eq!(scene.joins(LISTENER), before + 1);
    // Also that is noted, and that it was kicked once.
    scene.lives_again().await;
    scene.listener.enter(&tea()).await.unwrap();
    assert!(scene.is_put_out("307").await.contains("10 minutes"));
}

#[tokio::test]
async fn a_listener_that_is_kept_out_is_back_when_the_room_lets_it_in() {
    for (code, word) in [("301", "banned"), ("321", "put out"), ("322", "put out")] {
        let scene = Scene::start().await;
        scene.alice_says("hello").await.unwrap();
        let room = Jid::parse(TEA).unwrap();
        scene.server.refuses_entry(Some(("auth", "forbidden")));
        let told = scene.is_put_out(code).await;
        assert!(told.contains(word) && told.contains("let in again"), "{told}");
        let before = scene.joins(LISTENER);
        scene.listener.shared.come_back(&room, 0).await;
        assert_eq!(scene.joins(LISTENER), before, "not by itself");
        let said = scene.alice_says("may we?").await;
        assert!(matches!(said, Err(SendError::Rejected(Reject::NotInRoom(_)))), "{said:?}");
        assert_eq!(scene.joins(LISTENER), before + 1, "whoever speaks has the room asked");
        scene.server.refuses_entry(None);
        scene.alice_says("here we are").await.unwrap();
    }
}

#[tokio::test]
async fn a_room_that_says_later_is_asked_later_and_one_that_says_no_is_not() {
    let scene = Scene::start().await;
    for (kind, why, later) in [
        ("wait", "service-unavailable", true),
        ("wait", "remote-server-timeout", true),
        ("auth", "forbidden", false),
        ("auth", "registration-required", false),
    ] {
        scene.server.refuses_entry(Some((kind, why)));
        let said = scene.alice_says("let me in").await;
        assert_eq!(matches!(said, Err(SendError::RetryAfter(_))), later, "{said:?}");
        assert_eq!(matches!(said, Err(SendError::Rejected(Reject::NotInRoom(_)))), !later, "{said:?}");
    }
    scene.server.refuses_entry(None);
    scene.alice_says("let me in").await.unwrap();
}

#[tokio::test]
async fn what_becomes_of_a_ping_says_whether_we_are_in_a_room() {
    let mut scene = Scene::start().await;
    // Under the nick that the room gave.
    scene.server.breaks();
    scene.is_unlinked().await;
    scene.server.gives_nick("Given");
    scene.links().await;
    let room = Jid::parse(TEA).unwrap();
    for error in [None, Some("item-not-found"), Some("service-unavailable"), Some("feature-not-implemented")] {
        scene.server.answers_pings_with(error);
        scene.listener.shared.check_seat(&room, &scene.listener.seat).await;
        assert_eq!(scene.state(&scene.listener), SeatState::In, "{error:?}");
    }
    scene.server.answers_pings_with(Some("not-acceptable"));
    scene.listener.shared.check_seat(&room, &scene.listener.seat).await;
    assert_eq!(scene.state(&scene.listener), SeatState::Out);
    let pings: Vec<_> = scene.server.came().into_iter().filter(|iq| iq.get_child("ping", ns::PING).is_some()).collect();
    assert!(pings.len() == 5 && pings.iter().all(|ping| ping.attr("to") == Some("tea@muc.test/Given")), "{pings:?}");
}

#[tokio::test]
async fn who_writes_from_a_room_is_an_occupant_of_it_and_a_domain_says_nothing() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    scene.server.sends(occupant("bob", "", "one"));
    // Old clients do not say that it comes through a room.
    scene.server.sends(from("message", &format!("{TEA}/bob"), ALICE, "chat").child(body("psst")));
    scene.server.sends(from("message", "bob@conference.test/phone", ALICE, "chat").child(body("hey")));
    scene.hears("psst").await;
    scene.hears("hey").await;
    let senders = scene.events().into_iter().filter_map(|event| match event {
        RemoteEvent::<XmppNetwork>::Message { sender, room: XmppRoom::Direct { with, .. }, .. } => {
            assert_eq!(with, sender);
            Some(sender)
        }
        _ => None,
    });
    let elsewhere = Person::of_jid(&Jid::parse("bob@conference.test").unwrap());
    assert_eq!(senders.collect::<Vec<_>>(), [Person::of_occupant(TEA, "one"), elsewhere]);
}

#[tokio::test]
async fn whoever_takes_a_nick_gets_nothing_that_is_for_who_had_it() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    let op = |event_id: &ruma::EventId| {
        let with = Person::of_occupant(TEA, "one");
        let event: MatrixEvent<XmppNetwork> = Said {
            event_id: event_id.to_owned(),
            room: XmppRoom::direct(user_id!("@alice:here"), with),
            ..scene.event("for Bob")
        };
        scene.network.to_remote(&event, &scene.context()).unwrap().remove(0)
    };
    scene.server.sends(occupant("bob", "", "one"));
    scene.settles().await;
    scene.alice.deliver(&op(event_id!("$2")), &KEY, 1).await.unwrap();
    scene.server.sends(occupant("bob", "unavailable", "one"));
    scene.server.sends(occupant("bob", "", "two"));
    scene.settles().await;
    let refused = scene.alice.deliver(&op(event_id!("$3")), &KEY, 1).await;
    assert!(matches!(refused, Err(SendError::Rejected(Reject::NotInRoom(_)))), "{refused:?}");
    // He is there again, under another nick.
    scene.server.sends(occupant("rob", "", "one"));
    scene.settles().await;
    scene.alice.deliver(&op(event_id!("$4")), &KEY, 1).await.unwrap();
    let private = scene.server.came().into_iter().filter(|stanza| stanza.kind() == "chat");
    let whom: Vec<_> = private.map(|stanza| stanza.to().unwrap().resource().unwrap().to_owned()).collect();
    assert_eq!(whom, ["bob", "rob"]);
}

#[tokio::test]
async fn a_private_message_through_a_room_that_is_refused_is_told_where_it_was_said() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    scene.server.sends(occupant("bob", "", "one"));
    scene.settles().await;
    let room = XmppRoom::direct(user_id!("@alice:here"), Person::of_occupant(TEA, "one"));
    let event: MatrixEvent<XmppNetwork> = Said { room: room.clone(), ..scene.event("psst") };
    let op = scene.network.to_remote(&event, &scene.context()).unwrap().remove(0);
    scene.alice.deliver(&op, &KEY, 1).await.unwrap();
    let said = scene.server.until("the message", &scene.told, |stanza| stanza.kind() == "chat").await;
    let error = Element::bare("error", ns::COMPONENT).with("type", "auth");
    let error = error.child(Element::bare("forbidden", ns::STANZA_ERROR));
    let bounce = from("message", &format!("{TEA}/bob"), ALICE, "error").with("id", said.attr("id").unwrap());
    scene.server.sends(bounce.child(error));
    let told = |event: &RemoteEvent<XmppNetwork>| match event {
        RemoteEvent::<XmppNetwork>::Notice { room: told, text } => (*told == room).then(|| text.clone()),
        _ => None,
    };
    assert!(scene.told.event("a notice", told).await.contains("not delivered"));
}

/// Nobody remembers where it was said: it was in an earlier life.
#[tokio::test]
async fn what_an_earlier_life_said_in_private_and_was_refused_is_told() {
    let scene = Scene::start().await;
    let id = scene.alice.shared.own.marks.message_id("$old", 0);
    let error = Element::bare("error", ns::COMPONENT).with("type", "cancel");
    let error = error.child(Element::bare("service-unavailable", ns::STANZA_ERROR));
    for id in ["never sent", &id] {
        scene.server.sends(from("message", "bob@xmpp.test", ALICE, "error").with("id", id).child(error.clone()));
    }
    let bob = Person::of_jid(&Jid::parse("bob@xmpp.test").unwrap());
    scene
        .told
        .event("a notice", |event| matches!(event, RemoteEvent::<XmppNetwork>::Notice { .. }).then_some(()))
        .await;
    let [RemoteEvent::<XmppNetwork>::Notice { room, .. }] = &scene.events()[..] else { panic!("{:?}", scene.told) };
    assert_eq!(*room, XmppRoom::direct(user_id!("@alice:here"), bob));
}

/// Clients make one of the two ids, but need not: who corrects it names one, and who reacts to it the other.
#[tokio::test]
async fn a_private_message_is_known_by_its_origin_id_and_by_that_of_its_stanza() {
    let scene = Scene::start().await;
    let origin = |id: &str| Element::bare("origin-id", ns::SID).with("id", id);
    let said = || from("message", "bob@xmpp.test/phone", ALICE, "chat");
    let long = "o".repeat(1024);
    scene.server.sends(said().with("id", "m1").child(body("both")).child(origin("o1")));
    scene.server.sends(said().with("id", "m2").child(body("the same")).child(origin("m2")));
    scene.server.sends(said().with("id", "m3").child(body("one")));
    scene.server.sends(said().child(body("the other")).child(origin("o4")));
    scene.server.sends(said().with("id", "m5").child(body("none that is any")).child(origin("")));
    scene.server.sends(said().with("id", "m6").child(body("nor this")).child(origin(&long)));
    scene.hears("nor this").await;
    let ids = scene.events().into_iter().filter_map(|event| match event {
        RemoteEvent::<XmppNetwork>::Message { id, .. } => id,
        _ => None,
    });
    let ids: Vec<_> = ids.map(|id| (id.id().to_owned(), id.also())).collect();
    let alone = |id: &str| (id.to_owned(), None);
    let both = ("o1".to_owned(), Some(XmppMessage::direct("m1").encode()));
    assert_eq!(ids, [both, alone("m2"), alone("m3"), alone("o4"), alone("m5"), alone("m6")]);
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

/// A private message counts as said once the server has it.
#[tokio::test]
async fn a_private_message_that_the_server_may_not_have_is_not_called_said() {
    let scene = Scene::start().await;
    let bob = Person::of_jid(&Jid::parse("bob@xmpp.test").unwrap());
    let event: MatrixEvent<XmppNetwork> =
        Said { room: XmppRoom::direct(user_id!("@alice:here"), bob), ..scene.event("psst") };
    let op = scene.network.to_remote(&event, &scene.context()).unwrap().remove(0);
    assert!(scene.alice.deliver(&op, &KEY, 1).await.is_ok_and(|said| said.id.is_some()));
    scene.server.falls_silent();
    let (alice, again) = (Arc::clone(&scene.alice), op.clone());
    let saying = tokio::spawn(async move { alice.deliver(&again, &KEY, 1).await });
    let asked = || scene.server.came().iter().filter(|iq| iq.name() == "iq" && iq.attr("from") == Some(ALICE)).count();
    scene.server.until("a question behind it", &scene.told, |_| asked() == 2).await;
    scene.server.breaks();
    let said = saying.await.unwrap();
    assert!(matches!(said, Err(SendError::MaybeSent(_))), "{said:?}");
    assert_eq!(scene.alice.reconcile(&op, &KEY, NOON).await, Landed::CannotTell);
}

#[tokio::test]
async fn what_servers_send_beside_talk_means_nothing() {
    let scene = Scene::start().await;
    // Right behind the handshake: what the component may do (XEP-0356).
    for version in ["urn:xmpp:privilege:1", "urn:xmpp:privilege:2"] {
        let perm = Element::bare("perm", version).with("access", "roster").with("type", "both");
        scene.server.sends(
            from("message", "xmpp.test", "matrix.test", "").child(Element::bare("privilege", version).child(perm)),
        );
    }
    // On a subscription Prosody asks how she is, and says at once that he is there and that he is not.
    scene.server.sends(from("presence", "bob@xmpp.test/phone", "alice%here@matrix.test", ""));
    scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", "unavailable"));
    scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", "probe"));
    scene.settles().await;
    assert_eq!(scene.events(), []);
    assert_eq!(*scene.told.ephemeral.lock(), ["bob@xmpp.test is Online"]);
    let shown = |stanza: &Element| stanza.name() == "presence" && stanza.attr("to") == Some("bob@xmpp.test");
    let shown: Vec<_> = scene.server.came().into_iter().filter(shown).collect();
    assert!(matches!(&shown[..], [one] if one.attr("from") == Some(ALICE) && one.kind().is_empty()), "{shown:?}");
}

/// Also one that no Matrix id holds.
#[tokio::test]
async fn whoever_writes_can_be_answered_however_long_their_address_is() {
    let scene = Scene::start().await;
    let long = format!("{}@xmpp.test", "b".repeat(400));
    scene.server.sends(from("message", &format!("{long}/phone"), ALICE, "chat").child(body("hey")));
    scene.hears("hey").await;
    let with = Person::of_jid(&Jid::parse(&long).unwrap());
    assert_eq!(with.jid(), None, "a hash");
    let room = XmppRoom::direct(user_id!("@alice:here"), with);
    let event: MatrixEvent<XmppNetwork> = Said { room, ..scene.event("hello") };
    let op = scene.network.to_remote(&event, &scene.context()).unwrap().remove(0);
    scene.alice.deliver(&op, &KEY, 1).await.unwrap();
    let said = scene.server.until("the answer", &scene.told, |stanza| stanza.kind() == "chat").await;
    assert_eq!(said.attr("to"), Some(long.as_str()));
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

#[tokio::test]
async fn who_sees_a_matrix_user_is_told_how_they_are_and_nobody_else() {
    let scene = Scene::start().await;
    let she_is = async |presence, status: Option<&str>| {
        let kind = EphemeralKind::Presence { presence, status: status.map(str::to_owned) };
        let (user_id, own_session) = (user_id!("@alice:here").to_owned(), true);
        let event: Ephemeral<XmppNetwork> = landbridge::network::ephemeral::Ephemeral { user_id, own_session, kind };
        scene.alice.ephemeral(&event).await;
        scene.settles().await;
    };
    let shown = || {
        let came = scene.server.came().into_iter();
        let to_bob = came.filter(|stanza| stanza.name() == "presence" && stanza.attr("to") == Some("bob@xmpp.test"));
        let words =
            |stanza: Element| [stanza.kind().to_owned(), stanza.own_text("status").unwrap_or_default()].join(" ");
        to_bob.map(words).collect::<Vec<_>>()
    };
    let asks = |kind| scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", kind));
    she_is(Presence::Unavailable, Some("asleep")).await;
    assert_eq!(shown(), [""; 0], "he did not ask");
    asks("subscribe");
    scene.settles().await;
    assert_eq!(shown(), ["subscribed ", " asleep", "subscribe "]);
    she_is(Presence::Online, Some("awake")).await;
    she_is(Presence::Online, Some("awake")).await;
    she_is(Presence::Offline, None).await;
    assert_eq!(shown()[3..], [" awake", "unavailable "], "each once");
    asks("probe");
    scene.settles().await;
    assert_eq!(shown()[5..], ["unavailable "], "as she is");
    asks("unsubscribe");
    scene.settles().await;
    assert_eq!(shown()[6..], ["unsubscribed ", "unavailable "]);
    she_is(Presence::Online, Some("here again")).await;
    assert_eq!(shown().len(), 8, "he does not see her any more");
}
