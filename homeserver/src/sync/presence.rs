//! Who is there: as users say, in memory only ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#presence

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use landbridge_sql::{SqlError, Tx};
use parking_lot::Mutex;
use ruma::{DeviceId, OwnedUserId, UserId, presence::PresenceState};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::LONGEST_POLL;
use crate::{
    rooms::RoomNid,
    store::{StoreError, Write},
    stream::{Position, Stream},
};

/// How many users' presence is kept; at the bound further ones are offline to everybody.
const MAX_USERS: usize = 50_000;

/// The longest status message, in bytes; a longer one is cut.
const MAX_STATUS_BYTES: usize = 1024;

/// After how long without a sync a client is not there: a poll may take that long, and a client a moment to come back.
const SILENCE: Duration = Duration::from_secs(LONGEST_POLL.as_secs() + 60);

/// How many clients of one user count; at the bound the one that synced longest ago is forgotten.
const MAX_CLIENTS: usize = 32;

/// How somebody is. The greater is the more present: where clients of one user ask for different things, the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PresentAs {
    /// `offline`
    #[default]
    Offline,
    /// `unavailable`
    Unavailable,
    /// `online`
    Online,
}

impl PresentAs {
    /// As the specification calls it; `None` where there is no such presence.
    #[must_use]
    pub fn from_state(state: &PresenceState) -> Option<Self> {
        match state {
            PresenceState::Offline => Some(Self::Offline),
            PresenceState::Unavailable => Some(Self::Unavailable),
            PresenceState::Online => Some(Self::Online),
            _ => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unavailable => "unavailable",
            Self::Online => "online",
        }
    }
}

/// The presence of users.
#[derive(Clone, Debug)]
pub struct Presences {
    stream: Stream,
    users: Arc<Mutex<HashMap<OwnedUserId, Presence>>>,
}

#[derive(Clone, Debug, Default)]
struct Presence {
    /// What others see.
    shown: Shown,
    /// What they saw last changed at this place in the log; 0: never.
    position: i64,
    since: Option<Instant>,
    /// What the user said, until a client asks for something else.
    said: Option<PresentAs>,
    status: Option<String>,
    /// What its clients ask for with their syncs, by device.
    clients: HashMap<String, Client>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    state: PresentAs,
    status: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    state: PresentAs,
    synced: Instant,
}

impl Presence {
    /// What others are to see: what the user said, or else the most present of its clients.
    fn wanted(&self) -> Shown {
        let of_clients = self.clients.values().map(|client| client.state).max();
        Shown { state: self.said.or(of_clients).unwrap_or_default(), status: self.status.clone() }
    }

    fn synced(&mut self, device: &str, state: PresentAs) {
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(device) {
            let oldest = self.clients.iter().min_by_key(|(_, client)| client.synced).map(|(device, _)| device.clone());
            oldest.and_then(|oldest| self.clients.remove(&oldest));
        }
        self.clients.insert(device.to_owned(), Client { state, synced: Instant::now() });
        if self.said.is_some_and(|said| said != state) {
            self.said = None;
        }
    }

    /// Forgets clients that sync no more. With the last of them goes what the user said while there were any: who never syncs stays as
    /// they said.
    fn forget_silent(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        self.clients.retain(|_, client| client.synced.elapsed() <= SILENCE);
        if self.clients.is_empty() {
            self.said = None;
        }
    }
}

