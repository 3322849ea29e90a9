//! Lines from the server.

mod membership;
mod replies;
mod talk;

use std::{sync::Arc, time::Instant};

use super::{CommandId, EventKind, Outcome, Phase, Recipient, Session, batch::Context, send::PING_PREFIX};
use crate::{
    message::{Channel, Message, Nick, ParseError, Source},
    modes::{ModeChange, ModeType},
    numerics::EndClass,
};

impl Session {
    /// Takes one line, without its CR LF. No line ends the session but `ERROR`.
    pub fn receive(&mut self, line: &str, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        self.clock.heard = Some(now);
        self.clock.pinged = None;
        match Message::parse(line) {
            Ok(message) => self.dispatch(&message, now),
            Err(ParseError::Empty) => {}
            Err(ParseError::NoCommand) => self.unreadable("no command"),
            Err(ParseError::BadCommand) => self.unreadable("the command is not a word"),
            Err(ParseError::TagsTooLong) => self.unreadable("the tags are too long"),
        }
    }

    /// A line could not be used; the stream goes on.
    pub fn unreadable(&mut self, why: &'static str) {
        self.tell_plain(EventKind::Unreadable { why });
    }

    fn dispatch(&mut self, message: &Message, now: Instant) {
        let mut context = self.batches.context(message);
        let own_label = message.tags.get("label").map(Box::from);
        context.label = own_label.or(context.label);
        if let Some(source) = message.source.as_ref().filter(|_| !context.history) {
            self.channels.learn(source, message.tags.get("account"));
        }
        match message.command.as_str() {
            "PING" => self.pong(message),
            "PONG" => self.receive_pong(message),
            "CAP" => self.receive_cap(message, now),
            "AUTHENTICATE" => self.receive_authenticate(now),
            "BATCH" => {
                let change = self.batches.receive(message);
                if let Some((of, ends)) = change.history
                    && let Some(Recipient::Channel { channel, status: None }) = self.recipient(&of)
                {
                    self.tell(message, &context, EventKind::History { channel, ends });
                }
                if let Some(label) = change.answered {
                    self.answered(&label);
                }
                return;
            }
            "ERROR" => self.receive_error(message),
            "PRIVMSG" | "NOTICE" | "TAGMSG" => self.receive_talk(message, &context),
            "REDACT" => self.receive_redact(message, &context),
            "JOIN" => self.receive_join(message, &context),
            "PART" => self.receive_part(message, &context),
            "QUIT" => self.receive_quit(message, &context),
            "KICK" => self.receive_kick(message, &context),
            "NICK" => self.receive_nick(message, &context, now),
            "MODE" => self.receive_mode(message, &context),
            "TOPIC" => self.receive_topic(message, &context),
            "INVITE" => self.receive_invite(message, &context),
            "ACCOUNT" => self.receive_account(message, &context),
            "CHGHOST" => self.receive_chghost(message, &context),
            "SETNAME" => self.receive_setname(message, &context),
            "AWAY" => self.receive_away(message, &context),
            "RENAME" => self.receive_rename(message, &context),
            "KILL" => self.receive_kill(message),
            "FAIL" => return self.receive_fail(message, &context),
            "WARN" | "NOTE" | "WALLOPS" => self.server_says(message, &context),
            _ => {
                if let Some(number) = message.numeric()
                    && self.receive_numeric(number, message, &context, now)
                {
                    return;
                }
            }
        }
        // An answer of one line, and no complaint. (In a batch, the end of the batch answers.)
        if let Some(label) = message.tags.get("label") {
            let label = label.to_owned();
            self.answered(&label);
        }
    }

    fn answered(&mut self, label: &str) {
        let done = self.flights.answered(label);
        self.done(done);
    }

    fn done(&mut self, done: Vec<(CommandId, Outcome)>) {
        self.outcomes.extend(done);
    }

    fn pong(&mut self, message: &Message) {
        self.send_now(&Message::new("PONG", message.params.first().cloned()));
    }

    fn receive_pong(&mut self, message: &Message) {
        let number =
            message.last().and_then(|token| token.strip_prefix(PING_PREFIX)).and_then(|number| number.parse().ok());
        if let Some(number) = number {
            let done = self.flights.passed(number);
            self.done(done);
        }
    }

    /// The server's last word. What it said before with a number counts more than what it says now.
    fn receive_error(&mut self, message: &Message) {
        let text = message.last().unwrap_or_default();
        if let Some((class, why)) = self.verdict.take() {
            self.end(class, if text.is_empty() { why } else { text.to_owned() });
        } else if self.quit.as_ref().is_some_and(|quit| quit.sent) {
            self.end(EndClass::Requested, text);
        } else {
            self.end(EndClass::of_error(text), text);
        }
    }

    /// `:oper KILL me :reason`: the end follows.
    fn receive_kill(&mut self, message: &Message) {
        if message.param(0).is_some_and(|nick| self.is_me(nick)) {
            self.verdict = Some((EndClass::Killed, format!("killed: {}", message.last().unwrap_or_default())));
        }
    }

