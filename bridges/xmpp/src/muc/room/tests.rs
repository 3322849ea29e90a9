use super::*;
use crate::{
    muc::{Happening, JoinError, Why},
    stanza::ns,
};

mod names;

const ROOM: &str = "tea@muc.test";

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn ann() -> SeatId {
    SeatId::Puppet(ruma::user_id!("@ann:hs").to_owned())
}

const LISTENER: &str = "bridge@matrix.test/matrix";
const ANN: &str = "ann%hs@matrix.test/matrix";

fn room() -> Room {
    Room::new(jid(ROOM), "matrix.test", Marks::new("s3cret"), false)
}

/// A presence from the room; `inside` is what `<x/>` holds.
fn presence(nick: &str, kind: &str, inside: &[Element]) -> Element {
    let from = if nick.is_empty() { ROOM.to_owned() } else { format!("{ROOM}/{nick}") };
    let stanza = Element::stanza("presence", &from, LISTENER, kind);
    if inside.is_empty() {
        return stanza;
    }
    stanza.child(Element::bare("x", ns::MUC_USER).with_children(inside.iter().cloned()))
}

fn item() -> Element {
    Element::bare("item", ns::MUC_USER).with("affiliation", "none").with("role", "participant")
}

fn status(code: u16) -> Element {
    Element::bare("status", ns::MUC_USER).with("code", code.to_string())
}

fn error(nick: &str, kind: &str, condition: &str) -> Element {
    let error = Element::bare("error", ns::COMPONENT).with("type", kind);
    presence(nick, "error", &[]).child(error.child(Element::bare(condition.to_owned(), ns::STANZA_ERROR)))
}

fn said(nick: &str, id: &str, body: &str) -> Element {
    let stanza = Element::stanza("message", &format!("{ROOM}/{nick}"), LISTENER, "groupchat").with("id", id);
    stanza.child(Element::bare("body", ns::COMPONENT).with_text(body))
}

fn stanza_id(by: &str, id: &str) -> Element {
    Element::bare("stanza-id", ns::SID).with("by", by).with("id", id)
}

/// Takes a seat and is let in.
fn enter(room: &mut Room, id: &SeatId, address: &str, name: &str) -> Vec<Out> {
    let out = room.join(id, &jid(address), name, None);
    let [Out::Send(ask)] = out.as_slice() else { panic!("{out:?}") };
    let nick = ask.to().unwrap().resource().unwrap().to_owned();
    room.presence_came(&presence(&nick, "", &[item(), status(110)]), id)
}

fn listening() -> Room {
    let mut room = room();
    enter(&mut room, &SeatId::Listener, LISTENER, "Matrix");
    room
}

fn bob_here(room: &mut Room) -> Vec<Out> {
    room.presence_came(&presence("bob", "", &[item().with("jid", "bob@xmpp.test/phone")]), &SeatId::Listener)
}

fn happened(out: Vec<Out>) -> Vec<Happening> {
    out.into_iter().filter_map(|out| if let Out::Happened(what) = out { Some(what) } else { None }).collect()
}

#[test]
fn who_was_there_before_is_told_at_once_when_the_listener_is_in() {
    let mut room = room();
    room.join(&SeatId::Listener, &jid(LISTENER), "Matrix", None);
    // ejabberd sends its abilities first, without a nick.
    assert_eq!(room.presence_came(&presence("", "", &[]), &SeatId::Listener), []);
    assert_eq!(bob_here(&mut room), []);
    let out = room.presence_came(&presence("Matrix", "", &[item(), status(110)]), &SeatId::Listener);
    let bob = XmppUser::of_jid(&jid("bob@xmpp.test"));
    let roster = Happening::Roster(vec![(bob, "bob".to_owned())]);
    assert_eq!(out, [Out::Settled(SeatId::Listener, Ok(())), Out::Happened(roster)]);
}

#[test]
fn our_own_occupants_are_not_told_of_whoever_sees_them_first() {
    let mut room = listening();
    room.join(&ann(), &jid(ANN), "Ann", None);
    // The listener sees her before she hears that she is in.
    let out = room.presence_came(&presence("Ann", "", &[item()]), &SeatId::Listener);
    assert_eq!(out, []);
    let out = room.presence_came(&presence("Ann", "", &[item(), status(110)]), &ann());
    assert_eq!(out, [Out::Settled(ann(), Ok(()))]);
    assert_eq!(room.puppet_of("Ann").map(|id| id.as_str()), Some("@ann:hs"));
    assert!(room.is_own("Ann") && room.others().next().is_none());
}

