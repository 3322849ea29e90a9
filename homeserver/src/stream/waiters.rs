//! Those who wait for news of certain rooms.
//!
//! A commit wakes whom it concerns and nobody else: with a thousand clients waiting, it would otherwise cost more to tell them all
//! that there is nothing for them than to write what there is.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::oneshot;

use super::Position;
use crate::rooms::RoomNid;

/// Everybody who waits. There are as many as there are requests that wait, each with the rooms of its user.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    all: HashMap<u64, Waiter>,
    by_room: HashMap<RoomNid, HashSet<u64>>,
    by_user: HashMap<OwnedUserId, HashSet<u64>>,
}

#[derive(Debug)]
struct Waiter {
    user: OwnedUserId,
    rooms: Box<[RoomNid]>,
    seen: Position,
    news: oneshot::Sender<Position>,
}

/// One who waits. Dropped, it waits no longer.
#[derive(Debug)]
pub(crate) struct Wait {
    waiters: Arc<Waiters>,
    number: u64,
    news: oneshot::Receiver<Position>,
}

impl Wait {
    /// Returns with the first news of the rooms, or of the user, that were committed after the waiting began: the place in the log
    /// before them, and never one before what was seen. It may be woken by what was seen already.
    pub(crate) async fn news(mut self) -> Position {
        match (&mut self.news).await {
            Ok(before) => before,
            // The store is closing: nothing more will ever come.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        drop(self.waiters.0.lock().take(self.number));
    }
}

/// Whom something in the log concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Concern<'a> {
    /// The members of a room.
    Room(RoomNid),
    /// A user.
    User(&'a UserId),
    /// Anybody, for all that can be told.
    Everyone,
}

impl Waiters {
    /// Begins to wait for what comes after `seen`. Whoever reads the log up to its end after this, and then awaits
    /// [`Wait::news`], misses nothing.
    pub(crate) fn wait(self: &Arc<Self>, user: OwnedUserId, rooms: Box<[RoomNid]>, seen: Position) -> Wait {
        let (news, receiver) = oneshot::channel();
        let mut waiting = self.0.lock();
        waiting.last += 1;
        let number = waiting.last;
        for room in &rooms {
            waiting.by_room.entry(*room).or_default().insert(number);
        }
        waiting.by_user.entry(user.clone()).or_default().insert(number);
        waiting.all.insert(number, Waiter { user, rooms, seen, news });
        drop(waiting);
        Wait { waiters: self.clone(), number, news: receiver }
    }

    /// Wakes those whom something concerns that was committed right after `before`. To be called once the new end of the log is
    /// known to its readers, in the order of the log.
    pub(crate) fn wake<'a>(&self, news: impl Iterator<Item = (Concern<'a>, Position)>) {
        let mut waiting = self.0.lock();
        for (concern, before) in news {
            if waiting.all.is_empty() {
                return;
            }
            let numbers: Vec<u64> = match concern {
                Concern::Room(room) => waiting.by_room.get(&room).into_iter().flatten().copied().collect(),
                Concern::User(user) => waiting.by_user.get(user).into_iter().flatten().copied().collect(),
                Concern::Everyone => waiting.all.keys().copied().collect(),
            };
            for waiter in numbers.into_iter().filter_map(|number| waiting.take(number)) {
                // One that has gone away meanwhile needs no news. One that came after the commit, and before its news were told
                // here, has seen what was committed, and must not be sent back to the place before it.
                let _ = waiter.news.send(before.max(waiter.seen));
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        let waiting = self.0.lock();
        waiting.all.is_empty() && waiting.by_room.is_empty() && waiting.by_user.is_empty()
    }
}

impl Waiting {
    fn take(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.all.remove(&number)?;
        for room in &waiter.rooms {
            if let Some(those) = self.by_room.get_mut(room) {
                those.remove(&number);
                if those.is_empty() {
                    self.by_room.remove(room);
                }
            }
        }
        if let Some(those) = self.by_user.get_mut(&waiter.user) {
            those.remove(&number);
            if those.is_empty() {
                self.by_user.remove(&waiter.user);
            }
        }
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::user_id;

    use super::*;

    #[test]
    fn news_wakes_those_whom_it_concerns_and_nobody_else() {
        let (alice, bob) = (user_id!("@alice:b.example"), user_id!("@bob:b.example"));
        let (waiters, seen) = (Arc::<Waiters>::default(), Position(6));
        let in_one = waiters.wait(alice.to_owned(), [RoomNid(1)].into(), seen);
        let in_both = waiters.wait(bob.to_owned(), [RoomNid(1), RoomNid(2)].into(), seen);
        let gone = waiters.wait(bob.to_owned(), [RoomNid(2)].into(), seen);
        drop(gone);

        let news = [(Concern::Room(RoomNid(2)), Position(6)), (Concern::Room(RoomNid(2)), Position(7))];
        waiters.wake(news.into_iter());
        assert_eq!(in_both.news().now_or_never(), Some(Position(6)), "the place before the first news");
        waiters.wake([(Concern::User(bob), Position(8))].into_iter());
        let mut waiting = Box::pin(in_one.news());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        waiters.wake([(Concern::User(alice), Position(9))].into_iter());
        assert_eq!(waiting.now_or_never(), Some(Position(9)));

        let anyone = waiters.wait(alice.to_owned(), [].into(), seen);
        waiters.wake([(Concern::Everyone, Position(10))].into_iter());
        assert_eq!(anyone.news().now_or_never(), Some(Position(10)));
        assert!(waiters.is_empty());
    }
    #[test]
    fn news_that_are_told_late_send_nobody_back_to_what_they_have_seen() {
        let alice = user_id!("@alice:b.example");
        let waiters = Arc::<Waiters>::default();
        // The log ends at 7, and alice has read to its end, before the waiters are told of its last event.
        let wait = waiters.wait(alice.to_owned(), [RoomNid(1)].into(), Position(7));
        waiters.wake([(Concern::Room(RoomNid(1)), Position(6))].into_iter());
        assert_eq!(wait.news().now_or_never(), Some(Position(7)));
    }
}
