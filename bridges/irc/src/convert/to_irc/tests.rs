use landbridge::{
    Millis,
    network::{
        Caps, Sender,
        event::{Media, MediaKind},
        op::UPLOAD_URL,
    },
    rich_text::{Inline, RichText, Span, Style},
};
use proptest::prelude::*;
use ruma::{event_id, owned_event_id, user_id};

use super::*;
use crate::{casemapping::Casemapping, config::Overflow};

fn event(kind: MatrixKind<IrcUser, String>) -> Event {
    Event {
        event_id: event_id!("$1").to_owned(),
        room: IrcRoom::channel("#rust").unwrap(),
        sender: Sender { user_id: user_id!("@alice:here").to_owned(), display_name: "Alice".into(), own_session: true },
        at: Millis(0),
        kind,
    }
}

fn context(tags: bool) -> Context<IrcUser> {
    let mut caps =
        Caps { text_max_bytes: Some(100), react: if tags { Level::Full } else { Level::Drop }, ..Caps::default() };
    if tags {
        caps.facts.insert(facts::TAGS.into(), String::new());
    }
    Context {
        caps,
        members: vec![(IrcUser::new("Bob", Casemapping::Ascii), "Bob".into(), user_id!("@irc_bob:here").to_owned())],
        puppets: vec![(user_id!("@alice:here").to_owned(), "alice".into())],
        server_name: "here".into(),
    }
}

fn message(body: Body) -> Event {
    event(MatrixKind::Message { body, reply_to: None })
}

fn html(html: &str) -> Body {
    Body { text: RichText::from_html(html), ..Body::default() }
}

fn wires(event: &Event, context: &Context<IrcUser>) -> Vec<Wire> {
    let ops = to_irc(event, context, &LineOptions::default()).unwrap();
    ops.iter().map(|op| Wire::decode(&op.wire).unwrap()).collect()
}

#[track_caller]
fn check(event: &Event, how: How, expected: &[&str]) {
    let expected: Vec<_> =
        expected.iter().map(|text| Wire::Say { how, text: (*text).to_owned(), tags: Vec::new() }).collect();
    assert_eq!(wires(event, &context(false)), expected);
}

fn target() -> Target<IrcUser, String> {
    Target {
        event_id: owned_event_id!("$0"),
        messages: vec!["m0".into()],
        author: Some(IrcUser::new("Bob", Casemapping::Ascii)),
        author_name: "Bob (IRC)".into(),
        excerpt: Some("what?".into()),
    }
}

#[test]
fn messages_become_lines() {
    check(&message(Body::plain("hi")), How::Message, &["hi"]);
    check(&message(Body::plain("a\n\nb")), How::Message, &["a", "b"]);
    check(&message(html("<p><b>a</b> &amp; b</p><ul><li>c</li></ul>")), How::Message, &["\x02a\x0f & b", "• c"]);
    check(&message(Body { emote: true, ..Body::plain("waves") }), How::Action, &["waves"]);
    check(&message(Body { notice: true, ..Body::plain("beep") }), How::Notice, &["beep"]);
    check(&message(html("<a href='https://matrix.to/#/@irc_bob:here'>Robert</a>: hi")), How::Message, &["Bob: hi"]);
    check(&message(Body::plain(" \n ")), How::Message, &[]);
}

#[test]
fn p15_a_body_stays_within_its_line() {
    let evil = Body {
        text: RichText::from_spans(vec![Span {
            content: Inline::Text("a\r\nQUIT\0\u{85}b\x01".into()),
            style: Style::default(),
            link: None,
        }]),
        ..Body::default()
    };
    check(&message(evil), How::Message, &["aQUITb"]);
    check(&message(Body::plain("a\r\nQUIT :x")), How::Message, &["a", "QUIT :x"]);
    let topic = wires(&event(MatrixKind::Topic("a\r\nQUIT\0".into())), &context(false));
    assert_eq!(topic, [Wire::Topic("a  QUIT".into())]);
    let kick = MatrixKind::Act {
        on: IrcUser::new("bob", Casemapping::Ascii),
        membership: Membership::Kick,
        reason: Some("x\ny".into()),
    };
    assert_eq!(wires(&event(kick), &context(false)), [Wire::Kick { nick: "Bob".into(), reason: Some("x y".into()) }]);
}

