use landbridge::{
    Millis,
    network::{Caps, GeoUri, Sender, event::MediaKind},
    rich_text::RichText,
};
use ruma::{event_id, user_id};

use super::*;

fn own() -> Own {
    Own { domain: "matrix.test".into(), marks: Marks::new("s3cret") }
}

fn event(room: &str, own_session: bool, kind: MatrixKind<XmppUser, XmppMessage>) -> Event {
    Event {
        event_id: event_id!("$e:hs").to_owned(),
        room: XmppRoom::decode(room).unwrap(),
        sender: Sender { user_id: user_id!("@ann:hs").to_owned(), display_name: "Ann".into(), own_session },
        at: Millis(0),
        kind,
    }
}

fn context() -> Context<XmppUser> {
    Context {
        caps: Caps { react: Level::Full, ..Caps::default() },
        members: Vec::new(),
        puppets: vec![(user_id!("@ann:hs").to_owned(), "Ann".into())],
        server_name: "hs".into(),
    }
}

fn wires(event: &Event) -> Vec<Wire> {
    let ops = to_xmpp(event, &context(), &own()).unwrap();
    ops.iter().map(|op| Wire::decode(&op.wire).unwrap()).collect()
}

fn said(event: &Event) -> Say {
    match wires(event).remove(0) {
        Wire::Say(say) => say,
        other => panic!("{other:?}"),
    }
}

fn target(excerpt: &str) -> Target<XmppUser, XmppMessage> {
    Target {
        event_id: event_id!("$old:hs").to_owned(),
        messages: vec![XmppMessage::archived("s1")],
        author: None,
        author_name: "Bob".into(),
        excerpt: Some(excerpt.into()),
    }
}

const TEA: &str = "tea@muc.test";

fn message(body: Body, reply_to: Option<Target<XmppUser, XmppMessage>>) -> MatrixKind<XmppUser, XmppMessage> {
    MatrixKind::Message { body, reply_to }
}

#[test]
fn a_text_is_said_under_an_id_that_only_we_make() {
    let say =
        said(&event(TEA, true, message(Body { text: RichText::from_html("<b>hi</b>"), ..Body::default() }, None)));
    assert_eq!(say.body, "*hi*");
    assert!(own().marks.made(&say.id));
    let emote = said(&event(TEA, true, message(Body { emote: true, ..Body::plain("waves") }, None)));
    assert_eq!(emote.body, "/me waves");
}

/// As the framework reads it: the text holds the address.
#[test]
fn a_place_is_said_by_its_address() {
    const HERE: &str = "geo:48.2082,16.3738;u=35";
    let place = |text: &str| Body { location: GeoUri::parse(HERE), ..Body::plain(text) };
    let say = said(&event(TEA, true, message(place(HERE), None)));
    assert_eq!((say.body.as_str(), say.unstyled), (HERE, false));
    let told = format!("The cathedral\n{HERE}");
    assert_eq!(said(&event(TEA, true, message(place(&told), None))).body, told);
}

#[test]
fn the_relay_says_who_speaks() {
    assert_eq!(said(&event(TEA, false, message(Body::plain("hi"), None))).body, "<Ann> hi");
    let private = event("pm bob@xmpp.test @ann:hs", false, message(Body::plain("hi"), None));
    assert!(matches!(to_xmpp(&private, &context(), &own()), Err(Reject::Policy(_))));
}

#[test]
fn an_answer_repeats_what_it_answers_and_says_where_that_ends() {
    let say = said(&event(TEA, true, message(Body::plain("yes"), Some(target("Ännchen?")))));
    assert_eq!(say.body, "> Bob: Ännchen?\nyes");
    let answer = say.answers.unwrap();
    assert_eq!((answer.id.as_str(), answer.quoted, answer.nick.as_deref()), ("s1", 16, Some("Bob")));
    assert!(!say.body.contains('@'), "nobody sees a Matrix id");
}

#[test]
fn an_edit_names_the_message_by_the_id_that_it_was_sent_under() {
    let say = said(&event(TEA, true, MatrixKind::Edit { target: target("old"), body: Body::plain("new") }));
    assert_eq!(say.replaces, Some(own().marks.message_id("$old:hs", 0)));
    assert_ne!(Some(say.id), say.replaces);
}

