//! Commands on their way to the wire.

use std::time::Instant;

use smallvec::{SmallVec, smallvec};

use super::{
    Cap, Command, CommandId, NotSent, Outcome, Outgoing, Phase, Quit, SendKind, Session,
    confirm::{Fencing, Flight, Keys},
    flood::Class,
};
use crate::{
    isupport::DEFAULT_LINE_LEN,
    message::{EncodeError, Message, Target},
};

/// The prefix of the PINGs that confirm and keep alive.
pub(super) const PING_PREFIX: &str = "landbridge-";

/// The tag that carries an idempotency key.
pub(super) const KEY_TAG: &str = "+landbridge/key";

/// A line in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who waits for its outcome; `None` for a line of the session's own.
    pub(super) id: Option<CommandId>,
    message: Message,
    /// Folded names the line is about.
    keys: Keys,
}

impl Session {
    /// Takes a command. Its outcome comes out of [`Session::next_outcome`] under `id`, exactly once.
    pub fn command(&mut self, id: CommandId, command: Command, now: Instant) {
        if self.ending.is_some() || self.quit.is_some() {
            self.outcomes.push_back((id, Outcome::NotSent(NotSent::NotConnected)));
            return;
        }
        if let Command::Quit(reason) = command {
            self.quit = Some(Quit { id, reason, until: now + self.policy.timing.drain, sent: false });
            return;
        }
        let prepared = self.prepare(command).and_then(|(class, message, keys)| {
            check(&message, self.isupport.line_len)?;
            // What is written and not confirmed takes room too.
            let mut flood = self.policy.flood.clone();
            flood.capacity = flood.capacity.saturating_sub(self.flights.len());
            self.queue.push(class, Waiting { id: Some(id), message, keys }, &flood).map_err(|(_, full)| full)
        });
        if let Err(not_sent) = prepared {
            self.outcomes.push_back((id, Outcome::NotSent(not_sent)));
        }
    }

    /// Calls back the messages to a target that still wait.
    pub fn cancel(&mut self, target: &Target) {
        let key = self.fold(target.as_str());
        for waiting in self.queue.cancel(|waiting| waiting.message.command != "PART" && waiting.keys.contains(&key)) {
            if let Some(id) = waiting.id {
                self.outcomes.push_back((id, Outcome::NotSent(NotSent::Cancelled)));
            }
        }
    }

    /// The next line to write, with its CR LF; `None` when nothing may go now. Once it is given out it counts as
    /// written.
    pub fn next_line(&mut self, now: Instant) -> Option<String> {
        let online = matches!(self.phase, Phase::Online(_));
        if let Some(line) = self.urgent.pop_front() {
            // What registers us, servers do not count.
            if online {
                self.queue.charge(line.len(), now, &self.policy.flood);
            }
            return Some(line);
        }
        if self.ending.is_some() || self.quit.as_ref().is_some_and(|quit| quit.sent) {
            return None;
        }
        if !online {
            return self.next_goodbye(now);
        }
        if self.flights.fence_at(self.fencing()).is_some_and(|at| at <= now) {
            return Some(self.ping(now));
        }
        while let Some(waiting) = self.queue.pop(now, &self.policy.flood) {
            if let Some(line) = self.write(waiting, now) {
                return Some(line);
            }
        }
        self.next_goodbye(now)
    }

    /// Takes commands that belong together: their order is kept, and after one that finds the queue full none is taken.
    pub fn commands(&mut self, commands: impl IntoIterator<Item = (CommandId, Command)>, now: Instant) {
        let mut full = None;
        for (id, command) in commands {
            if let Some(full) = &full {
                self.outcomes.push_back((id, Outcome::NotSent(*full)));
                continue;
            }
            self.command(id, command, now);
            if let Some((last, Outcome::NotSent(why @ NotSent::QueueFull { .. }))) = self.outcomes.back()
                && *last == id
            {
                full = Some(*why);
            }
        }
    }

    /// Whether lines share their PINGs.
    pub(super) fn fencing(&self) -> Fencing {
        if self.policy.flood.enabled { Fencing::Shared { more: !self.queue.is_empty() } } else { Fencing::Each }
    }

