//! Network → Matrix, for what is kept nowhere: who types, who has read what, who is there.

use std::sync::Arc;

use ruma::EventId;

use super::{HomeserverError, latest::Latest, members::Members, parts::Parts, virtual_users::VirtualUsers};
use crate::network::{Network, Presence, RemoteId as _};

/// How many changes may wait; at the bound, further ones are left out.
const QUEUE: usize = 1024;

/// What sessions said last.
pub(crate) type News<N> = Latest<About<N>, What<N>>;

/// What it is about.
pub(crate) enum About<N: Network> {
    Typing(N::Room, N::User),
    Read(N::Room, N::User),
    Presence(N::User),
}

/// What is known now.
pub(crate) enum What<N: Network> {
    Typing(bool),
    Read(N::Message),
    Presence(Presence, Option<String>),
}

/// Nothing is known yet.
pub(crate) fn news<N: Network>() -> Arc<News<N>> {
    Arc::new(Latest::new(QUEUE))
}

/// Tells the homeserver.
pub(crate) struct Teller<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) members: Arc<Members<N>>,
    pub(crate) users: Arc<VirtualUsers<N>>,
}

impl<N: Network> Teller<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>, users: &Arc<VirtualUsers<N>>, members: &Arc<Members<N>>) -> Self {
        Self { parts: Arc::clone(parts), members: Arc::clone(members), users: Arc::clone(users) }
    }

    /// Tells whatever is new, for ever.
    pub(crate) async fn run(self, news: Arc<News<N>>) {
        news.pass_on(|about, what| async {
            if let Err(error) = self.tell(about, what).await {
                tracing::debug!(%error, "something ephemeral was not told");
            }
        })
        .await;
    }

    async fn tell(&self, about: About<N>, what: What<N>) -> Result<(), HomeserverError> {
        match (about, what) {
            (About::Typing(room, who), What::Typing(typing)) => {
                let Some(mapping) = self.parts.mappings.by_remote(&room) else { return Ok(()) };
                let Some(id) = self.parts.names.user_id(&*self.parts.network, &who) else { return Ok(()) };
                self.parts.homeserver.typing(&id, &mapping.room_id, typing).await
            }
            (About::Read(room, who), What::Read(message)) => self.read(&room, &who, &message).await,
            (About::Presence(who), What::Presence(presence, status)) => {
                if !self.users.is_known(&who).await? {
                    return Ok(());
                }
                let id = self.users.id(&who)?;
                self.parts.homeserver.set_presence(&id, presence, status.as_deref()).await
            }
            _ => Ok(()),
        }
    }

    async fn read(&self, room: &N::Room, who: &N::User, message: &N::Message) -> Result<(), HomeserverError> {
        let Some(mapping) = self.parts.mappings.by_remote(room) else { return Ok(()) };
        let Some(id) = self.parts.names.user_id(&*self.parts.network, who) else { return Ok(()) };
        if !self.members.is_actual(&mapping.room_id, who) {
            return Ok(());
        }
        let rows = self.parts.store.message_by_remote(mapping.room_id.as_str(), &message.encode()).await;
        let rows = rows.map_err(|error| HomeserverError::Unavailable(error.to_string()))?;
        match rows.last().and_then(|row| EventId::parse(row.event_id.as_str()).ok()) {
            Some(event_id) => self.parts.homeserver.read(&id, &mapping.room_id, &event_id).await,
            None => Ok(()),
        }
    }
}

// Derived, these would ask of the network itself what only its ids need.
impl<N: Network> PartialEq for About<N> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Typing(a, b), Self::Typing(c, d)) | (Self::Read(a, b), Self::Read(c, d)) => a == c && b == d,
            (Self::Presence(a), Self::Presence(b)) => a == b,
            _ => false,
        }
    }
}

impl<N: Network> Eq for About<N> {}

impl<N: Network> std::hash::Hash for About<N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Typing(room, who) | Self::Read(room, who) => (room, who).hash(state),
            Self::Presence(who) => who.hash(state),
        }
    }
}
