//! The dense index of a room's `(type, state_key)` pairs, in memory.

use std::{collections::HashMap, sync::Arc};

use super::KeyIndex;

/// Numbers pairs from 0, in the order they appear.
#[derive(Debug, Default)]
pub(super) struct KeyTable {
    by_kind: HashMap<Arc<str>, HashMap<Arc<str>, KeyIndex>>,
    pairs: Vec<(Arc<str>, Arc<str>)>,
}

impl KeyTable {
    /// The table as it was stored.
    pub(super) fn from_stored(stored: Vec<(KeyIndex, String, String)>) -> Self {
        let mut table = Self::default();
        for (_, kind, state_key) in stored {
            table.add(&kind, &state_key);
        }
        table
    }

    /// The place of a pair, where it has one.
    pub(super) fn find(&self, kind: &str, state_key: &str) -> Option<KeyIndex> {
        self.by_kind.get(kind)?.get(state_key).copied()
    }

    /// The place that [`KeyTable::add`] would give next.
    pub(super) fn next(&self) -> KeyIndex {
        KeyIndex(u32::try_from(self.pairs.len()).unwrap_or(u32::MAX))
    }

    /// Gives a new pair the next place.
    pub(super) fn add(&mut self, kind: &str, state_key: &str) -> KeyIndex {
        let index = self.next();
        let kind = self.by_kind.get_key_value(kind).map_or_else(|| Arc::from(kind), |(kind, _)| kind.clone());
        let state_key: Arc<str> = state_key.into();
        self.by_kind.entry(kind.clone()).or_default().insert(state_key.clone(), index);
        self.pairs.push((kind, state_key));
        index
    }

    /// The pair at a place.
    pub(super) fn pair(&self, index: KeyIndex) -> Option<(&str, &str)> {
        self.pairs.get(usize::try_from(index.0).ok()?).map(|(kind, state_key)| (&**kind, &**state_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_numbered_in_order_and_found_again() {
        let mut table = KeyTable::default();
        assert_eq!(table.add("m.room.create", ""), KeyIndex(0));
        assert_eq!(table.add("m.room.member", "@a:b"), KeyIndex(1));
        assert_eq!(table.find("m.room.member", "@a:b"), Some(KeyIndex(1)));
        assert_eq!(table.find("m.room.member", ""), None);
        assert_eq!(table.pair(KeyIndex(0)), Some(("m.room.create", "")));
        assert_eq!(table.next(), KeyIndex(2));
    }
}
