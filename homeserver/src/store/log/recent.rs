//! The end of the log, in memory, for those who follow it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use crate::{
    rooms::{Direction, Event, EventNid, RoomNid},
    stream::Position,
};

/// How many events are kept, and how many bytes of them.
const RECENT: usize = 4096;
const RECENT_BYTES: usize = 8 << 20;

/// The end of the log.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Everything in the log after this is in `events`.
    complete_after: Position,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Recent {
    /// The end of a log that goes on after `head`.
    pub(super) fn after(head: Position) -> Self {
        Self { complete_after: head, ..Self::default() }
    }

    /// The events after `after` up to `up_to`, where all of them are here.
    pub(super) fn between(&self, after: Position, up_to: Position, limit: usize) -> Option<Vec<Arc<Event>>> {
        if after < self.complete_after {
            return None;
        }
        let start = self.events.partition_point(|event| event.position() <= after);
        let events = self.events.range(start..).take_while(|event| event.position() <= up_to).take(limit);
        Some(events.cloned().collect())
    }

    /// The events of a room after `after` up to `up_to`, the first `limit` in a direction, where all of them are here.
    pub(super) fn of_room(
        &self,
        room: RoomNid,
        after: Position,
        up_to: Position,
        direction: Direction,
        limit: usize,
    ) -> Option<Vec<Arc<Event>>> {
        let start = self.events.partition_point(|event| event.position() <= after.max(self.complete_after));
        let end = self.events.partition_point(|event| event.position() <= up_to).max(start);
        let events = self.events.range(start..end).filter(|event| event.room == room);
        let is_whole = after >= self.complete_after;
        match direction {
            Direction::Forward => is_whole.then(|| events.take(limit).cloned().collect()),
            Direction::Backward => {
                let found: Vec<_> = events.rev().take(limit).cloned().collect();
                (is_whole || found.len() == limit).then_some(found)
            }
        }
    }

    /// Notes that an event is redacted: what is kept here may not be what everybody else holds of it.
    pub(super) fn redact(&self, target: &Event, by: EventNid) {
        if !target.flags.in_timeline() {
            return;
        }
        let at = self.events.partition_point(|event| event.position() < target.position());
        if let Some(event) = self.events.get(at).filter(|event| event.nid == target.nid) {
            event.set_redacted_by(by);
        }
    }

    /// Lets go of these events.
    pub(super) fn forget(&mut self, gone: &HashSet<EventNid>) {
        self.events.retain(|event| !gone.contains(&event.nid));
        self.bytes = self.events.iter().map(|event| event.weight()).sum();
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > RECENT || self.bytes > RECENT_BYTES {
            let Some(dropped) = self.events.pop_front() else { return };
            self.bytes -= dropped.weight();
            self.complete_after = dropped.position();
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_room_id};

    use super::*;
    use crate::rooms::{EventFlags, EventMeta, Root};

    fn message(place: i64, room: RoomNid) -> Arc<Event> {
        let json = r#"{"sender":"@a:b.example","origin_server_ts":1,"type":"m.room.message","content":{},"prev_events":[],
            "auth_events":[],"depth":1}"#;
        let meta = EventMeta {
            nid: EventNid(place),
            event_id: owned_event_id!("$event"),
            room,
            room_id: owned_room_id!("!room:b.example"),
            flags: EventFlags::default(),
            state_before: Root::EMPTY,
            key: None,
            replaces: None,
            txn: None,
            position: Some(Position(place)),
            redacted_by: None,
        };
        Arc::new(Event::from_json(json.into(), meta).unwrap())
    }

    fn filled() -> Recent {
        let mut recent = Recent::after(Position(10));
        for place in 11..=20 {
            recent.push(message(place, RoomNid(place % 2)));
        }
        recent
    }

    fn places(found: Option<Vec<Arc<Event>>>) -> Option<Vec<i64>> {
        found.map(|events| events.iter().map(|event| event.position().0).collect())
    }

    #[test]
    fn the_end_of_a_room_is_read_without_the_database_and_no_gap_is_hidden() {
        let recent = filled();
        let backward = |after, limit| {
            places(recent.of_room(RoomNid(1), Position(after), Position(18), Direction::Backward, limit))
        };
        assert_eq!(backward(10, 9), Some(vec![17, 15, 13, 11]));
        assert_eq!(backward(0, 3), Some(vec![17, 15, 13]), "as many as were asked for, wherever the span begins");
        assert_eq!(backward(0, 5), None, "there may be more before what is in memory");
        assert_eq!(backward(13, 5), Some(vec![17, 15]));
        let forward =
            |after, limit| places(recent.of_room(RoomNid(0), Position(after), Position(18), Direction::Forward, limit));
        assert_eq!(forward(10, 2), Some(vec![12, 14]));
        assert_eq!(forward(9, 2), None);
        assert_eq!(forward(18, 2), Some(vec![]));
    }

    #[test]
    fn a_redaction_reaches_what_is_kept_here() {
        let recent = filled();
        // As it is after everybody else has let go of the event and read it again.
        let read_again = message(15, RoomNid(1));
        recent.redact(&read_again, EventNid(99));
        let kept = recent.of_room(RoomNid(1), Position(14), Position(15), Direction::Forward, 1).unwrap();
        assert_eq!(kept[0].redacted_by(), Some(EventNid(99)));
    }
}
