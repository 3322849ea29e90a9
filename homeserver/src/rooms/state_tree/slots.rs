//! The slots of a node.

use super::FANOUT;

/// Up to 64 values, each at a slot: a bit for each slot that is taken, and the values in the order of their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slots<T> {
    taken: u64,
    values: Box<[T]>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { taken: 0, values: Box::default() }
    }
}

impl<T: Copy> Slots<T> {
    /// The slots whose bits are set, each with what `read` gives for it, in order. `None` where `read` gives that.
    pub(super) fn read(taken: u64, mut read: impl FnMut() -> Option<T>) -> Option<Self> {
        let values = (0..taken.count_ones()).map(|_| read()).collect::<Option<_>>()?;
        Some(Self { taken, values })
    }

    /// A bit for each slot that is taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The values, in the order of their slots.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    pub(super) fn get(&self, slot: u8) -> Option<T> {
        let bit = bit(slot);
        (self.taken & bit != 0).then(|| self.values.get(self.before(bit)).copied()).flatten()
    }

    /// The same slots, but for one that is set (`Some`) or freed (`None`).
    pub(super) fn with(&self, slot: u8, value: Option<T>) -> Self {
        let (bit, place) = (bit(slot), self.before(bit(slot)));
        let (before, rest) = self.values.split_at(place);
        let after = if self.taken & bit == 0 { rest } else { rest.get(1..).unwrap_or_default() };
        let mut values = Vec::with_capacity(before.len() + after.len() + 1);
        values.extend_from_slice(before);
        values.extend(value);
        values.extend_from_slice(after);
        let taken = if value.is_some() { self.taken | bit } else { self.taken & !bit };
        Self { taken, values: values.into_boxed_slice() }
    }

    /// How many slots are taken before the one of this bit.
    fn before(&self, bit: u64) -> usize {
        usize::try_from((self.taken & (bit - 1)).count_ones()).unwrap_or(FANOUT)
    }
}

fn bit(slot: u8) -> u64 {
    1 << (slot & 63)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_are_as_a_map(changes in prop::collection::vec((0..64u8, any::<Option<i32>>()), 0..200)) {
            let (mut slots, mut map) = (Slots::default(), BTreeMap::new());
            for (slot, value) in changes {
                slots = slots.with(slot, value);
                match value {
                    Some(value) => map.insert(slot, value),
                    None => map.remove(&slot),
                };
                prop_assert!((0..64).all(|slot| slots.get(slot) == map.get(&slot).copied()));
                prop_assert!(slots.values().iter().eq(map.values()));
            }
        }
    }
}
