use super::*;
use crate::numerics::RefusedBecause;

#[test]
fn silence_is_asked_about_and_then_ends_the_session() {
    let mut irc = Dialogue::online("", "");
    irc.wait_for_deadline();
    irc.expect("PING :landbridge-1");
    irc.says(":s PONG s :landbridge-1");
    irc.wait(Timing::default().ping_after);
    irc.expect("PING :landbridge-2");
    irc.says(":alice!a@h PRIVMSG #c :any line will do");
    irc.wait(Timing::default().ping_timeout);
    assert!(irc.session.ending().is_none());
    irc.wait(Timing::default().ping_after);
    irc.wait(Timing::default().ping_timeout);
    assert_eq!(irc.ended(), (EndClass::Transient, "the server no longer answers"));
}

#[test]
fn while_nobody_listens_to_us_silence_is_our_own() {
    let mut irc = Dialogue::online("", "");
    irc.asks(privmsg("#c", "x"));
    irc.said();
    for _ in 0..10 {
        irc.now += Timing::default().ping_timeout;
        irc.session.not_listening(irc.now);
        irc.session.tick(irc.now);
    }
    assert!(irc.session.ending().is_none());
    assert_eq!(irc.outcomes(), [], "the confirmation may be in what was not read");
}

#[test]
fn p8_an_unknown_number_never_ends_the_session() {
    let mut irc = Dialogue::online("", "");
    for number in (6..1000).filter(|number| ![10, 433].contains(number)) {
        irc.says(&format!(":s {number:03} bot #x y :something nobody knows"));
    }
    assert!(irc.session.ending().is_none());
    irc.heard();
    irc.says(":s 499 bot #c :You're not a channel owner");
    assert_eq!(
        irc.heard(),
        [EventKind::Refused {
            numeric: 499,
            target: Some("#c".to_owned()),
            because: RefusedBecause::NotPrivileged,
            text: "You're not a channel owner".to_owned(),
        }]
    );
}

#[test]
fn p8_the_end_says_what_to_do_next() {
    let table: [(&[&str], EndClass); 7] = [
        (&[":op!o@h KILL bot :spam", "ERROR :Closing link: bye"], EndClass::Killed),
        (&["ERROR :Closing link: (u@h) [Killed (op (spam))]"], EndClass::Killed),
        (&[":s 465 bot :You're banned!", "ERROR :Closing link: (u@h) [G-lined: spam]"], EndClass::Banned),
        (&["ERROR :G-Line by \"op\": \"spam\""], EndClass::Banned),
        (&["ERROR :Trying to reconnect too fast."], EndClass::Throttled),
        (&["ERROR :Closing link: (u@h) [Ping timeout]"], EndClass::Transient),
        (&["ERROR"], EndClass::Transient),
    ];
    for (lines, class) in table {
        let mut irc = Dialogue::online("", "");
        irc.all_say(lines);
        assert_eq!(irc.ended().0, class, "{lines:?}");
        assert!(irc.session.ending().unwrap().was_online);
        irc.says(":alice!a@h PRIVMSG #c :after the end");
        assert!(irc.heard().is_empty());
    }
}

#[test]
fn isupport_that_comes_later_counts() {
    let mut irc = Dialogue::online("", "NICKLEN=9");
    irc.says(":s 005 bot NICKLEN=30 -CHANTYPES LINELEN=1024 :are supported by this server");
    assert!(matches!(&irc.heard()[..], [EventKind::Changed(online)] if online.isupport.line_len == 1024));
    assert!(irc.session.take_changed());
    assert_eq!(irc.session.policy.isupport().unwrap().nick_len, Some(30));
}
