use super::*;
use crate::{message::Tags, numerics::EndClass};

fn with_sasl(required: bool, method: SaslMethod) -> Identity {
    let sasl = Sasl { account: Some(text("al")), method, required };
    Identity { sasl: Some(sasl), ..identity("bot") }
}

fn plain(required: bool) -> Identity {
    with_sasl(required, SaslMethod::Plain(Secret::new("pw").unwrap()))
}

fn at_authenticate(identity: Identity) -> Dialogue {
    let mut irc = Dialogue::new(identity);
    irc.said();
    irc.says(":s CAP * LS :sasl=PLAIN,EXTERNAL multi-prefix");
    irc.expect("CAP REQ :multi-prefix sasl");
    irc.says(":s CAP * ACK :multi-prefix sasl");
    irc
}

#[test]
fn the_plainest_server_is_enough() {
    let mut irc = Dialogue::new(Identity { password: Some(Secret::new("open sesame").unwrap()), ..identity("bot") });
    assert_eq!(irc.said(), ["PASS :open sesame", "CAP LS 302", "NICK bot", "USER bridge 0 * :A bridge"]);
    irc.says(":s 421 * CAP :Unknown command");
    irc.says(":s 001 bot :Welcome");
    assert!(irc.heard().is_empty());
    irc.says(":s 376 bot :End of MOTD");
    assert!(
        matches!(&irc.heard()[..], [EventKind::Online(online)] if online.nick.as_str() == "bot" && &*online.server == "s")
    );
    irc.expect_silence();
}

#[test]
fn capabilities_come_in_several_lines_and_are_asked_for_once() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.said();
    irc.says(":s CAP * LS * :multi-prefix unknown/thing server-time=x");
    irc.expect_silence();
    irc.says(":s CAP * LS :batch sasl=PLAIN");
    irc.expect("CAP REQ :server-time batch multi-prefix");
    irc.says(":s CAP bot ACK :server-time ");
    irc.expect_silence();
    irc.says(":s CAP bot ACK :batch multi-prefix");
    irc.expect("CAP END");
}

#[test]
fn what_is_refused_together_is_asked_for_one_by_one() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.said();
    irc.says(":s CAP * LS :batch setname");
    irc.expect("CAP REQ :batch setname");
    irc.says(":s CAP * NAK :batch setname");
    assert_eq!(irc.said(), ["CAP REQ batch", "CAP REQ setname"]);
    irc.says(":s CAP * NAK :setname");
    irc.expect_silence();
    irc.says(":s CAP * ACK :batch");
    irc.expect("CAP END");
}

#[test]
fn capabilities_come_and_go_while_we_are_online() {
    let mut irc = Dialogue::online("message-tags batch", "");
    irc.says(":s CAP bot NEW :echo-message away-notify=1 foreign");
    irc.expect("CAP REQ :echo-message away-notify");
    irc.says(":s CAP bot ACK :echo-message away-notify");
    irc.says(":s CAP bot DEL :message-tags");
    let caps: CapSet = [Cap::Batch, Cap::EchoMessage, Cap::AwayNotify].into_iter().collect();
    assert_eq!(irc.session.online().unwrap().caps, caps);
    assert!(matches!(irc.heard().last(), Some(EventKind::Changed(online)) if online.caps == caps));
}

#[test]
fn sasl_plain_logs_in_before_the_negotiation_ends() {
    let mut irc = at_authenticate(plain(true));
    irc.expect("AUTHENTICATE PLAIN");
    irc.says("AUTHENTICATE +");
    irc.expect("AUTHENTICATE YWwAYWwAcHc=");
    irc.says(":s 900 bot bot!u@h al :You are now logged in as al");
    irc.expect_silence();
    irc.says(":s 903 bot :SASL authentication successful");
    irc.expect("CAP END");
    irc.all_say(&[":s 001 bot :Hi", ":s 376 bot :End"]);
    assert_eq!(irc.session.online().unwrap().account.as_deref(), Some("al"));
}

#[test]
fn sasl_external_lets_the_certificate_speak() {
    let mut irc = at_authenticate(with_sasl(true, SaslMethod::External));
    irc.expect("AUTHENTICATE EXTERNAL");
    irc.says("AUTHENTICATE +");
    irc.expect("AUTHENTICATE +");
}

#[test]
fn every_way_a_login_fails_is_left_explicitly() {
    for number in [902, 904, 905, 906] {
        let mut irc = at_authenticate(plain(false));
        irc.said();
        irc.says(&format!(":s {number} bot :no"));
        irc.expect("CAP END");
        irc.expect_silence();
        assert_eq!(irc.heard(), [EventKind::LoginFailed { text: "no".to_owned() }], "{number}");
    }
    // The account is there already: nothing failed.
    let mut irc = at_authenticate(plain(true));
    irc.said();
    irc.says(":s 907 bot :already");
    irc.expect("CAP END");
    // The list of mechanisms has not ours, and no 904 follows; or has it, and one does.
    let mut irc = at_authenticate(plain(false));
    irc.said();
    irc.says(":s 908 bot EXTERNAL :are available SASL mechanisms");
    irc.expect("CAP END");
    irc.says(":s 904 bot :failed");
    irc.expect_silence();
}

