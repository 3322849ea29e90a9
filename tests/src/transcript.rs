//! What somebody saw, in order, and waiting for a certain thing in it.

use std::{fmt::Debug, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

/// How long an expectation waits. Far longer than anything takes on a busy two-core machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A growing list of things seen. Clones share it.
#[derive(Debug)]
pub struct Transcript<T> {
    who: Arc<str>,
    seen: Arc<Mutex<Vec<Seen<T>>>>,
    length: watch::Sender<usize>,
}

#[derive(Debug)]
struct Seen<T> {
    what: T,
    expected: bool,
}

impl<T> Clone for Transcript<T> {
    fn clone(&self) -> Self {
        Self { who: self.who.clone(), seen: self.seen.clone(), length: self.length.clone() }
    }
}

impl<T: Clone + Debug> Transcript<T> {
    /// An empty transcript of `who`.
    pub fn new(who: &str) -> Self {
        Self { who: who.into(), seen: Arc::default(), length: watch::Sender::new(0) }
    }

    /// Adds what was seen last.
    pub fn push(&self, what: T) {
        let mut seen = self.seen.lock();
        seen.push(Seen { what, expected: false });
        self.length.send_replace(seen.len());
    }

    /// Everything so far for which `wanted` gives something.
    pub fn all<R>(&self, wanted: impl Fn(&T) -> Option<R>) -> Vec<R> {
        self.seen.lock().iter().filter_map(|seen| wanted(&seen.what)).collect()
    }

    /// Waits for something that fits and was not waited for before; `what` says it in words for the failure.
    pub async fn expect(&self, what: &str, fits: impl Fn(&T) -> bool) -> T {
        let mut length = self.length.subscribe();
        let found = async {
            loop {
                length.borrow_and_update();
                if let Some(found) = self.take(&fits) {
                    return found;
                }
                length.changed().await.expect("the transcript itself holds the sender");
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("{} waited for {what}; seen instead:\n{}", self.who, self.tail()),
        }
    }

    /// Takes the oldest fitting thing that no expectation has had.
    fn take(&self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let mut seen = self.seen.lock();
        let found = seen.iter_mut().find(|seen| !seen.expected && fits(&seen.what))?;
        found.expected = true;
        Some(found.what.clone())
    }

    fn tail(&self) -> String {
        let seen = self.seen.lock();
        let skipped = seen.len().saturating_sub(60);
        let lines = seen.iter().skip(skipped);
        let lines = lines.map(|seen| format!("  {}{:?}", if seen.expected { "✓ " } else { "  " }, seen.what));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Asks again and again until the answer is there, for the state of servers that tell nobody when it changes.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("waited for {what}"))
}
