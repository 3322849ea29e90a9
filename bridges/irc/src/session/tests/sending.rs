use super::*;
use crate::{
    message::Tags,
    numerics::{NickProblem, RefusedBecause},
};

const LABELS: &str = "message-tags batch labeled-response echo-message";

fn accepted(by: Evidence) -> Outcome {
    Outcome::Accepted(Receipt { by, msgid: None, time: None, truncated: false })
}

fn rejected(numeric: u16, because: RefusedBecause, text: &str) -> Outcome {
    Outcome::Rejected(Rejection { numeric, why: RejectedBecause::Command(because), text: text.to_owned() })
}

#[test]
fn with_labels_the_echo_confirms_and_gives_the_id() {
    let mut irc = Dialogue::online(LABELS, "");
    irc.asks(privmsg("#c", "hi there"));
    irc.expect("@label=1 PRIVMSG #c :hi there");
    irc.expect_silence();
    irc.says("@label=1;msgid=abc;time=2026-11-21T10:00:00.000Z :bot!u@h PRIVMSG #c :hi there");
    let Outcome::Accepted(receipt) = irc.outcome() else { panic!("accepted") };
    assert_eq!((receipt.by, receipt.msgid.as_deref(), receipt.truncated), (Evidence::Echo, Some("abc"), false));
    assert!(receipt.time.is_some());
    assert!(matches!(&irc.heard()[..], [EventKind::Message(Incoming { own: true, .. })]));
}

#[test]
fn with_labels_every_kind_of_answer_is_understood() {
    let mut irc = Dialogue::online(LABELS, "");
    (0..6).for_each(|_| irc.asks(privmsg("#c", "x")));
    assert_eq!(irc.said().len(), 6);
    irc.all_say(&[
        // In any order, and the words may differ.
        "@label=2 :s 404 bot #c :Cannot send to channel",
        "@label=1 :bot!u@h PRIVMSG #c :X",
        "@label=3 :s ACK",
        ":s BATCH +b labeled-response",
        "@label=4 :s BATCH +c labeled-response",
        "@batch=c :s 301 bot alice :away",
        "@batch=c;msgid=m4 :bot!u@h PRIVMSG #c :x",
        ":s BATCH -c",
        "@label=5 :s BATCH +d labeled-response",
        "@batch=d :s 404 bot #c :no",
        ":s BATCH -d",
        "@label=6 FAIL PRIVMSG SOME_CODE #c :not today",
    ]);
    let outcomes = irc.outcomes();
    assert_eq!(outcomes[0], (2, rejected(404, RefusedBecause::CannotSend, "Cannot send to channel")));
    assert_eq!(outcomes[1], (1, accepted(Evidence::Echo)));
    assert_eq!(outcomes[2], (3, accepted(Evidence::Label)));
    assert!(matches!(&outcomes[3], (4, Outcome::Accepted(Receipt { msgid: Some(id), .. })) if &**id == "m4"));
    assert_eq!(outcomes[4], (5, rejected(404, RefusedBecause::CannotSend, "no")));
    assert_eq!(outcomes[5], (6, rejected(0, RefusedBecause::Other, "not today")));
}

#[test]
fn p10_what_the_server_cut_is_known() {
    let mut irc = Dialogue::online(LABELS, "");
    irc.asks(privmsg("#c", "a long story"));
    irc.said();
    irc.says("@label=1 :bot!u@h PRIVMSG #c :a long");
    assert!(matches!(irc.outcome(), Outcome::Accepted(Receipt { truncated: true, .. })));
}

