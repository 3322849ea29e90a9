//! The table `published_room`.

use std::sync::LazyLock;

use async_trait::async_trait;
use landbridge_sql::{BatchSql, SqlError, Tx, Value};

use super::{Store, Write};
use crate::{rooms::RoomNid, stream::Position};

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO published_room (network, room) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (network, room) DO NOTHING",
    )
});

/// Puts a room into a list, or takes it out.
pub(crate) struct Publish {
    pub(crate) network: String,
    pub(crate) room: RoomNid,
    pub(crate) public: bool,
}

#[async_trait]
impl Write for Publish {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        if self.public {
            return tx.execute_rows(&INSERT, &[(&self.network, self.room.0)]).await.map(drop);
        }
        let values = [Value::from(&self.network), Value::from(self.room.0)];
        tx.execute("DELETE FROM published_room WHERE network = $1 AND room = $2", &values).await.map(drop)
    }
}

impl Store {
    pub(crate) async fn is_published(&self, network: &str, room: RoomNid) -> Result<bool, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT 1 FROM published_room WHERE network = $1 AND room = $2",
                &[Value::from(network), Value::from(room.0)],
            )
            .await?;
        Ok(row.is_some())
    }

    /// The rooms of all lists with their numbers of joined members, the largest first.
    pub(crate) async fn published_anywhere(&self) -> Result<Vec<(RoomNid, i64)>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT p.room, (SELECT count(*) FROM membership m WHERE m.room = p.room AND m.membership = 'join') \
                 FROM (SELECT DISTINCT room FROM published_room) p ORDER BY 2 DESC, 1",
                &[],
            )
            .await?;
        rows.iter().map(|row| Ok((RoomNid(row.int(0)?), row.int(1)?))).collect()
    }

    /// The rooms of a list with their numbers of joined members, the largest first.
    pub(crate) async fn published_rooms(&self, network: &str) -> Result<Vec<(RoomNid, i64)>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT p.room, (SELECT count(*) FROM membership m WHERE m.room = p.room AND m.membership = 'join') \
                 FROM published_room p WHERE p.network = $1 ORDER BY 2 DESC, 1",
                &[Value::from(network)],
            )
            .await?;
        rows.iter().map(|row| Ok((RoomNid(row.int(0)?), row.int(1)?))).collect()
    }
}
