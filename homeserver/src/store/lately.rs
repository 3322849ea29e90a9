//! When what was written last, of that which clients ask for with every sync: most of them need not ask the database.

use std::collections::HashMap;

use parking_lot::RwLock;

use crate::stream::Position;

/// How many keys of one topic are remembered; at the bound all are forgotten, and everything up to then may have changed.
const KEYS: usize = 20_000;

/// Something that is written with a place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Account data, by user.
    AccountData,
    /// Receipts, by room.
    Receipts,
    /// Which users changed their devices. There is one key, the empty one.
    DeviceLists,
    /// Messages to devices, by user.
    ToDevice,
    /// One-time keys and fallback keys, by user.
    KeyCounts,
    /// Memberships, by user.
    Memberships,
}

const TOPICS: usize = 6;

/// What was written since the start.
#[derive(Debug)]
pub(crate) struct Lately([RwLock<Known>; TOPICS]);

#[derive(Debug)]
struct Known {
    /// All that was written after this is in `last`.
    complete_after: Position,
    last: HashMap<Box<str>, Position>,
    /// The last of all of it.
    newest: Position,
}

impl Lately {
    /// Nothing is known of what was written up to `head`.
    pub(super) fn after(head: Position) -> Self {
        Self(std::array::from_fn(|_| RwLock::new(Known { complete_after: head, last: HashMap::new(), newest: head })))
    }

    /// Whether something may have been written after a place in the log. To be asked by those who see the log up to some place,
    /// about everything up to there.
    pub(crate) fn may_have(&self, topic: Topic, key: &str, after: Position) -> bool {
        let known = self.of(topic).read();
        after < known.complete_after || known.last.get(key).is_some_and(|last| *last > after)
    }

    /// Whether something of a topic may have been written after a place in the log, whoever it is about. To be asked as
    /// [`Self::may_have`].
    pub(crate) fn may_have_any(&self, topic: Topic, after: Position) -> bool {
        after < self.of(topic).read().newest
    }

    /// Notes what was written, before anybody sees its place as the end of the log.
    pub(super) fn note(&self, topic: Topic, key: &str, position: Position) {
        let mut known = self.of(topic).write();
        known.newest = position.max(known.newest);
        if let Some(last) = known.last.get_mut(key) {
            *last = position.max(*last);
            return;
        }
        if known.last.len() >= KEYS {
            known.complete_after = position.max(known.complete_after);
            known.last = HashMap::new();
        }
        known.last.insert(key.into(), position);
    }

    fn of(&self, topic: Topic) -> &RwLock<Known> {
        let Self([account_data, receipts, device_lists, to_device, key_counts, memberships]) = self;
        match topic {
            Topic::AccountData => account_data,
            Topic::Receipts => receipts,
            Topic::DeviceLists => device_lists,
            Topic::ToDevice => to_device,
            Topic::KeyCounts => key_counts,
            Topic::Memberships => memberships,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_is_known_and_what_is_not_known_may_have_been() {
        let lately = Lately::after(Position(10));
        assert!(lately.may_have(Topic::Receipts, "!a", Position(9)), "from before the start");
        assert!(!lately.may_have(Topic::Receipts, "!a", Position(10)));
        lately.note(Topic::Receipts, "!a", Position(12));
        assert!(lately.may_have(Topic::Receipts, "!a", Position(11)));
        assert!(!lately.may_have(Topic::Receipts, "!a", Position(12)));
        assert!(!lately.may_have(Topic::Receipts, "!b", Position(10)));
        assert!(!lately.may_have(Topic::ToDevice, "!a", Position(10)));
        assert!(lately.may_have_any(Topic::Receipts, Position(11)));
        assert!(!lately.may_have_any(Topic::Receipts, Position(12)));
        assert!(lately.may_have_any(Topic::ToDevice, Position(9)), "from before the start");
        assert!(!lately.may_have_any(Topic::ToDevice, Position(10)));
    }

    #[test]
    fn at_the_bound_nothing_is_held_to_be_unwritten_that_was_written() {
        let lately = Lately::after(Position(0));
        for place in 1..=3 * i64::try_from(KEYS).unwrap() {
            lately.note(Topic::AccountData, &place.to_string(), Position(place));
            assert!(lately.may_have(Topic::AccountData, &place.to_string(), Position(place - 1)));
            assert!(lately.may_have(Topic::AccountData, "1", Position(0)));
        }
        assert!(lately.of(Topic::AccountData).read().last.len() <= KEYS);
    }
}