#[test]
fn a_login_that_is_required_ends_the_session_when_it_fails() {
    let mut irc = at_authenticate(plain(true));
    irc.said();
    irc.says(":s 904 bot :SASL authentication failed");
    irc.expect("QUIT");
    assert_eq!(irc.ended(), (EndClass::BadCredentials, "login failed: SASL authentication failed"));
}

#[test]
fn services_that_are_away_are_no_wrong_password() {
    let mut irc = Dialogue::new(plain(true));
    irc.said();
    irc.says(":s CAP * LS :multi-prefix");
    irc.says(":s CAP * ACK :multi-prefix");
    assert_eq!(irc.ended().0, EndClass::Transient);

    let mut irc = Dialogue::new(plain(true));
    irc.said();
    irc.says(":s 001 bot :Hi");
    assert_eq!(irc.ended().0, EndClass::Transient, "a server without CAP");

    let mut irc = at_authenticate(plain(true));
    irc.said();
    irc.wait_for_deadline();
    assert_eq!(irc.said(), ["AUTHENTICATE *", "QUIT"]);
    assert_eq!(irc.ended().0, EndClass::Transient);
}

#[test]
fn a_silent_login_that_is_not_required_is_given_up_in_time() {
    let mut irc = at_authenticate(plain(false));
    irc.said();
    irc.wait_for_deadline();
    assert_eq!(irc.said(), ["AUTHENTICATE *", "CAP END"]);
    irc.says(":s 906 bot :aborted");
    irc.expect_silence();
}

#[test]
fn a_login_becomes_possible_later() {
    let mut irc = Dialogue::new(plain(false));
    irc.register("cap-notify", "");
    irc.says(":s CAP bot NEW :sasl=PLAIN");
    irc.expect("CAP REQ sasl");
    irc.says(":s CAP bot ACK :sasl");
    irc.expect("AUTHENTICATE PLAIN");
    irc.says("AUTHENTICATE +");
    irc.expect("AUTHENTICATE YWwAYWwAcHc=");
    irc.says(":s 900 bot * al :logged in");
    irc.says(":s 903 bot :ok");
    irc.expect_silence();
    assert_eq!(irc.session.online().unwrap().account.as_deref(), Some("al"));
}

#[test]
fn p12_a_nick_that_is_taken_or_too_long_has_a_successor() {
    let mut irc = Dialogue::new(identity(&"n".repeat(40)));
    irc.said();
    irc.says(":s 432 * nnn :Erroneous nickname");
    irc.expect(&format!("NICK {}", "n".repeat(31)));
    irc.says(":s 432 * nnn :Erroneous nickname");
    irc.expect(&format!("NICK {}", "n".repeat(30)));
    irc.says(":s 433 * nnn :Nickname is already in use");
    irc.expect(&format!("NICK {}_", "n".repeat(29)));
    irc.says(":s 437 * nnn :Nick/channel is temporarily unavailable");
    irc.expect(&format!("NICK {}__", "n".repeat(28)));
    irc.says(&format!(":s 001 {}__ :Hi", "n".repeat(28)));
    irc.says(":s 376 x :End");
    assert_eq!(irc.nick().len(), 30);
}

#[test]
fn p12_the_next_session_knows_how_long_a_nick_may_be() {
    let policy = Policy::new(Timing::default(), Flood::off());
    let mut first = Dialogue::with(identity("bot"), Arc::clone(&policy));
    first.register("", "NICKLEN=12");
    let mut second = Dialogue::with(identity("averylongnickname"), Arc::clone(&policy));
    assert!(second.said().contains(&"NICK averylongnic".to_owned()));
    second.register("", "NICKLEN=12");
    assert!(Arc::ptr_eq(&first.session.isupport, &second.session.isupport), "what a network supports is kept once");
}

#[test]
fn the_nick_is_what_the_server_says() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.all_say(&[":s 001 bot2 :Hi", ":s 376 bot2 :End"]);
    assert_eq!(irc.nick(), "bot2");
    irc.says(":bot2!u@h NICK :bot");
    assert_eq!(irc.nick(), "bot");
    irc.says(":BOT!u@h NICK Guest123");
    assert_eq!(irc.nick(), "Guest123");
    let own: Vec<bool> = irc
        .heard()
        .iter()
        .filter_map(|kind| match kind {
            EventKind::NickChanged { own, .. } => Some(*own),
            _ => None,
        })
        .collect();
    assert_eq!(own, [true, true]);
}

#[test]
fn a_labelled_answer_from_the_new_nick_is_our_own_change() {
    let mut irc = Dialogue::online("batch labeled-response", "");
    irc.says(":bot!u@h JOIN #c");
    irc.asks(Command::Nick(Nick::new("robert").unwrap()));
    irc.expect("@label=1 NICK robert");
    irc.heard();
    irc.says("@label=1 :robert!u@h NICK :robert");
    assert_eq!((irc.nick(), irc.members("#c")), ("robert", vec![":robert".to_owned()]));
    assert!(matches!(&irc.heard()[..], [EventKind::NickChanged { who, own: true, .. }] if who.name == "bot"));
}

