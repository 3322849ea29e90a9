//! Who is there: as users say, in memory only ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#presence

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use landbridge_sql::{SqlError, Tx};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
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

/// After how long without a sync somebody is offline: a poll may take that long, and a client a moment to come back.
const SILENCE: Duration = Duration::from_secs(LONGEST_POLL.as_secs() + 60);

/// The presence of users.
#[derive(Clone, Debug)]
pub struct Presences {
    stream: Stream,
    users: Arc<Mutex<HashMap<OwnedUserId, Presence>>>,
}

#[derive(Clone, Debug)]
struct Presence {
    state: String,
    status: Option<String>,
    since: Instant,
    /// When a sync last asked for it; `None` where the user said so otherwise.
    synced: Option<Instant>,
    position: i64,
}

impl Presences {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, users: Arc::default() }
    }

    /// Sets the presence of a user: `online`, `unavailable` or `offline`. What others see already takes no place in the log.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn set(&self, user_id: &UserId, state: &str, status: Option<&str>) -> Result<(), StoreError> {
        self.move_to(user_id, state, status, None).await
    }

    async fn move_to(
        &self,
        user_id: &UserId,
        state: &str,
        status: Option<&str>,
        synced: Option<Instant>,
    ) -> Result<(), StoreError> {
        let status = status.map(|status| {
            let end = (0..=status.len().min(MAX_STATUS_BYTES)).rev().find(|at| status.is_char_boundary(*at));
            status.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
        });
        {
            let mut users = self.users.lock();
            let full = users.len() >= MAX_USERS;
            match users.get_mut(user_id) {
                Some(known) if known.state == state && known.status == status => {
                    known.since = Instant::now();
                    known.synced = synced;
                    return Ok(());
                }
                None if full => return Ok(()),
                _ => {}
            }
        }
        let state: String = state.chars().take(32).collect();
        let presence = Presence { state, status, since: Instant::now(), synced, position: 0 };
        let rooms = self.stream.rooms_of(user_id).await?;
        let moved = Moved { users: self.users.clone(), user_id: user_id.to_owned(), rooms, presence };
        self.stream.write(Box::new(moved)).await.map(drop)
    }

    /// Sets the presence that a client asks for with its sync; what the user says of itself stays. `offline` asks for nothing: that
    /// client alone is not there, and says nothing of others.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn synced(&self, user_id: &UserId, state: &str) -> Result<(), StoreError> {
        if state == "offline" {
            return Ok(());
        }
        let status = {
            let mut users = self.users.lock();
            match users.get_mut(user_id) {
                Some(known) if known.state == state => {
                    known.synced = known.synced.map(|_| Instant::now());
                    return Ok(());
                }
                known => known.and_then(|known| known.status.clone()),
            }
        };
        self.move_to(user_id, state, status.as_deref(), Some(Instant::now())).await
    }

    /// Those whose clients no longer ask are offline.
    ///
    /// # Errors
    /// When the store is closed.
    pub(crate) async fn expire(&self) -> Result<(), StoreError> {
        let gone: Vec<(OwnedUserId, Option<String>)> = {
            let users = self.users.lock();
            let silent = |known: &Presence| known.synced.is_some_and(|at| at.elapsed() > SILENCE);
            let gone = users.iter().filter(|(_, known)| known.state != "offline" && silent(known));
            gone.map(|(user_id, known)| (user_id.clone(), known.status.clone())).collect()
        };
        for (user_id, status) in gone {
            self.move_to(&user_id, "offline", status.as_deref(), None).await?;
        }
        Ok(())
    }

    /// The content of a user's presence event.
    #[must_use]
    pub fn content(&self, user_id: &UserId) -> Value {
        self.users.lock().get(user_id).map_or_else(|| json!({ "presence": "offline" }), content)
    }

    /// The content of a user's presence event; `None` where the user never said anything.
    #[must_use]
    pub fn known(&self, user_id: &UserId) -> Option<Value> {
        self.users.lock().get(user_id).map(content)
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
    let ago = u64::try_from(presence.since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut content = json!({
        "presence": presence.state,
        "last_active_ago": ago,
        "currently_active": presence.state == "online",
    });
    if let (Some(status), Some(content)) = (&presence.status, content.as_object_mut()) {
        content.insert("status_msg".to_owned(), status.as_str().into());
    }
    content
}

struct Moved {
    users: Arc<Mutex<HashMap<OwnedUserId, Presence>>>,
    user_id: OwnedUserId,
    /// The rooms whose members see it.
    rooms: Box<[RoomNid]>,
    presence: Presence,
}

#[async_trait]
impl Write for Moved {
    async fn write(&self, _tx: &mut Tx<'_>, _position: Position) -> Result<(), SqlError> {
        Ok(())
    }

    fn committed(&self, position: Position) {
        let presence = Presence { position: position.0, ..self.presence.clone() };
        self.users.lock().insert(self.user_id.clone(), presence);
    }

    fn concerns(&self) -> Option<(&UserId, &[RoomNid])> {
        Some((&self.user_id, &self.rooms))
    }
}
