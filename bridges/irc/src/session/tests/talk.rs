use super::*;
use crate::message::ServerTime;

fn messages(irc: &mut Dialogue) -> Vec<Incoming> {
    let message = |kind| match kind {
        EventKind::Message(incoming) => Some(incoming),
        _ => None,
    };
    irc.heard().into_iter().filter_map(message).collect()
}

#[test]
fn words_are_told_with_their_kind_and_recipient() {
    let mut irc = Dialogue::online("message-tags", "STATUSMSG=@+");
    let to = |name: &str, status| Recipient::Channel { channel: channel(name), status };
    let table = [
        ("PRIVMSG #c :hi there", to("#c", None), MessageKind::Privmsg, "hi there"),
        ("NOTICE bot :psst", Recipient::Me, MessageKind::Notice, "psst"),
        ("PRIVMSG #c :\u{1}ACTION waves\u{1}", to("#c", None), MessageKind::Action, "waves"),
        ("PRIVMSG #c :\u{1}ACTION waves", to("#c", None), MessageKind::Action, "waves"),
        ("PRIVMSG BOT :\u{1}version\u{1}", Recipient::Me, MessageKind::Ctcp("VERSION".into()), ""),
        ("NOTICE bot :\u{1}PING 1 2\u{1}", Recipient::Me, MessageKind::CtcpReply("PING".into()), "1 2"),
        ("PRIVMSG @#c :ops only", to("#c", Some('@')), MessageKind::Privmsg, "ops only"),
        ("PRIVMSG #c :\u{1}\u{1}", to("#c", None), MessageKind::Privmsg, ""),
        ("TAGMSG #c", to("#c", None), MessageKind::Tags, ""),
        ("PRIVMSG #c :", to("#c", None), MessageKind::Privmsg, ""),
    ];
    for (line, to, kind, text) in table {
        irc.says(&format!(":alice!a@h {line}"));
        let from = source("alice!a@h");
        assert_eq!(messages(&mut irc), [Incoming { from, to, kind, text: text.to_owned(), own: false }], "{line}");
    }
}

#[test]
fn p20_words_to_everybody_are_no_conversation() {
    let mut irc = Dialogue::online("", "");
    irc.says(":op!o@h PRIVMSG $$* :server going down");
    irc.says(":op!o@h NOTICE $*.test :really");
    assert!(messages(&mut irc).iter().all(|message| message.to == Recipient::Everyone));
    irc.says(":irc.test NOTICE * :*** Looking up your hostname");
    irc.says(":another.test NOTICE bot :*** hello");
    assert_eq!(irc.heard().len(), 2);
}

#[test]
fn tags_say_when_who_and_which() {
    let mut irc = Dialogue::online("message-tags server-time account-tag", "");
    irc.says("@time=2026-11-21T10:00:00.250Z;msgid=abc;account=al;+landbridge/key=k :alice!a@h PRIVMSG #c :x");
    let meta = irc.events().remove(0).meta;
    assert_eq!(meta.time, ServerTime::parse("2026-11-21T10:00:00.250Z"));
    assert_eq!(
        (meta.msgid.as_deref(), meta.account.as_deref(), meta.key.as_deref()),
        (Some("abc"), Some("al"), Some("k"))
    );
    assert!(!meta.in_history);
}

#[test]
fn history_is_marked_and_changes_nothing() {
    let mut irc = Dialogue::online("message-tags batch server-time echo-message", "");
    irc.says(":bot!u@h JOIN #c");
    irc.heard();
    irc.all_say(&[
        ":s BATCH +h chathistory #c",
        "@batch=h;msgid=1;+landbridge/key=k1 :bot!u@h PRIVMSG #c :mine, from before",
        "@batch=h;msgid=2 :alice!a@h PRIVMSG #c :hers",
        "@batch=h :bot!u@h KICK #c bot :long ago",
        "@batch=h :alice!a@h JOIN #c",
        ":s BATCH -h",
        "@msgid=3 :alice!a@h PRIVMSG #c :now",
    ]);
    let events = irc.events();
    let history: Vec<bool> = events.iter().map(|event| event.meta.in_history).collect();
    assert_eq!(history, [false, true, true, true, true, false, false]);
    assert_eq!(events[1].meta.key.as_deref(), Some("k1"));
    assert!(matches!(&events[1].kind, EventKind::Message(Incoming { own: true, .. })));
    assert_eq!(irc.members("#c").len(), 1, "nobody came or went");
}

#[test]
fn a_puppet_is_told_of_its_own_lines_in_history() {
    let mut irc = Dialogue::online_as(Identity { role: Role::Puppet, ..identity("bot") }, "message-tags batch", "");
    irc.all_say(&[
        ":s BATCH +h chathistory #c",
        "@batch=h;+landbridge/key=k1 :bot!u@h PRIVMSG #c :mine",
        "@batch=h :alice!a@h PRIVMSG #c :hers",
        ":s BATCH -h",
    ]);
    let events = irc.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].meta.key.as_deref(), Some("k1"));
}

