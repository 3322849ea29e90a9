//! Who is interested in what, and who is in whose way.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use landbridge_registration::{
    Builder, Match, Namespace, NamespaceMatcher, Overlap, Overlapping, Registration, RegistrationSet, overlaps,
};
use proptest::prelude::*;
use ruma::{RoomAliasId, RoomId, ServerName, UserId, room_alias_id, room_id, server_name, user_id};

fn here() -> &'static ServerName {
    server_name!("example.org")
}

fn matcher(builder: Builder) -> NamespaceMatcher {
    NamespaceMatcher::new(&builder.build().unwrap(), here()).unwrap()
}

fn users(regex: &str) -> NamespaceMatcher {
    matcher(Builder::new("irc", "ircbot").user_namespace(Namespace::new(true, regex)))
}

#[test]
fn a_namespace_is_anchored_at_the_start_and_not_at_the_end() {
    let matcher = users("@irc_");
    assert_eq!(matcher.user(user_id!("@irc_alice:example.org")), Match::Exclusive);
    assert_eq!(matcher.user(user_id!("@my@irc_alice:example.org")), Match::None);
    let alternatives = users("@a|@b");
    assert!(alternatives.user(user_id!("@bob:example.org")).is_exclusive());
    assert!(!alternatives.user(user_id!("@x@bob:example.org")).is_interesting());
}

#[test]
fn a_namespace_is_case_sensitive() {
    let matcher = matcher(Builder::new("irc", "ircbot").alias_namespace(Namespace::new(false, "#irc_")));
    assert_eq!(matcher.alias(room_alias_id!("#irc_rust:example.org")), Match::Shared);
    assert_eq!(matcher.alias(room_alias_id!("#IRC_rust:example.org")), Match::None);
}

#[test]
fn expressions_cannot_break_out_of_their_anchor() {
    for regex in ["(?x) @irc_ # comment", "@irc_)|(@irc_", "(?m)^@irc_"] {
        let registration = Builder::new("irc", "ircbot").user_namespace(Namespace::new(true, regex)).build();
        let Ok(registration) = registration else { continue };
        let matcher = NamespaceMatcher::new(&registration, here()).unwrap();
        assert!(matcher.user(user_id!("@irc_alice:example.org")).is_exclusive(), "{regex}");
        assert!(!matcher.user(user_id!("@bob:example.org")).is_interesting(), "{regex}");
    }
}

#[test]
fn users_of_other_servers_are_nobodys() {
    let matcher = users("@irc_.*");
    for other in
        ["@irc_bob:other.org", "@irc_bob:example.org.evil.example", "@irc_bob:example.org:8448", "@ircbot:other.org"]
    {
        assert_eq!(matcher.user(<&UserId>::try_from(other).unwrap()), Match::None, "{other}");
    }
}

#[test]
fn the_sender_always_belongs_to_its_registration() {
    let matcher = matcher(Builder::new("irc", "ircbot"));
    assert_eq!(matcher.sender(), "@ircbot:example.org");
    assert_eq!(matcher.user(user_id!("@ircbot:example.org")), Match::Exclusive);
    assert_eq!(matcher.user(user_id!("@ircbot2:example.org")), Match::None);
}

#[test]
fn one_exclusive_namespace_makes_it_exclusive() {
    let matcher = matcher(
        Builder::new("irc", "ircbot")
            .user_namespace(Namespace::new(false, "@.*"))
            .user_namespace(Namespace::new(true, "@irc_.*"))
            .room_namespace(Namespace::new(false, "!abc")),
    );
    assert_eq!(matcher.user(user_id!("@irc_a:example.org")), Match::Exclusive);
    assert_eq!(matcher.user(user_id!("@alice:example.org")), Match::Shared);
    assert_eq!(matcher.room(room_id!("!abcdef")), Match::Shared);
    assert_eq!(matcher.room(room_id!("!xabc:example.org")), Match::None);
}

#[test]
fn matching_takes_linear_time() {
    let matcher = matcher(Builder::new("irc", "ircbot").alias_namespace(Namespace::new(true, "#(a+)+$")));
    let alias = format!("#{}!:example.org", "a".repeat(200));
    assert_eq!(matcher.alias(<&RoomAliasId>::try_from(alias.as_str()).unwrap()), Match::None);
}

#[test]
fn helpers_escape_what_they_are_given() {
    let namespace = Namespace::users_with_prefix("i.c_", here());
    assert_eq!(namespace.regex, r"^@i\.c_.*:example\.org$");
    assert_eq!(Namespace::aliases_with_prefix("irc_", here()).regex, r"^#irc_.*:example\.org$");
}

fn bridge(id: &str, regex: &str) -> Registration {
    Builder::new(id, format!("{id}bot")).user_namespace(Namespace::new(true, regex)).build().unwrap()
}

#[test]
fn the_same_id_or_token_twice_is_refused() {
    let (mut one, two) = (bridge("one", "@a"), bridge("two", "@b"));
    assert!(RegistrationSet::new(vec![one.clone(), two.clone()], here()).is_ok());
    one.as_token = two.as_token.clone();
    let same_id = bridge("two", "@c");
    let faults = RegistrationSet::new(vec![one, two, same_id], here()).unwrap_err();
    insta::assert_snapshot!(faults);
}

