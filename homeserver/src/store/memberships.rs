//! The table `membership`: how users stand to rooms now.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use landbridge_sql::{BatchSql, Row, SqlError, Tx, Value};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{
    RoomInfo, Store, Write,
    lately::{Lately, Topic},
};
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
    pub(crate) lately: Arc<Lately>,
}

#[async_trait]
impl Write for Forget {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        let sql =
            "UPDATE membership SET forgotten = 1 WHERE room = $1 AND user_id = $2 AND membership IN ('leave', 'ban')";
        tx.execute(sql, &[Value::from(self.room.0), Value::from(self.user.as_str())]).await.map(drop)
    }

    /// It has no place of its own: what was read up to its place may have been read before it.
    fn committed(&self, position: Position) {
        self.lately.note(Topic::Memberships, self.user.as_str(), Position(position.0 + 1));
    }

    fn wakes(&self) -> bool {
        false
    }
}

static SHARING: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "SELECT DISTINCT value->>0 FROM {rows} WHERE EXISTS (SELECT 1 FROM membership a JOIN membership b ON a.room = b.room \
         WHERE a.user_id = value->>1 AND a.membership = 'join' AND b.user_id = value->>0 AND b.membership = 'join')",
    )
});

const BAD: SqlError = SqlError::Refused("a membership's row cannot be read");

fn read(row: &Row) -> Result<RoomMembership, SqlError> {
    Ok(RoomMembership {
        room_id: row.text(0)?.try_into().map_err(|_| BAD)?,
        membership: Membership::parse(&row.text(1)?).ok_or(BAD)?,
        sender: row.text(2)?.try_into().map_err(|_| BAD)?,
        position: Position(row.int(3)?),
        forgotten: row.int(4)? != 0,
        room: RoomNid(row.int(5)?),
    })
}