#[test]
fn users_without_a_connection_are_named_by_the_bot() {
    let mut event = message(Body::plain("one\ntwo"));
    event.sender.own_session = false;
    check(&event, How::Message, &["<Alice> one", "<Alice> two"]);
    event.kind = MatrixKind::Message { body: Body { emote: true, ..Body::plain("waves") }, reply_to: None };
    check(&event, How::Message, &["* Alice waves"]);
    event.sender.display_name = "x\r\n\x02y".into();
    check(&event, How::Message, &["* x  y waves"]);
    event.room = IrcRoom::query(user_id!("@alice:here"), IrcUser::new("bob", Casemapping::Ascii));
    assert!(matches!(to_irc(&event, &context(false), &LineOptions::default()), Err(Reject::Policy(_))));
}

#[test]
fn replies_name_whom_they_answer_and_carry_a_tag_where_tags_work() {
    let reply = event(MatrixKind::Message { body: Body::plain("yes"), reply_to: Some(target()) });
    check(&reply, How::Message, &["Bob: \"what?\" ← yes"]);
    let mut long = target();
    long.excerpt = Some("a question that\nis so long that nobody reads it twice".into());
    let long = event(MatrixKind::Message { body: Body::plain("yes"), reply_to: Some(long) });
    check(&long, How::Message, &["Bob: \"a question that is so long th…\" ← yes"]);
    let named = event(MatrixKind::Message { body: Body::plain("bob: yes"), reply_to: Some(target()) });
    check(&named, How::Message, &["bob: yes"]);
    let [Wire::Say { text, tags, .. }] = &wires(&reply, &context(true))[..] else { panic!() };
    assert_eq!(text, "Bob: yes", "whoever sees the tag sees the question");
    assert_eq!(*tags, [("reply".to_owned(), "m0".to_owned()), ("draft/reply".to_owned(), "m0".to_owned())]);
}

#[test]
fn p11_no_tags_where_the_server_takes_none() {
    let reply = event(MatrixKind::Message { body: Body::plain("yes"), reply_to: Some(target()) });
    assert!(
        wires(&reply, &context(false)).iter().all(|wire| matches!(wire, Wire::Say { tags, .. } if tags.is_empty()))
    );
    let react = event(MatrixKind::React { target: target(), key: "👍".into() });
    assert_eq!(wires(&react, &context(false)), []);
    let tags = vec![("draft/react".to_owned(), "👍".to_owned()), ("draft/reply".to_owned(), "m0".to_owned())];
    assert_eq!(wires(&react, &context(true)), [Wire::Tags(tags)]);
}

#[test]
fn edits_are_said_again_in_full() {
    let edit = |text: &str| event(MatrixKind::Edit { target: target(), body: Body::plain(text) });
    check(&edit("what now?"), How::Message, &["* what now?"]);
    check(&edit("what?"), How::Message, &[]);
}

#[test]
fn what_is_taken_back_is_taken_back_where_the_network_knows_how() {
    let redact = event(MatrixKind::Redact { target: target(), reason: Some("a\nslip".into()) });
    check(&redact, How::Message, &[]);
    let mut context = context(true);
    context.caps.redact = Level::Full;
    let taken = |id: &str| Wire::Redact { id: id.into(), reason: Some("a slip".into()) };
    let expected: Vec<_> = target().messages.iter().map(|id| taken(id)).collect();
    assert!(!expected.is_empty());
    assert_eq!(wires(&redact, &context), expected);
}

