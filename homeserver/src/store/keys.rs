//! The table `room_key`: the dense index of a room's `(type, state_key)` pairs.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Value};

use super::{Store, text};
use crate::rooms::{KeyIndex, RoomNid};

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO room_key (room, idx, type, state_key) \
         SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, value->>3 FROM {rows} WHERE true",
    )
});

impl Store {
    /// The whole index of a room, in order.
    pub(crate) async fn room_keys(&self, room: RoomNid) -> Result<Vec<(KeyIndex, String, String)>, SqlError> {
        let rows = self
            .db
            .fetch_all("SELECT idx, type, state_key FROM room_key WHERE room = $1 ORDER BY idx", &[Value::from(room.0)])
            .await?;
        rows.iter()
            .map(|row| {
                let index = u32::try_from(row.int(0)?).map_err(|_| SqlError::Refused("a key index is out of range"))?;
                Ok((KeyIndex(index), text::decode(row.text(1)?), text::decode(row.text(2)?)))
            })
            .collect()
    }

    /// The place of one pair in the index of its room.
    pub(crate) async fn key_index(
        &self,
        room: RoomNid,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<KeyIndex>, SqlError> {
        // A place once given never changes.
        let name = (room, format!("{} {kind}{state_key}", kind.len()));
        if let Some(index) = self.log.keys.get(&name) {
            return Ok(Some(index));
        }
        let row = self
            .db
            .fetch_optional(
                "SELECT idx FROM room_key WHERE room = $1 AND type = $2 AND state_key = $3",
                &[Value::from(room.0), Value::from(&*text::encode(kind)), Value::from(&*text::encode(state_key))],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let index = u32::try_from(row.int(0)?).map_err(|_| SqlError::Refused("a key index is out of range"))?;
        self.log.keys.insert(name, KeyIndex(index));
        Ok(Some(KeyIndex(index)))
    }
}
