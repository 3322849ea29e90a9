//! What is said between two, also through a room.

use landbridge::network::{Ephemeral, EphemeralKind, Target};

use super::*;
use crate::convert::ids::XmppUser as Person;

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
async fn that_a_private_message_was_read_is_told_to_who_asked() {
    let mut scene = Scene::start().await;
    let bob = Person::of_jid(&Jid::parse("bob@xmpp.test").unwrap());
    let private = XmppRoom::direct(user_id!("@alice:here"), bob.clone());
    let reads = async |scene: &Scene, room: &XmppRoom, message: XmppMessage| {
        let before = scene.server.came().len();
        let (author, author_name) = (Some(bob.clone()), "bob".to_owned());
        let event_id = event_id!("$read").to_owned();
        let target = Target { event_id, messages: vec![message], author, author_name, excerpt: None };
        let kind = EphemeralKind::Read { room: room.clone(), target, at: None };
        let user_id = user_id!("@alice:here").to_owned();
        let event: Ephemeral<XmppNetwork> =
            landbridge::network::ephemeral::Ephemeral { user_id, own_session: true, kind };
        scene.alice.ephemeral(&event).await;
        scene.settles().await;
        let marked = |stanza: Element| {
            let id = stanza.get_child("displayed", ns::MARKERS)?.attr("id")?.to_owned();
            Some(format!("{} {id}", stanza.attr("to")?))
        };
        scene.server.came().split_off(before).into_iter().filter_map(marked).collect::<Vec<_>>()
    };
    let said = |id: &str| from("message", "bob@xmpp.test/phone", ALICE, "chat").with("id", id).child(body(id));
    let asks = || Element::bare("markable", ns::MARKERS);
    scene.server.sends(said("m1").child(asks()));
    scene.server.sends(said("m2"));
    scene.server.sends(said("m3").child(asks()).child(Element::bare("origin-id", ns::SID).with("id", "o3")));
    scene.hears("m3").await;
    let direct = XmppMessage::direct;
    assert_eq!(reads(&scene, &private, direct("m1")).await, ["bob@xmpp.test m1"]);
    assert_eq!(reads(&scene, &private, direct("m2")).await, [""; 0], "he did not ask");
    assert_eq!(reads(&scene, &private, direct("o3").also_direct("m3")).await, ["bob@xmpp.test m3"]);
    // Also after a restart.
    scene.lives_again().await;
    assert_eq!(reads(&scene, &private, direct("m1")).await, ["bob@xmpp.test m1"]);
    assert_eq!(reads(&scene, &private, direct("m2")).await, [""; 0]);
    // In a room nobody has to ask.
    scene.alice_says("hello").await.unwrap();
    assert_eq!(reads(&scene, &tea(), XmppMessage::archived("s1")).await, ["tea@muc.test s1"]);
}
