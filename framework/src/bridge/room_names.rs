//! The names that Matrix users go by in rooms.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::Homeserver;

/// How many rooms are remembered; at the bound all are forgotten, and asked for again.
const ROOMS: usize = 2000;

/// Display names by room, asked for once and kept up to date by what is heard.
pub(crate) struct RoomNames {
    homeserver: Arc<dyn Homeserver>,
    rooms: Mutex<HashMap<OwnedRoomId, HashMap<OwnedUserId, Option<String>>>>,
}

impl RoomNames {
    pub(crate) fn new(homeserver: Arc<dyn Homeserver>) -> Self {
        Self { homeserver, rooms: Mutex::default() }
    }

    /// The name of a user in a room: the display name, told apart from others of the same name, or the localpart. `as_user` is one
    /// of ours who is in the room.
    pub(crate) async fn name(&self, room_id: &RoomId, user_id: &UserId, as_user: &UserId) -> String {
        if !self.rooms.lock().contains_key(room_id) {
            match self.homeserver.joined_members(as_user, room_id).await {
                Ok(members) => self.learn(room_id, members),
                Err(error) => {
                    tracing::debug!(room.id = %room_id, %error, "the members of a room are not known");
                    return user_id.localpart().to_owned();
                }
            }
        }
        let rooms = self.rooms.lock();
        let Some(room) = rooms.get(room_id) else { return user_id.localpart().to_owned() };
        let Some(Some(name)) = room.get(user_id) else { return user_id.localpart().to_owned() };
        let shared = room.iter().any(|(other, theirs)| other != user_id && theirs.as_ref() == Some(name));
        if shared { format!("{name} ({user_id})") } else { name.clone() }
    }

    /// A user came, or changed their name. Says whether the name is another than before, where that was known.
    pub(crate) fn heard(&self, room_id: &RoomId, user_id: &UserId, name: Option<&str>) -> bool {
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.get_mut(room_id) else { return false };
        let name = clean(name);
        let before = room.insert(user_id.to_owned(), name.clone());
        before.is_some_and(|before| before != name)
    }

    /// A user left.
    pub(crate) fn left(&self, room_id: &RoomId, user_id: &UserId) {
        if let Some(room) = self.rooms.lock().get_mut(room_id) {
            room.remove(user_id);
        }
    }

    fn learn(&self, room_id: &RoomId, members: Vec<(OwnedUserId, Option<String>)>) {
        let mut rooms = self.rooms.lock();
        if rooms.len() >= ROOMS {
            rooms.clear();
        }
        let room = members.into_iter().map(|(user, name)| (user, clean(name.as_deref()))).collect();
        rooms.insert(room_id.to_owned(), room);
    }
}

/// A name that is worth showing.
fn clean(name: Option<&str>) -> Option<String> {
    name.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
}
