//! What a puppet hears: private messages to its user, and what happens to itself.

use landbridge::network::{Dedupe, RemoteEvent, host::Closed};
use ruma::OwnedUserId;

use super::{IrcNetwork, bot::plain, session::IrcSession};
use crate::{
    convert::ids::IrcRoom,
    session::{Event, EventKind, Incoming, MessageKind, Recipient},
};

impl IrcSession {
    /// Takes in one event of a puppet's connection.
    ///
    /// # Errors
    /// [`Closed`] when the framework is stopping: the event was not kept.
    pub(super) async fn hear_as_puppet(&self, user_id: &OwnedUserId, event: Event) -> Result<(), Closed> {
        let shared = &self.shared;
        match &event.kind {
            EventKind::Message(incoming) if incoming.to == Recipient::Me && !incoming.own => {
                return self.hear_private(user_id, &event, incoming).await;
            }
            EventKind::Joined { channel, who, own: true, .. } => {
                shared.puppets.lock().seen(user_id, who);
                self.link.entered(shared.fold(channel.as_str()));
            }
            EventKind::Parted { channel, own: true, .. } | EventKind::Kicked { channel, own: true, .. } => {
                self.link.left(&shared.fold(channel.as_str()));
            }
            EventKind::NickChanged { to, own: true, .. } => {
                shared.puppets.lock().renamed(user_id, to.as_str());
                self.tell_connected(to.as_str());
            }
            EventKind::Forwarded { to, .. } => self.refuse_forward(to).await,
            EventKind::Redacted { to: Recipient::Me, by, msgid, reason } => {
                let room = IrcRoom::query(user_id, shared.user(&by.name));
                return self.redacted(room, by, msgid, reason.as_deref()).await;
            }
            EventKind::IsAway { nick, message } if self.link.is_away(shared.fold(nick.as_str()), message) => {
                let text = format!("{nick} is away: {}", plain(message));
                return self.note(user_id, nick.as_str(), text).await;
            }
            EventKind::Invited { channel, by, own: true, .. } if self.link.has_talked(&shared.fold(&by.name)) => {
                return self.note(user_id, &by.name, format!("{} invites you to {channel}", by.name)).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells our user something in their private conversation with somebody.
    async fn note(&self, user_id: &OwnedUserId, with: &str, text: String) -> Result<(), Closed> {
        let room = IrcRoom::query(user_id, self.shared.user(with));
        self.tell(RemoteEvent::<IrcNetwork>::Notice { room, text }, Dedupe::Never).await
    }

    async fn hear_private(&self, user_id: &OwnedUserId, event: &Event, incoming: &Incoming) -> Result<(), Closed> {
        let from = &incoming.from;
        self.link.is_back(&self.shared.fold(&from.name));
        // Servers talk to everybody who connects; nobody wants a room for that.
        if from.is_server() || event.meta.in_history && event.meta.msgid.is_none() {
            return Ok(());
        }
        // Services greet everybody by notice: that opens no conversation.
        if incoming.kind == MessageKind::Notice {
            if !self.link.has_talked(&self.shared.fold(&from.name)) {
                return Ok(());
            }
        } else {
            self.link.talks(self.shared.fold(&from.name));
        }
        let room = IrcRoom::query(user_id, self.shared.user(&from.name));
        self.ingest_message(room, event, incoming).await
    }
}
