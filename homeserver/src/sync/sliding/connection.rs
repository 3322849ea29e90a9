//! What connections were told.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::request::{List, RoomParams, SlidingRequest};
use crate::{store::cache::Cache, stream::Position};

/// Of how many devices connections are remembered.
const DEVICES: usize = 10_000;

/// How many connections of one device are remembered; at the bound the one that was used longest ago is forgotten.
const PER_DEVICE: usize = 8;

/// How many members of one room are remembered as told; beyond it they are told again.
const MEMBERS: usize = 200;

type Key = (OwnedUserId, OwnedDeviceId);

/// The connections of all devices.
#[derive(Debug)]
pub(crate) struct Connections(Cache<Key, Arc<Mutex<Device>>>);

impl Default for Connections {
    fn default() -> Self {
        Self(Cache::new(DEVICES))
    }
}

#[derive(Debug, Default)]
struct Device {
    connections: Vec<Connection>,
    number: u64,
}

#[derive(Debug)]
struct Connection {
    conn_id: String,
    /// The answer that the client has, as its last request said, and the one that followed: it may not have arrived.
    had: Option<Point>,
    given: Option<Point>,
}

/// What a client has been told with one answer, and what it had asked for.
#[derive(Clone, Debug)]
struct Point {
    pos: String,
    seen: Position,
    sent: Arc<HashMap<OwnedRoomId, RoomSent>>,
    lists: BTreeMap<String, List>,
    subscriptions: BTreeMap<OwnedRoomId, RoomParams>,
    extended: Extended,
}

/// Which extensions a client had asked for, of those that tell first what is and then what changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) account_data: bool,
    pub(super) receipts: bool,
    pub(super) typing: bool,
}

impl Extended {
    fn of(request: &SlidingRequest) -> Self {
        let asked = &request.extensions;
        Self {
            account_data: asked.account_data.enabled,
            receipts: asked.receipts.enabled,
            typing: asked.typing.enabled,
        }
    }
}

/// What was told of one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomSent {
    /// Everything up to here.
    pub(super) until: Position,
    /// As to one who is in it.
    pub(super) inside: bool,
    /// As much of it.
    pub(super) params: RoomParams,
    /// Members that were told because they spoke.
    pub(super) members: HashSet<String>,
}

impl RoomSent {
    pub(super) fn note_members(&mut self, members: impl Iterator<Item = String>) {
        self.members.extend(members);
        if self.members.len() > MEMBERS {
            self.members.clear();
        }
    }
}

/// A connection, at the point that the client has reached.
#[derive(Clone, Debug)]
pub(super) struct Resumed {
    pub(super) seen: Option<Position>,
    pub(super) sent: Arc<HashMap<OwnedRoomId, RoomSent>>,
    pub(super) extended: Extended,
    lists: BTreeMap<String, List>,
    subscriptions: BTreeMap<OwnedRoomId, RoomParams>,
    point: Option<Point>,
}

impl Resumed {
    /// Whether the client asks for something else than before: then it is answered at once.
    pub(super) fn asked_else(&self, request: &SlidingRequest) -> bool {
        self.lists != request.lists
            || self.subscriptions != request.room_subscriptions
            || self.extended != Extended::of(request)
    }
}

impl Connections {
    /// A new connection; an older one of the same name ends with the first answer.
    pub(super) fn begin(&self, _: &Key, _: &str) -> Resumed {
        Resumed {
            seen: None,
            sent: Arc::default(),
            extended: Extended::default(),
            lists: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            point: None,
        }
    }

    /// A connection at a point that the client has reached: that of the last answer, or of the one before it if that got lost.
    pub(super) fn resume(&self, key: &Key, conn_id: &str, pos: &str) -> Option<Resumed> {
        let device = self.0.get(key)?;
        let device = device.lock();
        let connection = device.connections.iter().find(|connection| connection.conn_id == conn_id)?;
        let point = [&connection.given, &connection.had].into_iter().flatten().find(|point| point.pos == pos)?;
        Some(Resumed {
            seen: Some(point.seen),
            sent: point.sent.clone(),
            extended: point.extended,
            lists: point.lists.clone(),
            subscriptions: point.subscriptions.clone(),
            point: Some(point.clone()),
        })
    }

    /// Notes an answer and gives its name.
    pub(super) fn answered(
        &self,
        key: &Key,
        request: &SlidingRequest,
        resumed: &Resumed,
        until: Position,
        sent: Arc<HashMap<OwnedRoomId, RoomSent>>,
    ) -> String {
        let device = self.0.get(key).unwrap_or_else(|| {
            let device = Arc::<Mutex<Device>>::default();
            self.0.insert(key.clone(), device.clone());
            device
        });
        let mut device = device.lock();
        device.number += 1;
        // The log's position tells the connections of one run of the server from those of another.
        let pos = format!("{}_{}", device.number, until.0);
        let point = Point {
            pos: pos.clone(),
            seen: until,
            sent,
            lists: request.lists.clone(),
            subscriptions: request.room_subscriptions.clone(),
            extended: Extended::of(request),
        };
        device.connections.retain(|connection| connection.conn_id != request.conn_id());
        if device.connections.len() >= PER_DEVICE {
            device.connections.remove(0);
        }
        let connection =
            Connection { conn_id: request.conn_id().to_owned(), had: resumed.point.clone(), given: Some(point) };
        device.connections.push(connection);
        pos
    }
}