    fn receive_nick(&mut self, message: &Message, context: &Context, now: Instant) {
        let (Some(source), Some(to)) = (&message.source, nick_at(message, 0)) else { return };
        if context.history {
            return;
        }
        // InspIRCd's labelled answer comes from the new nick already: then the label says that it is ours.
        let answer = context.label.as_deref().is_some_and(|label| self.flights.is_renaming_under(label));
        let own = answer || self.is_me(&source.name);
        let mut who = source.clone();
        if own {
            self.me.nick.as_str().clone_into(&mut who.name);
        }
        let channels = self.channels.rename(&who.name, to.as_str());
        if own {
            let asked = std::mem::take(&mut self.me.regaining) || self.flights.is_renaming();
            self.me.renamed_by_force = !asked;
            self.me.nick = to.clone();
            self.changed = true;
            self.schedule_regain(now);
            self.watch_wanted();
        }
        self.tell(message, context, EventKind::NickChanged { who, to, own, channels });
    }

    fn receive_mode(&mut self, message: &Message, context: &Context) {
        let Some(target) = message.param(0) else { return };
        if !self.isupport.is_channel(target) {
            if self.is_me(target) {
                let modes = message.params[1..].join(" ");
                self.tell(message, context, EventKind::UserModes(modes));
            }
            return;
        }
        let Ok(channel) = Channel::new(target) else { return };
        let changes = self.isupport.modes.parse(&message.params[1..]);
        if !context.history {
            self.apply_ranks(&channel, &changes);
        }
        let channel = self.spelled(channel);
        self.tell(message, context, EventKind::ChannelModes { channel, by: message.source.clone(), changes });
    }

    fn apply_ranks(&mut self, channel: &Channel, changes: &[ModeChange]) {
        for change in changes.iter().filter(|change| change.kind == ModeType::Rank) {
            if let Some(nick) = &change.param {
                self.channels.rank(channel.as_str(), nick, change.mode, change.set);
            }
        }
    }

    fn receive_topic(&mut self, message: &Message, context: &Context) {
        let (Some(channel), Some(topic)) = (channel_at(message, 0), message.param(1)) else { return };
        let channel = self.spelled(channel);
        self.tell(message, context, EventKind::Topic { channel, topic: topic.to_owned(), by: message.source.clone() });
    }

    fn receive_account(&mut self, message: &Message, context: &Context) {
        let (Some(who), Some(account)) = (&message.source, message.param(0)) else { return };
        self.channels.learn(who, Some(account));
        let account = Some(account).filter(|account| !matches!(*account, "*" | "")).map(str::to_owned);
        if self.is_me(&who.name) {
            self.me.account = account.as_deref().map(Box::from);
            self.changed = true;
        }
        self.tell(message, context, EventKind::Account { who: who.clone(), account });
    }

    fn receive_chghost(&mut self, message: &Message, context: &Context) {
        let (Some(who), Some(user), Some(host)) = (&message.source, message.param(0), message.param(1)) else { return };
        let now_is = Source { name: who.name.clone(), user: Some(user.to_owned()), host: Some(host.to_owned()) };
        self.channels.learn(&now_is, None);
        if self.is_me(&who.name) {
            self.learn_me(&now_is);
        }
        let kind = EventKind::HostChanged { who: who.clone(), user: user.to_owned(), host: host.to_owned() };
        self.tell(message, context, kind);
    }

    fn receive_setname(&mut self, message: &Message, context: &Context) {
        if let (Some(who), Some(realname)) = (&message.source, message.param(0)) {
            let kind = EventKind::Realname { who: who.clone(), realname: realname.to_owned() };
            self.tell(message, context, kind);
        }
    }

    fn receive_away(&mut self, message: &Message, context: &Context) {
        if let Some(who) = &message.source {
            let words = message.param(0).filter(|words| !words.is_empty()).map(str::to_owned);
            self.tell(message, context, EventKind::Away { who: who.clone(), message: words });
        }
    }

    fn receive_rename(&mut self, message: &Message, context: &Context) {
        let (Some(from), Some(to)) = (channel_at(message, 0), channel_at(message, 1)) else { return };
        self.channels.rename_channel(from.as_str(), &to);
        let reason = message.param(2).map(str::to_owned);
        self.tell(message, context, EventKind::ChannelRenamed { from, to, reason });
    }

    /// Notes what the server shows others of us.
    pub(super) fn learn_me(&mut self, source: &Source) {
        self.me.user = source.user.as_deref().map(Box::from).or(self.me.user.take());
        self.me.host = source.host.as_deref().map(Box::from).or(self.me.host.take());
        self.changed = true;
    }

    /// The one spelling of a channel: the server's first one, if we are in it.
    fn spelled(&self, channel: Channel) -> Channel {
        self.channels.name(channel.as_str()).cloned().unwrap_or(channel)
    }

    /// Shares what the network supports with every other session on it.
    pub(super) fn share_isupport(&mut self) {
        let mut seen = self.policy.seen.lock();
        match &*seen {
            Some(seen) if *seen == self.isupport => self.isupport = Arc::clone(seen),
            _ => *seen = Some(Arc::clone(&self.isupport)),
        }
    }

    fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online(_))
    }
}

fn channel_at(message: &Message, index: usize) -> Option<Channel> {
    message.param(index).and_then(|name| Channel::new(name).ok())
}

fn nick_at(message: &Message, index: usize) -> Option<Nick> {
    message.param(index).and_then(|nick| Nick::new(nick).ok())
}
