//! The table `event`.

use std::sync::{Arc, LazyLock};

use landbridge_sql::{BatchSql, Row, SqlError, Value};
use ruma::{EventId, OwnedEventId};

use super::{Store, indices::prefix, text};
use crate::{
    rooms::{Direction, Event, EventFlags, EventMeta, EventNid, EventTxn, KeyIndex, RoomNid, Root},
    stream::Position,
};

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO event (nid, event_id, room, position, flags, root, resolved, key_idx, replaces, device, txn_id, json, ts) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT), \
         CAST(value->>4 AS BIGINT), {bytes:5}, {bytes:6}, CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT), \
         value->>9, value->>10, value->>11, CAST(value->>12 AS BIGINT) FROM {rows} WHERE true",
    )
});

pub(super) static REDACT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "UPDATE event SET redacted_by = new.redacted_by FROM (\
         SELECT CAST(value->>0 AS BIGINT) AS nid, CAST(value->>1 AS BIGINT) AS redacted_by FROM {rows}) AS new \
         WHERE event.nid = new.nid",
    )
});

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.nid, e.event_id, e.room, r.room_id, e.position, e.flags, e.root, e.key_idx, e.replaces, e.device, ",
            "e.txn_id, e.redacted_by, e.json FROM event e JOIN room r ON r.nid = e.room ",
            $rest
        )
    };
}

static BY_NIDS: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new(select!("WHERE e.nid IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})")));

static BY_IDS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(select!(
        "WHERE e.nid IN (SELECT x.nid FROM {rows} JOIN event_ref x ON x.prefix = value->>1) \
             AND e.event_id IN (SELECT value->>0 FROM {rows})"
    ))
});

/// What a row holds that is no event.
const BAD: SqlError = SqlError::Refused("an event's row cannot be read");

fn read_event(row: &Row) -> Result<Event, SqlError> {
    let key = row.opt_int(7)?.map(|index| u32::try_from(index).map(KeyIndex)).transpose().map_err(|_| BAD)?;
    let txn = match (row.opt_text(9)?, row.opt_text(10)?) {
        (Some(device), Some(txn_id)) => Some(EventTxn { device: text::decode(device), txn_id: text::decode(txn_id) }),
        _ => None,
    };
    let meta = EventMeta {
        nid: EventNid(row.int(0)?),
        event_id: OwnedEventId::try_from(row.text(1)?).map_err(|_| BAD)?,
        room: RoomNid(row.int(2)?),
        room_id: row.text(3)?.try_into().map_err(|_| BAD)?,
        position: row.opt_int(4)?.map(Position),
        flags: EventFlags::from_bits(row.int(5)?),
        state_before: Root::from_bytes(&row.bytes(6)?).ok_or(BAD)?,
        key,
        replaces: row.opt_int(8)?.map(EventNid),
        txn,
        redacted_by: row.opt_int(11)?.map(EventNid),
    };
    Event::from_json(row.text(12)?.into_boxed_str(), meta).map_err(|_| BAD)
}

impl Store {
    /// Events by number, in the order asked for.
    pub(crate) async fn events(&self, nids: &[EventNid]) -> Result<Vec<Arc<Event>>, SqlError> {
        let mut found: Vec<Option<Arc<Event>>> = nids.iter().map(|nid| self.log.events.get(*nid)).collect();
        let missing: Vec<[i64; 1]> =
            nids.iter().zip(&found).filter(|(_, event)| event.is_none()).map(|(nid, _)| [nid.0]).collect();
        if missing.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        let mut read = std::collections::HashMap::with_capacity(missing.len());
        for row in self.db.fetch_rows(&BY_NIDS, &missing).await? {
            let event = self.log.events.insert_read(Arc::new(read_event(&row)?));
            read.insert(event.nid, event);
        }
        for (slot, nid) in found.iter_mut().zip(nids) {
            if slot.is_none() {
                *slot = read.get(nid).cloned();
            }
        }
        found
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(SqlError::Refused("an event that the state names is missing"))
    }

    /// One event by number.
    pub(crate) async fn event_by_nid(&self, nid: EventNid) -> Result<Arc<Event>, SqlError> {
        self.events(&[nid]).await?.pop().ok_or(BAD)
    }

