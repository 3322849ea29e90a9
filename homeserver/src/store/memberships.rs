//! The table `membership`: how users stand to rooms now.

use std::sync::LazyLock;

use async_trait::async_trait;
use landbridge_sql::{BatchSql, Row, SqlError, Tx, Value};
use ruma::{OwnedUserId, RoomId, UserId};

use super::{Store, Write};
use crate::{
    rooms::{EventNid, Membership, RoomMembership, RoomNid},
    stream::Position,
};

pub(super) static UPSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO membership (room, user_id, membership, sender, event, position, forgotten) \
         SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, value->>3, CAST(value->>4 AS BIGINT), \
         CAST(value->>5 AS BIGINT), 0 FROM {rows} WHERE true \
         ON CONFLICT (room, user_id) DO UPDATE SET membership = excluded.membership, sender = excluded.sender, \
         event = excluded.event, position = excluded.position, forgotten = 0",
    )
});

/// A membership to be written; its position is that of the op's event.
#[derive(Debug, Clone)]
pub(crate) struct MembershipRow {
    pub(crate) user: OwnedUserId,
    pub(crate) membership: Membership,
    pub(crate) sender: OwnedUserId,
    pub(crate) event: EventNid,
}

/// Marks a left room as one that its user wants to hear no more of.
pub(crate) struct Forget {
    pub(crate) room: RoomNid,
    pub(crate) user: OwnedUserId,
}

#[async_trait]
impl Write for Forget {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        let sql =
            "UPDATE membership SET forgotten = 1 WHERE room = $1 AND user_id = $2 AND membership IN ('leave', 'ban')";
        tx.execute(sql, &[Value::from(self.room.0), Value::from(self.user.as_str())]).await.map(drop)
    }

    fn wakes(&self) -> bool {
        false
    }
}

const BAD: SqlError = SqlError::Refused("a membership's row cannot be read");

fn read(row: &Row) -> Result<RoomMembership, SqlError> {
    Ok(RoomMembership {
        room_id: row.text(0)?.try_into().map_err(|_| BAD)?,
        membership: Membership::parse(&row.text(1)?).ok_or(BAD)?,
        sender: row.text(2)?.try_into().map_err(|_| BAD)?,
        position: Position(row.int(3)?),
        forgotten: row.int(4)? != 0,
    })
}

impl Store {
    pub(crate) async fn membership(&self, room_id: &RoomId, user: &UserId) -> Result<Option<RoomMembership>, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT r.room_id, m.membership, m.sender, m.position, m.forgotten FROM membership m \
                 JOIN room r ON r.nid = m.room WHERE r.room_id = $1 AND m.user_id = $2",
                &[Value::from(room_id.as_str()), Value::from(user.as_str())],
            )
            .await?;
        row.as_ref().map(read).transpose()
    }

    pub(crate) async fn memberships_of(&self, user: &UserId) -> Result<Vec<RoomMembership>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT r.room_id, m.membership, m.sender, m.position, m.forgotten FROM membership m \
                 JOIN room r ON r.nid = m.room WHERE m.user_id = $1 ORDER BY m.position",
                &[Value::from(user.as_str())],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    pub(crate) async fn joined_users(&self, room: RoomNid) -> Result<Vec<OwnedUserId>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT user_id FROM membership WHERE room = $1 AND membership = 'join' ORDER BY user_id",
                &[Value::from(room.0)],
            )
            .await?;
        rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect()
    }

    /// The member events of the joined members.
    pub(crate) async fn joined_member_events(&self, room: RoomNid) -> Result<Vec<EventNid>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT event FROM membership WHERE room = $1 AND membership = 'join' ORDER BY user_id",
                &[Value::from(room.0)],
            )
            .await?;
        rows.iter().map(|row| Ok(EventNid(row.int(0)?))).collect()
    }

    pub(crate) async fn share_a_room(&self, one: &UserId, other: &UserId) -> Result<bool, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT 1 FROM membership a JOIN membership b ON a.room = b.room \
                 WHERE a.user_id = $1 AND a.membership = 'join' AND b.user_id = $2 AND b.membership = 'join' LIMIT 1",
                &[Value::from(one.as_str()), Value::from(other.as_str())],
            )
            .await?;
        Ok(row.is_some())
    }
}
