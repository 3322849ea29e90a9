//! Seats in rooms: lost, taken again, kept out.

use landbridge::network::Membership;

use super::*;

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

/// A restart must not take whoever has the nick next for who had it: that they are gone is told once it is noted how often it was given up.
#[tokio::test]
async fn whoever_gives_up_a_nick_is_gone_once_that_is_noted() {
    let scene = Scene::start().await;
    let item = || Element::bare("item", ns::MUC_USER).with("role", "participant").with("affiliation", "none");
    let presence = |kind: &str| {
        let presence = from("presence", &format!("{TEA}/somebody"), LISTENER, kind);
        presence.child(Element::bare("x", ns::MUC_USER).child(item()))
    };
    let came = |wanted: Membership| {
        move |event: &RemoteEvent<XmppNetwork>| match event {
            RemoteEvent::<XmppNetwork>::Member { name: Some(name), membership, .. } => {
                (name == "somebody" && *membership == wanted).then_some(())
            }
            _ => None,
        }
    };
    scene.server.sends(presence(""));
    scene.told.event("that somebody comes", came(Membership::Join)).await;
    scene.server.sends(presence("unavailable"));
    scene.told.event("that somebody goes", came(Membership::Leave)).await;
    let noted: Vec<_> =
        scene.shelf.notes.lock().iter().map(|((_, nick), times)| (nick.clone(), times.clone())).collect();
    assert_eq!(noted, [("somebody".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn whoever_has_no_voice_is_withheld_what_they_say_until_they_have_one() {
    let scene = Scene::start().await;
    scene.server.gives_voice(ALICE, false);
    let hour = Duration::from_hours(1);
    for _ in 0..3 {
        let said = scene.alice_says("may I?").await;
        assert!(
            matches!(&said, Err(SendError::Withheld { why, keep }) if why.contains("no voice") && *keep == hour),
            "{said:?}"
        );
    }
    let ops = [(Arc::clone(&scene.alice), scene.op("and now?"), KEY)];
    assert_eq!(scene.alice.deliver_among(&ops).await.len(), 0, "it has its turn");
    let tea = tea();
    let waits = scene.alice.may_speak(&tea);
    tokio::pin!(waits);
    scene.settles().await;
    assert!(futures_util::poll!(&mut waits).is_pending());
    let asks = |stanza: &Element| stanza.children().any(|child| child.is("x", ns::DATA)) && stanza.kind().is_empty();
    assert_eq!(scene.server.came().iter().filter(|stanza| asks(stanza)).count(), 1, "the moderators are asked once");
    scene.server.gives_voice(ALICE, true);
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("she is told");
    scene.alice_says("so I may").await.unwrap();
    assert_eq!((scene.server.count("may I?"), scene.server.count("so I may")), (0, 1));
}

#[tokio::test]
async fn a_topic_is_set_by_the_bridge_where_its_author_has_no_voice_and_is_not_kept() {
    let scene = Scene::start().await;
    scene.server.gives_voice(ALICE, false);
    let sets = |topic: &str| {
        let mut event = scene.event("");
        event.kind = MatrixKind::Topic(topic.to_owned());
        scene.network.to_remote(&event, &scene.context()).unwrap().remove(0)
    };
    // It does not come back under its id, and is known all the same.
    let cake = sets("cake");
    tokio::time::timeout(Duration::from_secs(10), scene.alice.deliver(&cake, &KEY, 1)).await.expect("at once").unwrap();
    scene.server.gives_voice(LISTENER, false);
    scene.alice.deliver(&sets("cake"), &KEY, 1).await.expect("it is so");
    let said = scene.alice.deliver(&sets("tea"), &KEY, 1).await;
    assert!(matches!(said, Err(SendError::Rejected(Reject::Forbidden(_)))), "{said:?}");
}

#[tokio::test]
async fn a_voice_that_comes_with_the_refusal_is_a_reason_to_say_it_again() {
    let scene = Scene::start().await;
    scene.server.gives_voice(ALICE, false);
    assert!(matches!(scene.alice_says("may I?").await, Err(SendError::Withheld { .. })));
    scene.server.gives_voice_after_next_refusal(ALICE);
    let (op, tea) = (scene.op("may I?"), tea());
    let said = scene.alice.deliver(&op, &KEY, 2);
    tokio::pin!(said);
    // The refusal and the voice are there before anybody looks.
    assert!(futures_util::poll!(&mut said).is_pending());
    let may = tokio::time::timeout(Duration::from_secs(20), scene.alice.may_speak(&tea));
    may.await.expect("she is told");
    let said = said.await;
    assert!(matches!(said, Err(SendError::Withheld { .. })), "{said:?}");
    scene.alice.deliver(&op, &KEY, 3).await.unwrap();
}

#[tokio::test]
async fn whoever_is_in_the_room_no_more_enters_and_says_it_once() {
    let scene = Scene::start().await;
    scene.alice.shared.be_in(&Jid::parse(TEA).unwrap(), &scene.alice.seat).await.unwrap();
    scene.server.forgets(ALICE);
    scene.alice_says("hello").await.unwrap();
    assert_eq!((scene.joins(ALICE), scene.server.count("hello")), (2, 1));
}

#[tokio::test]
async fn what_an_earlier_life_said_is_not_said_again_because_it_is_refused_now() {
    let scene = Scene::start().await;
    scene.server.is_at(landbridge::Clock::now(&landbridge::SystemClock));
    let op = scene.op("hello");
    scene.alice.deliver(&op, &KEY, 1).await.unwrap();
    scene.server.forgets(ALICE);
    // As after a start: nobody remembers that it came back.
    let said = scene.alice.deliver(&op, &KEY, 1).await;
    assert!(said.as_ref().is_ok_and(|said| said.id.is_some()), "{said:?}");
    assert_eq!(scene.server.count("hello"), 1);
}
