//! What people say crosses, once and in order.

use serde_json::json;

use super::stage::{SERVER, Stage, by};
use crate::{
    dispatch::Kill,
    network::{Body, Dedupe, SessionId, event::RemoteEvent},
    testing::{Fault, Heard, PushFault},
};

#[tokio::test]
async fn a_portal_is_made_when_somebody_asks_for_its_alias() {
    let (stage, alice, room) = Stage::lobby().await;
    alice.says(&room, "hi");
    stage.script.expects("#lobby", "alice: hi").await;
    stage.script.hears("#lobby", "bob", "hello").await.unwrap();
    room.hears("@test_bob:localhost", "hello").await;
    // Who comes later finds the same room.
    let (_, same) = stage.enters("carol", "#lobby").await;
    assert_eq!(same.id, room.id);
}

#[tokio::test]
async fn a_burst_crosses_in_order_each_way() {
    let (stage, alice, room) = Stage::lobby().await;
    for n in 0..400 {
        alice.says(&room, &format!("m{n}"));
    }
    let expected: Vec<String> = (0..400).map(|n| format!("#lobby alice: m{n}")).collect();
    assert_eq!(stage.expects_lines(400).await, expected);
    for n in 0..300 {
        stage.script.hears("#lobby", "bob", &format!("r{n}")).await.unwrap();
    }
    room.has_messages(700).await;
    let expected: Vec<String> = (0..300).map(|n| format!("r{n}")).collect();
    assert_eq!(by(&room, "@test_bob:localhost"), expected);
}

