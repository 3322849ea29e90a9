//! Requests that take effect in order, without one waiting for the other's answer.
//!
//! Who sends two requests over HTTP and wants them to take effect in order waits for the answer to the first, and so for its
//! commit. Within one process there is a shorter way: each request brings a [`Turn`] in its extensions, and a handler that knows
//! turns waits until the one before it has taken effect, which is long before that is durable. When the one before fails, those
//! behind it fail too, so that nothing overtakes it when it is tried again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Gives out turns, in order.
#[derive(Debug, Default)]
pub struct Turns {
    last: Option<oneshot::Receiver<()>>,
    broken: Arc<AtomicBool>,
}

/// A request's place among others. Travels in its extensions; dropped, with all its clones, before [`Turn::taken`], it fails all turns
/// behind it.
#[derive(Clone, Debug)]
pub struct Turn {
    places: Arc<Mutex<Places>>,
    broken: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Places {
    before: Option<oneshot::Receiver<()>>,
    behind: Option<oneshot::Sender<()>>,
}

/// What stood before this turn failed, so that it never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request before this one failed")]
pub struct OutOfTurn;

impl Turns {
    /// The turn behind all that were given out so far.
    #[must_use]
    pub fn next_turn(&mut self) -> Turn {
        let (behind, last) = oneshot::channel();
        let before = self.last.replace(last);
        let places = Arc::new(Mutex::new(Places { before, behind: Some(behind) }));
        Turn { places, broken: self.broken.clone() }
    }
}

impl Turn {
    /// Waits until all turns before this one were taken.
    ///
    /// # Errors
    /// [`OutOfTurn`] when one of them was given up.
    pub async fn comes(&self) -> Result<(), OutOfTurn> {
        let before = self.places.lock().before.take();
        if let Some(before) = before {
            before.await.map_err(|_| OutOfTurn)?;
        }
        self.stands()
    }

    /// Whether the order still holds.
    ///
    /// # Errors
    /// [`OutOfTurn`] when a request before or behind this one failed after its turn was taken.
    pub fn stands(&self) -> Result<(), OutOfTurn> {
        if self.broken.load(Ordering::Acquire) { Err(OutOfTurn) } else { Ok(()) }
    }

    /// The request failed after its turn was taken: all that did not take theirs yet fail.
    pub fn failed(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// The request has its place in the order: the next turn comes.
    pub fn taken(&self) {
        if let Some(behind) = self.places.lock().behind.take() {
            // Nobody may stand behind it.
            let _ = behind.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn turns_come_in_order() {
        let mut turns = Turns::default();
        let (first, second, third) = (turns.next_turn(), turns.next_turn(), turns.next_turn());
        assert_eq!(first.comes().await, Ok(()));
        let mut coming = Box::pin(second.comes());
        assert!(tokio::time::timeout(Duration::ZERO, &mut coming).await.is_err(), "the first is not over");
        first.clone().taken();
        assert_eq!(coming.await, Ok(()));
        second.taken();
        assert_eq!(third.comes().await, Ok(()));
    }

    #[tokio::test]
    async fn one_that_is_given_up_fails_those_behind_it() {
        let mut turns = Turns::default();
        let (first, second, third) = (turns.next_turn(), turns.next_turn(), turns.next_turn());
        let clone = first.clone();
        drop(first);
        drop(clone);
        assert_eq!(second.comes().await, Err(OutOfTurn));
        drop(second);
        assert_eq!(third.comes().await, Err(OutOfTurn));
    }

    #[tokio::test]
    async fn one_that_fails_later_fails_those_that_are_still_to_come() {
        let mut turns = Turns::default();
        let (first, second) = (turns.next_turn(), turns.next_turn());
        first.taken();
        first.failed();
        assert_eq!(second.comes().await, Err(OutOfTurn));
        assert_eq!(Turns::default().next_turn().comes().await, Ok(()), "others have an order of their own");
    }
}