    /// Events by id; those that are not known are left out.
    pub(crate) async fn events_by_id(&self, ids: &[OwnedEventId]) -> Result<Vec<Arc<Event>>, SqlError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            if let Some(event) = self.log.events.get_by_id(id) {
                found.push(event);
                continue;
            }
            let unindexed = self.events(&self.log.unindexed.by_id(id)).await?;
            match unindexed.into_iter().find(|event| event.event_id == *id) {
                Some(event) => found.push(event),
                None => missing.push((id.as_str(), prefix(id))),
            }
        }
        if !missing.is_empty() {
            for row in self.db.fetch_rows(&BY_IDS, &missing).await? {
                found.push(self.log.events.insert_read(Arc::new(read_event(&row)?)));
            }
        }
        Ok(found)
    }

    /// One event by id.
    pub(crate) async fn event(&self, event_id: &EventId) -> Result<Option<Arc<Event>>, SqlError> {
        Ok(self.events_by_id(&[event_id.to_owned()]).await?.pop())
    }

    /// The log after `after`, up to and including `up_to`, oldest first.
    pub(crate) async fn log(
        &self,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, super::StoreError> {
        // What is not committed yet must not be seen, though its position may be given out already.
        let up_to = up_to.min(self.head());
        if let Some(events) = self.log.recent(after, up_to, limit) {
            return Ok(events);
        }
        Ok(self.log_rows(after, up_to, limit).await?)
    }

    /// The same from the database.
    pub(super) async fn log_rows(
        &self,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, SqlError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .db
            .fetch_all(
                select!("WHERE e.position > $1 AND e.position <= $2 ORDER BY e.position LIMIT $3"),
                &[Value::from(after.0), Value::from(up_to.0), Value::from(limit)],
            )
            .await?;
        self.read_events(&rows)
    }

    /// A room's timeline after `after`, up to and including `up_to`, the first `limit` in a direction: of the log, or of the room's history
    /// where both are in that.
    pub(crate) async fn room_log(
        &self,
        room: RoomNid,
        after: Position,
        up_to: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, SqlError> {
        let up_to = up_to.min(self.head());
        // What is in memory is of the log.
        if !after.is_history()
            && let Some(events) = self.log.recent_of_room(room, (after, up_to), direction, limit)
        {
            return Ok(events);
        }
        // Pairs are compared, and the order begins with the room, for PostgreSQL: of `room = $1` it makes a plan for any room, which
        // goes through the log of all rooms until it has found `limit` events of this one.
        let sql = match direction {
            Direction::Forward => {
                select!(
                    "WHERE (e.room, e.position) > ($1, $2) AND (e.room, e.position) <= ($1, $3) \
                     ORDER BY e.room, e.position LIMIT $4"
                )
            }
            Direction::Backward => {
                select!(
                    "WHERE (e.room, e.position) > ($1, $2) AND (e.room, e.position) <= ($1, $3) \
                     ORDER BY e.room DESC, e.position DESC LIMIT $4"
                )
            }
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [Value::from(room.0), Value::from(after.0), Value::from(up_to.0), Value::from(limit)];
        self.read_events(&self.db.fetch_all(sql, &values).await?)
    }

    /// What happened in the rooms that a user is joined to, up to and including `up_to`, newest first.
    pub(crate) async fn log_of_user(
        &self,
        user: &ruma::UserId,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                select!(
                    "JOIN membership m ON m.room = e.room AND m.user_id = $1 AND m.membership = 'join' \
                     WHERE e.position > 0 AND e.position <= $2 ORDER BY e.position DESC LIMIT $3"
                ),
                &[
                    Value::from(user.as_str()),
                    Value::from(up_to.min(self.head()).0),
                    Value::from(i64::try_from(limit).unwrap_or(i64::MAX)),
                ],
            )
            .await?;
        self.read_events(&rows)
    }

    /// The last event of a room up to and including `position`, and the room's state then where that is not simply the state
    /// after the event.
    pub(crate) async fn last_event_at(
        &self,
        room: RoomNid,
        position: Position,
    ) -> Result<Option<(EventNid, Option<Root>)>, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT nid, resolved FROM event WHERE (room, position) > ($1, 0) AND (room, position) <= ($1, $2) \
                 ORDER BY room DESC, position DESC LIMIT 1",
                &[Value::from(room.0), Value::from(position.0)],
            )
            .await?;
        row.map(|row| {
            let resolved = row.opt_bytes(1)?.map(|bytes| Root::from_bytes(&bytes).ok_or(BAD)).transpose()?;
            Ok((EventNid(row.int(0)?), resolved))
        })
        .transpose()
    }

    fn read_events(&self, rows: &[Row]) -> Result<Vec<Arc<Event>>, SqlError> {
        rows.iter()
            .map(|row| match self.log.events.get(EventNid(row.int(0)?)) {
                Some(event) => Ok(event),
                None => Ok(self.log.events.insert_read(Arc::new(read_event(row)?))),
            })
            .collect()
    }
}
