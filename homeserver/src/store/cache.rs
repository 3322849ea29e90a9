//! A bounded map that forgets what has not been asked for lately.

use std::{collections::HashMap, hash::Hash};

use parking_lot::Mutex;

/// Two generations: what is asked for moves to the young one; when that is full, the old one is dropped whole.
///
/// Each value weighs something; both generations together hold no more than the capacity, or one value that is heavier.
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
    /// What the young generation weighs.
    weight: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// A cache that holds at most `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self::weighed(capacity, |_, _| 1)
    }

    /// A cache that holds at most `capacity` of what `weigh` counts.
    pub(crate) fn weighed(capacity: usize, weigh: fn(&K, &V) -> usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), weight: 0 };
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
        self.put(&mut generations, key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.put(&mut self.generations.lock(), key, value);
    }

    fn put(&self, generations: &mut Generations<K, V>, key: K, value: V) {
        let weight = (self.weigh)(&key, &value);
        if generations.weight + weight > self.half && !generations.young.is_empty() {
            generations.old = std::mem::take(&mut generations.young);
            generations.weight = 0;
        }
        generations.old.remove(&key);
        generations.weight += weight;
        // What is replaced still counts, until the generation is over: that errs on the side of forgetting.
        generations.young.insert(key, value);
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
        generations.young.len() + generations.old.len()
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
    fn holds_no_more_than_its_capacity_weighs() {
        let cache: Cache<usize, String> = Cache::weighed(1000, |_, text| text.len());
        for n in 0..1000 {
            cache.insert(n, "x".repeat(n % 100));
            let generations = cache.generations.lock();
            let held = generations.young.values().chain(generations.old.values()).map(String::len).sum::<usize>();
            assert!(held <= 1000, "{held}");
        }
        cache.insert(0, "x".repeat(5000));
        assert_eq!(cache.get(&0).map(|text| text.len()), Some(5000), "what is asked for at once is there");
    }
}