#[test]
fn p2_own_words_are_told_from_those_of_somebody_with_our_old_nick() {
    let mut irc = Dialogue::online("echo-message", "");
    irc.says(":bot!u@h PRIVMSG #c :mine");
    irc.says(":bot!u@h NICK bot2");
    irc.says(":bot!evil@h PRIVMSG #c :not mine");
    irc.says(":BOT2!u@h PRIVMSG #c :mine again");
    let own: Vec<bool> = messages(&mut irc).iter().map(|message| message.own).collect();
    assert_eq!(own, [true, false, true]);
}

#[test]
fn one_channel_has_one_spelling() {
    let mut irc = Dialogue::online("", "");
    irc.says(":bot!u@h JOIN #Chan");
    irc.says(":alice!a@h PRIVMSG #cHAN :hi");
    assert!(matches!(&messages(&mut irc)[0].to, Recipient::Channel { channel, .. } if channel.as_str() == "#Chan"));
}

#[test]
fn lines_that_cannot_be_used_are_reported_and_passed_over() {
    let mut irc = Dialogue::online("", "");
    for line in ["", "   ", ":only.source", "@tags", "@tags :src", "\u{1}\u{2}", "123456 x", "1 x", "@a :s   "] {
        irc.says(line);
    }
    irc.session.unreadable("too long");
    assert!(irc.heard().iter().all(|kind| matches!(kind, EventKind::Unreadable { .. })));
    for line in [
        "PRIVMSG",
        ":a PRIVMSG",
        "JOIN",
        ":a JOIN :",
        ":a MODE",
        "353",
        "366",
        ":a KICK #c",
        "BATCH",
        "CAP",
        ":a NICK :a b",
    ] {
        irc.says(line);
    }
    assert!(irc.session.ending().is_none());
}

#[test]
fn what_is_taken_back_is_told_and_asked_for() {
    let mut irc = Dialogue::online("draft/message-redaction message-tags", "");
    irc.says(":alice!a@h REDACT #c m1 :a slip");
    let to = Recipient::Channel { channel: channel("#c"), status: None };
    let (by, reason) = (source("alice!a@h"), Some("a slip".to_owned()));
    assert_eq!(irc.heard(), [EventKind::Redacted { to, by, msgid: "m1".into(), reason }]);
    for odd in ["REDACT", ":alice!a@h REDACT #c", ":alice!a@h REDACT #c :", "REDACT #c m1"] {
        irc.says(odd);
    }
    assert_eq!(irc.heard(), []);
    let redact = || Command::Redact { target: Target::Channel(channel("#c")), msgid: text("m2"), reason: None };
    irc.asks(redact());
    irc.expect("REDACT #c m2");
    irc.said();
    irc.says("FAIL REDACT REDACT_FORBIDDEN #c m2 :You may not");
    irc.says(":s PONG s :landbridge-1");
    assert!(matches!(irc.outcome(), Outcome::Rejected(_)));
    let mut irc = Dialogue::online("message-tags", "");
    irc.asks(redact());
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::Unsupported));
}

#[test]
fn the_observer_asks_what_was_said_before_it_came() {
    let caps = "draft/chathistory batch message-tags server-time";
    let mut irc = Dialogue::online(caps, "CHATHISTORY=50");
    irc.says(":bot!u@h JOIN #c");
    irc.expect("CHATHISTORY LATEST #c * 50");
    let mut irc = Dialogue::online(caps, "");
    irc.says(":bot!u@h JOIN #c");
    irc.expect("CHATHISTORY LATEST #c * 100");
    let puppet = Identity { role: Role::Puppet, ..identity("bot") };
    let mut irc = Dialogue::online_as(puppet, caps, "");
    irc.says(":bot!u@h JOIN #c");
    irc.expect_silence();
    let mut irc = Dialogue::online("draft/chathistory", "");
    irc.says(":bot!u@h JOIN #c");
    irc.expect_silence();
}

#[test]
fn whom_we_say_something_to_may_be_away() {
    let mut irc = Dialogue::online("", "");
    irc.says(":s 301 bot alice :at lunch");
    let nick = Nick::new("alice").unwrap();
    assert_eq!(irc.heard(), [EventKind::IsAway { nick, message: "at lunch".into() }]);
}

#[test]
fn the_observer_learns_where_a_history_begins_and_ends() {
    let mut irc = Dialogue::online("batch message-tags server-time", "");
    irc.says(":s BATCH +1 chathistory #c");
    irc.says("@batch=1;msgid=m :alice!a@h PRIVMSG #c :hello");
    irc.says(":s BATCH -1");
    // Of a private talk, nobody asks.
    irc.says(":s BATCH +2 chathistory alice");
    irc.says(":s BATCH -2");
    let heard = irc.heard();
    let history = |ends| EventKind::History { channel: channel("#c"), ends };
    assert!(
        matches!(&heard[..], [first, EventKind::Message(_), last] if *first == history(false) && *last == history(true)),
        "{heard:?}"
    );
}