#[test]
fn a_caption_that_changes_is_the_caption_of_the_same_file() {
    let file = || Media {
        mxc: None,
        url: Some("https://m.test/tea.png".into()),
        name: "tea.png".into(),
        mime: None,
        size: None,
        kind: MediaKind::Image,
        fetch: false,
    };
    let edited = |parts: &[&str], text: &str| {
        let messages = parts.iter().map(|id| XmppMessage::archived(id)).collect();
        let body = Body { media: vec![file()], ..Body::plain(text) };
        wires(&event(TEA, true, MatrixKind::Edit { target: Target { messages, ..target("old") }, body }))
    };
    let first = Some(own().marks.message_id("$old:hs", 0));
    // Caption and file were two messages: the first is corrected.
    let [Wire::Say(say)] = &edited(&["s1", "s2"], "my tea")[..] else { panic!() };
    assert_eq!((say.body.as_str(), &say.replaces, &say.file), ("my tea", &first, &None));
    // There was none: the file's own message has it now, and is still the file's.
    let [Wire::Say(say)] = &edited(&["s1"], "my tea")[..] else { panic!() };
    assert_eq!((say.body.as_str(), &say.replaces), ("my tea\nhttps://m.test/tea.png", &first));
    assert!(say.file.is_some());
    // It is taken away: so is its message, and the file's stays.
    let [Wire::Retract { target, .. }] = &edited(&["s1", "s2"], "")[..] else { panic!() };
    assert_eq!(target, "s1");
    assert_eq!(edited(&["s1"], ""), []);
}

#[test]
fn only_what_can_stand_below_a_message_is_a_reaction() {
    let reacts = |key: &str| {
        let react = MatrixKind::React { target: target("tea?"), key: key.to_owned() };
        to_xmpp(&event(TEA, true, react), &context(), &own())
    };
    for key in ["👍", ":blobcat:", &"x".repeat(LONGEST_KEY)] {
        let ops = reacts(key).unwrap();
        let Wire::React { key: told, on: true, .. } = Wire::decode(&ops[0].wire).unwrap() else { panic!("{ops:?}") };
        assert_eq!(told, key);
    }
    let refused = |key: &str| match reacts(key) {
        Err(reject @ Reject::Unsupported(_)) => reject.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("mxc://hs.test/blobcat"), "a reaction with a picture that has no name cannot be sent there");
    assert_eq!(refused(&"x".repeat(LONGEST_KEY + 1)), "a reaction of more than 64 characters cannot be sent there");
}

#[test]
fn who_leaves_leaves_also_the_seat_that_an_earlier_life_took() {
    let left = event(TEA, true, MatrixKind::Member { membership: Membership::Leave, reason: None });
    assert_eq!(wires(&left), [Wire::Part(None)]);
    let nobody = Context { puppets: Vec::new(), ..context() };
    let ops = to_xmpp(&left, &nobody, &own()).unwrap();
    let expected = Wire::Expel { user_id: user_id!("@ann:hs").to_owned(), reason: None };
    assert_eq!(ops.iter().map(|op| Wire::decode(&op.wire).unwrap()).collect::<Vec<_>>(), [expected]);
}

#[test]
fn power_and_membership_become_affiliation_and_role() {
    let power = |before, level| {
        let who = Whom::Matrix(user_id!("@Bea:hs").to_owned());
        wires(&event(TEA, true, MatrixKind::Power(vec![Power { who, level, before }])))
    };
    let act = |to_be| vec![Wire::Act { user: "^bea%hs@matrix.test".into(), to_be, reason: None }];
    assert_eq!(power(0, 50), act(ToBe::Moderator));
    assert_eq!(power(100, 0), act(ToBe::Participant));
    assert_eq!(power(0, -1), act(ToBe::Visitor));
    assert_eq!(power(0, 10), []);
    let bob = XmppUser::decode("bob@xmpp.test").unwrap();
    let ban = MatrixKind::Act { on: bob, membership: Membership::Ban, reason: Some("spam".into()) };
    let expected = Wire::Act { user: "bob@xmpp.test".into(), to_be: ToBe::Banned, reason: Some("spam".into()) };
    assert_eq!(wires(&event(TEA, true, ban)), [expected]);
}
