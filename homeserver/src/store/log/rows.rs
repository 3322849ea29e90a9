//! The rows of one round, gathered by table.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use landbridge_sql::{BatchSql, SqlError, Step, encode};
use serde::Serialize;

use super::op::{NewEvent, RoomWrite};
use crate::{
    rooms::{EventNid, Root, state_tree::StateStep},
    store::{
        MembershipRow, aliases, directory, events,
        indices::{self, prefix, time},
        keys, memberships, names,
        nodes::{self, hex},
        relations, rooms, text, txns,
    },
    stream::Position,
};

pub(super) static RESERVE_SQL: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO log_head (one, reserved) SELECT 1, CAST(value->>0 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (one) DO UPDATE SET reserved = excluded.reserved",
    )
});

/// The rows of one round, gathered by table.
#[derive(Default)]
pub(super) struct Rows<'a> {
    rooms: Vec<(i64, &'a str, &'a str, String, String)>,
    current: HashMap<i64, (String, String)>,
    keys: Vec<(i64, u32, Cow<'a, str>, Cow<'a, str>)>,
    nodes: Vec<(String, String)>,
    /// What made each state; a state that is made in several ways, the shortest.
    states: HashMap<Root, &'a StateStep>,
    events: Vec<EventRow<'a>>,
    /// What goes into the indices at once: what is not at the end of the log.
    ids: Vec<(&'a str, i64)>,
    times: Vec<(i64, i64, i64)>,
    relations: Vec<relations::Row<'a>>,
    memberships: HashMap<(i64, &'a str), (&'a MembershipRow, i64)>,
    redactions: HashMap<i64, i64>,
    txns: Vec<(String, i64)>,
    names: Vec<names::Row<'a>>,
    histories: Vec<(i64, i64)>,
    aliases: Vec<(&'a str, i64, &'a str)>,
    published: Vec<(&'static str, i64)>,
    pub(super) reserve: Option<[i64; 1]>,
}

type EventRow<'a> = (
    i64,
    &'a str,
    i64,
    Option<i64>,
    i64,
    String,
    Option<String>,
    Option<u32>,
    Option<i64>,
    Option<Cow<'a, str>>,
    Option<Cow<'a, str>>,
    &'a str,
    i64,
);

impl<'a> Rows<'a> {
    pub(super) fn add(&mut self, write: &'a RoomWrite, mut position: Position) {
        let room = write.room.nid.0;
        let extremities: Vec<i64> = write.current.extremities.iter().map(|nid| nid.0).collect();
        let current = (hex(write.current.root.as_bytes()), serde_json::to_string(&extremities).unwrap_or_default());
        if write.creates {
            let (root, extremities) = current.clone();
            self.rooms.push((room, write.room.room_id.as_str(), write.room.version.as_str(), root, extremities));
        }
        self.current.insert(room, current);
        self.keys
            .extend(write.keys.iter().map(|(index, kind, key)| (room, index.0, text::encode(kind), text::encode(key))));
        for step in &write.states.steps {
            let shortest = self.states.entry(step.root).or_insert(step);
            if step.depth < shortest.depth {
                *shortest = step;
            }
        }
        self.nodes.extend(write.states.nodes.iter().map(|(id, node)| (hex(&id.0), hex(&node.encode()))));
        let mut positions: HashMap<EventNid, i64> = HashMap::new();
        for new in &write.events {
            let NewEvent { event, resolved, place } = new;
            if !new.is_news() {
                self.ids.push((prefix(&event.event_id), event.nid.0));
                self.times.extend(place.map(|_| (room, time(event), event.nid.0)));
            }
            let place = place.map(|place| place.0).or_else(|| {
                event.flags.in_timeline().then(|| {
                    position.0 += 1;
                    position.0
                })
            });
            positions.insert(event.nid, place.unwrap_or(position.0));
            self.events.push((
                event.nid.0,
                event.event_id.as_str(),
                room,
                place,
                event.flags.to_bits(),
                hex(event.state_before.as_bytes()),
                resolved.map(|root| hex(root.as_bytes())),
                event.key.map(|key| key.0),
                event.replaces.map(|nid| nid.0),
                event.txn.as_ref().map(|txn| text::encode(&txn.device)),
                event.txn.as_ref().map(|txn| text::encode(&txn.txn_id)),
                &event.json,
                time(event),
            ));
            self.relations.extend(place.and_then(|place| relations::row(event, place)));
        }
        for row in &write.memberships {
            let place = positions.get(&row.event).copied().unwrap_or(position.0);
            self.memberships.insert((room, row.user.as_str()), (row, place));
        }
        self.redactions.extend(write.redactions.iter().map(|(target, by)| (target.nid.0, by.0)));
        let not_news = write.txn.iter().filter(|(_, nid)| !write.is_news(*nid));
        self.txns.extend(not_news.map(|(key, nid)| (key.hex(), nid.0)));
        self.names.extend(write.names.iter().map(|named| {
            (named.appservice.as_str(), named.name.as_str(), named.event_id.as_str(), room, named.number)
        }));
        self.histories.extend(write.history.map(|place| (room, place.0)));
        self.aliases.extend(write.aliases.iter().map(|(alias, creator)| (alias.as_str(), room, creator.as_str())));
        self.published.extend(write.publish.then_some(("", room)));
    }