#[test]
fn those_of_an_earlier_life_are_known_by_their_mark_and_nobody_elses_counts() {
    let mut room = room();
    room.join(&SeatId::Listener, &jid(LISTENER), "Matrix", None);
    let mark = Marks::new("s3cret").occupant(ROOM, "Ann");
    let own = |mark: &str| Element::bare("own", ns::OWN).with("mark", mark);
    room.presence_came(&presence("Ann", "", &[item()]).child(own(&mark)), &SeatId::Listener);
    // The mark of one nick is worth nothing under another.
    room.presence_came(&presence("Eve", "", &[item()]).child(own(&mark)), &SeatId::Listener);
    assert!(room.is_own("Ann") && !room.is_own("Eve"));
}

#[test]
fn a_real_address_says_more_than_any_mark() {
    let mut room = listening();
    room.presence_came(&presence("x", "", &[item().with("jid", "ann%hs@matrix.test/matrix")]), &SeatId::Listener);
    assert!(room.is_own("x"));
    let mark = Marks::new("s3cret").occupant(ROOM, "y");
    let stanza = presence("y", "", &[item().with("jid", "eve@evil.test")]);
    room.presence_came(&stanza.child(Element::bare("own", ns::OWN).with("mark", mark)), &SeatId::Listener);
    assert!(!room.is_own("y"));
}

#[test]
fn a_taken_nick_leads_up_the_ladder_and_its_owner_stays_somebody_else() {
    let mut room = listening();
    room.presence_came(&presence("Ann", "", &[item()]), &SeatId::Listener);
    room.join(&ann(), &jid(ANN), "Ann", None);
    for expected in ["Ann [m]", "Ann (hs)", "Ann·2"] {
        let taken = room.seat(&ann()).unwrap().nick.clone();
        let out = room.presence_came(&error(&taken, "cancel", "conflict"), &ann());
        let [Out::Send(ask)] = out.as_slice() else { panic!("{out:?}") };
        assert_eq!(ask.to().unwrap().resource(), Some(expected));
        // A second error for the same attempt means nothing.
        assert_eq!(room.presence_came(&error(&taken, "cancel", "conflict"), &ann()), []);
    }
    assert!(!room.is_own("Ann"));
    for _ in 0..20 {
        let nick = room.seat(&ann()).unwrap().nick.clone();
        let out = room.presence_came(&error(&nick, "modify", "jid-malformed"), &ann());
        if let [Out::Settled(_, result)] = out.as_slice() {
            assert_eq!(*result, Err(JoinError::NoNick));
            return;
        }
    }
    panic!("the ladder ends");
}

#[test]
fn every_error_of_a_join_is_told_in_words() {
    let cases = [
        ("auth", "forbidden", false, "banned"),
        ("auth", "registration-required", false, "members only"),
        ("auth", "not-authorized", false, "password"),
        ("wait", "service-unavailable", true, "full"),
        ("cancel", "not-allowed", false, "make rooms"),
        ("cancel", "item-not-found", false, "no such room"),
        ("cancel", "gone", false, "moved"),
        ("wait", "remote-server-timeout", true, "cannot be reached"),
        ("cancel", "never-heard-of", false, "undefined-condition"),
    ];
    for (kind, condition, temporary, words) in cases {
        let mut room = listening();
        room.join(&ann(), &jid(ANN), "Ann", None);
        let out = room.presence_came(&error("Ann", kind, condition), &ann());
        let [Out::Settled(_, Err(error))] = out.as_slice() else { panic!("{condition}: {out:?}") };
        assert_eq!(error.is_temporary(), temporary, "{condition}");
        assert!(error.to_string().contains(words), "{condition}: {error}");
        // It can be tried again.
        assert!(!room.join(&ann(), &jid(ANN), "Ann", None).is_empty(), "{condition}");
    }
}

#[test]
fn the_nick_that_the_room_gives_is_the_one_we_have() {
    let mut room = listening();
    room.join(&ann(), &jid(ANN), "Ann", None);
    room.presence_came(&presence("Ann Given", "", &[item(), status(110), status(210)]), &ann());
    assert_eq!(room.seat(&ann()).unwrap().nick, "Ann Given");
    assert!(room.is_in(&ann()) && room.is_own("Ann Given") && !room.is_own("Ann"));
}