    /// Puts a line before all others: registration, PONG.
    pub(super) fn send_now(&mut self, message: &Message) {
        if self.urgent.len() >= super::MAX_URGENT {
            return;
        }
        // A registration line may be refused for its length by nobody but us: it is cut by the server, not here.
        if let Ok(line) = message.encode(self.isupport.line_len.max(DEFAULT_LINE_LEN)) {
            self.urgent.push_back(line);
        }
    }

    /// Queues a line of the session's own.
    pub(super) fn send_own(&mut self, message: Message) {
        let waiting = Waiting { id: None, message, keys: SmallVec::new() };
        let _ = self.queue.push(Class::Control, waiting, &self.policy.flood);
    }

    /// A PING whose PONG confirms everything written before it.
    pub(super) fn ping(&mut self, now: Instant) -> String {
        let line = format!("PING :{PING_PREFIX}{}\r\n", self.flights.fence());
        self.queue.charge_ping(now, &self.policy.flood);
        line
    }

    /// QUIT, once everything before it is confirmed or the patience for that is over.
    fn next_goodbye(&mut self, now: Instant) -> Option<String> {
        let idle = self.queue.is_empty() && self.flights.is_empty();
        let online = matches!(self.phase, Phase::Online(_));
        let patience = self.policy.timing.drain;
        let quit = self.quit.as_mut().filter(|quit| idle || !online || quit.until <= now)?;
        quit.sent = true;
        quit.until = now + patience.min(std::time::Duration::from_secs(5));
        let mut message = Message::new("QUIT", quit.reason.iter().map(|reason| reason.as_str().to_owned()));
        while message.encode(self.isupport.line_len).is_err() {
            shorten(message.params.last_mut()?);
        }
        message.encode(self.isupport.line_len).ok()
    }

    /// Writes a line down and watches it; `None` if it can no longer be written.
    fn write(&mut self, waiting: Waiting, now: Instant) -> Option<String> {
        let Waiting { id, mut message, keys } = waiting;
        let mut flight = id.map(|id| Flight::new(id, &message.command, keys, now));
        if !self.caps.has(Cap::MessageTags) {
            message.tags = crate::message::Tags::default();
        }
        if let Some(flight) = &mut flight {
            self.mark(flight, &mut message);
        }
        match message.encode(self.isupport.line_len) {
            Ok(line) => {
                self.queue.charge(line.len(), now, &self.policy.flood);
                if let Some(flight) = flight {
                    self.flights.push(flight);
                }
                Some(line)
            }
            Err(error) => {
                let id = id?;
                self.outcomes.push_back((id, Outcome::NotSent(not_sent(error))));
                None
            }
        }
    }

    /// Notes how the server will confirm a line.
    fn mark(&mut self, flight: &mut Flight, message: &mut Message) {
        let talk = matches!(&*message.command, "PRIVMSG" | "NOTICE" | "TAGMSG");
        if talk && self.caps.has(Cap::EchoMessage) {
            flight.echo = Some(if message.params.len() > 1 { message.last().unwrap_or_default() } else { "" }.into());
        }
        // Without `batch` an answer of several lines could not be told from what follows it.
        if self.caps.has(Cap::LabeledResponse) && self.caps.has(Cap::Batch) {
            self.labels += 1;
            let label = format!("{:x}", self.labels);
            message.tags.insert("label", &label);
            flight.label = Some(label.into());
        }
    }

