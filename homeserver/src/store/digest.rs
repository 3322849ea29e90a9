//! What was read of a room in its present state, kept until the state changes: with ten thousand members it takes long to count them,
//! and every first sync asks.

use std::{collections::HashSet, sync::Arc};

use ruma::OwnedUserId;

use super::RoomInfo;
use crate::rooms::{KeyIndex, Membership, Root};

/// How many pairs of type and state key are remembered that a room does not have.
const ABSENT: usize = 64;

/// What is known of one state of a room.
///
/// Memberships, places of keys and the state itself change in one commit, and the root is the last to change in memory. So what was
/// read while a root stood is of that state, or of a later one that will change the root at once.
#[derive(Debug, Default)]
pub(super) struct Digest {
    root: Root,
    /// How many are joined, and how many invited.
    pub(super) counts: Option<(u64, u64)>,
    /// The first of those who stand to the room in one of two ways, by the first way; and how many were asked for.
    pub(super) first: Vec<(Membership, usize, Arc<[OwnedUserId]>)>,
    /// The places of all pairs but those of members.
    pub(super) but_members: Option<Arc<[KeyIndex]>>,
    /// Pairs that the room does not have, as [`super::keys`] names them.
    absent: HashSet<String>,
}

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
    /// What `get` finds in the digest of the present state, and that state.
    pub(super) fn known<T>(&self, get: impl FnOnce(&Digest) -> Option<T>) -> (Root, Option<T>) {
        let root = self.root();
        let digest = self.digest.lock();
        (root, if digest.root == root { get(&digest) } else { None })
    }

    /// Adds to the digest what was read while the room stood at `root`, if it still does.
    pub(super) fn learn(&self, root: Root, set: impl FnOnce(&mut Digest)) {
        let mut digest = self.digest.lock();
        if self.root() != root {
            return;
        }
        if digest.root != root {
            *digest = Digest { root, ..Digest::default() };
        }
        set(&mut digest);
    }
}
