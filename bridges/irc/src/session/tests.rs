//! Scripted dialogues: what the server says, and what we say.

mod clock;
mod membership;
mod registration;
mod sending;
mod talk;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::message::{Message, Source, Target};

/// A session and a server that says what the test says.
pub(super) struct Dialogue {
    pub(super) session: Session,
    pub(super) now: Instant,
    commands: u64,
}

pub(super) fn identity(nick: &str) -> Identity {
    Identity {
        nick: Nick::new(nick).unwrap(),
        username: IrcText::new("bridge").unwrap(),
        realname: IrcText::new("A bridge").unwrap(),
        password: None,
        sasl: None,
        role: Role::Observer,
    }
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(super) fn source(raw: &str) -> Source {
    Source::parse(raw).unwrap()
}

pub(super) fn text(text: &str) -> IrcText {
    IrcText::new(text).unwrap()
}

pub(super) fn privmsg(target: &str, words: &str) -> Command {
    let target = match Channel::new(target) {
        Ok(channel) => Target::Channel(channel),
        Err(_) => Target::Nick(Nick::new(target).unwrap()),
    };
    Command::Send(Outgoing { target, kind: SendKind::Privmsg, text: text(words), tags: Default::default(), key: None })
}

impl Dialogue {
    pub(super) fn with(identity: Identity, policy: Arc<Policy>) -> Self {
        let now = Instant::now();
        let mut session = Session::new(policy, identity);
        session.connected(now);
        Self { session, now, commands: 0 }
    }

    /// A session that has just opened its socket, with no limit of speed.
    pub(super) fn new(identity: Identity) -> Self {
        Self::with(identity, Policy::new(Timing::default(), Flood::off()))
    }

    /// A registered session of `bot` on a server with these capabilities and ISUPPORT tokens.
    pub(super) fn online(caps: &str, isupport: &str) -> Self {
        Self::online_as(identity("bot"), caps, isupport)
    }

    pub(super) fn online_as(identity: Identity, caps: &str, isupport: &str) -> Self {
        let mut dialogue = Self::new(identity);
        dialogue.register(caps, isupport);
        dialogue
    }

    pub(super) fn register(&mut self, caps: &str, isupport: &str) {
        self.says(&format!(":irc.test CAP * LS :{caps}"));
        while let Some(line) = self.session.next_line(self.now) {
            if let Some(list) = line.trim_end().strip_prefix("CAP REQ ") {
                self.says(&format!(":irc.test CAP * ACK :{}", list.trim_start_matches(':')));
            }
        }
        let nick = self.session.me.nick.clone();
        self.says(&format!(":irc.test 001 {nick} :Welcome {nick}!~bridge@host.test"));
        self.says(&format!(":irc.test 005 {nick} {isupport} :are supported by this server"));
        self.says(&format!(":irc.test 422 {nick} :No MOTD"));
        assert!(self.session.online().is_some());
        self.heard();
    }

    pub(super) fn says(&mut self, line: &str) {
        self.session.receive(line, self.now);
    }

    pub(super) fn all_say(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| self.says(line));
    }

    /// We say exactly this next.
    #[track_caller]
    pub(super) fn expect(&mut self, line: &str) {
        let said = self.session.next_line(self.now);
        assert_eq!(said.as_deref().map(str::trim_end), Some(line));
    }

    /// We say nothing more for now.
    #[track_caller]
    pub(super) fn expect_silence(&mut self) {
        assert_eq!(self.session.next_line(self.now), None);
    }

    /// All we say now.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.next_line(self.now)).map(|line| line.trim_end().to_owned()).collect()
    }

    /// All that was told since this was last asked.
    pub(super) fn heard(&mut self) -> Vec<EventKind> {
        self.events().into_iter().map(|event| event.kind).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.next_event()).collect()
    }

    /// The bridge asks for something; its outcome comes under 1, 2, 3 …
    pub(super) fn asks(&mut self, command: Command) {
        self.commands += 1;
        self.session.command(CommandId(self.commands), command, self.now);
    }

    /// All outcomes since this was last asked.
    pub(super) fn outcomes(&mut self) -> Vec<(u64, Outcome)> {
        std::iter::from_fn(|| self.session.next_outcome()).map(|(id, outcome)| (id.0, outcome)).collect()
    }

    /// The one outcome that there is.
    #[track_caller]
    pub(super) fn outcome(&mut self) -> Outcome {
        let mut outcomes = self.outcomes();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes.remove(0).1
    }

    /// Time passes.
    pub(super) fn wait(&mut self, by: Duration) {
        self.now += by;
        self.session.tick(self.now);
    }

    /// Time passes up to the deadline that the session gives.
    #[track_caller]
    pub(super) fn wait_for_deadline(&mut self) {
        let at = self.session.deadline(self.now).expect("a deadline");
        self.wait(at.saturating_duration_since(self.now));
    }

    #[track_caller]
    pub(super) fn ended(&self) -> (EndClass, &str) {
        let ending = self.session.ending().expect("an end");
        (ending.class, &ending.why)
    }

    pub(super) fn nick(&self) -> &str {
        self.session.me.nick.as_str()
    }

    /// `ranks:nick` of each member.
    pub(super) fn members(&self, name: &str) -> Vec<String> {
        let members = self.session.members(&channel(name)).unwrap_or_default();
        let types = &self.session.isupport.modes;
        let written =
            |member: &Member| format!("{}:{}", member.ranks.letters(types).collect::<String>(), member.who.name);
        members.iter().map(written).collect()
    }
}

