//! What a puppet hears: private messages to its user, and what happens to itself.

use landbridge::network::host::Closed;
use ruma::OwnedUserId;

use super::session::IrcSession;
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
            _ => {}
        }
        Ok(())
    }

    async fn hear_private(&self, user_id: &OwnedUserId, event: &Event, incoming: &Incoming) -> Result<(), Closed> {
        let from = &incoming.from;
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