    /// The statements that write all of it, each with its rows.
    pub(super) fn steps(self) -> Result<Vec<Step<'static>>, SqlError> {
        let created: Vec<i64> = self.rooms.iter().map(|row| row.0).collect();
        let current: Vec<(i64, String, String)> = self
            .current
            .into_iter()
            .filter(|(room, _)| !created.contains(room))
            .map(|(room, (root, extremities))| (room, root, extremities))
            .collect();
        let memberships: Vec<(i64, &str, &str, &str, i64, i64)> = self
            .memberships
            .into_iter()
            .map(|((room, user), (row, position))| {
                (room, user, row.membership.as_str(), row.sender.as_str(), row.event.0, position)
            })
            .collect();
        let states: Vec<(String, String, u32, Option<i64>, u8)> = (self.states.values())
            .map(|step| {
                let (root, parent) = (hex(step.root.as_bytes()), hex(step.parent.as_bytes()));
                (root, parent, step.index.0, step.value.map(|nid| nid.0), step.depth)
            })
            .collect();
        let redactions: Vec<(i64, i64)> = self.redactions.into_iter().collect();
        let mut steps = Vec::new();
        add(&mut steps, &rooms::INSERT, &self.rooms)?;
        add(&mut steps, &rooms::UPDATE, &current)?;
        add(&mut steps, &keys::INSERT, &self.keys)?;
        add(&mut steps, &nodes::INSERT, &self.nodes)?;
        add(&mut steps, &nodes::INSERT_STEP, &states)?;
        add(&mut steps, &events::INSERT, &self.events)?;
        add(&mut steps, &indices::INSERT_IDS, &self.ids)?;
        add(&mut steps, &indices::INSERT_TIMES, &self.times)?;
        add(&mut steps, &relations::INSERT, &self.relations)?;
        add(&mut steps, &memberships::UPSERT, &memberships)?;
        add(&mut steps, &events::REDACT, &redactions)?;
        add(&mut steps, &txns::INSERT, &self.txns)?;
        add(&mut steps, &names::INSERT, &self.names)?;
        add(&mut steps, &rooms::INSERT_HISTORY, &self.histories)?;
        add(&mut steps, &aliases::INSERT, &self.aliases)?;
        add(&mut steps, &directory::INSERT, &self.published)?;
        add(&mut steps, &RESERVE_SQL, self.reserve.as_slice())?;
        Ok(steps)
    }
}

fn add<T: Serialize>(steps: &mut Vec<Step<'static>>, sql: &'static BatchSql, rows: &[T]) -> Result<(), SqlError> {
    if !rows.is_empty() {
        steps.push(Step::Rows(sql, encode(rows)?));
    }
    Ok(())
}