#[test]
fn a_room_that_was_not_there_is_not_made_by_accident() {
    let mut room = room();
    room.join(&SeatId::Listener, &jid(LISTENER), "Matrix", None);
    let out = room.presence_came(&presence("Matrix", "", &[item(), status(110), status(201)]), &SeatId::Listener);
    let [Out::Send(destroy), Out::Settled(_, Err(JoinError::NoRoom))] = out.as_slice() else { panic!("{out:?}") };
    let query = destroy.get_child("query", ns::MUC_OWNER).unwrap();
    assert!(query.get_child("destroy", ns::MUC_OWNER).is_some());

    let mut room = Room::new(jid(ROOM), "matrix.test", Marks::new("s3cret"), true);
    room.join(&SeatId::Listener, &jid(LISTENER), "Matrix", None);
    let out = room.presence_came(&presence("Matrix", "", &[item(), status(110), status(201)]), &SeatId::Listener);
    let [Out::Send(unlock), Out::Settled(_, Ok(())), Out::Happened(_)] = out.as_slice() else { panic!("{out:?}") };
    assert!(unlock.get_child("query", ns::MUC_OWNER).unwrap().get_child("x", ns::DATA).is_some());
}

#[test]
fn why_a_seat_was_lost_decides_what_follows() {
    let actor = Element::bare("actor", ns::MUC_USER).with("nick", "mod");
    let reason = Element::bare("reason", ns::MUC_USER).with_text("enough");
    let by_mod = item().with("role", "none").child(actor).child(reason);
    let destroy = Element::bare("destroy", ns::MUC_USER).with("jid", "new@muc.test");
    let cases: Vec<(Vec<Element>, Why)> = vec![
        (vec![by_mod.clone(), status(307), status(110)], Why::Kicked),
        (vec![by_mod.clone(), status(301), status(110)], Why::Banned),
        (vec![item(), status(321), status(110)], Why::NotAllowed),
        (vec![item(), status(322), status(110)], Why::NotAllowed),
        (vec![item(), status(332), status(110)], Why::Technical),
        // Prosody says both when a stanza bounced.
        (vec![item(), status(307), status(333), status(110)], Why::Technical),
        // ejabberd says nothing at all.
        (vec![item()], Why::Technical),
        (vec![item(), destroy, status(110)], Why::Destroyed),
    ];
    for (inside, why) in cases {
        let mut room = listening();
        enter(&mut room, &ann(), ANN, "Ann");
        let out = room.presence_came(&presence("Ann", "unavailable", &inside), &ann());
        let [Out::Lost(_, gone)] = out.as_slice() else { panic!("{why:?}: {out:?}") };
        assert_eq!(gone.why, why);
        assert!(!room.is_in(&ann()));
        if why == Why::Kicked {
            assert_eq!((gone.by.as_deref(), gone.reason.as_deref()), (Some("mod"), Some("enough")));
        }
    }
}

#[test]
fn a_change_of_nick_is_a_change_of_name() {
    let mut room = listening();
    bob_here(&mut room);
    let new = item().with("jid", "bob@xmpp.test/phone").with("nick", "robert");
    let out = room.presence_came(&presence("bob", "unavailable", &[new, status(303)]), &SeatId::Listener);
    let [Happening::Renamed { before, now }] = &happened(out)[..] else { panic!() };
    assert_eq!((before.nick.as_str(), now.nick.as_str()), ("bob", "robert"));
    assert_eq!(before.user, now.user);
    let out =
        room.presence_came(&presence("robert", "", &[item().with("jid", "bob@xmpp.test/phone")]), &SeatId::Listener);
    assert_eq!(out, [], "they are known already");
}

#[test]
fn whoever_takes_a_nick_does_not_become_who_had_it() {
    let mut room = listening();
    let with_id = |nick: &str, kind: &str, id: &str| {
        presence(nick, kind, &[item()]).child(Element::bare("occupant-id", ns::OCCUPANT_ID).with("id", id))
    };
    let came = |out: Vec<Out>| match &happened(out)[..] {
        [Happening::Came(who)] => who.user.clone(),
        other => panic!("{other:?}"),
    };
    let first = came(room.presence_came(&with_id("bob", "", "one"), &SeatId::Listener));
    room.presence_came(&with_id("bob", "unavailable", "one"), &SeatId::Listener);
    let second = came(room.presence_came(&with_id("bob", "", "two"), &SeatId::Listener));
    assert_ne!(first, second);
    room.presence_came(&with_id("bob", "unavailable", "two"), &SeatId::Listener);
    assert_eq!(came(room.presence_came(&with_id("bobby", "", "one"), &SeatId::Listener)), first);
}

