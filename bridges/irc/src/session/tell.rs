//! From lines to events: what is told, and to whom.

use super::{Event, EventKind, Meta, Phase, Role, Session, batch::Context, send::KEY_TAG};
use crate::message::{Message, ServerTime};

impl Session {
    /// Tells an event that a line brought.
    pub(super) fn tell(&mut self, message: &Message, context: &Context, kind: EventKind) {
        let meta = self.meta(message, context);
        if self.identity.role == Role::Observer || concerns_puppet(&kind, &meta) {
            self.events.push_back(Event { meta, kind });
        }
    }

    /// Tells an event that is nobody's line.
    pub(super) fn tell_plain(&mut self, kind: EventKind) {
        self.events.push_back(Event { meta: Meta::default(), kind });
    }

    /// Tells that what we know of the server, or it of us, changed.
    pub(super) fn tell_change(&mut self) {
        self.changed = true;
        if matches!(self.phase, Phase::Online(_))
            && let Some(online) = self.online()
        {
            self.tell_plain(EventKind::Changed(online));
        }
    }

    fn meta(&self, message: &Message, context: &Context) -> Meta {
        let account = message.tags.get("account").or_else(|| {
            let source = message.source.as_ref()?;
            self.channels.account(&source.name)
        });
        Meta {
            time: message.tags.get("time").and_then(ServerTime::parse),
            msgid: message.tags.get("msgid").filter(|id| !id.is_empty()).map(Box::from),
            account: account.filter(|account| !matches!(*account, "" | "*")).map(Box::from),
            in_history: context.history,
            in_netjoin: context.netjoin,
            key: message.tags.get(KEY_TAG).filter(|key| !key.is_empty()).map(Box::from),
            tags: message.tags.clone(),
        }
    }
}

/// What a puppet's own connection tells. What everybody in a channel hears, the observer tells once.
fn concerns_puppet(kind: &EventKind, meta: &Meta) -> bool {
    use super::{MessageKind, Recipient};
    match kind {
        EventKind::Message(incoming) => match incoming.to {
            Recipient::Me => !incoming.own,
            // A line of ours told again shows that it once arrived.
            Recipient::Channel { .. } | Recipient::Nick(_) => {
                incoming.own && meta.in_history && incoming.kind != MessageKind::Tags
            }
            Recipient::Everyone => false,
        },
        EventKind::Redacted { to, .. } => *to == Recipient::Me,
        EventKind::Joined { own, .. }
        | EventKind::Parted { own, .. }
        | EventKind::Kicked { own, .. }
        | EventKind::NickChanged { own, .. }
        | EventKind::Invited { own, .. } => *own,
        EventKind::Online(_)
        | EventKind::Changed(_)
        | EventKind::UserModes(_)
        | EventKind::JoinFailed { .. }
        | EventKind::Forwarded { .. }
        | EventKind::IsAway { .. }
        | EventKind::TlsOnly(_)
        | EventKind::Refused { .. }
        | EventKind::LoginFailed { .. }
        | EventKind::ServerSays(_)
        | EventKind::Unreadable { .. } => true,
        EventKind::Quit { .. }
        | EventKind::Topic { .. }
        | EventKind::History { .. }
        | EventKind::TopicSetBy { .. }
        | EventKind::ChannelModes { .. }
        | EventKind::Names { .. }
        | EventKind::Account { .. }
        | EventKind::HostChanged { .. }
        | EventKind::Realname { .. }
        | EventKind::Away { .. }
        | EventKind::ChannelRenamed { .. } => false,
    }
}
