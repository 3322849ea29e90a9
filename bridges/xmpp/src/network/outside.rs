//! That the listener was put out of a room, and when it may come back. Whoever was banned is refused by the room itself for as long as
//! that holds; from whoever was kicked, the room would take a new join at once, so we wait ourselves.

use std::time::Duration;

use landbridge::Millis;
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

    /// What is noted of it for later lives of the bridge, when the clock shows `clock`: how often it was kicked, and until when it stays
    /// away. Empty where it was not.
    pub(super) fn noted(&self, now: Instant, clock: Millis) -> String {
        let Some(until) = self.away else { return String::new() };
        let ahead = (clock + until.saturating_duration_since(now)).0;
        let behind = (clock + now.saturating_duration_since(until)).0.saturating_sub(clock.0);
        format!("{} {}", self.kicks, ahead.saturating_sub(behind))
    }

    /// Takes up what an earlier life noted, unless more is known by now. However clocks were set, it stays away no longer than ever.
    pub(super) fn recall(&mut self, noted: &str, now: Instant, clock: Millis) {
        let read = noted.split_once(' ').and_then(|(kicks, until)| Some((kicks.parse().ok()?, until.parse().ok()?)));
        let (Some((kicks, until)), None) = (read, self.away) else { return };
        let until = Millis(until);
        let away = now.checked_sub(clock.since(until)).and_then(|at| at.checked_add(until.since(clock).min(LONGEST)));
        // What lies before everything that the machine can tell is forgotten.
        if away.is_some() {
            (self.kicks, self.away) = (kicks, away);
        }
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
    fn what_was_noted_of_a_kick_holds_in_the_next_life() {
        let (mut outside, now, clock) = (Outside::default(), Instant::now(), Millis(1_767_268_800_000));
        assert_eq!(outside.noted(now, clock), "");
        outside.put_out(Why::Kicked, now);
        outside.put_out(Why::Kicked, now);
        let noted = outside.noted(now, clock);
        let later = |after: Duration| {
            let mut next = Outside::default();
            next.recall(&noted, now, clock + after);
            next
        };
        let minutes = Duration::from_mins;
        assert_eq!(later(minutes(1)).stays_away(now), Some(minutes(9)));
        assert_eq!(later(minutes(11)).stays_away(now), None);
        assert_eq!(later(minutes(1)).put_out(Why::Kicked, now), Some(minutes(20)), "the third time");
        // Who was called back is noted as that.
        outside.is_called_back(now);
        let mut next = Outside::default();
        next.recall(&outside.noted(now, clock), now, clock);
        assert_eq!((next.stays_away(now), next.put_out(Why::Kicked, now)), (None, Some(minutes(20))));
        // Clocks are set, and notes are read that nobody wrote.
        let mut next = Outside::default();
        next.recall(&noted, now, Millis(0));
        assert_eq!(next.stays_away(now), Some(LONGEST));
        for odd in ["", "2", "x y", "2 99999999999999999999", "-1 5"] {
            let mut next = Outside::default();
            next.recall(odd, now, clock);
            assert_eq!(next.stays_away(now), None, "{odd}");
        }
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