#[test]
fn whoever_takes_a_nick_in_a_room_that_says_no_more_is_somebody_else() {
    let mut room = listening();
    let comes = |room: &mut Room, nick: &str| match &happened(
        room.presence_came(&presence(nick, "", &[item()]), &SeatId::Listener),
    )[..]
    {
        [Happening::Came(who)] => who.user.clone(),
        other => panic!("{other:?}"),
    };
    let first = comes(&mut room, "bob");
    assert_eq!(room.speaker("bob", &said("bob", "1", "hi")).user, first);
    let out = room.presence_came(&presence("bob", "unavailable", &[item()]), &SeatId::Listener);
    let given_up = Out::GivenUp { nick: "bob".into(), generation: 1 };
    assert!(out.contains(&given_up), "{out:?}");
    let second = comes(&mut room, "bob");
    assert_ne!(first, second);
    // He takes another nick, and is still himself to who hears it; whoever takes his is not.
    let renamed = presence("bob", "unavailable", &[item().with("nick", "rob"), status(303)]);
    room.presence_came(&renamed, &SeatId::Listener);
    room.presence_came(&presence("rob", "", &[item()]), &SeatId::Listener);
    let third = comes(&mut room, "bob");
    assert!(third != first && third != second);
    // A later life of the bridge, which was told how often that happened.
    let mut later = listening();
    later.had([("bob".to_owned(), 2)]);
    assert_eq!(comes(&mut later, "bob"), third);
}

#[test]
fn a_picture_is_shown_where_we_sit_and_once() {
    let mut room = listening();
    assert_eq!(room.shows(&ann(), "abc"), [], "she is not there yet");
    let out = room.join(&ann(), &jid(ANN), "Ann", None);
    let [Out::Send(asks)] = out.as_slice() else { panic!("{out:?}") };
    let shown = |stanza: &Element| stanza.get_child("x", ns::VCARD_UPDATE).and_then(|x| x.own_text("photo"));
    assert_eq!(shown(asks).as_deref(), Some("abc"));
    room.presence_came(&presence("Ann", "", &[item(), status(110)]), &ann());
    assert_eq!(room.shows(&ann(), "abc"), [], "it is known");
    let out = room.shows(&ann(), "def");
    assert!(matches!(&out[..], [Out::Send(stanza)] if shown(stanza).as_deref() == Some("def")), "{out:?}");
}

#[test]
fn a_change_of_the_configuration_is_told_by_the_room_only() {
    let mut room = listening();
    let changed = Element::bare("x", ns::MUC_USER).child(status(104));
    let by_room = Element::stanza("message", ROOM, LISTENER, "groupchat").child(changed.clone());
    assert_eq!(happened(room.message_came(&by_room, &SeatId::Listener)), [Happening::Configured]);
    bob_here(&mut room);
    let by_bob = said("bob", "1", "hi").child(changed);
    let out = happened(room.message_came(&by_bob, &SeatId::Listener));
    assert!(matches!(&out[..], [Happening::Said(..)]), "{out:?}");
}

#[test]
fn our_own_words_come_back_with_the_rooms_id_and_are_not_told_again() {
    let mut room = listening();
    enter(&mut room, &ann(), ANN, "Ann");
    let echo = said("Ann", "our-id", "hi").child(stanza_id("evil@muc.test", "no")).child(stanza_id(ROOM, "s1"));
    let reflected = Out::Reflected { id: "our-id".into(), archive: Some("s1".into()) };
    for seat in [SeatId::Listener, ann()] {
        assert_eq!(room.message_came(&echo, &seat), std::slice::from_ref(&reflected));
    }
}

#[test]
fn only_the_listeners_copy_counts() {
    let mut room = listening();
    enter(&mut room, &ann(), ANN, "Ann");
    bob_here(&mut room);
    assert_eq!(room.message_came(&said("bob", "1", "hi"), &ann()), []);
    let out = happened(room.message_came(&said("bob", "1", "hi"), &SeatId::Listener));
    assert!(matches!(&out[..], [Happening::Said(who, _)] if who.nick == "bob"), "{out:?}");
}

