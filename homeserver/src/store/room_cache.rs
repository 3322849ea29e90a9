//! The rooms that are kept in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};

use super::RoomInfo;
use crate::rooms::RoomNid;

/// Above how many rooms those that nobody holds on to are let go.
const ROOMS: usize = 4096;

/// Rooms by id and by number: one [`RoomInfo`] per room that anyone holds on to.
#[derive(Debug, Default)]
pub(super) struct RoomCache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<OwnedRoomId, Arc<RoomInfo>>,
    by_nid: HashMap<RoomNid, Arc<RoomInfo>>,
    /// Those whose rows are being taken: to all others they are not there any more.
    hidden: HashSet<OwnedRoomId>,
}

impl RoomCache {
    pub(super) fn get(&self, room_id: &RoomId) -> Option<Arc<RoomInfo>> {
        self.0.lock().by_id.get(room_id).cloned()
    }

    pub(super) fn get_by_nid(&self, nid: RoomNid) -> Option<Arc<RoomInfo>> {
        self.0.lock().by_nid.get(&nid).cloned()
    }

    /// From now on nobody finds the room.
    pub(super) fn hide(&self, room: &RoomInfo) {
        let mut known = self.0.lock();
        known.hidden.insert(room.room_id.clone());
        known.by_id.remove(&room.room_id);
        known.by_nid.remove(&room.nid);
    }

    /// The last row of a hidden room is gone.
    pub(super) fn forget(&self, room: &RoomInfo) {
        self.0.lock().hidden.remove(&room.room_id);
    }

    pub(super) fn is_hidden(&self, room_id: &RoomId) -> bool {
        self.0.lock().hidden.contains(room_id)
    }

    pub(super) fn insert_read(&self, room: Arc<RoomInfo>) -> Arc<RoomInfo> {
        let mut known = self.0.lock();
        if known.hidden.contains(&room.room_id) {
            return room;
        }
        if let Some(room) = known.by_nid.get(&room.nid) {
            return room.clone();
        }
        if known.by_nid.len() >= ROOMS {
            // Two references are ours; a third means that somebody counts on being told of the next commit.
            known.by_id.retain(|_, room| Arc::strong_count(room) > 2);
            let Known { by_id, by_nid, .. } = &mut *known;
            by_nid.retain(|_, room| by_id.contains_key(&room.room_id));
        }
        known.by_id.insert(room.room_id.clone(), room.clone());
        known.by_nid.insert(room.nid, room.clone());
        room
    }
}