#[test]
fn with_an_echo_alone_the_order_tells_which() {
    let mut irc = Dialogue::online("echo-message", "");
    for words in ["one", "two", "\u{2}three\u{2}", "four"] {
        irc.asks(privmsg("#c", words));
    }
    assert_eq!(irc.said().len(), 4);
    irc.all_say(&[
        ":bot!u@h PRIVMSG #c :one",
        ":s 404 bot #C :no",
        ":bot!u@h PRIVMSG #c :three",
        ":bot!u@h PRIVMSG #c :four",
    ]);
    let outcomes = irc.outcomes();
    assert_eq!(outcomes[0], (1, accepted(Evidence::Echo)));
    assert_eq!(outcomes[1], (2, rejected(404, RefusedBecause::CannotSend, "no")));
    assert_eq!(outcomes[2..], [(3, accepted(Evidence::Echo)), (4, accepted(Evidence::Echo))]);
}

#[test]
fn without_either_a_ping_behind_the_line_confirms() {
    let mut irc = Dialogue::online("", "");
    irc.asks(privmsg("#c", "hi"));
    irc.expect("PRIVMSG #c hi");
    irc.expect("PING :landbridge-1");
    irc.expect_silence();
    irc.says(":s PONG s :other");
    assert_eq!(irc.outcomes(), []);
    irc.says(":s PONG s :landbridge-1");
    assert_eq!(irc.outcome(), accepted(Evidence::Fence));

    irc.asks(privmsg("#c", "again"));
    irc.said();
    irc.says(":s 404 bot #c :Cannot send to channel (+m)");
    assert_eq!(irc.outcomes(), [], "the server may have more to say");
    irc.says(":s PONG s landbridge-2");
    assert_eq!(irc.outcome(), rejected(404, RefusedBecause::CannotSend, "Cannot send to channel (+m)"));
}

#[test]
fn a_complaint_about_something_else_leaves_a_message_alone() {
    let mut irc = Dialogue::online("", "");
    irc.asks(privmsg("#c", "hi"));
    irc.asks(Command::Topic { channel: channel("#c"), topic: text("new") });
    irc.asks(privmsg("alice", "hi"));
    assert_eq!(irc.said().last().unwrap(), "PING :landbridge-3");
    irc.all_say(&[
        ":s 482 bot #c :You're not a channel operator",
        ":s 401 bot ALICE :No such nick",
        ":s PONG s landbridge-3",
    ]);
    let outcomes = irc.outcomes();
    assert!(outcomes.contains(&(1, accepted(Evidence::Fence))));
    assert!(outcomes.contains(&(2, rejected(482, RefusedBecause::NotPrivileged, "You're not a channel operator"))));
    assert!(outcomes.contains(&(3, rejected(401, RefusedBecause::NoSuchNick, "No such nick"))));
}

/// Where the PINGs are in what is said.
fn pings(said: &[String]) -> Vec<usize> {
    (0..said.len()).filter(|index| said[*index].starts_with("PING")).collect()
}

#[test]
fn without_limits_of_speed_each_line_has_its_ping_and_none_waits_for_the_answer() {
    let mut irc = Dialogue::online("", "");
    for words in ["a", "b", "c"] {
        irc.asks(privmsg("#c", words));
    }
    assert_eq!(pings(&irc.said()), [1, 3, 5]);
    irc.all_say(&[":s PONG s landbridge-1", ":s 404 bot #c :no", ":s PONG s landbridge-2", ":s PONG s landbridge-3"]);
    let outcomes: Vec<_> = irc.outcomes().into_iter().map(|(_, outcome)| outcome).collect();
    let refused = rejected(404, RefusedBecause::CannotSend, "no");
    assert_eq!(outcomes, [accepted(Evidence::Fence), refused, accepted(Evidence::Fence)]);
}

#[test]
fn p9_within_limits_of_speed_several_lines_share_one_ping() {
    let mut irc = Dialogue::with(identity("bot"), Policy::new(Timing::default(), Flood::default()));
    irc.register("", "");
    (0..12).for_each(|_| irc.asks(privmsg("#c", "x")));
    let mut said = irc.said();
    while irc.session.outcomes.is_empty() {
        irc.wait_for_deadline();
        let now = irc.said();
        if let Some(ping) = now.iter().find_map(|line| line.strip_prefix("PING :")) {
            irc.says(&format!(":s PONG s :{ping}"));
        }
        said.extend(now);
    }
    assert_eq!(pings(&said).len(), 1, "{said:?}");
    assert!(irc.outcomes().len() >= 6, "one answer confirms them all: {said:?}");
}

