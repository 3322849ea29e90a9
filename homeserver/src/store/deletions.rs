//! Deleting a whole room: the tables `blocked_room`, `room_deletion` and `deleted_membership`, and what goes from all others.
//!
//! Each commit takes a few rows, so that nobody waits long behind it, and so that a stop in between leaves what can go on: the rows of a
//! state go before the events that name it, nodes below before those above, and the room itself last. What users keep of the room for
//! themselves stays, such as their encrypted backups of keys.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use landbridge_sql::{BatchSql, SqlError, Tx, Value};
use ruma::{OwnedRoomId, RoomId};

use super::{
    RoomInfo, Store, StoreError, Write, hex,
    lately::{Lately, Topic},
    local::Local,
    purge::Purge,
    statement::statement,
};
use crate::{
    rooms::{EventNid, RoomNid, Root, state_tree::Node, state_tree::NodeId},
    stream::Position,
};

/// How many events go in one commit.
const EVENTS: i64 = 100;

/// How many members go in one commit.
const MEMBERS: i64 = 500;

/// How many nodes go in one commit.
const NODES: usize = 500;

const BAD: SqlError = SqlError::Refused("a row of a room that is deleted cannot be read");

/// A room that is being deleted.
#[derive(Debug, Clone)]
pub(crate) struct DeletionRow {
    pub(crate) room_id: OwnedRoomId,
    /// What the members are told.
    pub(crate) reason: Option<String>,
    /// In milliseconds since 1970.
    pub(crate) asked_at: i64,
    /// Whether all have left and the rows are being taken.
    pub(crate) going: bool,
}

/// What is stored under the number of a room, beside events and members. Five hundred rows at a time.
const BY_NUMBER: [&str; 7] = [
    "DELETE FROM room_key WHERE (room, idx) IN (SELECT room, idx FROM room_key WHERE room = $1 LIMIT 500)",
    "DELETE FROM relation WHERE (room, target, position) IN \
     (SELECT room, target, position FROM relation WHERE room = $1 LIMIT 500)",
    "DELETE FROM room_alias WHERE alias IN (SELECT alias FROM room_alias WHERE room = $1 LIMIT 500)",
    "DELETE FROM published_room WHERE (network, room) IN \
     (SELECT network, room FROM published_room WHERE room = $1 LIMIT 500)",
    "DELETE FROM event_name WHERE (appservice_id, name) IN \
     (SELECT appservice_id, name FROM event_name WHERE room = $1 LIMIT 500)",
    "DELETE FROM room_history WHERE room IN (SELECT room FROM room_history WHERE room = $1 LIMIT 500)",
    "DELETE FROM search_history WHERE room IN (SELECT room FROM search_history WHERE room = $1 LIMIT 500)",
];

/// What is stored under the id of a room. Five hundred rows at a time.
const BY_ID: [&str; 6] = [
    "DELETE FROM receipt WHERE (room_id, user_id, kind, thread) IN \
     (SELECT room_id, user_id, kind, thread FROM receipt WHERE room_id = $1 LIMIT 500)",
    "DELETE FROM account_data WHERE (user_id, room_id, kind) IN \
     (SELECT user_id, room_id, kind FROM account_data WHERE room_id = $1 LIMIT 500)",
    "DELETE FROM unread WHERE (user_id, room_id) IN (SELECT user_id, room_id FROM unread WHERE room_id = $1 LIMIT 500)",
    "DELETE FROM report WHERE id IN (SELECT id FROM report WHERE room_id = $1 LIMIT 500)",
    "DELETE FROM notice_room WHERE user_id IN (SELECT user_id FROM notice_room WHERE room_id = $1 LIMIT 500)",
    "DELETE FROM appservice_member WHERE (appservice_id, room_id, who) IN \
     (SELECT appservice_id, room_id, who FROM appservice_member WHERE room_id = $1 LIMIT 500)",
];