impl Store {
    pub(crate) async fn membership(&self, room_id: &RoomId, user: &UserId) -> Result<Option<RoomMembership>, SqlError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT r.room_id, m.membership, m.sender, m.position, m.forgotten, m.room FROM membership m \
                 JOIN room r ON r.nid = m.room WHERE r.room_id = $1 AND m.user_id = $2",
                &[Value::from(room_id.as_str()), Value::from(user.as_str())],
            )
            .await?;
        row.as_ref().map(read).transpose()
    }

    pub(crate) async fn memberships_of(&self, user: &UserId) -> Result<Arc<[RoomMembership]>, SqlError> {
        if let Some((at, known)) = self.log.standings.get(user)
            && !self.log.lately.may_have(Topic::Memberships, user.as_str(), at)
        {
            return Ok(known);
        }
        // Before the look: what is written after it is found to be newer.
        let at = self.head();
        let rows = self
            .db
            .fetch_all(
                // Of rooms that are gone there is left that their members are not in them.
                "SELECT r.room_id, m.membership, m.sender, m.position, m.forgotten, m.room FROM membership m \
                 JOIN room r ON r.nid = m.room WHERE m.user_id = $1 \
                 UNION ALL SELECT d.room_id, 'leave', d.user_id, d.position, 0, 0 FROM deleted_membership d \
                 WHERE d.user_id = $1 ORDER BY 4",
                &[Value::from(user.as_str())],
            )
            .await?;
        let found: Arc<[RoomMembership]> = rows.iter().map(read).collect::<Result<_, _>>()?;
        self.log.standings.insert(user.to_owned(), (at, found.clone()));
        Ok(found)
    }

    /// The first of those who stand to a room in one of two ways, but for one, in the order of the events that say so.
    pub(crate) async fn first_members(
        &self,
        room: &RoomInfo,
        but: &UserId,
        [one, other]: [Membership; 2],
        limit: u32,
    ) -> Result<Vec<OwnedUserId>, SqlError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // One more than is wanted: the one who is left out may be among them.
        let asked = limit.saturating_add(1);
        let enough = |(first, up_to, _): &&(Membership, usize, Arc<[_]>)| *first == one && *up_to >= asked;
        let (stand, known) = room.known(|digest| digest.first.iter().find(enough).map(|(.., users)| users.clone()));
        let first = match known {
            Some(known) => known,
            None => {
                let found = self.read_first_members(room.nid, [one, other], asked).await?;
                room.learn(stand, |digest| {
                    digest.first.retain(|(first, ..)| *first != one);
                    digest.first.push((one, asked, found.clone()));
                });
                found
            }
        };
        Ok(first.iter().filter(|user| *user != but).take(limit).cloned().collect())
    }

    async fn read_first_members(
        &self,
        room: RoomNid,
        [one, other]: [Membership; 2],
        limit: usize,
    ) -> Result<Arc<[OwnedUserId]>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT user_id FROM membership WHERE room = $1 AND membership IN ($2, $3) ORDER BY event LIMIT $4",
                &[
                    Value::from(room.0),
                    Value::from(one.as_str()),
                    Value::from(other.as_str()),
                    Value::from(i64::try_from(limit).unwrap_or(i64::MAX)),
                ],
            )
            .await?;
        rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect()
    }

    /// Those who are in a room, or asked in, or ask to come in.
    pub(crate) async fn present_users(&self, room: RoomNid) -> Result<Vec<OwnedUserId>, SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT user_id FROM membership WHERE room = $1 AND membership IN ('join', 'invite', 'knock') \
                 ORDER BY user_id",
                &[Value::from(room.0)],
            )
            .await?;
        rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect()
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

    /// How many are joined, and how many invited.
    pub(crate) async fn member_counts(&self, room: &RoomInfo) -> Result<(u64, u64), SqlError> {
        let (stand, known) = room.known(|digest| digest.counts);
        if let Some(known) = known {
            return Ok(known);
        }
        let rows = self
            .db
            .fetch_all(
                "SELECT membership, COUNT(*) FROM membership WHERE room = $1 AND membership IN ('join', 'invite') \
                 GROUP BY membership",
                &[Value::from(room.nid.0)],
            )
            .await?;
        let mut counts = (0, 0);
        for row in rows {
            let count = u64::try_from(row.int(1)?).unwrap_or(0);
            if row.text(0)? == "join" { counts.0 = count } else { counts.1 = count }
        }
        room.learn(stand, |digest| digest.counts = Some(counts));
        Ok(counts)
    }

    /// Those of `others` that are joined to a room together with a user.
    pub(crate) async fn sharing(
        &self,
        user: &UserId,
        others: impl IntoIterator<Item = OwnedUserId>,
    ) -> Result<BTreeSet<OwnedUserId>, SqlError> {
        let asked: Vec<(OwnedUserId, &str)> = others.into_iter().map(|other| (other, user.as_str())).collect();
        if asked.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows = self.db.fetch_rows(&SHARING, &asked).await?;
        rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect()
    }

    /// The rooms that two users are both joined to, those whose ids come after `after`; and how many there are in all.
    pub(crate) async fn mutual_rooms(
        &self,
        one: &UserId,
        other: &UserId,
        after: &str,
        limit: i64,
    ) -> Result<(Vec<OwnedRoomId>, u64), SqlError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT r.room_id FROM membership a JOIN membership b ON a.room = b.room JOIN room r ON r.nid = a.room \
                 WHERE a.user_id = $1 AND a.membership = 'join' AND b.user_id = $2 AND b.membership = 'join' \
                 AND r.room_id > $3 ORDER BY r.room_id LIMIT $4",
                &[Value::from(one.as_str()), Value::from(other.as_str()), Value::from(after), Value::from(limit)],
            )
            .await?;
        let count = self
            .db
            .fetch_optional(
                "SELECT COUNT(*) FROM membership a JOIN membership b ON a.room = b.room \
                 WHERE a.user_id = $1 AND a.membership = 'join' AND b.user_id = $2 AND b.membership = 'join'",
                &[Value::from(one.as_str()), Value::from(other.as_str())],
            )
            .await?;
        let count = count.map_or(Ok(0), |row| row.int(0))?;
        let rooms: Result<_, SqlError> = rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect();
        Ok((rooms?, u64::try_from(count).unwrap_or(0)))
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