    fn prepare(&mut self, command: Command) -> Result<(Class, Message, Keys), NotSent> {
        let key = |name: &str| -> Keys { smallvec![self.fold(name)] };
        Ok(match command {
            Command::Send(outgoing) => (Class::Talk, self.talk(&outgoing)?, key(outgoing.target.as_str())),
            Command::Join { channel, key: password } => {
                let mut message = Message::new("JOIN", [channel.as_str()]);
                message.params.extend(password.map(String::from));
                (Class::Control, message, key(channel.as_str()))
            }
            Command::Part { channel, reason } => {
                let mut message = Message::new("PART", [channel.as_str()]);
                message.params.extend(reason.map(String::from));
                (Class::Talk, message, key(channel.as_str()))
            }
            Command::Redact { .. } if !self.caps.has(Cap::MessageRedaction) => return Err(NotSent::Unsupported),
            Command::Redact { target, msgid, reason } => {
                let mut message = Message::new("REDACT", [target.as_str(), msgid.as_str()]);
                message.params.extend(reason.map(String::from));
                (Class::Talk, message, key(target.as_str()))
            }
            Command::Topic { channel, topic } => {
                (Class::Control, Message::new("TOPIC", [channel.as_str(), topic.as_str()]), key(channel.as_str()))
            }
            Command::Kick { channel, nick, reason } => {
                let mut message = Message::new("KICK", [channel.as_str(), nick.as_str()]);
                message.params.extend(reason.map(String::from));
                (Class::Control, message, smallvec![self.fold(channel.as_str()), self.fold(nick.as_str())])
            }
            Command::Invite { channel, nick } => {
                let keys = smallvec![self.fold(channel.as_str()), self.fold(nick.as_str())];
                (Class::Control, Message::new("INVITE", [nick.as_str(), channel.as_str()]), keys)
            }
            Command::Mode { target, changes } => {
                let mut message = Message::new("MODE", [target.as_str()]);
                message.params.extend(changes.into_iter().map(String::from));
                (Class::Control, message, key(target.as_str()))
            }
            Command::Nick(nick) => {
                let message = Message::new("NICK", [nick.as_str()]);
                let keys = key(nick.as_str());
                self.watch_no_more();
                self.identity.nick = nick;
                self.me.renamed_by_force = false;
                (Class::Control, message, keys)
            }
            Command::Setname(_) if !self.caps.has(Cap::Setname) => return Err(NotSent::Unsupported),
            Command::Setname(name) => (Class::Control, Message::new("SETNAME", [name]), SmallVec::new()),
            Command::Away(message) => (Class::Control, Message::new("AWAY", message), SmallVec::new()),
            Command::Names(channel) => {
                (Class::Control, Message::new("NAMES", [channel.as_str()]), key(channel.as_str()))
            }
            Command::Raw(message) => {
                let keys = message.params.iter().take(2).map(|param| self.fold(param)).collect();
                (Class::Talk, message, keys)
            }
            Command::Quit(_) => return Err(NotSent::NotConnected),
        })
    }

    fn talk(&self, outgoing: &Outgoing) -> Result<Message, NotSent> {
        let limit = self.limits().text(outgoing.kind, &outgoing.target);
        if outgoing.kind != SendKind::Tags && outgoing.text.len() > limit {
            return Err(NotSent::TooLong { over: outgoing.text.len() - limit });
        }
        let target = outgoing.target.as_str();
        let text = outgoing.text.as_str();
        let mut message = match outgoing.kind {
            SendKind::Tags if !self.caps.has(Cap::MessageTags) => return Err(NotSent::Unsupported),
            SendKind::Tags => Message::new("TAGMSG", [target]),
            SendKind::Privmsg => Message::new("PRIVMSG", [target, text]),
            SendKind::Notice => Message::new("NOTICE", [target, text]),
            SendKind::Action => Message::new("PRIVMSG", [target, &format!("\u{1}ACTION {text}\u{1}")]),
        };
        if outgoing.kind != SendKind::Tags && text.is_empty() {
            return Err(NotSent::Malformed);
        }
        // Only these reach others; anything else would be taken for the server's own.
        for (name, value) in outgoing.tags.iter().filter(|(name, _)| name.starts_with('+')) {
            message.tags.insert(name, value);
        }
        if let Some(key) = &outgoing.key {
            message.tags.insert(KEY_TAG, key);
        }
        Ok(message)
    }
}

fn check(message: &Message, line_len: usize) -> Result<(), NotSent> {
    message.encode(line_len).map(drop).map_err(not_sent)
}

fn not_sent(error: EncodeError) -> NotSent {
    match error {
        EncodeError::TooLong { len, max } => NotSent::TooLong { over: len - max },
        EncodeError::ForbiddenByte | EncodeError::BadCommand | EncodeError::BadMiddle | EncodeError::TagsTooLong => {
            NotSent::Malformed
        }
    }
}

fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(text.len() / 2));
}
