//! Matrix → network, for what is kept nowhere: who types, who has read what, who is there. It is read out of transactions, never stored,
//! and passed on beside the lanes, so that it delays no message. What comes too fast is left out; the latest wins.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::from_matrix::target;
use crate::{
    bridge::{latest::Latest, mappings::RoomMapping, parts::Parts},
    clock::Millis,
    network::{EphemeralKind, Level, Network, Presence, Session as _, SessionId, ephemeral::Ephemeral},
};

/// How many things may wait; at the bound, further ones are left out.
const QUEUE: usize = 4096;
/// How many of those who type in one room are told of.
const TYPING: usize = 64;
/// In how many rooms it is remembered who types; at the bound, all is forgotten, and some stop unheard.
const ROOMS: usize = 10_000;

/// Passes on what is kept nowhere.
pub(crate) struct Ephemerals<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    news: Latest<About, What>,
    typing: Mutex<HashMap<OwnedRoomId, HashSet<OwnedUserId>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum About {
    Typing(OwnedRoomId),
    Read(OwnedRoomId, OwnedUserId),
    Presence(OwnedUserId),
}

#[derive(Debug)]
enum What {
    /// All who type now.
    Typing(HashSet<OwnedUserId>),
    Read(OwnedEventId, Option<Millis>),
    Presence(Presence, Option<String>),
}

/// An ephemeral event as the homeserver sends it ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/application-service-api/#pushing-ephemeral-data
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Pushed {
    #[serde(rename = "m.typing")]
    Typing { room_id: String, content: Typing },
    #[serde(rename = "m.receipt")]
    Receipt { room_id: String, content: BTreeMap<String, Receipts> },
    #[serde(rename = "m.presence")]
    Presence { sender: String, content: PresenceContent },
}

#[derive(Deserialize)]
struct Typing {
    user_ids: Vec<String>,
}

/// Private receipts are nobody else's business.
#[derive(Deserialize)]
struct Receipts {
    #[serde(rename = "m.read", default)]
    read: BTreeMap<String, ReceiptContent>,
}

#[derive(Deserialize)]
struct ReceiptContent {
    ts: Option<i64>,
}

#[derive(Deserialize)]
struct PresenceContent {
    presence: Presence,
    status_msg: Option<String>,
}

impl<N: Network> Ephemerals<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>) -> Self {
        Self { parts: Arc::clone(parts), news: Latest::new(QUEUE), typing: Mutex::default() }
    }

    /// Takes what a transaction brought. Never waits. What is of no known form is left out.
    pub(crate) fn take(&self, events: &[Box<RawValue>]) {
        for event in events {
            match serde_json::from_str(event.get()) {
                Ok(Pushed::Typing { room_id, content }) => self.typing(&room_id, &content.user_ids),
                Ok(Pushed::Receipt { room_id, content }) => self.receipts(&room_id, &content),
                Ok(Pushed::Presence { sender, content }) => {
                    if let Some(user_id) = self.user(&sender) {
                        let status = content.status_msg.filter(|status| !status.is_empty());
                        self.news.put(About::Presence(user_id), What::Presence(content.presence, status));
                    }
                }
                Err(error) => tracing::debug!(%error, "an ephemeral event of no known form is left out"),
            }
        }
    }

    fn typing(&self, room_id: &str, user_ids: &[String]) {
        if let Some(room_id) = self.room(room_id) {
            let typing = user_ids.iter().filter_map(|user_id| self.user(user_id)).take(TYPING).collect();
            self.news.put(About::Typing(room_id), What::Typing(typing));
        }
    }

    fn receipts(&self, room_id: &str, content: &BTreeMap<String, Receipts>) {
        let Some(room_id) = self.room(room_id) else { return };
        for (event_id, receipts) in content {
            let Ok(event_id) = OwnedEventId::try_from(event_id.as_str()) else { continue };
            for (user_id, receipt) in &receipts.read {
                if let Some(user_id) = self.user(user_id) {
                    let what = What::Read(event_id.clone(), receipt.ts.map(Millis));
                    self.news.put(About::Read(room_id.clone(), user_id), what);
                }
            }
        }
    }

    /// A room that is mapped.
    fn room(&self, room_id: &str) -> Option<OwnedRoomId> {
        let room_id = RoomId::parse(room_id).ok()?;
        self.parts.mappings.by_room(&room_id).map(|mapping| mapping.room_id.clone())
    }

    /// A Matrix user who is none of ours.
    fn user(&self, user_id: &str) -> Option<OwnedUserId> {
        UserId::parse(user_id).ok().filter(|user_id| !self.parts.names.is_ours(user_id))
    }

    /// Passes on whatever is new, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        self.news.pass_on(|about, what| self.pass(about, what)).await;
    }

    async fn pass(&self, about: About, what: What) {
        match (about, what) {
            (About::Typing(room_id), What::Typing(now)) => {
                let Some(mapping) = self.parts.mappings.by_room(&room_id) else { return };
                for (user_id, typing) in self.changes(room_id, now) {
                    let kind = EphemeralKind::Typing { room: mapping.remote.clone(), typing };
                    self.tell(user_id, kind, Some(&mapping)).await;
                }
            }
            (About::Read(room_id, user_id), What::Read(event_id, at)) => {
                let Some(mapping) = self.parts.mappings.by_room(&room_id) else { return };
                // Also what cannot be read now is only left out.
                let rows =
                    self.parts.store.message_by_event(room_id.as_str(), event_id.as_str()).await.unwrap_or_default();
                let Some((target, _)) = target::<N>(&rows) else { return };
                let kind = EphemeralKind::Read { room: mapping.remote.clone(), target, at };
                self.tell(user_id, kind, Some(&mapping)).await;
            }
            (About::Presence(user_id), What::Presence(presence, status)) => {
                self.tell(user_id, EphemeralKind::Presence { presence, status }, None).await;
            }
            _ => {}
        }
    }

    /// Who stopped, and who began.
    fn changes(&self, room_id: OwnedRoomId, now: HashSet<OwnedUserId>) -> Vec<(OwnedUserId, bool)> {
        let mut typing = self.typing.lock();
        let before = typing.remove(&room_id).unwrap_or_default();
        let stopped = before.difference(&now).map(|user_id| (user_id.clone(), false));
        let began = now.difference(&before).map(|user_id| (user_id.clone(), true));
        let changes = stopped.chain(began).collect();
        if typing.len() >= ROOMS {
            typing.clear();
        }
        if !now.is_empty() {
            typing.insert(room_id, now);
        }
        changes
    }

    /// Tells the session of that user, or the relay; none is started for it.
    async fn tell(
        &self,
        user_id: OwnedUserId,
        kind: EphemeralKind<N::Room, N::User, N::Message>,
        mapping: Option<&RoomMapping<N::Room>>,
    ) {
        let own = self.parts.speakers.running(&SessionId::User(user_id.clone()));
        let own_session = own.is_some();
        let Some(session) = own.or_else(|| self.parts.speakers.running(&SessionId::Relay)) else { return };
        let caps = mapping.map(|mapping| session.caps(&mapping.remote));
        let level = caps.map_or(Level::Full, |caps| match &kind {
            EphemeralKind::Typing { .. } => caps.typing,
            EphemeralKind::Read { .. } => caps.receipts,
            EphemeralKind::Presence { .. } => Level::Full,
        });
        if level > Level::Drop {
            session.ephemeral(&Ephemeral { user_id, own_session, kind }).await;
        }
    }
}