impl Presences {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, users: Arc::default() }
    }

    /// Sets the presence of a user, whatever its clients ask for with their syncs until one of them asks for something else. What others
    /// see already takes no place in the log.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn set(&self, user_id: &UserId, state: PresentAs, status: Option<&str>) -> Result<(), StoreError> {
        let status = status.map(|status| {
            let end = (0..=status.len().min(MAX_STATUS_BYTES)).rev().find(|at| status.is_char_boundary(*at));
            status.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
        });
        let said = |known: &mut Presence| {
            known.said = Some(state);
            known.status = status;
        };
        self.change(user_id, said).await
    }

    /// Notes what a client asks for with its sync; what the user says of itself stays. `offline` asks for nothing: that client alone is
    /// not there, and says nothing of others.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn synced(
        &self,
        user_id: &UserId,
        device: Option<&DeviceId>,
        state: PresentAs,
    ) -> Result<(), StoreError> {
        if state == PresentAs::Offline {
            return Ok(());
        }
        self.change(user_id, |known| known.synced(device.map_or("", DeviceId::as_str), state)).await
    }

    /// Who has no client left that syncs is offline, and a client that syncs no more counts for nothing.
    ///
    /// # Errors
    /// When the store is closed.
    pub(crate) async fn expire(&self) -> Result<(), StoreError> {
        let changed: Vec<OwnedUserId> = {
            let mut users = self.users.lock();
            users.values_mut().for_each(Presence::forget_silent);
            users
                .iter()
                .filter(|(_, known)| known.wanted() != known.shown)
                .map(|(user_id, _)| user_id.clone())
                .collect()
        };
        for user_id in changed {
            self.show(&user_id).await?;
        }
        Ok(())
    }

    /// Changes what is known of a user, and shows what comes of it.
    async fn change(&self, user_id: &UserId, change: impl FnOnce(&mut Presence)) -> Result<(), StoreError> {
        {
            let mut users = self.users.lock();
            if users.len() >= MAX_USERS && !users.contains_key(user_id) {
                return Ok(());
            }
            let known = users.entry(user_id.to_owned()).or_default();
            change(known);
            if known.wanted() == known.shown && known.position > 0 {
                known.since = Some(Instant::now());
                return Ok(());
            }
        }
        self.show(user_id).await
    }

    /// Tells others how a user is now.
    async fn show(&self, user_id: &UserId) -> Result<(), StoreError> {
        let rooms = self.stream.rooms_of(user_id).await?;
        let moved = Moved { users: self.users.clone(), user_id: user_id.to_owned(), rooms };
        self.stream.write(Box::new(moved)).await.map(drop)
    }

    /// The content of a user's presence event.
    #[must_use]
    pub fn content(&self, user_id: &UserId) -> Value {
        self.known(user_id).unwrap_or_else(|| json!({ "presence": "offline" }))
    }

    /// The content of a user's presence event; `None` where the user never said anything.
    #[must_use]
    pub fn known(&self, user_id: &UserId) -> Option<Value> {
        self.users.lock().get(user_id).filter(|known| known.position > 0).map(content)
    }

    /// The users whose presence changed with `after < position <= until`, with the content of their events.
    #[must_use]
    pub fn changes(&self, after: i64, until: i64) -> Vec<(OwnedUserId, Value)> {
        let users = self.users.lock();
        let changed = users.iter().filter(|(_, presence)| presence.position > after && presence.position <= until);
        changed.map(|(user_id, presence)| (user_id.clone(), content(presence))).collect()
    }
}

fn content(presence: &Presence) -> Value {
    let ago = presence.since.map_or(0, |since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
    let Shown { state, status } = &presence.shown;
    let mut content = json!({
        "presence": state.as_str(),
        "last_active_ago": ago,
        "currently_active": *state == PresentAs::Online,
    });
    if let (Some(status), Some(content)) = (status, content.as_object_mut()) {
        content.insert("status_msg".to_owned(), status.as_str().into());
    }
    content
}

/// Shows how a user is, as it is known when this is committed: whatever was known first, the last commit shows what is known last.
struct Moved {
    users: Arc<Mutex<HashMap<OwnedUserId, Presence>>>,
    user_id: OwnedUserId,
    /// The rooms whose members see it.
    rooms: Box<[RoomNid]>,
}

#[async_trait]
impl Write for Moved {
    async fn write(&self, _tx: &mut Tx<'_>, _position: Position) -> Result<(), SqlError> {
        Ok(())
    }

    fn committed(&self, position: Position) {
        if let Some(known) = self.users.lock().get_mut(&self.user_id) {
            known.shown = known.wanted();
            known.position = position.0;
            known.since = Some(Instant::now());
        }
    }

    fn concerns(&self) -> Option<(&UserId, &[RoomNid])> {
        Some((&self.user_id, &self.rooms))
    }
}

#[cfg(test)]
mod tests {
    use ruma::{api::client::room::create_room::v3 as create_room, server_name, user_id};

    use super::*;
    use crate::{
        Config, Homeserver,
        clock::SystemClock,
        rooms::{Membership, MembershipChange, NewRoom},
    };

    #[tokio::test]
    async fn a_presence_wakes_those_who_see_it_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(server_name!("localhost").to_owned(), dir.path());
        let hs = Homeserver::open(config, Arc::new(SystemClock)).await.unwrap();
        let (alice, bob, carol) =
            (user_id!("@alice:localhost"), user_id!("@bob:localhost"), user_id!("@carol:localhost"));
        let mut request = create_room::Request::new();
        request.preset = Some(create_room::RoomPreset::PublicChat);
        for creator in [alice, carol] {
            let new = NewRoom { creator: creator.to_owned(), request: &request, profiles: Default::default() };
            let room = hs.rooms().create(new).await.unwrap();
            if creator == alice {
                let joins = MembershipChange::new(&*room, bob, bob, Membership::Join);
                hs.rooms().change_membership(joins).await.unwrap();
            }
        }
        let (stream, presences) = (hs.stream(), &hs.api.parts.presences);
        let waits = async |user: &UserId| {
            let rooms = stream.rooms_of(user).await.unwrap();
            assert_eq!(rooms.len(), 1);
            stream.wait_for(user.to_owned(), rooms, stream.position())
        };
        let (of_bob, of_carol) = (waits(bob).await, waits(carol).await);
        let before_alice = stream.position();
        presences.set(alice, PresentAs::Online, None).await.unwrap();
        let before_carol = stream.position();
        assert!(before_carol > before_alice);
        presences.set(carol, PresentAs::Online, None).await.unwrap();
        // Each is woken once, and told the place before what woke them.
        assert_eq!((of_bob.news().await, of_carol.news().await), (before_alice, before_carol));
        hs.shutdown().await;
    }
}