/// The states that lead to some, as far as they are stored as what changed.
static WAYS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "WITH RECURSIVE way (root, parent, depth) AS (\
         SELECT root, parent, depth FROM state_step WHERE root IN (SELECT {bytes:0} FROM {rows}) \
         UNION SELECT step.root, step.parent, step.depth \
         FROM way JOIN state_step AS step ON step.root = way.parent AND step.depth < way.depth) \
         SELECT root, parent FROM way",
    )
});

static READ_NODES: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT hash, data FROM state_node WHERE hash IN (SELECT {bytes:0} FROM {rows})"));

static DELETE_NODES: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM state_node WHERE hash IN (SELECT {bytes:0} FROM {rows})"));

static DELETE_STEPS: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("DELETE FROM state_step WHERE root IN (SELECT {bytes:0} FROM {rows})"));

static KEEP_MEMBERS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO deleted_membership (user_id, room_id, position, deleted_at) \
         SELECT m.user_id, gone.room_id, m.position, gone.at FROM (\
         SELECT CAST(value->>0 AS BIGINT) AS room, value->>1 AS user_id, value->>2 AS room_id, \
         CAST(value->>3 AS BIGINT) AS at FROM {rows}) AS gone \
         JOIN membership m ON m.room = gone.room AND m.user_id = gone.user_id \
         WHERE m.forgotten = 0 ON CONFLICT (user_id, room_id) DO NOTHING",
    )
});

static DELETE_MEMBERS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "DELETE FROM membership WHERE (room, user_id) IN (SELECT CAST(value->>0 AS BIGINT), value->>1 FROM {rows})",
    )
});

/// Rows by the hashes that they are stored under.
struct DeleteRows(&'static LazyLock<BatchSql>, Vec<[String; 1]>);

#[async_trait]
impl Write for DeleteRows {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        tx.execute_rows(self.0, &self.1).await.map(drop)
    }

    fn wakes(&self) -> bool {
        false
    }
}

/// Events, with all that hangs on them, and the states that they were sent in.
struct DeleteEvents {
    steps: Vec<[String; 1]>,
    events: Purge,
}

#[async_trait]
impl Write for DeleteEvents {
    async fn write(&self, tx: &mut Tx<'_>, position: Position) -> Result<(), SqlError> {
        tx.execute_rows(&DELETE_STEPS, &self.steps).await?;
        self.events.write(tx, position).await
    }

    fn wakes(&self) -> bool {
        false
    }
}

/// Members, of whom there is kept that they are not in the room.
struct DeleteMembers {
    /// Room, user, id of the room, and when.
    rows: Vec<(i64, String, String, i64)>,
    lately: Arc<Lately>,
}

#[async_trait]
impl Write for DeleteMembers {
    async fn write(&self, tx: &mut Tx<'_>, _: Position) -> Result<(), SqlError> {
        tx.execute_rows(&KEEP_MEMBERS, &self.rows).await?;
        tx.execute_rows(&DELETE_MEMBERS, &self.rows).await.map(drop)
    }

    /// It has no place of its own: what was read up to its place may have been read before it.
    fn committed(&self, position: Position) {
        for (_, user, ..) in &self.rows {
            self.lately.note(Topic::Memberships, user, Position(position.0 + 1));
        }
    }

    fn wakes(&self) -> bool {
        false
    }
}

impl Store {
    fn local(&self) -> Local {
        Local::new(self.clone())
    }

    pub(crate) async fn blocked_rooms(&self) -> Result<Vec<OwnedRoomId>, SqlError> {
        let rows = self.db.fetch_all("SELECT room_id FROM blocked_room", &[]).await?;
        rows.iter().map(|row| row.text(0)?.try_into().map_err(|_| BAD)).collect()
    }

    /// Blocks a room since a time; `None`: it is blocked no more.
    pub(crate) async fn set_blocked(&self, room_id: &RoomId, at: Option<i64>) -> Result<(), StoreError> {
        let statement = match at {
            Some(at) => statement!(
                "INSERT INTO blocked_room (room_id, blocked_at) VALUES ($1, $2) ON CONFLICT (room_id) DO NOTHING",
                room_id.as_str(),
                at
            ),
            None => statement!("DELETE FROM blocked_room WHERE room_id = $1", room_id.as_str()),
        };
        self.local().write(vec![statement]).await.map(drop)
    }

