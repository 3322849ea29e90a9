//! Who is typing where: in memory only, forgotten when its time is up ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#typing-notifications

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::time::Instant;

/// The longest time one notice of typing holds.
pub const LONGEST_TYPING: Duration = Duration::from_secs(120);

/// How many rooms can have someone typing at once; at the bound further ones are not shown.
const MAX_ROOMS: usize = 10_000;

/// How many people are shown as typing in one room; at the bound further ones are not shown.
const MAX_TYPERS: usize = 100;

/// Who is typing where.
#[derive(Clone, Debug, Default)]
pub struct Typing {
    rooms: Arc<Mutex<HashMap<OwnedRoomId, Room>>>,
}

#[derive(Debug, Default)]
struct Room {
    typing: BTreeMap<OwnedUserId, Instant>,
    /// The place in the log of the last change.
    position: i64,
}

impl Typing {
    /// Notes that a user types, or stops (`None`); says whether that changes what others see.
    #[must_use]
    pub fn set(&self, room_id: &RoomId, user_id: &UserId, lasts: Option<Duration>, now: Instant) -> bool {
        let mut rooms = self.rooms.lock();
        if !rooms.contains_key(room_id) && (lasts.is_none() || rooms.len() >= MAX_ROOMS) {
            return false;
        }
        let room = rooms.entry(room_id.to_owned()).or_default();
        match lasts {
            None => room.typing.remove(user_id).is_some(),
            Some(_) if room.typing.len() >= MAX_TYPERS && !room.typing.contains_key(user_id) => false,
            Some(lasts) => room.typing.insert(user_id.to_owned(), now + lasts.min(LONGEST_TYPING)).is_none(),
        }
    }

    /// Gives the last change of a room its place in the log.
    pub fn moved(&self, room_id: &RoomId, position: i64) {
        if let Some(room) = self.rooms.lock().get_mut(room_id) {
            room.position = room.position.max(position);
        }
    }

    /// Forgets those whose time is up; gives the rooms where that changes what others see, and when the next is due.
    #[must_use]
    pub fn expire(&self, now: Instant) -> (Vec<OwnedRoomId>, Option<Instant>) {
        let mut changed = Vec::new();
        let mut next: Option<Instant> = None;
        for (room_id, room) in self.rooms.lock().iter_mut() {
            let before = room.typing.len();
            room.typing.retain(|_, until| *until > now);
            if room.typing.len() < before {
                changed.push(room_id.clone());
            }
            next = room.typing.values().copied().chain(next).min();
        }
        (changed, next)
    }

    /// Who types in a room, if that changed with `after < position <= until`.
    #[must_use]
    pub fn changed(&self, room_id: &RoomId, after: i64, until: i64) -> Option<Vec<OwnedUserId>> {
        let rooms = self.rooms.lock();
        let room = rooms.get(room_id)?;
        let changed = room.position > after && room.position <= until;
        changed.then(|| room.typing.keys().cloned().collect())
    }

    /// The rooms in which typing changed with `after < position <= until`, with who types there.
    #[must_use]
    pub fn changes(&self, after: i64, until: i64) -> Vec<(OwnedRoomId, Vec<OwnedUserId>)> {
        let rooms = self.rooms.lock();
        let changed = rooms.iter().filter(|(_, room)| room.position > after && room.position <= until);
        changed.map(|(id, room)| (id.clone(), room.typing.keys().cloned().collect())).collect()
    }

    /// Lets go of rooms where nobody has been typing since `before`, so that old ones do not pile up.
    pub fn compact(&self, before: i64) {
        self.rooms.lock().retain(|_, room| !room.typing.is_empty() || room.position > before);
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn typing_ends_by_itself() {
        let typing = Typing::default();
        let (room, alice) = (room_id!("!r:x"), user_id!("@alice:x"));
        let now = Instant::now();
        assert!(typing.set(room, alice, Some(Duration::from_secs(5)), now));
        typing.moved(room, 3);
        // Saying it again changes nothing that others see.
        assert!(!typing.set(room, alice, Some(Duration::from_secs(5)), now));
        assert_eq!(typing.changed(room, 2, 3), Some(vec![alice.to_owned()]));
        assert_eq!(typing.changed(room, 3, 9), None);
        let (changed, next) = typing.expire(now + Duration::from_secs(4));
        assert!(changed.is_empty());
        assert_eq!(next, Some(now + Duration::from_secs(5)));
        let (changed, _) = typing.expire(now + Duration::from_secs(5));
        assert_eq!(changed, [room.to_owned()]);
        typing.moved(room, 4);
        assert_eq!(typing.changed(room, 3, 4), Some(vec![]));
    }

    #[test]
    fn nobody_stops_typing_where_nobody_typed() {
        assert!(!Typing::default().set(room_id!("!r:x"), user_id!("@a:x"), None, Instant::now()));
    }
}