#[test]
fn what_belongs_together_is_refused_together() {
    let flood = Flood { capacity: 2, ..Flood::default() };
    let mut irc = Dialogue::with(identity("bot"), Policy::new(Timing::default(), flood));
    irc.register("", "");
    let lines = (1..=4).map(|id| (CommandId(id), privmsg("#c", "x")));
    irc.session.commands(lines, irc.now);
    let full: Vec<u64> = irc.outcomes().into_iter().map(|(id, _)| id).collect();
    assert_eq!(full, [3, 4]);
}

#[test]
fn an_answer_that_stays_out_is_asked_for() {
    let mut irc = Dialogue::online(LABELS, "");
    irc.asks(privmsg("#c", "x"));
    irc.said();
    irc.wait_for_deadline();
    irc.expect("PING :landbridge-1");
    irc.says(":s PONG s :landbridge-1");
    assert_eq!(irc.outcome(), accepted(Evidence::Fence));
}

#[test]
fn a_server_that_confirms_nothing_leaves_it_unknown() {
    let mut irc = Dialogue::online("", "");
    irc.asks(privmsg("#c", "x"));
    irc.said();
    irc.wait(Timing::default().confirm);
    assert!(matches!(irc.outcome(), Outcome::Unknown(_)));
}

#[test]
fn p19_when_the_connection_breaks_each_message_knows_where_it_stands() {
    let flood = Flood { per_line: Duration::from_secs(1), lead: Duration::from_secs(2), ..Flood::default() };
    let mut irc = Dialogue::with(identity("bot"), Policy::new(Timing::default(), flood));
    irc.says(":s CAP * LS :");
    irc.said();
    irc.all_say(&[":s 001 bot :Hi", ":s 376 bot :End"]);
    irc.wait(Duration::from_secs(30));
    (0..4).for_each(|_| irc.asks(privmsg("#c", "x")));
    let written = irc.said().iter().filter(|line| line.starts_with("PRIVMSG")).count();
    assert!((1..4).contains(&written), "{written}");
    irc.says(":bot!u@h QUIT :Ping timeout: 240 seconds");
    irc.session.closed("the connection broke");
    let outcomes = irc.outcomes();
    let unknown = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unknown(_))).count();
    let not_sent = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::NotSent(NotSent::NotConnected)).count();
    assert_eq!((unknown, not_sent), (written, 4 - written));
    irc.asks(privmsg("#c", "late"));
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::NotConnected));
}

#[test]
fn p10_no_line_is_longer_than_the_server_takes() {
    let mut irc = Dialogue::online("", "NICKLEN=9");
    let limit = irc.session.limits().text(SendKind::Privmsg, &Target::Channel(channel("#c")));
    irc.asks(privmsg("#c", &"x".repeat(limit)));
    let line = irc.session.next_line(irc.now).unwrap();
    assert!(line.len() + ":longestnk!~bridge@host.test ".len() <= 512);
    irc.said();
    irc.asks(privmsg("#c", &"x".repeat(limit + 3)));
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::TooLong { over: 3 }));
    irc.asks(Command::Topic { channel: channel("#c"), topic: text(&"t".repeat(600)) });
    assert!(matches!(irc.outcome(), Outcome::NotSent(NotSent::TooLong { .. })));
    irc.expect_silence();
}