#[test]
fn the_wanted_nick_is_asked_for_again_but_not_fought_over() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.said();
    irc.says(":s 433 * bot :in use");
    irc.expect("NICK bot_");
    irc.all_say(&[":s 001 bot_ :Hi", ":s 376 bot_ :End"]);
    irc.session.clock.heard = None;
    irc.wait_for_deadline();
    irc.expect("NICK bot");
    irc.says(":s 433 bot_ bot :in use");
    irc.session.clock.heard = None;
    irc.wait_for_deadline();
    irc.expect("NICK bot");
    irc.says(":bot_!u@h NICK bot");
    assert_eq!(irc.session.clock.regain, None);
    irc.says(":bot!u@h NICK Guest99");
    assert_eq!(irc.session.clock.regain, None, "services took it by force");
    assert!(irc.session.ending().is_none());
}

#[test]
fn a_server_that_never_registers_us_is_left() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.wait(Timing::default().registration);
    assert_eq!(irc.ended().0, EndClass::Transient);
    let mut irc = Dialogue::new(identity("bot"));
    irc.says(":s 001 bot :Hi");
    irc.wait(Duration::from_secs(10));
    assert!(irc.session.online().is_some(), "a welcome without end is a welcome");
}

#[test]
fn a_ping_before_the_welcome_is_answered_at_once() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.said();
    irc.says("PING :12345 67");
    irc.expect("PONG :12345 67");
}

#[test]
fn p8_a_ban_while_registering_is_a_ban_even_if_the_words_are_not() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.says(":s 465 * :You're banned!");
    irc.says("ERROR :Closing link: (u@h) [go away]");
    assert_eq!(irc.ended().0, EndClass::Banned);
    let mut irc = Dialogue::new(identity("bot"));
    irc.says(":s 464 * :Password incorrect");
    irc.session.closed("the server closed the connection");
    assert_eq!(irc.ended().0, EndClass::BadCredentials);
}

#[test]
fn p11_no_tag_goes_out_before_the_server_agreed() {
    let mut tags = Tags::default();
    tags.insert("+typing", "active");
    let words = |key| {
        let mut command = privmsg("#c", "hi");
        if let Command::Send(outgoing) = &mut command {
            outgoing.tags = tags.clone();
            outgoing.key = key;
        }
        command
    };
    let mut irc = Dialogue::online("multi-prefix", "");
    irc.asks(words(Some("k1".into())));
    irc.expect("PRIVMSG #c hi");
    let mut irc = Dialogue::online("message-tags", "");
    irc.asks(words(Some("k1".into())));
    irc.expect("@+typing=active;+landbridge/key=k1 PRIVMSG #c hi");
    irc.asks(words(Some("k2".into())));
    irc.says(":s CAP bot DEL :message-tags");
    irc.said().iter().for_each(|line| assert!(!line.starts_with('@'), "{line}"));
}

#[test]
fn a_server_that_wants_tls_is_left_before_anything_is_said() {
    let mut irc = Dialogue::new(plain(true));
    irc.said();
    irc.says(":s CAP * LS :multi-prefix sts=duration=0,port=6697 sasl=PLAIN");
    assert_eq!(irc.ended().0, EndClass::TlsOnly(6697));
    irc.expect_silence();
    let mut irc = Dialogue::new(identity("bot"));
    irc.said();
    irc.says(":s CAP * LS :sts=duration=60");
    irc.expect("CAP END");
    assert!(irc.session.ending().is_none(), "without a port it is no policy");
}

#[test]
fn over_tls_a_server_says_for_how_long() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.session = std::mem::replace(&mut irc.session, Dialogue::new(identity("x")).session).over_tls(true);
    irc.said();
    irc.says(":s CAP * LS :sts=duration=3600,port=6697");
    irc.expect("CAP END");
    assert!(matches!(irc.heard()[..], [EventKind::TlsOnly(duration)] if duration == Duration::from_secs(3600)));
}

#[test]
fn the_wanted_nick_is_taken_as_soon_as_it_is_free() {
    let mut irc = Dialogue::new(identity("bot"));
    irc.all_say(&[":s CAP * LS :", ":s 433 * bot :in use"]);
    irc.said();
    irc.all_say(&[":s 001 bot_ :Hi", ":s 005 bot_ MONITOR=30 :are supported", ":s 376 bot_ :End"]);
    irc.expect("MONITOR + bot");
    irc.says(":s 730 bot_ :bot!a@h");
    irc.expect_silence();
    irc.says(":s 731 bot_ :somebody,BOT");
    irc.expect("NICK bot");
    irc.says(":bot_!u@h NICK bot");
    irc.expect("MONITOR C");
    irc.says(":s 731 bot :bot");
    irc.expect_silence();
}