    pub(crate) async fn unpublish(&self, room: RoomNid) -> Result<(), StoreError> {
        self.local().write(vec![statement!("DELETE FROM published_room WHERE room = $1", room.0)]).await.map(drop)
    }

    pub(crate) async fn remove_aliases(&self, room: RoomNid) -> Result<(), StoreError> {
        self.local().write(vec![statement!("DELETE FROM room_alias WHERE room = $1", room.0)]).await.map(drop)
    }

    pub(crate) async fn deletions(&self) -> Result<Vec<DeletionRow>, SqlError> {
        let sql = "SELECT room_id, reason, asked_at, going FROM room_deletion ORDER BY asked_at, room_id";
        let row = |row: &landbridge_sql::Row| {
            Ok::<_, SqlError>(DeletionRow {
                room_id: row.text(0)?.try_into().map_err(|_| BAD)?,
                reason: row.opt_text(1)?,
                asked_at: row.int(2)?,
                going: row.int(3)? != 0,
            })
        };
        self.db.fetch_all(sql, &[]).await?.iter().map(row).collect()
    }

    pub(crate) async fn begin_deletion(&self, row: &DeletionRow) -> Result<(), StoreError> {
        let statement = statement!(
            "INSERT INTO room_deletion (room_id, reason, asked_at, going) VALUES ($1, $2, $3, 0) \
             ON CONFLICT (room_id) DO NOTHING",
            row.room_id.as_str(),
            row.reason.as_deref(),
            row.asked_at
        );
        self.local().write(vec![statement]).await.map(drop)
    }

    pub(crate) async fn end_deletion(&self, room_id: &RoomId) -> Result<(), StoreError> {
        let statement = statement!("DELETE FROM room_deletion WHERE room_id = $1", room_id.as_str());
        self.local().write(vec![statement]).await.map(drop)
    }

    pub(crate) async fn forget_deleted(&self, before: i64) -> Result<(), StoreError> {
        let statement = statement!("DELETE FROM deleted_membership WHERE deleted_at < $1", before);
        self.local().write(vec![statement]).await.map(drop)
    }

    /// Hides a room whose rows were being taken when the server stopped.
    pub(crate) async fn hide_half_deleted(&self, room_id: &RoomId) -> Result<(), SqlError> {
        if let Some(room) = self.read_room_by_id(room_id).await? {
            self.log.rooms.hide(&room);
        }
        Ok(())
    }

    /// Deletes all rows of a room that nobody is in. To everybody else it is gone at once; a stop in between leaves what a second call
    /// deletes.
    pub(crate) async fn delete_room(&self, room: &RoomInfo, at: i64) -> Result<(), StoreError> {
        let id = room.room_id.as_str();
        self.local().write(vec![statement!("UPDATE room_deletion SET going = 1 WHERE room_id = $1", id)]).await?;
        self.log.rooms.hide(room);
        self.delete_members(room, at).await?;
        // No event was sent in the last state.
        let steps = self.delete_states([room.root()].into()).await?;
        self.write(Box::new(DeleteRows(&DELETE_STEPS, steps))).await?;
        let mut after = EventNid(0);
        while let Some(last) = self.delete_events(room, after).await? {
            after = last;
        }
        for sql in BY_NUMBER {
            while self.local().write(vec![statement!(sql, room.nid.0)]).await?.rows > 0 {}
        }
        self.local().write(vec![statement!("DELETE FROM room WHERE nid = $1", room.nid.0)]).await?;
        self.log.rooms.forget(room);
        Ok(())
    }

    /// Deletes what others keep of a room that is gone. Only now: what is counted of unread messages is stored as long as there is a room.
    pub(crate) async fn delete_what_is_kept_of(&self, room_id: &RoomId) -> Result<(), StoreError> {
        for sql in BY_ID {
            while self.local().write(vec![statement!(sql, room_id.as_str())]).await?.rows > 0 {}
        }
        Ok(())
    }

