//! Which members a device was told of, so that lazy loading need not repeat them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};

use crate::{rooms::Event, rooms::EventNid, rooms::KeyIndex, store::cache::Cache, stream::Position};

/// Of how many devices this is remembered; those that are forgotten are told again.
const DEVICES: usize = 2000;

/// How many members of all rooms are remembered of one device; at the bound all are forgotten.
const MEMBERS: usize = 5000;

/// What a device was told of the members of its rooms: by room and place in the room's index, the event and the end of the answer.
#[derive(Debug, Default)]
struct Told {
    rooms: HashMap<OwnedRoomId, HashMap<KeyIndex, (EventNid, Position)>>,
    members: usize,
}

/// What devices were told of members.
#[derive(Debug)]
pub(crate) struct LazyMembers(Cache<(OwnedUserId, OwnedDeviceId), Arc<Mutex<Told>>>);

impl Default for LazyMembers {
    fn default() -> Self {
        Self(Cache::new(DEVICES))
    }
}

impl LazyMembers {
    /// Leaves out member events that the device has, who told by its token that it has seen everything up to `since`; notes the
    /// others as told in the answer that ends at `until`.
    pub(super) fn leave_out_told(
        &self,
        device: &(OwnedUserId, OwnedDeviceId),
        room_id: &RoomId,
        since: Option<Position>,
        until: Position,
        members: &mut Vec<Arc<Event>>,
    ) {
        let told = self.0.get(device).unwrap_or_else(|| {
            let told = Arc::<Mutex<Told>>::default();
            self.0.insert(device.clone(), told.clone());
            told
        });
        let mut told = told.lock();
        if since.is_none() {
            // The device begins anew in this room.
            let gone = told.rooms.remove(room_id).map_or(0, |room| room.len());
            told.members -= gone;
        }
        if told.members >= MEMBERS {
            *told = Told::default();
        }
        if members.is_empty() {
            return;
        }
        let Told { rooms, members: count } = &mut *told;
        let room = rooms.entry(room_id.to_owned()).or_default();
        members.retain(|member| {
            let Some(key) = member.key else { return true };
            match room.get(&key) {
                // An answer after `since` may never have arrived.
                Some((nid, at)) if *nid == member.nid && since.is_some_and(|since| *at <= since) => false,
                Some((nid, _)) if *nid == member.nid => true,
                _ => {
                    *count += usize::from(room.insert(key, (member.nid, until)).is_none());
                    true
                }
            }
        });
    }
}