#[tokio::test]
async fn what_is_decided_at_once_overtakes_nothing_in_its_room() {
    let (stage, alice, room) = Stage::lobby().await;
    // Of every third it has to be found out what it is about.
    let first = alice.says(&room, "m0");
    let expected = (1..60).map(|n| match n % 3 {
        0 => {
            alice.edits(&room, &first, &format!("m{n}"));
            format!("#lobby alice: m{n}*")
        }
        _ => {
            alice.says(&room, &format!("m{n}"));
            format!("#lobby alice: m{n}")
        }
    });
    let expected: Vec<String> = std::iter::once("#lobby alice: m0".to_owned()).chain(expected).collect();
    assert_eq!(stage.expects_lines(60).await, expected);
    let (mut expected, mut receipts) = (Vec::new(), Vec::new());
    for n in 0..60 {
        let (room, sender, text) = ("#lobby".to_owned(), "bob".to_owned(), format!("r{n}"));
        let (id, body) = (text.clone(), Body::plain(text));
        let (event, dedupe): (Heard, _) = if n % 3 == 1 {
            expected.push(format!("* r{n}"));
            (RemoteEvent::Edit { room, sender, id: None, target: "r0".to_owned(), body }, Dedupe::Never)
        } else {
            expected.push(format!("r{n}"));
            let event =
                Heard::Message { room, sender, name: None, id: Some(id.clone()), at: None, body, reply_to: None };
            (event, Dedupe::Id(id))
        };
        receipts.push(stage.script.offers(event, dedupe).await.unwrap());
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    room.has_messages(120).await;
    assert_eq!(by(&room, "@test_bob:localhost"), expected);
}

#[tokio::test]
async fn what_is_said_after_a_restart_is_not_taken_for_what_was_said_before_it() {
    let (mut stage, _, room) = Stage::lobby().await;
    // Nothing tells these lines from others but their place in the order, and the queues are empty at every start.
    for text in ["one", "two", "three"] {
        let (lobby, sender, body) = ("#lobby".to_owned(), "bob".to_owned(), Body::plain(text));
        let event: Heard = Heard::Message { room: lobby, sender, name: None, id: None, at: None, body, reply_to: None };
        stage.script.happens(event, Dedupe::Never).await.unwrap();
        room.hears("@test_bob:localhost", text).await;
        stage.settles().await;
        stage.crashes().await;
        stage.starts(Kill::default()).await;
    }
    assert_eq!(by(&room, "@test_bob:localhost"), ["one", "two", "three"]);
}

#[tokio::test]
async fn however_a_transaction_is_repeated_its_events_cross_once() {
    let (stage, alice, room) = Stage::lobby().await;
    let faults = [
        PushFault::Duplicated,
        PushFault::DuplicatedAtOnce,
        PushFault::AnswerLost,
        PushFault::AnswerLostAndRenamed,
        PushFault::Reordered,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        stage.homeserver.fail_push(fault);
        alice.says(&room, &format!("m{n}"));
        stage.script.expects("#lobby", &format!("alice: m{n}")).await;
    }
    stage.settles().await;
    assert_eq!(stage.lines().len(), 5, "{:?}", stage.lines());
}

#[tokio::test]
async fn a_transaction_that_comes_again_with_more_in_it_brings_only_that() {
    let (mut stage, alice, room) = Stage::lobby().await;
    let mut expected = Vec::new();
    for dies in [false, true] {
        stage.settles().await;
        stage.homeserver.fail_push(PushFault::AnswerLostAndGrown);
        for text in ["before", "after"] {
            if dies && text == "after" {
                stage.crashes().await;
                stage.starts(Kill::default()).await;
            }
            alice.says(&room, &format!("{text}, {dies}"));
            stage.script.expects("#lobby", &format!("alice: {text}, {dies}")).await;
            expected.push(format!("#lobby alice: {text}, {dies}"));
        }
    }
    stage.settles().await;
    assert_eq!(stage.lines(), expected);
}

#[tokio::test]
async fn a_transaction_that_the_homeserver_left_behind_is_asked_for_and_comes_in_its_place() {
    let (stage, alice, room) = Stage::lobby().await;
    alice.says(&room, "one");
    stage.script.expects("#lobby", "alice: one").await;
    stage.settles().await;
    stage.homeserver.fail_push(PushFault::LeftBehind);
    alice.says(&room, "two");
    stage.homeserver.all_taken().await;
    alice.says(&room, "three");
    stage.script.expects("#lobby", "alice: three").await;
    stage.settles().await;
    assert_eq!(stage.lines(), ["#lobby alice: one", "#lobby alice: two", "#lobby alice: three"]);
}

#[tokio::test]
async fn transaction_ids_that_start_again_hide_nothing() {
    let (stage, alice, room) = Stage::lobby().await;
    alice.says(&room, "before");
    stage.script.expects("#lobby", "alice: before").await;
    stage.settles().await;
    stage.homeserver.restart_counting();
    for text in ["one", "two", "three", "four"] {
        alice.says(&room, text);
        stage.script.expects("#lobby", &format!("alice: {text}")).await;
    }
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_said_once_though_the_homeserver_forgot_it() {
    let (stage, _, room) = Stage::lobby().await;
    stage.script.hears("#lobby", "bob", "first").await.unwrap();
    room.hears("@test_bob:localhost", "first").await;
    stage.settles().await;
    // The homeserver has it, we do not know, and its memory of transaction ids goes: only our own event coming back tells.
    stage.homeserver.fail("/send/m.room.message/", Fault::AnswerLost);
    stage.script.hears("#lobby", "bob", "once").await.unwrap();
    room.hears("@test_bob:localhost", "once").await;
    stage.homeserver.restart();
    stage.settles().await;
    stage.script.hears("#lobby", "bob", "after").await.unwrap();
    room.hears("@test_bob:localhost", "after").await;
    assert_eq!(by(&room, "@test_bob:localhost"), ["first", "once", "after"]);
}

#[tokio::test]
async fn a_homeserver_in_trouble_is_waited_for_in_order() {
    let (stage, _, room) = Stage::lobby().await;
    let send = "/send/m.room.message/";
    stage.homeserver.fail_times(send, Fault::BadGateway, 2);
    stage.homeserver.fail(send, Fault::RateLimited(std::time::Duration::from_millis(20)));
    stage.homeserver.fail(send, Fault::UnknownToken);
    stage.homeserver.fail(send, Fault::Unreachable);
    for text in ["one", "two", "three"] {
        stage.script.hears("#lobby", "bob", text).await.unwrap();
    }
    room.has_messages(3).await;
    stage.settles().await;
    assert_eq!(by(&room, "@test_bob:localhost"), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_room_in_trouble_holds_up_no_other() {
    let (stage, alice, stuck) = Stage::lobby().await;
    let (_, free) = stage.enters("alice", "#other").await;
    let path = stuck.id.trim_start_matches('!').split(':').next().unwrap();
    stage.homeserver.fail_times(path, Fault::BadGateway, u32::MAX);
    stage.script.hears("#lobby", "bob", "late").await.unwrap();
    stage.script.hears("#other", "bob", "soon").await.unwrap();
    free.hears("@test_bob:localhost", "soon").await;
    // Nor does it hold up what is said there the other way.
    alice.says(&stuck, "hi");
    stage.script.expects("#lobby", "alice: hi").await;
    assert!(by(&stuck, "@test_bob:localhost").is_empty());
    stage.homeserver.heal();
    stuck.hears("@test_bob:localhost", "late").await;
}

#[tokio::test]
async fn what_two_sessions_hear_is_said_once_and_what_is_said_twice_twice() {
    let (stage, _, room) = Stage::lobby().await;
    let lol = || Heard::Message {
        room: "#lobby".to_owned(),
        sender: "bob".to_owned(),
        name: None,
        id: None,
        at: None,
        body: Body::plain("lol"),
        reply_to: None,
    };
    let window = std::time::Duration::from_secs(5);
    let puppet = SessionId::User(ruma::user_id!("@alice:localhost").to_owned());
    for session in [&SessionId::Relay, &SessionId::Relay, &puppet, &puppet] {
        stage.script.happens_to(session, lol(), Dedupe::NthEqual { window }).await.unwrap();
    }
    room.has_messages(2).await;
    stage.settles().await;
    assert_eq!(by(&room, "@test_bob:localhost"), ["lol", "lol"]);
}

#[tokio::test]
async fn answers_edits_reactions_and_redactions_find_their_message() {
    let (stage, alice, room) = Stage::lobby().await;
    let script = &stage.script;
    // Matrix → network.
    let hi = alice.says(&room, "hi");
    let said = script.expects("#lobby", "alice: hi").await;
    stage.settles().await;
    alice.edits(&room, &hi, "hello");
    script.expects("#lobby", "alice: hello*").await;
    let reaction = alice.reacts(&room, &hi, "👍");
    script.expects("#lobby", "alice: reacts 👍").await;
    stage.settles().await;
    alice.redacts(&room, &reaction, None);
    script.expects("#lobby", &format!("alice: no longer reacts 👍 to {}", said.id)).await;
    alice.redacts(&room, &hi, None);
    script.expects("#lobby", &format!("alice takes back {}", said.id)).await;
    // Network → Matrix.
    let event = |id: &str, text: &str, reply_to: Option<String>| Heard::Message {
        room: "#lobby".to_owned(),
        sender: "bob".to_owned(),
        name: None,
        id: Some(id.to_owned()),
        at: None,
        body: Body::plain(text),
        reply_to,
    };
    script.happens(event("x1", "question", None), Dedupe::Id("x1".to_owned())).await.unwrap();
    let question = room.hears("@test_bob:localhost", "question").await;
    let again = script.happens(event("x1", "question", None), Dedupe::Id("x1".to_owned())).await.unwrap();
    assert_eq!(again, crate::network::Ingested::Duplicate);
    script.happens(event("x2", "answer", Some("x1".to_owned())), Dedupe::Never).await.unwrap();
    let answer = room.hears("@test_bob:localhost", "answer").await;
    assert_eq!(answer["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], question["event_id"]);
    let edit: Heard = RemoteEvent::Edit {
        room: "#lobby".to_owned(),
        sender: "bob".to_owned(),
        id: None,
        target: "x1".to_owned(),
        body: Body::plain("question?"),
    };
    script.happens(edit, Dedupe::Never).await.unwrap();
    let edit = room.hears("@test_bob:localhost", "* question?").await;
    assert_eq!(edit["content"]["m.relates_to"]["event_id"], question["event_id"]);
    for on in [true, false] {
        let (room, by, target, key) = ("#lobby".into(), "bob".into(), "x1".into(), "❤".into());
        script.happens(Heard::React { room, by, target, key, on }, Dedupe::Never).await.unwrap();
        stage.settles().await;
    }
    room.sees("the reaction to go", |event| {
        event["type"] == "m.room.redaction" && event["sender"] == "@test_bob:localhost"
    })
    .await;
    let answered = alice.replies(&room, question["event_id"].as_str().unwrap(), "indeed");
    script.expects("#lobby", "alice: bob, indeed").await;
    assert!(!answered.is_empty());
    script
        .happens(
            Heard::Redact { room: "#lobby".into(), by: Some("bob".into()), target: "x1".into(), reason: None },
            Dedupe::Never,
        )
        .await
        .unwrap();
    let gone = question["event_id"].clone();
    room.sees("the question to go", |event| event["type"] == "m.room.redaction" && event["redacts"] == gone).await;
}

#[tokio::test]
async fn a_poll_is_told_in_words_and_who_votes_is_not() {
    let (stage, alice, room) = Stage::lobby().await;
    let text = |text: &str| json!({ "id": text, "org.matrix.msc1767.text": text });
    let poll = json!({ "question": text("Tea?"), "answers": [text("Black"), text("Green")] });
    let poll = alice.sends(&room, "org.matrix.msc3381.poll.start", json!({ "org.matrix.msc3381.poll.start": poll }));
    stage.script.expects("#lobby", "alice: Tea?\n1. Black\n2. Green").await;
    let says = |text: &str| {
        let about = json!({ "rel_type": "m.reference", "event_id": poll });
        json!({ "m.relates_to": about, "org.matrix.msc1767.text": text })
    };
    alice.sends(&room, "org.matrix.msc3381.poll.response", says("Green"));
    alice.sends(&room, "org.matrix.msc3381.poll.end", says("Green it is"));
    stage.script.expects("#lobby", "alice: alice, Green it is").await;
    stage.settles().await;
    assert_eq!(stage.lines().len(), 2, "{:?}", stage.lines());
}

#[tokio::test]
async fn what_is_corrected_or_taken_back_right_after_it_was_said_is_found() {
    let (stage, _alice, room) = Stage::lobby().await;
    let (lobby, bob) = (|| "#lobby".to_owned(), || "bob".to_owned());
    for n in 0..20 {
        let (id, body) = (format!("x{n}"), Body::plain(format!("m{n}")));
        let said = Heard::Message {
            room: lobby(),
            sender: bob(),
            name: None,
            id: Some(id.clone()),
            at: None,
            body,
            reply_to: None,
        };
        let next = if n % 2 == 0 {
            let body = Body::plain(format!("m{n}, corrected"));
            Heard::Edit { room: lobby(), sender: bob(), id: None, target: id, body }
        } else {
            Heard::Retract { room: lobby(), by: bob(), target: id }
        };
        stage.script.happens(said, Dedupe::Never).await.unwrap();
        stage.script.happens(next, Dedupe::Never).await.unwrap();
    }
    for n in (0..20).step_by(2) {
        let said = room.hears("@test_bob:localhost", &format!("m{n}")).await["event_id"].clone();
        let edit = room.hears("@test_bob:localhost", &format!("* m{n}, corrected")).await;
        assert_eq!(edit["content"]["m.relates_to"]["event_id"], said);
    }
    stage.settles().await;
    let stays: Vec<String> =
        (0..20).step_by(2).flat_map(|n| [format!("m{n}"), format!("* m{n}, corrected"), String::new()]).collect();
    assert_eq!(by(&room, "@test_bob:localhost"), stays, "and what was taken back is gone");
}

#[tokio::test]
async fn what_is_changed_or_taken_back_before_it_crossed_is_so_when_it_has() {
    let (stage, alice, room) = Stage::lobby().await;
    // Right behind it, and while the network is away.
    for away in [false, true] {
        if away {
            stage.script.goes_down();
        }
        let (first, second) = (alice.says(&room, &format!("one, {away}")), alice.says(&room, &format!("two, {away}")));
        alice.edits(&room, &first, &format!("three, {away}"));
        // The homeserver blanks what it did not send yet.
        stage.homeserver.all_taken().await;
        alice.redacts(&room, &second, None);
        alice.says(&room, &format!("end, {away}"));
        if away {
            stage.homeserver.all_taken().await;
        }
        if away {
            stage.script.comes_up();
        }
        stage.script.expects("#lobby", &format!("alice: one, {away}")).await;
        let second = stage.script.expects("#lobby", &format!("alice: two, {away}")).await;
        stage.script.expects("#lobby", &format!("alice: three, {away}*")).await;
        stage.script.expects("#lobby", &format!("alice takes back {}", second.id)).await;
        stage.script.expects("#lobby", &format!("alice: end, {away}")).await;
    }
}

#[tokio::test]
async fn nobody_corrects_what_another_said() {
    let (stage, alice, room) = Stage::lobby().await;
    alice.says(&room, "hi");
    let said = stage.script.expects("#lobby", "alice: hi").await;
    stage.settles().await;
    for target in [said.id.clone(), "nothing".to_owned()] {
        let body = Body::plain(format!("not {target}"));
        let edit = Heard::Edit { room: "#lobby".into(), sender: "bob".into(), id: None, target: target.clone(), body };
        stage.script.happens(edit, Dedupe::Never).await.unwrap();
        let news = room.hears("@test_bob:localhost", &format!("not {target}")).await;
        assert_eq!(news["content"]["m.relates_to"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn nothing_of_another_room_can_be_read_by_answering_to_it() {
    let (stage, alice, room) = Stage::lobby().await;
    let secret = alice.says(&room, "secret");
    stage.script.expects("#lobby", "alice: secret").await;
    let (mallory, other) = stage.enters("mallory", "#other").await;
    stage.settles().await;
    mallory.replies(&other, &secret, "tell me");
    stage.script.expects("#other", "mallory: tell me").await;
    mallory.edits(&other, &secret, "changed");
    mallory.says(&other, "end");
    stage.script.expects("#other", "mallory: end").await;
    assert!(!stage.lines().iter().any(|line| line.contains("changed")), "{:?}", stage.lines());
}

#[tokio::test]
async fn what_is_no_event_hurts_nobody() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.homeserver.push_raw(json!({ "hello": 1 }));
    stage.homeserver.push_raw(json!({
        "type": "m.room.message", "event_id": "$\u{0}odd\u{1}", "room_id": room.id, "sender": "@eve:elsewhere",
        "content": { "msgtype": "m.text", "body": ["not", "text"], "dev.landbridge.key": 7 },
    }));
    stage.homeserver.push_raw(
        json!({ "type": 5, "event_id": "$x", "room_id": room.id, "sender": "@eve:elsewhere", "content": [] }),
    );
    alice.says(&room, "still here");
    stage.script.expects("#lobby", "alice: still here").await;
    stage.settles().await;
    assert_eq!(stage.lines(), ["#lobby alice: still here"]);
}

#[tokio::test]
async fn a_look_alike_of_another_server_is_a_person_like_any_other() {
    let (stage, _, room) = Stage::lobby().await;
    let alike = stage.homeserver.user(&format!("@test_bob:{SERVER}.evil.example"));
    alike.joins(&room.id).await.unwrap();
    alike.says(&room, "it is me");
    stage.script.expects("#lobby", "test_bob: it is me").await;
    // Our own virtual users are echoes.
    stage.script.hears("#lobby", "bob", "really me").await.unwrap();
    room.hears("@test_bob:localhost", "really me").await;
    stage.settles().await;
    assert_eq!(stage.lines(), ["#lobby test_bob: it is me"]);
}
