//! What was read of a room in its present state, kept until the state changes: with ten thousand members it takes long to count them,
//! and every first sync asks.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use ruma::OwnedUserId;

use super::RoomInfo;
use crate::rooms::{KeyIndex, Membership, Root};

/// How many pairs of type and state key are remembered that a room does not have.
const ABSENT: usize = 64;

/// What is known of one state of a room.
///
/// Memberships, places of keys and the state itself change in one commit, and the root is the last to change in memory. So what was
/// read while a root stood is of that state, or of a later one that will change the root at once. History brings keys that no present
/// state has: so how often there were new keys counts, too.
#[derive(Debug, Default)]
pub(super) struct Digest {
    stand: Stand,
    /// How many are joined, and how many invited.
    pub(super) counts: Option<(u64, u64)>,
    /// The first of those who stand to the room in one of two ways, by the first way; and how many were asked for.
    pub(super) first: Vec<(Membership, usize, Arc<[OwnedUserId]>)>,
    /// The places of all pairs but those of members.
    pub(super) but_members: Option<Arc<[KeyIndex]>>,
    /// Pairs that the room does not have, as [`super::keys`] names them.
    absent: HashSet<String>,
}

/// The root of a room's state, and how often the room got new keys.
pub(super) type Stand = (Root, u64);

impl Digest {
    pub(super) fn lacks(&self, name: &str) -> Option<()> {
        self.absent.contains(name).then_some(())
    }

    pub(super) fn note_absent(&mut self, name: String) {
        if self.absent.len() < ABSENT {
            self.absent.insert(name);
        }
    }
}

impl RoomInfo {
    fn stand(&self) -> Stand {
        (self.root(), self.new_keys.load(Ordering::Acquire))
    }

    /// What `get` finds in the digest of the present state, and that state.
    pub(super) fn known<T>(&self, get: impl FnOnce(&Digest) -> Option<T>) -> (Stand, Option<T>) {
        let stand = self.stand();
        let digest = self.digest.lock();
        (stand, if digest.stand == stand { get(&digest) } else { None })
    }

    /// Adds to the digest what was read while the room stood at `stand`, if it still does.
    pub(super) fn learn(&self, stand: Stand, set: impl FnOnce(&mut Digest)) {
        let mut digest = self.digest.lock();
        if self.stand() != stand {
            return;
        }
        if digest.stand != stand {
            *digest = Digest { stand, ..Digest::default() };
        }
        set(&mut digest);
    }

    /// The room got new keys.
    pub(super) fn has_new_keys(&self) {
        self.new_keys.fetch_add(1, Ordering::AcqRel);
    }
}
