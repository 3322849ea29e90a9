//! A bounded map that forgets what has not been asked for lately.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
};

use parking_lot::Mutex;

/// Two generations: what is asked for moves to the young one; when that is full, it becomes the old one, and what is left of the old
/// one goes, a few values each time one comes, since freeing thousands at once would hold up whoever comes just then.
///
/// Each value weighs something; all that is in memory weighs no more than the capacity, or is one value that is heavier.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    generations: Mutex<Generations<K, V>>,
    half: usize,
    weigh: fn(&K, &V) -> usize,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Nobody finds these any more.
    gone: hash_map::IntoIter<K, V>,
    /// What the young generation weighs.
    weight: usize,
    /// What the old generation weighed when it was young, so no less than it does now.
    old_weight: usize,
    /// What is gone and not dropped yet weighs no more than this.
    gone_weight: usize,
}

/// How many values go at least each time one comes.
const LEAVING: usize = 2;

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// A cache that holds at most `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self::weighed(capacity, |_, _| 1)
    }

    /// A cache that holds at most `capacity` of what `weigh` counts.
    pub(crate) fn weighed(capacity: usize, weigh: fn(&K, &V) -> usize) -> Self {
        let gone = HashMap::new().into_iter();
        let (young, old) = (HashMap::new(), HashMap::new());
        let generations = Generations { young, old, gone, weight: 0, old_weight: 0, gone_weight: 0 };
        Self { generations: Mutex::new(generations), half: (capacity / 2).max(1), weigh }
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut generations = self.generations.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = generations.old.remove_entry(key)?;
        let gone = self.put(&mut generations, key, value.clone());
        // Freed after others may come in.
        drop(generations);
        drop(gone);
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let gone = self.put(&mut self.generations.lock(), key, value);
        drop(gone);
    }

    /// Adds a value, and gives what is to be dropped.
    #[must_use]
    fn put(&self, generations: &mut Generations<K, V>, key: K, value: V) -> Vec<V> {
        let weight = (self.weigh)(&key, &value);
        let mut leaving = Vec::new();
        if generations.weight + weight > self.half && !generations.young.is_empty() {
            let old = std::mem::replace(&mut generations.old, std::mem::take(&mut generations.young));
            leaving.extend(generations.gone.by_ref().map(|(_, value)| value));
            generations.gone = old.into_iter();
            generations.gone_weight = std::mem::replace(&mut generations.old_weight, generations.weight);
            generations.weight = 0;
        }
        leaving.extend(generations.old.remove(&key));
        generations.weight += weight;
        // What is replaced still counts, until the generation is over: that errs on the side of forgetting.
        leaving.extend(generations.young.insert(key, value));
        for left in 0.. {
            if left >= LEAVING && generations.gone_weight + generations.weight <= self.half {
                break;
            }
            let Some((key, value)) = generations.gone.next() else {
                generations.gone_weight = 0;
                break;
            };
            generations.gone_weight = generations.gone_weight.saturating_sub((self.weigh)(&key, &value));
            leaving.push(value);
        }
        leaving
    }

    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut generations = self.generations.lock();
        generations.young.remove(key);
        generations.old.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.young.len() + generations.old.len() + generations.gone.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_its_capacity_and_keeps_what_is_asked_for() {
        let cache = Cache::new(100);
        cache.insert(0, 0);
        for n in 1..10_000 {
            cache.insert(n, n);
            assert_eq!(cache.get(&0), Some(0), "asked for all the time");
            assert!(cache.len() <= 100);
        }
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn what_goes_goes_a_few_at_a_time() {
        let (cache, value) = (Cache::new(1000), std::sync::Arc::new(()));
        let mut before = 0;
        for n in 0..10_000 {
            cache.insert(n, value.clone());
            let held = std::sync::Arc::strong_count(&value) - 1;
            assert!(held <= 1000 && held + 4 > before, "{held} after {before}");
            before = held;
        }
        assert!(before > 490, "the last half of the capacity is there: {before}");
    }

    #[test]
    fn holds_no_more_than_its_capacity_weighs() {
        let cache: Cache<usize, String> = Cache::weighed(1000, |_, text| text.len());
        for n in 0..1000 {
            cache.insert(n, "x".repeat(n % 100));
            let generations = cache.generations.lock();
            let held = generations.young.values().chain(generations.old.values()).map(String::len).sum::<usize>();
            let leaving = generations.gone_weight;
            assert!(held + leaving <= 1000, "{held} and {leaving}");
        }
        cache.insert(0, "x".repeat(5000));
        assert_eq!(cache.get(&0).map(|text| text.len()), Some(5000), "what is asked for at once is there");
    }
}