#[test]
fn p15_no_command_can_begin_a_second_line() {
    let mut irc = Dialogue::online("message-tags", "");
    // `Message` is the one type that takes any string: the encoder refuses it.
    irc.asks(Command::Raw(Message::new("PRIVMSG", ["#c", "hi\r\nQUIT"])));
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::Malformed));
    irc.asks(Command::Raw(Message::new("PRIVMSG\r\nQUIT", ["#c"])));
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::Malformed));
    irc.asks(Command::Raw(Message::new("MODE", ["#c +o x", "y"])));
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::Malformed));
    let mut tags = Tags::default();
    tags.insert("+a", "x\r\nQUIT ;y");
    tags.insert("label", "stolen");
    let Command::Send(mut outgoing) = privmsg("#c", "hi") else { panic!("a message") };
    outgoing.tags = tags;
    irc.asks(Command::Send(outgoing));
    irc.expect("@+a=x\\r\\nQUIT\\s\\:y PRIVMSG #c hi");
}

#[test]
fn every_command_has_its_line() {
    let mut irc = Dialogue::online("setname labeled-response batch", "");
    let c = || channel("#c");
    let alice = || Nick::new("alice").unwrap();
    let table = [
        (Command::Part { channel: c(), reason: Some(text("so long")) }, "PART #c :so long"),
        (Command::Topic { channel: c(), topic: text("") }, "TOPIC #c :"),
        (Command::Kick { channel: c(), nick: alice(), reason: None }, "KICK #c alice"),
        (Command::Invite { channel: c(), nick: alice() }, "INVITE alice #c"),
        (Command::Mode { target: Target::Channel(c()), changes: vec![text("+o"), text("alice")] }, "MODE #c +o alice"),
        (Command::Mode { target: Target::Channel(c()), changes: vec![] }, "MODE #c"),
        (Command::Setname(text("A B")), "SETNAME :A B"),
        (Command::Away(Some(text("lunch"))), "AWAY lunch"),
        (Command::Away(None), "AWAY"),
        (Command::Names(c()), "NAMES #c"),
        (Command::Raw(Message::new("WHOIS", ["alice"])), "WHOIS alice"),
        (Command::Nick(Nick::new("bot2").unwrap()), "NICK bot2"),
    ];
    for (index, (command, line)) in table.into_iter().enumerate() {
        irc.asks(command);
        irc.expect(&format!("@label={:x} {line}", index + 1));
        irc.says(&format!("@label={:x} :s ACK", index + 1));
        assert_eq!(irc.outcome(), accepted(Evidence::Label), "{line}");
    }
    let action = Outgoing {
        target: Target::Channel(c()),
        kind: SendKind::Action,
        text: text("waves"),
        tags: Tags::default(),
        key: None,
    };
    irc.asks(Command::Send(Outgoing { kind: SendKind::Tags, ..action.clone() }));
    assert_eq!(irc.outcome(), Outcome::NotSent(NotSent::Unsupported), "no message-tags");
    irc.asks(Command::Send(action));
    irc.expect("@label=d PRIVMSG #c :\u{1}ACTION waves\u{1}");
}

#[test]
fn a_nick_that_cannot_be_had_is_refused_and_nothing_else_happens() {
    let mut irc = Dialogue::online("", "");
    irc.asks(Command::Nick(Nick::new("taken").unwrap()));
    irc.said();
    irc.all_say(&[":s 433 bot taken :Nickname is already in use", ":s PONG s landbridge-1"]);
    let why = RejectedBecause::Nick(NickProblem::InUse);
    assert_eq!(
        irc.outcome(),
        Outcome::Rejected(Rejection { numeric: 433, why, text: "Nickname is already in use".into() })
    );
    assert_eq!(irc.nick(), "bot");
    irc.expect_silence();
}

#[test]
fn a_part_does_not_overtake_the_messages_before_it() {
    let mut irc = Dialogue::online(LABELS, "");
    irc.asks(privmsg("#c", "last words"));
    irc.asks(Command::Part { channel: channel("#c"), reason: None });
    irc.asks(Command::Join { channel: channel("#d"), key: None });
    assert_eq!(irc.said(), ["@label=1 JOIN #d", "@label=2 PRIVMSG #c :last words", "@label=3 PART #c"]);
}

