//! Pages of a room's timeline, with what stands in its history.
//!
//! Events of the log have positive places. Those of a room's history have negative ones, and stand together after one place in the log.

use std::sync::Arc;

use landbridge_sql::SqlError;

use super::{RoomInfo, Store};
use crate::{
    rooms::{Direction, Event},
    stream::Position,
};

/// A stretch of either: after the first place, up to and including the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) after: Position,
    pub(crate) up_to: Position,
}

/// The stretches, oldest first, that lie after a place and up to another in a room whose history stands after `history`.
///
/// A place in the log is before the history that stands at it where one reads on from it, and after that history where one reads up to
/// it: so nothing is missed whichever way one comes.
pub(crate) fn stretches(history: Option<Position>, after: Position, up_to: Position) -> Vec<Stretch> {
    let Some(stands) = history else {
        let (after, up_to) = (after.max(Position::START), up_to.max(Position::START));
        return vec![Stretch { after, up_to }];
    };
    let oldest = Position(i64::MIN);
    let newest = Position(-1);
    // The place in the log of an end that is in the history, and the place in the history of one that is not.
    let (after_log, after_history) = if after.is_history() { (stands, after) } else { (after, oldest) };
    let (up_to_log, up_to_history) = if up_to.is_history() { (stands, up_to) } else { (up_to, newest) };
    let mut found = vec![Stretch { after: after_log, up_to: up_to_log.min(stands) }];
    if after_log <= stands && stands <= up_to_log {
        found.push(Stretch { after: after_history, up_to: up_to_history });
    }
    found.push(Stretch { after: after_log.max(stands), up_to: up_to_log });
    found.retain(|stretch| stretch.after < stretch.up_to);
    found
}

impl Store {
    /// A room's timeline with its history, after a place and up to and including another: the first `limit` events in a direction.
    pub(crate) async fn room_page(
        &self,
        room: &RoomInfo,
        after: Position,
        up_to: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, SqlError> {
        let mut stretches = stretches(room.history(), after, up_to);
        if direction == Direction::Backward {
            stretches.reverse();
        }
        let mut found = Vec::new();
        for Stretch { after, up_to } in stretches {
            if found.len() < limit {
                found.extend(self.room_log(room.nid, after, up_to, direction, limit - found.len()).await?);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where a place stands in a room whose history stands after `history`.
    fn rank(history: i64, place: i64) -> (i64, i64) {
        if place < 0 { (history, place) } else { (place, i64::MIN) }
    }

    fn some_places() -> impl Strategy<Value = (i64, Vec<i64>)> {
        let log = proptest::collection::btree_set(1..40_i64, 0..12);
        let history = proptest::collection::btree_set(-40..0_i64, 0..12);
        (1..40_i64, log, history).prop_map(|(stands, log, history)| (stands, log.into_iter().chain(history).collect()))
    }

    /// The places that are read for a page.
    fn between(stands: i64, places: &[i64], after: i64, up_to: i64) -> Vec<i64> {
        let mut found = Vec::new();
        for stretch in stretches(Some(Position(stands)), Position(after), Position(up_to)) {
            let inside = |place: &&i64| **place > stretch.after.0 && **place <= stretch.up_to.0;
            let mut there: Vec<i64> = places.iter().filter(inside).copied().collect();
            there.sort_unstable();
            found.extend(there);
        }
        found
    }

    proptest! {
        #[test]
        fn a_page_is_what_stands_between_its_ends(
            (stands, places) in some_places(),
            after in -42..42_i64,
            up_to in -42..42_i64,
        ) {
            let mut expected: Vec<i64> = places.clone();
            expected.sort_by_key(|place| rank(stands, *place));
            let end = if up_to < 0 { (stands, up_to) } else { (up_to, i64::MAX) };
            expected.retain(|place| rank(stands, *place) > rank(stands, after) && rank(stands, *place) <= end);
            prop_assert_eq!(between(stands, &places, after, up_to), expected);
        }

        #[test]
        fn pages_one_after_another_are_the_whole_of_it((stands, places) in some_places(), limit in 1..6_usize) {
            let mut expected: Vec<i64> = places.clone();
            expected.sort_by_key(|place| rank(stands, *place));
            let between = |after, up_to| between(stands, &places, after, up_to);
            let (mut forward, mut from) = (Vec::new(), 0);
            loop {
                let mut page = between(from, 50);
                page.truncate(limit);
                let Some(last) = page.last() else { break };
                from = *last;
                forward.extend(page);
            }
            prop_assert_eq!(&forward, &expected);
            let (mut backward, mut from) = (Vec::new(), 50);
            loop {
                let mut page = between(0, from);
                page.reverse();
                page.truncate(limit);
                let Some(last) = page.last() else { break };
                from = *last - 1;
                backward.extend(page);
            }
            backward.reverse();
            prop_assert_eq!(backward, expected);
        }
    }
}
