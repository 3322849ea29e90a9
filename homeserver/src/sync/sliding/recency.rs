//! When something last happened in rooms, and what kind of rooms they are.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{OwnedRoomId, RoomId, events::StateEventType};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    http::error::ApiError,
    rooms::{Event, Membership, RoomMembership, Rooms},
    stream::{Position, Stream},
};

/// Of how many rooms this is kept; at the bound all are forgotten and looked at again.
const KEPT: usize = 50_000;

/// How many events of the log are looked at at once, and how often, before everything is looked at anew.
const LOOKED_AT: usize = 1000;
const ROUNDS: usize = 10;

/// How many events of a room are looked through for one that moves it up the list.
const LOOKED_THROUGH: usize = 50;

/// What moves a room up the list.
const BUMPS: [&str; 8] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
];

/// When something last happened in a room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    /// Something that moves the room up the list.
    pub(super) bump: i64,
    /// Anything at all.
    pub(super) any: i64,
}

/// When something last happened in rooms. Follows the log as far as somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Recency(Mutex<Followed>);

#[derive(Debug, Default)]
struct Followed {
    until: Position,
    rooms: HashMap<OwnedRoomId, Last>,
}

impl Recency {
    /// When something last happened in each of these rooms, as its user sees it: up to `until`.
    pub(super) async fn of(
        &self,
        rooms: &Rooms,
        stream: &Stream,
        asked: &HashMap<OwnedRoomId, RoomMembership>,
        until: Position,
    ) -> Result<HashMap<OwnedRoomId, Last>, ApiError> {
        let mut followed = self.0.lock().await;
        followed.follow(stream, until).await?;
        let mut found = HashMap::with_capacity(asked.len());
        for (room_id, known) in asked {
            let last = if known.membership == Membership::Join {
                followed.of_room(rooms, room_id).await?
            } else {
                // Of rooms that one is not in, nothing later than that is known.
                Last { bump: known.position.0, any: known.position.0 }
            };
            found.insert(room_id.clone(), last);
        }
        Ok(found)
    }
}

impl Followed {
    async fn follow(&mut self, stream: &Stream, until: Position) -> Result<(), ApiError> {
        if self.rooms.len() > KEPT {
            self.rooms.clear();
        }
        for _ in 0..ROUNDS {
            if self.rooms.is_empty() || self.until >= until {
                self.until = self.until.max(until);
                return Ok(());
            }
            let events = stream.read(self.until, until, LOOKED_AT).await?;
            for event in &events {
                if let Some(last) = self.rooms.get_mut(&event.room_id) {
                    last.any = event.position().0;
                    if bumps(event) {
                        last.bump = last.any;
                    }
                }
            }
            let more = events.len() == LOOKED_AT;
            self.until = events.last().filter(|_| more).map_or(until, |event| event.position());
        }
        if self.until < until {
            self.rooms.clear();
            self.until = until;
        }
        Ok(())
    }

    async fn of_room(&mut self, rooms: &Rooms, room_id: &RoomId) -> Result<Last, ApiError> {
        if let Some(last) = self.rooms.get(room_id) {
            return Ok(*last);
        }
        let slice = rooms.timeline(room_id, Position::START, self.until, LOOKED_THROUGH).await?;
        let position = |event: Option<&Arc<Event>>| event.map(|event| event.position().0);
        let any = position(slice.events.last()).unwrap_or(0);
        let bump = position(slice.events.iter().rev().find(|event| bumps(event)));
        let last = Last { bump: bump.or_else(|| position(slice.events.first())).unwrap_or(0), any };
        self.rooms.insert(room_id.to_owned(), last);
        Ok(last)
    }
}

fn bumps(event: &Event) -> bool {
    BUMPS.contains(&event.kind.to_string().as_str())
}

/// One field of a state event, as a text.
pub(super) async fn state_text(
    rooms: &Rooms,
    room_id: &RoomId,
    kind: StateEventType,
    field: &str,
) -> Result<Option<String>, ApiError> {
    let event = rooms.state_event(room_id, &kind, "").await?.filter(|event| event.redacted_by().is_none());
    let content: Value = event.and_then(|event| serde_json::from_str(event.content.get()).ok()).unwrap_or_default();
    Ok(content[field].as_str().map(str::to_owned))
}

/// The rooms that some spaces have as children.
pub(super) async fn children(rooms: &Rooms, spaces: &[OwnedRoomId]) -> Result<BTreeSet<String>, ApiError> {
    let mut found = BTreeSet::new();
    for space in spaces.iter().take(100) {
        if rooms.root(space).await?.is_none() {
            continue;
        }
        for event in rooms.state(space).await? {
            if event.kind.to_string() == "m.space.child" && event.content.get().contains("\"via\"") {
                found.extend(event.state_key.clone());
            }
        }
    }
    Ok(found)
}
