//! The table `room`: what rooms there are, and where each stands.

use std::sync::{Arc, LazyLock, OnceLock, atomic::AtomicU64};

use landbridge_sql::{BatchSql, Row, SqlError, Value};
use parking_lot::{Mutex, RwLock};
use ruma::{OwnedRoomId, RoomId, RoomVersionId, room_version_rules::RoomVersionRules};

use super::{Store, digest::Digest};
use crate::{
    rooms::{EventNid, RoomNid, Root},
    stream::Position,
};

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO room (nid, room_id, version, root, extremities) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, {bytes:3}, value->>4 FROM {rows} WHERE true",
    )
});

pub(super) static UPDATE: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE room SET root = new.root, extremities = new.extremities FROM (\
         SELECT CAST(value->>0 AS BIGINT) AS nid, {bytes:1} AS root, value->>2 AS extremities FROM {rows}) AS new \
         WHERE room.nid = new.nid",
    )
});

pub(super) static INSERT_HISTORY: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO room_history (room, place) SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (room) DO NOTHING",
    )
});

/// Where a room stands: its forward extremities and the state after them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CurrentState {
    pub(crate) root: Root,
    pub(crate) extremities: Vec<EventNid>,
}

/// A room, as it was last committed. There is one of these per room that anyone holds on to.
#[derive(Debug)]
pub(crate) struct RoomInfo {
    pub(crate) nid: RoomNid,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) version: RoomVersionId,
    pub(crate) rules: RoomVersionRules,
    current: RwLock<CurrentState>,
    history: OnceLock<Position>,
    pub(super) new_keys: AtomicU64,
    pub(super) digest: Mutex<Digest>,
}

impl RoomInfo {
    pub(crate) fn new(
        nid: RoomNid,
        room_id: OwnedRoomId,
        version: RoomVersionId,
        rules: RoomVersionRules,
        current: CurrentState,
    ) -> Self {
        let (current, history, new_keys) = (RwLock::new(current), OnceLock::new(), AtomicU64::new(0));
        Self { nid, room_id, version, rules, current, history, new_keys, digest: Mutex::default() }
    }

    /// Where the room stood after the last commit.
    pub(crate) fn current(&self) -> CurrentState {
        self.current.read().clone()
    }

    /// The state of the room after the last commit.
    pub(crate) fn root(&self) -> Root {
        self.current.read().root
    }

    /// The place in the log that the room's history follows, all of it before what comes next; `None`: it has none.
    pub(crate) fn history(&self) -> Option<Position> {
        self.history.get().copied()
    }

    /// Where in the log a place stands that may be in the room's history.
    pub(crate) fn place_in_log(&self, place: Position) -> Position {
        if place.is_history() { self.history().unwrap_or(Position::START) } else { place }
    }

    /// Once and for all.
    pub(super) fn set_history(&self, place: Position) {
        let _ = self.history.set(place);
    }

    pub(super) fn set_current(&self, current: CurrentState) {
        *self.current.write() = current;
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.nid, r.room_id, r.version, r.root, r.extremities, h.place FROM room r ",
            "LEFT JOIN room_history h ON h.room = r.nid ",
            $rest
        )
    };
}

fn read_room(row: &Row) -> Result<RoomInfo, SqlError> {
    const BAD: SqlError = SqlError::Refused("a room's row cannot be read");
    let room_id = OwnedRoomId::try_from(row.text(1)?).map_err(|_| BAD)?;
    let version = RoomVersionId::try_from(row.text(2)?).map_err(|_| BAD)?;
    let rules = version.rules().ok_or(BAD)?;
    let root = Root::from_bytes(&row.bytes(3)?).ok_or(BAD)?;
    let extremities: Vec<i64> = serde_json::from_str(&row.text(4)?).map_err(|_| BAD)?;
    let current = CurrentState { root, extremities: extremities.into_iter().map(EventNid).collect() };
    let room = RoomInfo::new(RoomNid(row.int(0)?), room_id, version, rules, current);
    if let Some(place) = row.opt_int(5)? {
        room.set_history(Position(place));
    }
    Ok(room)
}

impl Store {
    /// A room, or `None` where it is not known here.
    pub(crate) async fn room(&self, room_id: &RoomId) -> Result<Option<Arc<RoomInfo>>, SqlError> {
        if let Some(room) = self.log.rooms.get(room_id) {
            return Ok(Some(room));
        }
        let Some(room) = self.read_room_by_id(room_id).await? else { return Ok(None) };
        Ok((!self.log.rooms.is_hidden(room_id)).then(|| self.log.rooms.insert_read(room)))
    }

    /// A room as it is stored now, whether anybody else finds it or not.
    pub(crate) async fn read_room_by_id(&self, room_id: &RoomId) -> Result<Option<Arc<RoomInfo>>, SqlError> {
        let row = self.db.fetch_optional(select!("WHERE r.room_id = $1"), &[Value::from(room_id.as_str())]).await?;
        row.map(|row| read_room(&row).map(Arc::new)).transpose()
    }

    /// A room by the server's own number.
    pub(crate) async fn room_by_nid(&self, nid: RoomNid) -> Result<Option<Arc<RoomInfo>>, SqlError> {
        if let Some(room) = self.log.rooms.get_by_nid(nid) {
            return Ok(Some(room));
        }
        let row = self.db.fetch_optional(select!("WHERE r.nid = $1"), &[Value::from(nid.0)]).await?;
        self.known_room(row)
    }

    fn known_room(&self, row: Option<Row>) -> Result<Option<Arc<RoomInfo>>, SqlError> {
        let Some(row) = row else { return Ok(None) };
        let room = read_room(&row)?;
        Ok((!self.log.rooms.is_hidden(&room.room_id)).then(|| self.log.rooms.insert_read(Arc::new(room))))
    }
}
