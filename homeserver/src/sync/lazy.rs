//! Which members a device was told of, so that lazy loading need not repeat them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};

use crate::{rooms::Event, rooms::EventNid, store::cache::Cache, stream::Position};

/// Of how many devices this is remembered; those that are forgotten are told again.
const DEVICES: usize = 2000;

/// How many members of all rooms are remembered of one device; at the bound all are forgotten.
const MEMBERS: usize = 5000;

type Told = HashMap<(OwnedRoomId, String), (EventNid, Position)>;

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
            told.retain(|(room, _), _| room != room_id);
        }
        if told.len() >= MEMBERS {
            told.clear();
        }
        members.retain(|member| {
            let Some(state_key) = member.state_key.clone() else { return true };
            let key = (room_id.to_owned(), state_key);
            match told.get(&key) {
                // An answer after `since` may never have arrived.
                Some((nid, at)) if *nid == member.nid && since.is_some_and(|since| *at <= since) => false,
                Some((nid, _)) if *nid == member.nid => true,
                _ => {
                    told.insert(key, (member.nid, until));
                    true
                }
            }
        });
    }
}