/// Anything a line could be: words with commas, colons, signs and numbers where they hurt.
pub(super) fn any_line() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let command = prop_oneof![
        Just("JOIN"),
        Just("PART"),
        Just("QUIT"),
        Just("KICK"),
        Just("NICK"),
        Just("MODE"),
        Just("TOPIC"),
        Just("PRIVMSG"),
        Just("NOTICE"),
        Just("TAGMSG"),
        Just("CAP"),
        Just("BATCH"),
        Just("AUTHENTICATE"),
        Just("PING"),
        Just("PONG"),
        Just("INVITE"),
        Just("ACCOUNT"),
        Just("CHGHOST"),
        Just("RENAME"),
        Just("FAIL"),
        Just("KILL"),
        Just("AWAY"),
        Just("001"),
        Just("005"),
        Just("324"),
        Just("332"),
        Just("333"),
        Just("353"),
        Just("366"),
        Just("376"),
        Just("396"),
        Just("404"),
        Just("433"),
        Just("437"),
        Just("465"),
        Just("470"),
        Just("471"),
        Just("482"),
        Just("900"),
        Just("904"),
        Just("908"),
    ];
    let word = prop_oneof![
        Just("bot"),
        Just("alice"),
        Just("#c"),
        Just("#d"),
        Just("@#c"),
        Just("+o-v"),
        Just("*"),
        Just("LS"),
        Just("ACK"),
        Just("NEW"),
        Just("DEL"),
        Just("+1"),
        Just("-1"),
        Just("chathistory"),
        Just("$$*"),
        Just("PREFIX=(ov)@+"),
        Just("CASEMAPPING=ascii"),
        Just("-CHANTYPES"),
        Just("a.b"),
        Just(""),
        Just("#c,#d,,bad"),
        Just("sasl=PLAIN"),
    ];
    let source = prop_oneof![Just(""), Just(":bot!u@h "), Just(":alice!u@h "), Just(":irc.test "), Just(":! ")];
    let tags = prop_oneof![Just(""), Just("@batch=1 "), Just("@label=1;time=x;account=* "), Just("@=;;\\ ")];
    (tags, source, command, proptest::collection::vec(word, 0..6), "\\PC{0,10}")
        .prop_map(|(tags, source, command, words, last)| format!("{tags}{source}{command} {} :{last}", words.join(" ")))
}

/// What the bridge may ask for at any moment.
fn any_command() -> impl proptest::strategy::Strategy<Value = Command> {
    use proptest::prelude::*;
    let c = || channel("#c");
    prop_oneof![
        4 => "\\PC{1,20}".prop_map(|words| privmsg("#c", &words)),
        2 => Just(privmsg("alice", "psst")),
        1 => Just(Command::Join { channel: c(), key: None }),
        1 => Just(Command::Part { channel: c(), reason: None }),
        1 => Just(Command::Topic { channel: c(), topic: text("new") }),
        1 => Just(Command::Nick(Nick::new("alice").unwrap())),
        1 => Just(Command::Names(c())),
        1 => "\\PC{0,20}".prop_map(|last| Command::Raw(Message::new("PRIVMSG", ["#c".to_owned(), last]))),
    ]
}

#[derive(Debug, Clone)]
enum Moment {
    Line(String),
    Ask(Command),
    Wait(u64),
}

fn any_moment() -> impl proptest::strategy::Strategy<Value = Moment> {
    use proptest::prelude::*;
    prop_oneof![
        6 => any_line().prop_map(Moment::Line),
        3 => any_command().prop_map(Moment::Ask),
        1 => (0u64..70).prop_map(Moment::Wait),
        1 => (1u64..9).prop_map(|number| Moment::Line(format!(":s PONG s :landbridge-{number}"))),
        1 => Just(Moment::Ask(Command::Quit(None))),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn no_line_panics_or_ends_the_session_and_what_we_say_is_lines(lines in proptest::collection::vec(any_line(), 0..60), online: bool) {
        let mut dialogue = if online {
            Dialogue::online("message-tags batch labeled-response echo-message", "PREFIX=(qaohv)~&@%+")
        } else {
            Dialogue::new(identity("bot"))
        };
        dialogue.asks(privmsg("#c", "hi"));
        for line in &lines {
            dialogue.says(line);
            for said in dialogue.said() {
                proptest::prop_assert!(Message::parse(&said).is_ok(), "{said:?}");
            }
            dialogue.wait(Duration::from_millis(10));
        }
        // No line ends a session that is registered; one that is not may run out of nicks.
        proptest::prop_assert!(!online || dialogue.session.ending().is_none());
    }

    #[test]
    fn every_command_has_one_outcome_whatever_happens(moments in proptest::collection::vec(any_moment(), 0..60), caps in 0usize..3) {
        let caps = ["", "echo-message message-tags", "message-tags batch labeled-response echo-message"][caps];
        let mut dialogue = Dialogue::online(caps, "PREFIX=(qaohv)~&@%+");
        let mut done = Vec::new();
        for moment in moments {
            match moment {
                Moment::Line(line) => dialogue.says(&line),
                Moment::Ask(command) => dialogue.asks(command),
                Moment::Wait(seconds) => dialogue.wait(Duration::from_secs(seconds)),
            }
            dialogue.said();
            dialogue.heard();
            done.extend(dialogue.outcomes());
            let woken = dialogue.session.deadline(dialogue.now).is_some() || dialogue.session.ending().is_some();
            proptest::prop_assert!(woken, "somebody must wake us");
        }
        dialogue.session.closed("the end");
        done.extend(dialogue.outcomes());
        let mut ids: Vec<u64> = done.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        proptest::prop_assert_eq!(ids, (1..=dialogue.commands).collect::<Vec<_>>());
    }
}