#[test]
fn an_id_that_the_room_did_not_give_is_none() {
    let room = listening();
    assert_eq!(room.archive_id(&said("bob", "1", "hi").child(stanza_id("bob@xmpp.test", "forged"))), None);
    let both = said("bob", "1", "hi").child(stanza_id("bob@xmpp.test", "forged")).child(stanza_id(ROOM, "true"));
    assert_eq!(room.archive_id(&both).as_deref(), Some("true"));
}

#[test]
fn an_error_to_a_message_says_that_we_are_out() {
    let mut room = listening();
    enter(&mut room, &ann(), ANN, "Ann");
    let error = Element::bare("error", ns::COMPONENT).with("type", "cancel");
    let error = error.child(Element::bare("not-acceptable", ns::STANZA_ERROR));
    let bounce = Element::stanza("message", ROOM, ANN, "error").with("id", "our-id").child(error);
    // Somebody in the room cannot say so.
    let by_bob = bounce.clone().with("from", format!("{ROOM}/bob"));
    let out = room.message_came(&by_bob, &ann());
    assert!(matches!(&out[..], [Out::Bounced { by_room: false, .. }]), "{out:?}");
    assert!(room.is_in(&ann()));
    let out = room.message_came(&bounce, &ann());
    assert!(matches!(&out[..], [Out::Bounced { id, by_room: true, .. }] if id == "our-id"), "{out:?}");
    assert!(!room.is_in(&ann()));
}

#[test]
fn what_was_said_before_is_nobodys_who_has_the_nick_now() {
    let mut room = listening();
    room.presence_came(
        &presence("bob", "", &[item()]).child(Element::bare("occupant-id", ns::OCCUPANT_ID).with("id", "two")),
        &SeatId::Listener,
    );
    let delay = Element::bare("delay", ns::DELAY).with("from", ROOM).with("stamp", "2026-01-01T00:00:00Z");
    let old =
        said("bob", "1", "hi").child(delay).child(Element::bare("occupant-id", ns::OCCUPANT_ID).with("id", "one"));
    let [Happening::Said(who, _)] = &happened(room.message_came(&old, &SeatId::Listener))[..] else { panic!() };
    assert_eq!(who.user, XmppUser::of_occupant(ROOM, "one"));
}

/// What mallory writes to be taken for bob, long ago.
fn forged(message: Element) -> Element {
    let item = Element::bare("item", ns::MUC_USER).with("jid", "bob@xmpp.test/phone");
    let delay = Element::bare("delay", ns::DELAY).with("from", ROOM).with("stamp", "2001-01-01T00:00:00Z");
    message.child(Element::bare("x", ns::MUC_USER).child(item)).child(delay)
}

