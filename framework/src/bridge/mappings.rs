//! Which Matrix room is which remote room, in memory as in the store.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use crate::{
    clock::Millis,
    network::RemoteId,
    store::{Change, MappingRow},
};

/// How a pair of rooms came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingKind {
    /// The bridge made the Matrix room.
    Portal,
    /// Somebody joined two rooms that were there.
    Plumbed,
    /// The private conversation of a Matrix user with a remote user.
    Direct,
}

/// A pair of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMapping<R> {
    /// The Matrix room.
    pub room_id: OwnedRoomId,
    /// The remote room.
    pub remote: R,
    /// How it came to be.
    pub kind: MappingKind,
    /// Whose private conversation it is.
    pub owner: Option<OwnedUserId>,
    /// Whether the owner of a private conversation is not there any more: the next word of the other's invites them again.
    pub deserted: bool,
}

/// All pairs. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Mappings<R>(Arc<RwLock<Pairs<R>>>);

impl<R> Clone for Mappings<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Pairs<R> {
    by_room: HashMap<OwnedRoomId, Arc<RoomMapping<R>>>,
    /// The newest pair of a remote room: what is said there goes to that one.
    by_remote: HashMap<R, OwnedRoomId>,
    /// Rooms that are being followed into another.
    moving: HashMap<OwnedRoomId, OwnedRoomId>,
    /// Rooms that were followed in this life: what was decided before goes to the other one.
    moved: HashMap<OwnedRoomId, OwnedRoomId>,
}

impl<R> Default for Pairs<R> {
    fn default() -> Self {
        Self { by_room: HashMap::new(), by_remote: HashMap::new(), moving: HashMap::new(), moved: HashMap::new() }
    }
}

impl<R: RemoteId> Mappings<R> {
    /// Takes what the store held, oldest first. A row that nobody understands is left out, and said so.
    pub(crate) fn load(rows: Vec<MappingRow>) -> Self {
        let mappings = Self(Arc::new(RwLock::default()));
        for row in rows {
            match read(&row) {
                Some(mapping) => mappings.insert(mapping),
                None => tracing::error!(room.id = row.room_id, "a room mapping cannot be read; it is ignored"),
            }
        }
        mappings
    }

    /// The lane in which things of a Matrix room stand: its remote room's, where it is mapped.
    pub(crate) fn lane(&self, room_id: &RoomId) -> String {
        self.by_room(room_id).map_or_else(|| format!("m:{room_id}"), |mapping| remote_lane(&mapping.remote))
    }

    pub(crate) fn by_room(&self, room_id: &RoomId) -> Option<Arc<RoomMapping<R>>> {
        self.0.read().by_room.get(room_id).cloned()
    }

    pub(crate) fn by_remote(&self, remote: &R) -> Option<Arc<RoomMapping<R>>> {
        let pairs = self.0.read();
        pairs.by_room.get(pairs.by_remote.get(remote)?).cloned()
    }

    /// All pairs.
    pub(crate) fn all(&self) -> Vec<Arc<RoomMapping<R>>> {
        self.0.read().by_room.values().cloned().collect()
    }

    pub(crate) fn insert(&self, mapping: RoomMapping<R>) {
        let mut pairs = self.0.write();
        pairs.by_remote.insert(mapping.remote.clone(), mapping.room_id.clone());
        pairs.by_room.insert(mapping.room_id.clone(), Arc::new(mapping));
    }

    /// The owner of a private conversation has left it, or is there again.
    pub(crate) fn desert(&self, room_id: &RoomId, deserted: bool) {
        if let Some(mapping) = self.0.write().by_room.get_mut(room_id) {
            Arc::make_mut(mapping).deserted = deserted;
        }
    }

    /// Remembers that a room is being followed. Says no where it is already.
    pub(crate) fn begin_move(&self, from: &RoomId, to: &RoomId) -> bool {
        self.0.write().moving.insert(from.to_owned(), to.to_owned()).is_none()
    }

    /// A room is followed no longer.
    pub(crate) fn end_move(&self, from: &RoomId) {
        self.0.write().moving.remove(from);
    }

    /// Whether a room is being followed into another.
    pub(crate) fn is_moving(&self, from: &RoomId) -> bool {
        self.0.read().moving.contains_key(from)
    }

    /// Whether a room is one into which another is being followed: it will be mapped.
    pub(crate) fn is_awaited(&self, to: &RoomId) -> bool {
        self.0.read().moving.values().any(|room_id| room_id == to)
    }

    /// Where what was decided for a room is said now.
    pub(crate) fn moved(&self, from: &RoomId) -> Option<OwnedRoomId> {
        let pairs = self.0.read();
        let mut to = pairs.moved.get(from)?;
        // As often as there are upgrades, at most.
        for _ in 0..pairs.moved.len() {
            match pairs.moved.get(to) {
                Some(next) => to = next,
                None => break,
            }
        }
        Some(to.clone())
    }

    /// A mapping moves to another room.
    pub(crate) fn replace(&self, from: &RoomId, mapping: RoomMapping<R>) {
        self.0.write().moved.insert(from.to_owned(), mapping.room_id.clone());
        self.remove(from);
        self.insert(mapping);
    }

    pub(crate) fn remove(&self, room_id: &RoomId) {
        let mut pairs = self.0.write();
        let Some(gone) = pairs.by_room.remove(room_id) else { return };
        if pairs.by_remote.get(&gone.remote).is_some_and(|current| current == room_id) {
            pairs.by_remote.remove(&gone.remote);
            let other = pairs.by_room.values().find(|other| other.remote == gone.remote).cloned();
            if let Some(other) = other {
                pairs.by_remote.insert(gone.remote.clone(), other.room_id.clone());
            }
        }
    }
}

/// The lane in which things of a remote room stand.
pub(crate) fn remote_lane<R: RemoteId>(remote: &R) -> String {
    format!("r:{}", remote.encode())
}

/// The change that remembers a pair.
pub(crate) fn remember<R: RemoteId>(mapping: &RoomMapping<R>, at: Millis) -> Change {
    let kind = match mapping.kind {
        MappingKind::Portal => "portal",
        MappingKind::Plumbed => "plumbed",
        MappingKind::Direct => "direct",
    };
    let row = MappingRow {
        room_id: mapping.room_id.to_string(),
        remote: mapping.remote.encode(),
        kind: kind.to_owned(),
        owner: mapping.owner.as_ref().map(ToString::to_string),
        at: at.0,
        deserted: mapping.deserted,
    };
    Change { mappings: vec![row], ..Change::default() }
}

fn read<R: RemoteId>(row: &MappingRow) -> Option<RoomMapping<R>> {
    Some(RoomMapping {
        room_id: RoomId::parse(&row.room_id).ok()?,
        remote: R::decode(&row.remote)?,
        kind: match row.kind.as_str() {
            "portal" => MappingKind::Portal,
            "plumbed" => MappingKind::Plumbed,
            "direct" => MappingKind::Direct,
            _ => return None,
        },
        owner: row.owner.as_ref().and_then(|owner| ruma::UserId::parse(owner).ok()),
        deserted: row.deserted,
    })
}
