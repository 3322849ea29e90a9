//! The histories of rooms, as far as the index of the search goes: what bridges put into a room stands before what was said there, and
//! is no part of the log.
//!
//! A room writes its history downwards, batch by batch, and each batch is there as a whole; so how far a history was read is one place for
//! each room, which moves in the commit that adds the words.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use super::ROUND;
use crate::{
    http::error::ApiError,
    rooms::{Direction, RoomNid},
    store::{Store, local::Local, search as table},
    stream::Position,
};

/// How long is waited after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// Reads the histories of rooms. Stops with this value.
#[derive(Debug)]
pub(super) struct Histories {
    behind: watch::Sender<Behind>,
    reading: JoinHandle<()>,
}

/// What is not read.
#[derive(Debug, Default)]
struct Behind {
    /// Whether it is known what a stop left.
    is_known: bool,
    /// The rooms, each with how often something was added.
    rooms: BTreeMap<RoomNid, u64>,
}

impl Behind {
    fn add(&mut self, room: RoomNid) {
        *self.rooms.entry(room).or_default() += 1;
    }
}

impl Drop for Histories {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Histories {
    /// Begins to read, with what was left when the server stopped.
    pub(super) fn read(store: Store) -> Self {
        let behind = watch::Sender::new(Behind::default());
        let reading = tokio::spawn(read(store, behind.clone()));
        Self { behind, reading }
    }

    /// Notes that something was added to the history of a room.
    pub(super) fn grew(&self, room: RoomNid) {
        self.behind.send_modify(|behind| behind.add(room));
    }

    /// Returns when the histories of these rooms are read.
    pub(super) async fn are_read(&self, rooms: &[RoomNid]) {
        let is_read = |behind: &Behind| behind.is_known && !rooms.iter().any(|room| behind.rooms.contains_key(room));
        // The sender is here: the wait does not break off.
        let _ = self.behind.subscribe().wait_for(is_read).await;
    }
}

async fn read(store: Store, behind: watch::Sender<Behind>) {
    let left = loop {
        match table::rooms_behind(store.db()).await {
            Ok(left) => break left,
            Err(error) => {
                tracing::warn!(%error, "it is not known which histories are not in the search index");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    behind.send_modify(|behind| {
        left.into_iter().for_each(|room| behind.add(room));
        behind.is_known = true;
    });
    let mut news = behind.subscribe();
    loop {
        let next = match news.wait_for(|behind| !behind.rooms.is_empty()).await {
            Ok(behind) => behind.rooms.first_key_value().map(|(room, times)| (*room, *times)),
            Err(_) => return,
        };
        let Some((room, times)) = next else { continue };
        if let Err(error) = read_room(&store, room).await {
            tracing::warn!(%error, "the search index stumbled over a history");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        behind.send_modify(|behind| {
            // What was added meanwhile may not have been seen.
            if behind.rooms.get(&room) == Some(&times) {
                behind.rooms.remove(&room);
            }
        });
    }
}

/// Adds what was not read of the history of one room.
async fn read_room(store: &Store, room: RoomNid) -> Result<(), ApiError> {
    let local = Local::new(store.clone());
    let mut below = table::history_cursor(store.db(), room).await?;
    loop {
        let up_to = Position(below - 1);
        let events = store.room_log(room, Position::FIRST, up_to, Direction::Backward, ROUND).await?;
        let Some(last) = events.last() else { return Ok(()) };
        below = last.position().0;
        let kept = events.iter().filter(|event| event.redacted_by().is_none());
        let added = table::insert(local.db(), kept.map(|event| &**event))?;
        let statements = added.into_iter().chain([table::history_moved(room, below)]);
        local.write(statements.collect()).await?;
    }
}
