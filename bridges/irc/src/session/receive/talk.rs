//! PRIVMSG, NOTICE, TAGMSG (RFC 1459 §4.4; [echo-message], CTCP).
//!
//! [echo-message]: https://ircv3.net/specs/extensions/echo-message

use super::super::{EventKind, Incoming, MessageKind, Recipient, Role, Session, batch::Context, confirm::Echo};
use crate::message::{Channel, Message, Nick, ServerTime};

impl Session {
    pub(super) fn receive_talk(&mut self, message: &Message, context: &Context) {
        let (Some(from), Some(target)) = (&message.source, message.param(0)) else { return };
        let own = self.is_me(&from.name);
        if own && !context.history {
            self.receive_echo(message, context, target);
        }
        if from.is_server() || *from.name == *self.server {
            if message.command == "NOTICE" {
                self.server_says(message, context);
            }
            return;
        }
        let Some(to) = self.recipient(target) else { return };
        // What others say in a channel is the bot's to hear, and each of a thousand puppets there hears it too.
        if self.identity.role == Role::Puppet && to != Recipient::Me && !own {
            return;
        }
        let (kind, text) = classify(message);
        let incoming = Incoming { from: from.clone(), to, kind, text: text.to_owned(), own };
        self.tell(message, context, EventKind::Message(incoming));
    }

    /// `REDACT target msgid [:reason]`
    pub(super) fn receive_redact(&mut self, message: &Message, context: &Context) {
        let (Some(by), Some(target), Some(msgid)) = (&message.source, message.param(0), message.param(1)) else {
            return;
        };
        let Some(to) = self.recipient(target).filter(|_| !msgid.is_empty()) else { return };
        let reason = message.param(2).map(str::to_owned);
        self.tell(message, context, EventKind::Redacted { to, by: by.clone(), msgid: msgid.to_owned(), reason });
    }

    /// Words of the server for those who run the bridge.
    pub(super) fn server_says(&mut self, message: &Message, context: &Context) {
        if let Some(words) = message.last().filter(|words| !words.is_empty()) {
            let words = words.to_owned();
            self.tell(message, context, EventKind::ServerSays(words));
        }
    }

    fn receive_echo(&mut self, message: &Message, context: &Context, target: &str) {
        let target = self.fold(target);
        let echo = Echo {
            label: context.label.as_deref(),
            verb: &message.command,
            target: &target,
            text: message.param(1).unwrap_or_default(),
            msgid: message.tags.get("msgid"),
            time: message.tags.get("time").and_then(ServerTime::parse),
        };
        let done = self.flights.echoed(&echo);
        self.outcomes.extend(done);
    }

    /// Whom a target means; `None` for one that is neither a channel nor a nick.
    pub(super) fn recipient(&self, target: &str) -> Option<Recipient> {
        let (status, name) = self.isupport.split_status(target);
        if self.isupport.is_channel(name) {
            let channel = Channel::new(name).ok()?;
            let channel = self.channels.name(channel.as_str()).cloned().unwrap_or(channel);
            return Some(Recipient::Channel { channel, status });
        }
        if target.starts_with('$') {
            return Some(Recipient::Everyone);
        }
        if self.is_me(target) {
            return Some(Recipient::Me);
        }
        Nick::new(target).ok().map(Recipient::Nick)
    }
}

/// How a message was said, and its words without the CTCP around them.
fn classify(message: &Message) -> (MessageKind, &str) {
    let text = message.param(1).unwrap_or_default();
    let notice = message.command == "NOTICE";
    let plain = if notice { MessageKind::Notice } else { MessageKind::Privmsg };
    if message.command == "TAGMSG" {
        return (MessageKind::Tags, "");
    }
    let Some(request) = text.strip_prefix('\u{1}') else { return (plain, text) };
    let request = request.strip_suffix('\u{1}').unwrap_or(request);
    let (verb, words) = request.split_once(' ').unwrap_or((request, ""));
    if verb.is_empty() {
        return (plain, words);
    }
    match verb.to_ascii_uppercase() {
        verb if notice => (MessageKind::CtcpReply(verb), words),
        verb if verb == "ACTION" => (MessageKind::Action, words),
        verb => (MessageKind::Ctcp(verb), words),
    }
}
