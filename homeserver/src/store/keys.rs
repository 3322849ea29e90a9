//! The table `room_key`: the dense index of a room's `(type, state_key)` pairs.

use std::sync::{Arc, LazyLock};

use landbridge_sql::{BatchSql, Row, SqlError, Value};

use super::{RoomInfo, Store, text};
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
        rows.iter().map(|row| Ok((index(row)?, text::decode(row.text(1)?), text::decode(row.text(2)?)))).collect()
    }

    /// The places of all pairs of a room but those of members, in order.
    pub(crate) async fn keys_but_members(&self, room: &RoomInfo) -> Result<Arc<[KeyIndex]>, SqlError> {
        let (stand, known) = room.known(|digest| digest.but_members.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        // Two ranges of the index on (room, type), where one `<>` would look at every member.
        let rows = self
            .db
            .fetch_all(
                "SELECT idx FROM room_key WHERE room = $1 AND type < $2 \
                 UNION ALL SELECT idx FROM room_key WHERE room = $1 AND type > $2 ORDER BY idx",
                &[Value::from(room.nid.0), Value::from(&*text::encode("m.room.member"))],
            )
            .await?;
        let found: Arc<[KeyIndex]> = rows.iter().map(index).collect::<Result<_, _>>()?;
        room.learn(stand, |digest| digest.but_members = Some(found.clone()));
        Ok(found)
    }

    /// The place of one pair in the index of its room.
    pub(crate) async fn key_index(
        &self,
        room: &RoomInfo,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<KeyIndex>, SqlError> {
        // A place once given never changes.
        let name = (room.nid, format!("{} {kind}{state_key}", kind.len()));
        if let Some(index) = self.log.keys.get(&name) {
            return Ok(Some(index));
        }
        let (stand, absent) = room.known(|digest| digest.lacks(&name.1));
        if absent.is_some() {
            return Ok(None);
        }
        let row = self
            .db
            .fetch_optional(
                "SELECT idx FROM room_key WHERE room = $1 AND type = $2 AND state_key = $3",
                &[Value::from(room.nid.0), Value::from(&*text::encode(kind)), Value::from(&*text::encode(state_key))],
            )
            .await?;
        let Some(row) = row else {
            room.learn(stand, |digest| digest.note_absent(name.1));
            return Ok(None);
        };
        let index = index(&row)?;
        self.log.keys.insert(name, index);
        Ok(Some(index))
    }
}

fn index(row: &Row) -> Result<KeyIndex, SqlError> {
    u32::try_from(row.int(0)?).map(KeyIndex).map_err(|_| SqlError::Refused("a key index is out of range"))
}