    async fn delete_members(&self, room: &RoomInfo, at: i64) -> Result<(), StoreError> {
        loop {
            let sql = "SELECT user_id FROM membership WHERE room = $1 LIMIT $2";
            let found = self.db.fetch_all(sql, &[Value::from(room.nid.0), Value::from(MEMBERS)]).await?;
            if found.is_empty() {
                return Ok(());
            }
            let row =
                |row: &landbridge_sql::Row| Ok::<_, SqlError>((room.nid.0, row.text(0)?, room.room_id.to_string(), at));
            let rows = found.iter().map(row).collect::<Result<_, SqlError>>()?;
            self.write(Box::new(DeleteMembers { rows, lately: self.lately().clone() })).await?;
        }
    }

    /// Deletes the oldest events after `after`; gives the last of them, where there were any. What is before is gone already, and not
    /// gone through again: other rooms' events lie between.
    async fn delete_events(&self, room: &RoomInfo, after: EventNid) -> Result<Option<EventNid>, StoreError> {
        let sql = "SELECT nid, root, resolved FROM event WHERE room = $1 AND nid > $2 ORDER BY nid LIMIT $3";
        let values = [Value::from(room.nid.0), Value::from(after.0), Value::from(EVENTS)];
        let rows = self.db.fetch_all(sql, &values).await?;
        let (mut nids, mut roots) = (Vec::new(), HashSet::new());
        for row in &rows {
            nids.push(EventNid(row.int(0)?));
            roots.insert(Root::from_bytes(&row.bytes(1)?).ok_or(BAD)?);
            if let Some(resolved) = row.opt_bytes(2)? {
                roots.insert(Root::from_bytes(&resolved).ok_or(BAD)?);
            }
        }
        let Some(&last) = nids.last() else { return Ok(None) };
        let events = self.events(&nids).await?;
        let steps = self.delete_states(roots).await?;
        let _still = self.log.unindexed.stand_still().await;
        self.write(Box::new(DeleteEvents { steps, events: Purge::of(&self.db, &events) })).await?;
        self.log.forget(&events);
        Ok(Some(last))
    }

    /// Deletes the nodes of states and of those that they were made of; gives what is then left of them, to go with the last that
    /// names it.
    async fn delete_states(&self, roots: HashSet<Root>) -> Result<Vec<[String; 1]>, StoreError> {
        let asked: Vec<[String; 1]> = roots.iter().map(|root| [hex(root.as_bytes())]).collect();
        let mut steps = Vec::new();
        let mut level: HashSet<NodeId> = roots.iter().filter_map(|root| root.node()).collect();
        for row in self.db.fetch_rows(&WAYS, &asked).await? {
            let (root, parent) = (row.bytes(0)?, row.bytes(1)?);
            steps.push([hex(&root)]);
            level.extend([root, parent].iter().filter_map(|bytes| Root::from_bytes(bytes)?.node()));
        }
        let (mut seen, mut found) = (level.clone(), Vec::new());
        while !level.is_empty() {
            let names: Vec<[String; 1]> = level.drain().map(|id| [hex(&id.0)]).collect();
            for row in self.db.fetch_rows(&READ_NODES, &names).await? {
                let id = NodeId(row.bytes(0)?.try_into().map_err(|_| BAD)?);
                found.push(id);
                let node = Node::decode(&row.bytes(1)?);
                let below = node.iter().flat_map(|node| node.children().iter().copied());
                level.extend(below.filter(|id| seen.insert(*id)));
            }
        }
        // What is below others goes before them.
        found.reverse();
        for nodes in found.chunks(NODES) {
            let rows = nodes.iter().map(|id| [hex(&id.0)]).collect();
            self.write(Box::new(DeleteRows(&DELETE_NODES, rows))).await?;
            nodes.iter().for_each(|id| self.log.nodes.remove(id));
        }
        Ok(steps)
    }
}
