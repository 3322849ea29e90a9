//! What is worth nothing once something newer is known: a bounded table in which the latest wins.

use std::{collections::HashMap, hash::Hash, time::Duration};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many are worked on at the same time.
const AT_ONCE: usize = 16;
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(10);

/// What waits to be passed on, by what it is about. At the bound, what is about something else is left out.
#[derive(Debug)]
pub(crate) struct Latest<K, V> {
    waiting: Mutex<HashMap<K, V>>,
    bell: Notify,
    most: usize,
}

impl<K: Eq + Hash, V> Latest<K, V> {
    /// Holds at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), bell: Notify::new(), most }
    }

    /// Puts in what is known now, in place of what was known before. Never waits.
    pub(crate) fn put(&self, key: K, value: V) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < self.most || waiting.contains_key(&key) {
            waiting.insert(key, value);
            self.bell.notify_one();
        }
    }

    /// Passes everything on, for ever: several at a time, but never two about the same. What takes too long is broken off.
    pub(crate) async fn pass_on<F: Future<Output = ()> + Send>(&self, pass: impl Fn(K, V) -> F) {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            if waiting.is_empty() {
                self.bell.notified().await;
                continue;
            }
            stream::iter(waiting)
                .for_each_concurrent(AT_ONCE, |(key, value)| {
                    let passed = tokio::time::timeout(LONGEST, pass(key, value));
                    async move {
                        if passed.await.is_err() {
                            tracing::debug!("something ephemeral took too long");
                        }
                    }
                })
                .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_wins_and_the_table_is_bounded() {
        let latest = Latest::new(2);
        for (key, value) in [("a", 1), ("b", 1), ("c", 1), ("a", 2)] {
            latest.put(key, value);
        }
        let passed = Mutex::new(Vec::new());
        let passing = latest.pass_on(|key, value| {
            passed.lock().push((key, value));
            async {}
        });
        assert!(tokio::time::timeout(Duration::from_millis(10), passing).await.is_err(), "it goes on for ever");
        let mut passed = passed.into_inner();
        passed.sort_unstable();
        assert_eq!(passed, [("a", 2), ("b", 1)]);
    }
}