#[test]
fn power_is_told_where_it_is_another_rank() {
    let power = |who, before, level| event(MatrixKind::Power(vec![Power { who, before, level }]));
    let bob = || Whom::Remote(IrcUser::new("bob", Casemapping::Ascii));
    let alice = || Whom::Matrix(user_id!("@alice:here").to_owned());
    let context = context(false);
    let wire = |who, level| Wire::Power { who, level };
    assert_eq!(wires(&power(bob(), 0, 50), &context), [wire(Who::Nick("Bob".into()), 50)]);
    assert_eq!(wires(&power(alice(), 50, 0), &context), [wire(Who::Puppet(user_id!("@alice:here").to_owned()), 0)]);
    assert_eq!(wires(&power(bob(), 50, 100), &context), [], "an operator already");
}

#[test]
fn files_are_links() {
    let media = Media {
        mxc: None,
        url: Some("https://x.example/m/1".into()),
        name: "cat.png".into(),
        mime: Some("image/png".into()),
        size: Some(20_480),
        kind: MediaKind::Image,
        fetch: false,
    };
    let body = Body { media: vec![media.clone()], ..Body::default() };
    check(&message(body), How::Message, &["cat.png (20 KiB): https://x.example/m/1"]);
    let body = Body { media: vec![media.clone()], ..Body::plain("look") };
    check(&message(body), How::Message, &["look", "cat.png (20 KiB): https://x.example/m/1"]);
    let body = Body { media: vec![Media { url: None, ..media }], ..Body::default() };
    check(&message(body), How::Message, &["[file] cat.png (20 KiB)"]);
}

#[test]
fn long_texts_are_split_and_very_long_ones_are_linked() {
    let words = "word ".repeat(50);
    let said = wires(&message(Body::plain(&words)), &context(false));
    assert_eq!(said.len(), 3);
    let poem = (0..20).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
    let event = message(Body::plain(&poem));
    let ops = to_irc(&event, &context(false), &LineOptions::default()).unwrap();
    assert_eq!(ops.len(), 5);
    assert_eq!(ops[4].upload.as_ref().map(|upload| upload.bytes.as_slice()), Some(poem.as_bytes()));
    let Wire::Say { text, .. } = Wire::decode(&ops[4].wire).unwrap() else { panic!() };
    assert_eq!(text, format!("… 16 more lines: {UPLOAD_URL}"));
    let options = LineOptions { overflow: Overflow::Reject, ..LineOptions::default() };
    assert!(matches!(to_irc(&event, &context(false), &options), Err(Reject::TooLong { .. })));
}

#[test]
fn only_who_has_a_connection_leaves_with_it() {
    let leave = event(MatrixKind::Member { membership: Membership::Leave, reason: None });
    assert_eq!(wires(&leave, &context(false)), [Wire::Part(None)]);
    let mut stranger = leave;
    stranger.sender.user_id = user_id!("@carol:here").to_owned();
    assert_eq!(wires(&stranger, &context(false)), []);
}

proptest! {
    #[test]
    fn p10_every_line_fits_and_is_one_line(html in "[<>/biu &;a-zé👍\n]{0,300}", name in any::<String>(), own in any::<bool>(), max in 60_usize..400) {
        let mut event = message(Body { text: RichText::from_html(&html), emote: name.len() % 2 == 0, ..Body::default() });
        event.sender.own_session = own;
        event.sender.display_name = name;
        let mut context = context(false);
        context.caps.text_max_bytes = Some(max);
        let options = LineOptions { max: 1000, overflow: Overflow::Reject, quote: 32 };
        for op in to_irc(&event, &context, &options).unwrap() {
            let Wire::Say { text, how, .. } = Wire::decode(&op.wire).unwrap() else { panic!() };
            prop_assert!(!text.contains(['\r', '\n', '\0', '\x01']));
            prop_assert!(text.len() + if how == How::Action { 9 } else { 0 } <= max.max(32 + 33 + 9), "{text:?}");
        }
    }
}
