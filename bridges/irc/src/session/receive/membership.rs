//! JOIN, PART, QUIT, KICK, INVITE (RFC 1459 §4.2; [extended-join], [netsplit batches]).
//!
//! [extended-join]: https://ircv3.net/specs/extensions/extended-join
//! [netsplit batches]: https://ircv3.net/specs/batches/netsplit

use super::{
    super::{Cap, EventKind, Role, Session, batch::Context},
    channel_at, nick_at,
};
use crate::message::{Channel, Message};

/// How many messages are asked for that were said before we came.
const HISTORY: usize = 100;

impl Session {
    pub(super) fn receive_join(&mut self, message: &Message, context: &Context) {
        let (Some(who), Some(names)) = (&message.source, message.param(0)) else { return };
        let own = self.is_me(&who.name);
        let account = message.param(1).filter(|_| message.params.len() > 2);
        let realname = message.param(2);
        for channel in names.split(',').filter_map(|name| Channel::new(name).ok()) {
            if !context.history {
                if own {
                    self.channels.enter(&channel);
                    self.learn_me(who);
                    self.ask_for_history(&channel);
                }
                self.channels.add(channel.as_str(), who, account.or(message.tags.get("account")));
            }
            let channel = self.spelled(channel);
            let kind = EventKind::Joined { channel, who: who.clone(), own, realname: realname.map(str::to_owned) };
            self.tell(message, context, kind);
        }
    }

    pub(super) fn receive_part(&mut self, message: &Message, context: &Context) {
        let (Some(who), Some(names)) = (&message.source, message.param(0)) else { return };
        let own = self.is_me(&who.name);
        let reason = message.param(1).map(str::to_owned);
        for channel in names.split(',').filter_map(|name| Channel::new(name).ok()) {
            let channel = self.spelled(channel);
            if !context.history {
                self.gone(&channel, &who.name, own);
            }
            self.tell(message, context, EventKind::Parted { channel, who: who.clone(), own, reason: reason.clone() });
        }
    }

    pub(super) fn receive_kick(&mut self, message: &Message, context: &Context) {
        let (Some(by), Some(channel), Some(who)) = (&message.source, channel_at(message, 0), nick_at(message, 1))
        else {
            return;
        };
        let own = self.is_me(who.as_str());
        let channel = self.spelled(channel);
        if !context.history {
            self.gone(&channel, who.as_str(), own);
        }
        let reason = message.param(2).map(str::to_owned);
        self.tell(message, context, EventKind::Kicked { channel, who, own, by: by.clone(), reason });
    }

    pub(super) fn receive_quit(&mut self, message: &Message, context: &Context) {
        let Some(who) = &message.source else { return };
        let reason = message.param(0).unwrap_or_default().to_owned();
        let netsplit = context.netsplit || is_netsplit(&reason);
        // Our own QUIT told back: the end of the connection follows and says why.
        if self.is_me(&who.name) && !context.history {
            return;
        }
        let channels = if context.history { Vec::new() } else { self.channels.remove_everywhere(&who.name) };
        self.tell(message, context, EventKind::Quit { who: who.clone(), channels, reason, netsplit });
    }

    pub(super) fn receive_invite(&mut self, message: &Message, context: &Context) {
        let (Some(by), Some(who), Some(channel)) = (&message.source, nick_at(message, 0), channel_at(message, 1))
        else {
            return;
        };
        let own = self.is_me(who.as_str());
        self.tell(message, context, EventKind::Invited { channel, who, own, by: by.clone() });
    }

    /// Asks what was said before we came: what was heard already is known by its id.
    fn ask_for_history(&mut self, channel: &Channel) {
        let told_apart = self.caps.has(Cap::Batch) && self.caps.has(Cap::MessageTags);
        if self.identity.role == Role::Observer && self.caps.has(Cap::Chathistory) && told_apart {
            let most = self.isupport.chathistory.filter(|most| *most > 0).unwrap_or(HISTORY).min(HISTORY);
            self.send_own(Message::new("CHATHISTORY", ["LATEST", channel.as_str(), "*", &most.to_string()]));
        }
    }

    fn gone(&mut self, channel: &Channel, nick: &str, own: bool) {
        if own {
            self.channels.leave(channel.as_str());
        } else {
            self.channels.remove(channel.as_str(), nick);
        }
    }
}

/// `irc.one.example irc.two.example`: two names of servers and nothing more, which is how servers tell that they lost
/// each other. (Servers put `Quit: ` before what a person says.)
pub(crate) fn is_netsplit(reason: &str) -> bool {
    let is_server = |name: &str| {
        name.contains('.')
            && !name.starts_with('.')
            && !name.ends_with('.')
            && !name.contains("..")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'*' | b'_'))
    };
    reason.split_once(' ').is_some_and(|(one, other)| one != other && is_server(one) && is_server(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_a_netsplit_is_told_from_a_goodbye() {
        for split in ["irc.insp.test irc2.insp.test", "*.net *.split", "a.b c.d"] {
            assert!(is_netsplit(split), "{split}");
        }
        for goodbye in
            ["", "Quit: a.b c.d", "so long.", "see example.org now", "a.b", "a.b a.b", "http://a.b c.d", "wow. nice."]
        {
            assert!(!is_netsplit(goodbye), "{goodbye}");
        }
    }
}