#[test]
fn nobody_speaks_for_another_or_at_another_time() {
    let mut room = listening();
    bob_here(&mut room);
    let mallory = presence("mallory", "", &[item().with("jid", "mallory@xmpp.test/x")]);
    room.presence_came(&mallory, &SeatId::Listener);
    enter(&mut room, &ann(), ANN, "Ann");
    // The room is through with what was said before when it tells the topic, or when somebody says something now.
    room.message_came(&said("bob", "1", "hi"), &SeatId::Listener);
    let out = happened(room.message_came(&forged(said("mallory", "2", "I am bob")), &SeatId::Listener));
    let [Happening::Said(who, stanza)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(who.user, XmppUser::of_jid(&jid("mallory@xmpp.test")));
    assert_eq!(stanza.get_child("delay", ns::DELAY), None);
    // In private neither.
    let whisper = Element::stanza("message", &format!("{ROOM}/mallory"), ANN, "chat").with("id", "3");
    let out = happened(room.message_came(&forged(whisper), &ann()));
    let [Happening::Whispered { by, stanza, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((by.nick.as_str(), stanza.get_child("delay", ns::DELAY)), ("mallory", None));
    // And nothing of hers counts as ours, whatever id she copies.
    let ours = room.marks.message_id("$event", 0);
    let out = happened(room.message_came(&forged(said("mallory", &ours, "unseen")), &SeatId::Listener));
    assert!(matches!(&out[..], [Happening::Said(..)]), "{out:?}");
    assert!(!room.was_ours("mallory", Some(&ours)));
    assert!(room.was_ours("Ann", Some(&ours)) && !room.was_ours("Ann", Some("another")));
}

#[test]
fn an_archive_tells_addresses_where_everybody_sees_them_and_they_are_its_own() {
    let mut room = room();
    room.join(&SeatId::Listener, &jid(LISTENER), "Matrix", None);
    room.presence_came(&presence("Matrix", "", &[item(), status(110), status(100)]), &SeatId::Listener);
    let own = |jid: &str| {
        let item = Element::bare("item", ns::MUC_USER).with("jid", jid);
        Element::bare("x", ns::MUC_USER).child(item)
    };
    let by_carol = said("carol", "1", "hi").child(own("carol@xmpp.test"));
    assert_eq!(room.earlier_speaker("carol", &by_carol).user, XmppUser::of_jid(&jid("carol@xmpp.test")));
    // Two addresses: one is of the sender's making.
    let nobody = room.earlier_speaker("carol", &forged(by_carol.clone())).user;
    assert_eq!(nobody, room.earlier_speaker("carol", &said("carol", "2", "hi")).user);
    // Where the room shows none, all are.
    let hidden = Element::stanza("message", ROOM, LISTENER, "groupchat");
    room.message_came(&hidden.child(Element::bare("x", ns::MUC_USER).child(status(173))), &SeatId::Listener);
    assert_eq!(room.earlier_speaker("carol", &by_carol).user, nobody);
    // Who is there is known by what the room calls them, and is the same as when they speak now.
    let called = || Element::bare("occupant-id", ns::OCCUPANT_ID).with("id", "one");
    room.presence_came(
        &presence("bob", "", &[item().with("jid", "bob@xmpp.test/p")]).child(called()),
        &SeatId::Listener,
    );
    let before = room.earlier_speaker("bobby", &said("bobby", "3", "hi").child(called()));
    assert_eq!((before.user, before.nick.as_str()), (XmppUser::of_jid(&jid("bob@xmpp.test")), "bobby"));
}

#[test]
fn the_topic_is_told_once() {
    let mut room = listening();
    let subject = |text: &str| {
        let stanza = Element::stanza("message", &format!("{ROOM}/bob"), LISTENER, "groupchat");
        stanza.child(Element::bare("subject", ns::COMPONENT).with_text(text))
    };
    assert_eq!(room.message_came(&subject(""), &SeatId::Listener), [], "a room without a topic");
    let told = Out::Happened(Happening::Subject("tea".into()));
    assert_eq!(room.message_came(&subject("tea"), &SeatId::Listener), std::slice::from_ref(&told));
    assert_eq!(room.message_came(&subject("tea"), &SeatId::Listener), []);
    // One of ours is known by who set it, also where its id does not come back; and it is the topic then.
    enter(&mut room, &ann(), ANN, "Ann");
    let by_ann = Element::stanza("message", &format!("{ROOM}/Ann"), LISTENER, "groupchat")
        .child(Element::bare("subject", ns::COMPONENT).with_text("cake"));
    assert_eq!(room.message_came(&by_ann, &ann()), []);
    assert_eq!(room.message_came(&by_ann, &SeatId::Listener), [Out::TopicSet]);
    assert_eq!(room.subject(), Some("cake"));
    let reflected = Out::Reflected { id: "our-id".into(), archive: None };
    let with_id = by_ann.with("id", "our-id");
    assert_eq!(room.message_came(&with_id, &SeatId::Listener), [reflected, Out::TopicSet]);
    assert_eq!(room.message_came(&subject("tea"), &SeatId::Listener), [told]);
}

#[test]
fn what_a_room_makes_of_one_of_ours_who_is_there_is_told_as_it_changes() {
    let mut room = listening();
    let own = |room: &mut Room, seat: &SeatId, nick: &str, affiliation: &str, role: &str| {
        let item = Element::bare("item", ns::MUC_USER).with("affiliation", affiliation).with("role", role);
        happened(room.presence_came(&presence(nick, "", &[item, status(110)]), seat))
    };
    let empowered =
        |before, level| vec![Happening::Empowered { user_id: ruma::user_id!("@ann:hs").to_owned(), before, level }];
    room.join(&ann(), &jid(ANN), "Ann", None);
    assert_eq!(own(&mut room, &ann(), "Ann", "member", "participant"), []);
    assert_eq!(own(&mut room, &ann(), "Ann", "admin", "moderator"), empowered(0, 75));
    assert_eq!(own(&mut room, &ann(), "Ann", "admin", "moderator"), []);
    assert_eq!(own(&mut room, &ann(), "Ann", "none", "moderator"), empowered(75, 50));
    // Without a voice she can still ask for one.
    assert_eq!(own(&mut room, &ann(), "Ann", "none", "visitor"), empowered(50, 0));
    assert_eq!(own(&mut room, &SeatId::Listener, "Matrix", "owner", "moderator"), [], "the bridge has what it needs");
    // Who comes back as what they were is told as who has just come.
    room.lost(&ann());
    room.join(&ann(), &jid(ANN), "Ann", None);
    assert_eq!(own(&mut room, &ann(), "Ann", "owner", "moderator"), empowered(0, 100));
}

#[test]
fn a_room_tells_what_somebody_is_to_it_who_is_not_there() {
    let mut room = listening();
    let told = |from: &str, jid: &str, affiliation: &str| {
        let reason = Element::bare("reason", ns::MUC_USER).with_text("enough");
        let item = Element::bare("item", ns::MUC_USER).with("affiliation", affiliation).with("jid", jid).child(reason);
        Element::stanza("message", from, LISTENER, "").child(Element::bare("x", ns::MUC_USER).child(item))
    };
    let standing = |whose: &str, banned| {
        let reason = Some("enough".to_owned());
        [Out::Happened(Happening::Standing { jid: jid(whose), banned, by: None, reason })]
    };
    let (ours, bob) = ("ann%hs@matrix.test", "bob@xmpp.test");
    for whose in [ours, bob] {
        assert_eq!(room.message_came(&told(ROOM, whose, "outcast"), &SeatId::Listener), standing(whose, true));
        assert_eq!(room.message_came(&told(ROOM, whose, "none"), &SeatId::Listener), standing(whose, false));
    }
    assert_eq!(room.message_came(&told(ROOM, ours, "none"), &ann()), [], "the listener is told, too");
    let by_bob = told(&format!("{ROOM}/bob"), ours, "outcast");
    assert_eq!(room.message_came(&by_bob, &SeatId::Listener), [], "only the room itself can say so");
}

#[test]
fn after_the_link_was_down_the_same_nick_is_asked_for_and_nobody_notices() {
    let mut room = listening();
    room.presence_came(&presence("Ann", "", &[item()]), &SeatId::Listener);
    room.join(&ann(), &jid(ANN), "Ann", None);
    room.presence_came(&error("Ann", "cancel", "conflict"), &ann());
    room.presence_came(&presence("Ann [m]", "", &[item(), status(110)]), &ann());
    room.unlinked();
    assert!(!room.is_in(&SeatId::Listener) && !room.is_in(&ann()));
    let out = room.join(&ann(), &jid(ANN), "Ann", None);
    let [Out::Send(ask)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(ask.to().unwrap().resource(), Some("Ann [m]"));
}

#[test]
fn nothing_that_a_room_can_send_breaks_it() {
    use proptest::prelude::*;
    let nick = prop::sample::select(vec!["", "Matrix", "Ann", "bob", "🫠", "Ann [m]"]);
    let codes =
        prop::collection::vec(prop::sample::select(vec![110_u16, 201, 210, 301, 303, 307, 321, 332, 333, 9999]), 0..3);
    let kind = prop::sample::select(vec!["", "unavailable", "error", "groupchat", "chat", "bogus"]);
    let step = (nick, codes, kind, any::<bool>(), any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::default();
    let steps = prop::collection::vec(step, 0..40);
    let run = runner.run(&steps, |steps| {
        let mut room = listening();
        room.join(&ann(), &jid(ANN), "Ann", None);
        for (nick, codes, kind, to_ann, is_message) in steps {
            let seat = if to_ann { ann() } else { SeatId::Listener };
            let mut inside = vec![item().with("nick", "other")];
            inside.extend(codes.into_iter().map(status));
            if is_message {
                let stanza = presence(nick, kind, &inside);
                let message = Element::stanza("message", stanza.attr("from").unwrap(), LISTENER, kind).with("id", "1");
                room.message_came(&message.with_children(stanza.children().cloned()), &seat);
            } else {
                room.presence_came(&presence(nick, kind, &inside), &seat);
            }
            // A seat that is taken has a nick that is ours.
            for (_, seat) in room.seats().filter(|(_, seat)| seat.state == SeatState::In) {
                prop_assert!(room.is_own(&seat.nick), "{seat:?}");
            }
        }
        Ok(())
    });
    run.unwrap();
}
