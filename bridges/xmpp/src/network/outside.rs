//! That the listener was put out of a room, and when it may come back. Whoever was banned is refused by the room itself for as long as
//! that holds; from whoever was kicked, the room would take a new join at once, so we wait ourselves.

use std::time::Duration;

use tokio::time::Instant;

use crate::muc::Why;

/// How long the listener stays away that was kicked for the first time; each time after, twice as long.
const FIRST: Duration = Duration::from_mins(5);
/// The longest that it stays away; after as long a time in which it was not kicked again, all is forgotten.
const LONGEST: Duration = Duration::from_hours(24);
/// How often it tries by itself whether a room that keeps it out lets it in again: nobody in the room hears of that.
const ASKS: Duration = Duration::from_hours(1);

/// How the listener is kept out of a room, if it is.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// How often it was kicked, not long after each other.
    kicks: u32,
    /// Until when it stays away, whoever wants it back: it was kicked.
    away: Option<Instant>,
    /// When it looks by itself whether it is let in again.
    asks: Option<Instant>,
}

impl Outside {
    /// It was put out at `now`; how long it stays away, where that is not for the room to say.
    pub(super) fn put_out(&mut self, why: Why, now: Instant) -> Option<Duration> {
        match why {
            Why::Kicked => {
                let is_forgotten = self.away.is_none_or(|until| now.saturating_duration_since(until) >= LONGEST);
                self.kicks = if is_forgotten { 1 } else { self.kicks.saturating_add(1) };
                let wait = FIRST.saturating_mul(1 << (self.kicks - 1).min(16)).min(LONGEST);
                (self.away, self.asks) = (Some(now + wait), None);
                Some(wait)
            }
            Why::Banned | Why::NotAllowed | Why::Destroyed => {
                self.asks = Some(now + ASKS);
                None
            }
            Why::Left | Why::Technical => None,
        }
    }

    /// How much longer it stays away, whoever wants it back.
    pub(super) fn stays_away(&self, now: Instant) -> Option<Duration> {
        self.away.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Whether it may try by itself to come back.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.stays_away(now).is_none() && self.asks.is_none_or(|from| now >= from)
    }

    /// The room still kept it out when it tried at `now`.
    pub(super) fn still_kept_out(&mut self, now: Instant) {
        if self.asks.is_some() {
            self.asks = Some(now + ASKS);
        }
    }

    /// It is in again.
    pub(super) fn came_in(&mut self) {
        self.asks = None;
    }

    /// Whoever may say so wants it back: whatever was, it may try.
    pub(super) fn is_called_back(&mut self, now: Instant) {
        self.asks = None;
        self.away = self.away.map(|until| until.min(now));
    }
}

/// A time to wait, as people say it.
pub(super) fn in_words(wait: Duration) -> String {
    match wait.as_secs().div_ceil(60) {
        0 | 1 => "a minute".to_owned(),
        minutes @ 2..=119 => format!("{minutes} minutes"),
        minutes => format!("{} hours", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_kicked_again_and_again_stays_away_longer_each_time() {
        let (mut outside, mut now) = (Outside::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..11 {
            let wait = outside.put_out(Why::Kicked, now).unwrap();
            assert_eq!((outside.stays_away(now), outside.may_try(now)), (Some(wait), false));
            now += wait;
            assert_eq!((outside.stays_away(now), outside.may_try(now)), (None, true));
            outside.came_in();
            waits.push(wait.as_secs() / 60);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
        assert_eq!(outside.put_out(Why::Kicked, now + LONGEST), Some(FIRST), "a day in peace");
    }

    #[test]
    fn who_is_kept_out_by_the_room_looks_now_and_then_and_whoever_asks_is_answered_by_the_room() {
        for why in [Why::Banned, Why::NotAllowed, Why::Destroyed] {
            let (mut outside, now) = (Outside::default(), Instant::now());
            assert_eq!(outside.put_out(why, now), None);
            assert_eq!((outside.stays_away(now), outside.may_try(now)), (None, false), "{why:?}");
            assert!(outside.may_try(now + ASKS));
            outside.still_kept_out(now + ASKS);
            assert!(!outside.may_try(now + ASKS));
            outside.came_in();
            assert!(outside.may_try(now + ASKS));
        }
    }

    #[test]
    fn who_is_called_back_need_not_wait_and_a_fault_of_the_service_means_nothing() {
        let (mut outside, now) = (Outside::default(), Instant::now());
        for why in [Why::Technical, Why::Left] {
            assert_eq!((outside.put_out(why, now), outside.may_try(now)), (None, true));
        }
        for why in [Why::Kicked, Why::Banned] {
            outside.put_out(why, now);
            outside.is_called_back(now);
            assert!(outside.may_try(now));
        }
        // Being called back is no pardon: who is kicked again stays away longer.
        assert_eq!(outside.put_out(Why::Kicked, now), Some(2 * FIRST));
    }
}