#[test]
fn p9_a_burst_waits_but_a_pong_does_not() {
    let flood = Flood { per_byte: Duration::ZERO, ..Flood::default() };
    let mut irc = Dialogue::with(identity("bot"), Policy::new(Timing::default(), flood));
    irc.register(LABELS, "");
    (0..20).for_each(|_| irc.asks(privmsg("#c", "x")));
    assert_eq!(irc.said().len(), 6);
    irc.says("PING :now");
    irc.expect("PONG now");
    irc.expect_silence();
    irc.wait_for_deadline();
    assert_eq!(irc.said().len(), 1);
}

#[test]
fn p9_registration_is_not_held_against_the_first_words() {
    let flood = Flood { per_byte: Duration::ZERO, ..Flood::default() };
    let mut irc = Dialogue::with(identity("bot"), Policy::new(Timing::default(), flood));
    irc.register(LABELS, "");
    (0..8).for_each(|_| irc.asks(privmsg("#c", "x")));
    assert_eq!(irc.said().len(), 6);
}

#[test]
fn lines_that_became_too_long_while_they_waited_are_given_back() {
    let mut irc = Dialogue::online("", "LINELEN=4096");
    (0..4000).for_each(|_| irc.asks(privmsg("#c", &"x".repeat(600))));
    irc.says(":s 005 bot -LINELEN :are supported by this server");
    irc.expect_silence();
    let outcomes = irc.outcomes();
    assert_eq!(outcomes.len(), 4000);
    assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::NotSent(NotSent::TooLong { .. }))));
}

#[test]
fn a_full_queue_and_a_cancelled_target_say_so() {
    let flood = Flood { capacity: 8, ..Flood::default() };
    let mut irc = Dialogue::with(identity("bot"), Policy::new(Timing::default(), flood));
    (0..9).for_each(|index| irc.asks(privmsg(if index % 2 == 0 { "#c" } else { "#d" }, "x")));
    assert!(matches!(irc.outcome(), Outcome::NotSent(NotSent::QueueFull { .. })));
    irc.session.cancel(&Target::Channel(channel("#C")));
    assert_eq!(irc.outcomes(), [1, 3, 5, 7].map(|id| (id, Outcome::NotSent(NotSent::Cancelled))));
}

#[test]
fn goodbye_waits_for_what_is_queued_and_confirmed() {
    let mut irc = Dialogue::online(LABELS, "");
    irc.asks(privmsg("#c", "last words"));
    irc.asks(Command::Quit(Some(text("so long"))));
    irc.asks(privmsg("#c", "too late"));
    irc.expect("@label=1 PRIVMSG #c :last words");
    irc.expect_silence();
    irc.says("@label=1 :bot!u@h PRIVMSG #c :last words");
    irc.expect("QUIT :so long");
    irc.expect_silence();
    irc.says("ERROR :Closing link: (bot@h) [Quit: K-lined]");
    assert_eq!(irc.ended().0, EndClass::Requested);
    let outcomes = irc.outcomes();
    assert_eq!(outcomes[0], (3, Outcome::NotSent(NotSent::NotConnected)));
    assert_eq!(outcomes[1], (1, accepted(Evidence::Echo)));
    assert!(matches!(outcomes[2], (2, Outcome::Accepted(_))));
}

#[test]
fn goodbye_does_not_wait_for_ever() {
    let mut irc = Dialogue::online(LABELS, "");
    irc.asks(privmsg("#c", "x"));
    irc.said();
    irc.asks(Command::Quit(None));
    irc.expect_silence();
    irc.wait(Timing::default().drain);
    assert_eq!(irc.said().last().unwrap(), "QUIT");
    irc.wait_for_deadline();
    assert_eq!(irc.ended().0, EndClass::Requested);
}
