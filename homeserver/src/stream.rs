//! One log for everything: every change a client, an appservice or another server may have to hear of has one place in it.
//!
//! A place is a [`Position`]. Positions are given out inside the commit, in commit order, and never go backwards, not even
//! over a restart. Readers are woken after the commit, so whoever sees a position can read everything up to it.
//!
//! What was put into a room's history has a place before the log, which nobody who follows the log ever comes to: a negative one.

mod waiters;

use std::{fmt, num::ParseIntError, str::FromStr, sync::Arc};

use ruma::{OwnedUserId, UserId};
use tokio::sync::watch;

use self::waiters::Wait;
pub(crate) use self::waiters::{Concern, Waiters};
use crate::{
    rooms::{Event, Membership, RoomNid},
    store::{Store, StoreError, Write},
};

/// A place in the log, or in the history of a room. Opaque to clients, who see `s123`, or `h123` of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub i64);

impl Position {
    /// Before everything.
    pub const START: Self = Self(0);
    /// Before everything, and before the histories of rooms.
    pub const FIRST: Self = Self(i64::MIN);
    /// After everything.
    pub const END: Self = Self(i64::MAX);

    /// Whether it is in the history of a room, and not in the log.
    #[must_use]
    pub const fn is_history(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_history() { 'h' } else { 's' }, self.0.unsigned_abs())
    }
}

/// A token that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position in the log")]
pub struct BadPosition;

impl From<ParseIntError> for BadPosition {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(token: &str) -> Result<Self, Self::Err> {
        let (history, digits) = match token.strip_prefix('s') {
            Some(digits) => (false, digits),
            None => (true, token.strip_prefix('h').ok_or(BadPosition)?),
        };
        if digits.starts_with('+') {
            return Err(BadPosition);
        }
        let number: i64 = digits.parse()?;
        if number < 0 || (history && number == 0) {
            return Err(BadPosition);
        }
        Ok(Self(if history { -number } else { number }))
    }
}

/// The log's reading side. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stream {
    store: Store,
}

impl Stream {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Where the log ends now. Everything up to here can be read.
    pub fn position(&self) -> Position {
        self.store.head()
    }

    /// A receiver that is told of each new end of the log.
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.store.subscribe()
    }

    /// Returns as soon as the log is longer than `position`, with its new end; at once where it is so already.
    pub async fn wait_past(&self, position: Position) -> Position {
        let mut head = self.store.subscribe();
        // The guard is let go at once: it must not live over the next await.
        let longer = head.wait_for(|head| *head > position).await.map(|head| *head);
        match longer {
            Ok(head) => head,
            // The store is closing: nothing more will ever come.
            Err(_) => std::future::pending().await,
        }
    }

    /// Begins to wait for what happens in these rooms, or to this user, after `seen`.
    pub(crate) fn wait_for(&self, user: OwnedUserId, rooms: Box<[RoomNid]>, seen: Position) -> Wait {
        self.store.waiters().wait(user, rooms, seen)
    }

    /// The rooms that a user is in.
    ///
    /// # Errors
    /// [`StoreError`] where the database fails.
    pub(crate) async fn rooms_of(&self, user: &UserId) -> Result<Box<[RoomNid]>, StoreError> {
        let memberships = self.store.memberships_of(user).await?;
        Ok(memberships.iter().filter(|room| room.membership == Membership::Join).map(|room| room.room).collect())
    }

    /// Reads room events after `after`, up to and including `up_to`, oldest first, at most `limit`.
    ///
    /// Fewer than `limit` means there are no more. Events that are outliers, rejected or soft-failed are not in the log.
    ///
    /// # Errors
    /// [`StoreError`] where the database fails.
    pub async fn read(&self, after: Position, up_to: Position, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.store.log(after, up_to, limit).await
    }

    /// Commits `write` together with everybody else's and returns its place in the log.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of `write` was written.
    pub async fn write(&self, write: Box<dyn Write>) -> Result<Position, StoreError> {
        self.store.write(write).await
    }

    /// Takes one place in the log for something that is not stored (typing, presence) and wakes the readers.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after shutdown.
    pub async fn tick(&self) -> Result<Position, StoreError> {
        self.store.tick().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_a_round_trip_and_nothing_else_is_one() {
        assert_eq!("s42".parse(), Ok(Position(42)));
        assert_eq!(Position(42).to_string(), "s42");
        assert_eq!("h42".parse(), Ok(Position(-42)));
        assert_eq!(Position(-42).to_string(), "h42");
        for bad in ["", "s", "42", "s-1", "s+1", "s1x", "s99999999999999999999", "t1", "h0", "h-1", "h+1"] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad:?}");
        }
    }
}
