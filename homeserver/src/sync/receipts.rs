//! Read receipts: the newest of each user, kind and thread in a room ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#receipts

use std::sync::Arc;

use landbridge_sql::SqlError;
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId};
use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    store::{
        StoreError,
        lately::Topic,
        local::Local,
        receipts::{self as table, ReceiptRow},
    },
    stream::Position,
};

/// How many receipts of one room a client is shown at once, the newest.
const PER_ROOM: i64 = 200;

/// How many receipts one round reads.
const PER_ROUND: i64 = 1000;

/// The receipts of all rooms.
#[derive(Clone, Debug)]
pub struct Receipts {
    local: Local,
    clock: Arc<dyn Clock>,
}

/// One receipt.
#[derive(Clone, Debug)]
pub struct Receipt(ReceiptRow);

impl Receipts {
    pub(crate) fn new(local: Local, clock: Arc<dyn Clock>) -> Self {
        Self { local, clock }
    }

    /// Notes that a user has read up to an event. `kind` is the specification's (`m.read`, `m.read.private`); `thread` is empty for
    /// receipts without one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        kind: &str,
        thread: &str,
        event_id: &EventId,
    ) -> Result<(), StoreError> {
        let row = ReceiptRow {
            room_id: room_id.to_string(),
            user_id: user_id.to_string(),
            kind: kind.to_owned(),
            thread: thread.to_owned(),
            event_id: event_id.to_string(),
            ts: i64::from(self.clock.now().0),
            pos: 0,
        };
        self.local.write(vec![table::put(&row)]).await.map(drop)
    }

    /// Receipts of all rooms with `after < position <= until`, oldest first, at most a thousand.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn between(&self, after: i64, until: i64) -> Result<Vec<Receipt>, SqlError> {
        if !self.local.may_have_any(Topic::Receipts, Position(after)) {
            return Ok(Vec::new());
        }
        let rows = table::between(self.local.db(), after, until, PER_ROUND).await?;
        Ok(rows.into_iter().map(Receipt).collect())
    }

    /// Receipts of some rooms with `after < position <= until`, oldest first in each room. Of one room a thousand at
    /// most.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_rooms(&self, rooms: &[&RoomId], after: i64, until: i64) -> Result<Vec<Receipt>, SqlError> {
        if !rooms.iter().any(|room_id| self.local.may_have(Topic::Receipts, room_id.as_str(), Position(after))) {
            return Ok(Vec::new());
        }
        let all = self.between(after, until).await?;
        if i64::try_from(all.len()).is_ok_and(|found| found < PER_ROUND) {
            return Ok(all);
        }
        // There are many, most of them of rooms that nobody asked for.
        let mut found = Vec::new();
        for room_id in rooms {
            let rows = table::of_room_between(self.local.db(), room_id.as_str(), after, until, PER_ROUND).await?;
            found.extend(rows.into_iter().map(Receipt));
        }
        Ok(found)
    }

    /// The receipts of one user in one room.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_user(&self, room_id: &RoomId, user_id: &UserId) -> Result<Vec<Receipt>, SqlError> {
        let rows = table::of_user(self.local.db(), room_id.as_str(), user_id.as_str()).await?;
        Ok(rows.into_iter().map(Receipt).collect())
    }

    /// The newest receipts of one room.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_room(&self, room_id: &RoomId, until: i64) -> Result<Vec<Receipt>, SqlError> {
        let rows = table::of_room(self.local.db(), room_id.as_str(), until, PER_ROOM).await?;
        Ok(rows.into_iter().map(Receipt).collect())
    }
}

impl Receipt {
    /// The room.
    #[must_use]
    pub fn room_id(&self) -> &str {
        &self.0.room_id
    }

    /// Its place in the log.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.0.pos
    }

    /// The event up to which was read.
    #[must_use]
    pub fn event_id(&self) -> Option<OwnedEventId> {
        self.0.event_id.as_str().try_into().ok()
    }

    /// The specification's word for it: `m.read` or `m.read.private`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Where it counts: everywhere in the room (empty), in its main timeline (`main`), or in a thread (its root).
    #[must_use]
    pub fn thread(&self) -> &str {
        &self.0.thread
    }

    /// Whether others may see it than the user whose it is.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.0.kind == "m.read.private"
    }

    /// Whose it is.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }
}

/// The content of one `m.receipt` event for receipts of one room.
#[must_use]
pub fn receipt_content<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Map<String, Value> {
    let mut content = Map::new();
    for Receipt(row) in receipts {
        let mut data = json!({ "ts": row.ts });
        if !row.thread.is_empty() {
            data["thread_id"] = Value::from(row.thread.as_str());
        }
        let of_event = content.entry(row.event_id.as_str()).or_insert_with(|| json!({}));
        let Some(of_event) = of_event.as_object_mut() else { continue };
        let of_kind = of_event.entry(row.kind.as_str()).or_insert_with(|| json!({}));
        if let Some(of_kind) = of_kind.as_object_mut() {
            of_kind.insert(row.user_id.clone(), data);
        }
    }
    content
}

/// The receipts of one room as `m.receipt` events: one for each thread, because one event has one place for a user's receipt.
#[must_use]
pub fn receipt_events(receipts: &[Receipt]) -> Vec<Value> {
    let mut threads: Vec<(&str, Vec<&Receipt>)> = Vec::new();
    for receipt in receipts {
        match threads.iter_mut().find(|(thread, _)| *thread == receipt.thread()) {
            Some((_, list)) => list.push(receipt),
            None => threads.push((receipt.thread(), vec![receipt])),
        }
    }
    let event = |(_, receipts)| json!({ "type": "m.receipt", "content": receipt_content(Vec::into_iter(receipts)) });
    threads.into_iter().map(event).collect()
}

/// The rooms of receipts, each with its own, in the order of their first.
#[must_use]
pub fn by_room(receipts: &[Receipt]) -> Vec<(OwnedRoomId, Vec<&Receipt>)> {
    let mut rooms: Vec<(OwnedRoomId, Vec<&Receipt>)> = Vec::new();
    for receipt in receipts {
        match rooms.iter_mut().find(|(room_id, _)| room_id.as_str() == receipt.room_id()) {
            Some((_, list)) => list.push(receipt),
            None => {
                if let Ok(room_id) = OwnedRoomId::try_from(receipt.room_id()) {
                    rooms.push((room_id, vec![receipt]));
                }
            }
        }
    }
    rooms
}