#[test]
fn a_set_tells_who_is_asking_and_who_claims_what() {
    let set = RegistrationSet::new(vec![bridge("one", "@a_"), bridge("two", "@b_")], here()).unwrap();
    let token = set.by_id("two").unwrap().registration.as_token.reveal().to_owned();
    assert_eq!(set.by_as_token(&token).unwrap().registration.id, "two");
    assert!(set.by_as_token("").is_none() && set.by_as_token(&token[1..]).is_none());
    let owner = |user| set.exclusive_user(user).map(|member| member.registration.id.as_str());
    assert_eq!(owner(user_id!("@a_x:example.org")), Some("one"));
    assert_eq!(owner(user_id!("@twobot:example.org")), Some("two"));
    assert_eq!(owner(user_id!("@alice:example.org")), None);
}

fn overlap(one: &str, other: &str) -> Option<Overlapping> {
    let mut found = overlaps(&[bridge("one", one), bridge("two", other)], Some(here()));
    found.retain(|found| found.one.path != "sender_localpart" && found.other.path != "sender_localpart");
    assert!(found.len() < 2);
    found.pop().map(|overlap| overlap.overlapping)
}

fn witness(text: &str) -> Option<Overlapping> {
    Some(Overlapping::Witness(text.to_owned()))
}

#[test]
fn overlaps_are_found_with_a_witness() {
    assert_eq!(overlap("@irc_.*", "@irc_oftc_.*"), witness("@irc_oftc_:example.org"));
    assert_eq!(overlap("@irc_", "@irc"), witness("@irc_:example.org"));
    assert_eq!(overlap("@[ab]+x", "@b+[xy]"), witness("@bx:example.org"));
    assert_eq!(overlap(".*", "@irc"), witness("@irc:example.org"));
    assert_eq!(overlap(r"@\w+_irc:", "@irc_"), witness("@irc_irc:example.org"));
}

#[test]
fn what_cannot_meet_is_no_overlap() {
    assert_eq!(overlap("@irc_.*", "@xmpp_.*"), None);
    assert_eq!(overlap("@irc_[a-z]+:", "@irc_[0-9]+:"), None);
    assert_eq!(overlap("@irc_.*:other.org", "@irc_.*"), None, "users are local");
    assert_eq!(overlap("@irc_a$", "@irc_"), None, "nothing ends without a server");
    assert_eq!(overlap("irc", "irc"), None, "no user id starts so");
}

#[test]
fn a_sender_in_anothers_namespace_is_an_overlap() {
    let found = overlaps(&[bridge("one", "@two.*"), bridge("two", "@x")], None);
    let [Overlap { one, other, overlapping, .. }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.registration.as_str(), one.path.as_str()), ("one", "namespaces.users[0].regex"));
    assert_eq!((other.registration.as_str(), other.path.as_str()), ("two", "sender_localpart"));
    assert!(matches!(overlapping, Overlapping::Witness(user) if user.starts_with("@twobot:")), "{overlapping:?}");
}

#[test]
fn shared_namespaces_are_in_nobodys_way() {
    let shared = |id: &str| Builder::new(id, id).user_namespace(Namespace::new(false, ".*")).build().unwrap();
    assert_eq!(overlaps(&[shared("one"), shared("two")], None), []);
}

#[test]
fn what_is_too_large_to_decide_is_said_so() {
    let one = "@(a|b|c|d)*a(a|b|c|d){14}x";
    assert_eq!(overlap(one, "@(a|b|c|d)*b(a|b|c|d){13}y"), Some(Overlapping::Undecided));
}

/// Little expressions over few letters, so that they often overlap and often do not.
fn regex() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-c]{1,3}",
        Just(".".to_owned()),
        Just("[ab]".to_owned()),
        Just("$".to_owned()),
        Just(":".to_owned())
    ];
    let tail = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}{b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}|{b})")),
            inner.prop_map(|a| format!("({a})*")),
        ]
    });
    tail.prop_map(|tail| format!("@{tail}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The walk against the matcher: a witness matches both, and without one no user matches both.
    #[test]
    fn overlaps_agree_with_matching(one in regex(), other in regex(), names in proptest::collection::vec("[a-d]{1,5}", 20)) {
        let (first, second) = (users(&one), users(&other));
        match overlap(&one, &other) {
            Some(Overlapping::Witness(user)) => {
                let user = UserId::parse(&user).unwrap();
                prop_assert!(first.user(&user).is_exclusive() && second.user(&user).is_exclusive(), "{user}");
            }
            Some(Overlapping::Undecided) => prop_assert!(false, "undecided"),
            None => for name in names {
                let user = UserId::parse(format!("@{name}:example.org")).unwrap();
                prop_assert!(!(first.user(&user).is_exclusive() && second.user(&user).is_exclusive()), "{user}");
            },
        }
    }

    #[test]
    fn rooms_and_aliases_never_panic(name in "\\PC{0,60}") {
        let matcher = users("@.*");
        if let Ok(room) = <&RoomId>::try_from(format!("!{name}").as_str()) {
            let _ = matcher.room(room);
        }
        if let Ok(alias) = <&RoomAliasId>::try_from(format!("#{name}:a").as_str()) {
            let _ = matcher.alias(alias);
        }
    }
}
