//! The table `room_alias`.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use landbridge_sql::{BatchSql, SqlError, Tx, Value};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, UserId};

use super::{Store, Write};
use crate::{rooms::RoomNid, stream::Position};

const BAD: SqlError = SqlError::Refused("an alias's row cannot be read");

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO room_alias (alias, room, creator) \
         SELECT value->>0, CAST(value->>1 AS BIGINT), value->>2 FROM {rows} WHERE true",
    )
});

const COUNT: &str = "SELECT COUNT(*) FROM room_alias WHERE creator = $1";

/// Adds an alias; a conflict where there is one.
pub(crate) struct AddAlias {
    pub(crate) alias: OwnedRoomAliasId,
    pub(crate) room: RoomNid,
    pub(crate) creator: OwnedUserId,
    /// How many aliases the creator may have.
    pub(crate) most: Option<i64>,
    /// Whether that are too many; only to be read after the commit.
    pub(crate) too_many: Arc<AtomicBool>,
}

#[async_trait]
impl Write for AddAlias {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        let too_many = match self.most {
            Some(most) => {
                let count = tx.fetch_optional(COUNT, &[Value::from(self.creator.as_str())]).await?;
                count.map_or(Ok(0), |row| row.int(0))? >= most
            }
            None => false,
        };
        self.too_many.store(too_many, Ordering::Release);
        if too_many {
            return Ok(());
        }
        tx.execute_rows(&INSERT, &[(self.alias.as_str(), self.room.0, self.creator.as_str())]).await.map(drop)
    }
}

/// Removes an alias, if it is there.
pub(crate) struct RemoveAlias(pub(crate) OwnedRoomAliasId);

#[async_trait]
impl Write for RemoveAlias {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        tx.execute("DELETE FROM room_alias WHERE alias = $1", &[Value::from(self.0.as_str())]).await.map(drop)
    }
}

/// Points the aliases of one room at another.
struct MoveAliases {
    from: RoomNid,
    to: RoomNid,
}

#[async_trait]
impl Write for MoveAliases {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        let values = [Value::from(self.from.0), Value::from(self.to.0)];
        tx.execute("UPDATE room_alias SET room = $2 WHERE room = $1", &values).await.map(drop)
    }
}

impl Store {
    /// Points the aliases of one room at another.
    pub(crate) async fn move_aliases(&self, from: RoomNid, to: RoomNid) -> Result<(), super::StoreError> {
        self.write(Box::new(MoveAliases { from, to })).await.map(drop)
    }

    /// How many aliases somebody has made that are there.
    pub(crate) async fn aliases_made_by(&self, creator: &UserId) -> Result<i64, SqlError> {
        let row = self.db().fetch_optional(COUNT, &[Value::from(creator.as_str())]).await?;
        row.map_or(Ok(0), |row| row.int(0))
    }

    /// The room an alias points at, and who made the alias.
    pub(crate) async fn alias(&self, alias: &RoomAliasId) -> Result<Option<(OwnedRoomId, OwnedUserId)>, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT r.room_id, a.creator FROM room_alias a JOIN room r ON r.nid = a.room WHERE a.alias = $1",
                &[Value::from(alias.as_str())],
            )
            .await?;
        row.map(|row| Ok((row.text(0)?.try_into().map_err(|_| BAD)?, row.text(1)?.try_into().map_err(|_| BAD)?)))
            .transpose()
    }

    pub(crate) async fn aliases(&self, room: RoomNid) -> Result<Vec<OwnedRoomAliasId>, SqlError> {
        let rows = self
            .db
            .fetch_all("SELECT alias FROM room_alias WHERE room = $1 ORDER BY alias", &[Value::from(room.0)])
            .await?;
        rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect()
    }
}
