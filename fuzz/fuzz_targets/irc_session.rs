//! Any server, and any moment: each line of the text is one that the server says, or (`>`) something the bridge asks, or
//! (`~`) time that passes. No line ends what is registered, every command ends in exactly one outcome, and what is said
//! is lines.

#![no_main]

use std::time::{Duration, Instant};

use landbridge_irc::{
    message::{Channel, IrcText, Message, Nick, Tags, Target},
    session::{
        Command, CommandId, Flood, Identity, Outgoing, Policy, Role, Sasl, SaslMethod, Secret, SendKind, Session, Timing,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut now = Instant::now();
    let role = if text.len() % 2 == 0 { Role::Observer } else { Role::Puppet };
    let flood = if text.len() % 3 == 0 { Flood::off() } else { Flood::default() };
    let mut session =
        Session::new(Policy::new(Timing::default(), flood), identity(role)).over_tls(text.len() % 5 == 0);
    session.connected(now);
    let (mut asked, mut done) = (0, Vec::new());
    for line in text.split('\n') {
        match line.split_at_checked(1) {
            Some((">", words)) => {
                asked += 1;
                session.command(CommandId(asked), command(words), now);
            }
            Some(("~", words)) => {
                now += Duration::from_secs(words.len() as u64);
                session.tick(now);
            }
            _ => session.receive(line, now),
        }
        while let Some(line) = session.next_line(now) {
            let line = line.strip_suffix("\r\n").expect("a line ends as lines do");
            assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
            assert!(Message::parse(line).is_ok(), "{line:?}");
        }
        done.extend(std::iter::from_fn(|| session.next_outcome()).map(|(id, _)| id.0));
        while session.next_event().is_some() {}
        if session.ending().is_none() {
            assert!(session.deadline(now).is_some(), "somebody must wake us");
        }
    }
    session.closed("the end");
    done.extend(std::iter::from_fn(|| session.next_outcome()).map(|(id, _)| id.0));
    done.sort_unstable();
    assert_eq!(done, (1..=asked).collect::<Vec<_>>(), "one outcome for each command");
});

fn identity(role: Role) -> Identity {
    let password = Secret::new("pw").expect("a password");
    Identity {
        nick: Nick::new("bot").expect("a nick"),
        username: text("bridge"),
        realname: text("A bridge"),
        password: None,
        sasl: Some(Sasl { account: Some(text("al")), method: SaslMethod::Plain(password), required: false }),
        role,
    }
}

fn text(text: &str) -> IrcText {
    IrcText::one_line(text)
}

fn command(words: &str) -> Command {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let channel = Channel::new(name).unwrap_or_else(|_| Channel::new("#c").expect("a channel"));
    let nick = Nick::new(name).unwrap_or_else(|_| Nick::new("alice").expect("a nick"));
    match verb {
        "J" => Command::Join { channel, key: Some(text(rest)) },
        "P" => Command::Part { channel, reason: Some(text(rest)) },
        "N" => Command::Nick(nick),
        "K" => Command::Kick { channel, nick, reason: None },
        "M" => Command::Mode { target: Target::Channel(channel), changes: rest.split(' ').map(text).collect() },
        "D" => Command::Redact { target: Target::Channel(channel), msgid: text(rest), reason: None },
        "Q" => Command::Quit(Some(text(rest))),
        "R" => Command::Raw(Message::new(name, rest.split(' '))),
        _ => Command::Send(Outgoing {
            target: Target::Channel(channel),
            kind: if verb == "A" { SendKind::Action } else { SendKind::Privmsg },
            text: text(rest),
            tags: Tags::default(),
            key: Some(verb.into()),
        }),
    }
}
