//! The numbers of transactions: finds the one that was overtaken, and has it sent.
//!
//! Synapse numbers its transactions one by one, and can leave one behind: made while a catch-up ends, it is sent neither by the
//! catch-up nor by what follows, and waits in the database until the application service fails the next time: for days, on a
//! bridge that never fails. Its number is missing, and that shows. A bridge that answers 503 to the transaction behind the hole
//! makes Synapse catch up from the oldest, so that the one left behind comes first and everything is in order.
//!
//! Holes are natural where several application services share one count, and homeservers may name transactions as they like. So
//! an answer of 503 that brought nothing is followed by a longer and longer peace.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{bridge::homeserver::Homeserver, clock::Millis};

/// A hole wider than this is no transaction left behind, but another way to count.
const WIDEST: u64 = 64;
/// The peace after the first request that brought nothing; each further one doubles it, up to the longest.
const FIRST_PEACE: Duration = Duration::from_secs(30);
const LONGEST_PEACE: Duration = Duration::from_hours(1);
/// When the homeserver is asked to ping us, which ends its waiting: it may need a moment to notice that it was refused.
const PINGS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(750)];

/// Which numbers came, and which are missed.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    state: Mutex<State>,
    /// Told when a transaction was refused.
    pub(crate) refused: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// The highest number that came.
    last: Option<u64>,
    /// The lowest number that is missed.
    missed: Option<u64>,
    /// The transaction that was refused so that the missed one may come.
    refused: Option<u64>,
    /// The peace to keep, and its end.
    peace: Duration,
    quiet_until: Millis,
}

impl Numbers {
    /// Goes on where an earlier life was.
    pub(crate) fn resume(last: Option<i64>) -> Self {
        let last = last.and_then(|last| u64::try_from(last).ok());
        Self { state: Mutex::new(State { last, ..State::default() }), refused: Arc::default() }
    }

    /// Whether the transaction may be taken; otherwise the number that must come before it.
    pub(crate) fn look(&self, txn_id: &str, now: Millis) -> Result<(), u64> {
        let Some(number) = number(txn_id) else { return Ok(()) };
        let verdict = self.state.lock().look(number, now);
        if verdict.is_err() {
            self.refused.notify_one();
        }
        verdict
    }
}

/// The number that a transaction's id is, where it is one that can be stored.
pub(crate) fn number(txn_id: &str) -> Option<u64> {
    let plain = !txn_id.is_empty() && txn_id.len() <= 18 && txn_id.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| txn_id.parse().ok()).flatten()
}

impl State {
    fn look(&mut self, number: u64, now: Millis) -> Result<(), u64> {
        if let Some(refused) = self.refused {
            self.answered(number, refused, now);
            return Ok(());
        }
        let last = self.last.unwrap_or(number);
        if (1..=WIDEST).contains(&number.saturating_sub(last).saturating_sub(1)) {
            self.missed.get_or_insert(last + 1);
        }
        match self.missed {
            Some(missed) if number > missed && now >= self.quiet_until => {
                self.refused = Some(number);
                Err(missed)
            }
            _ => {
                self.take(number);
                Ok(())
            }
        }
    }

    /// What came after a transaction was refused: one that was missed, or the refused one again without it. An older one that is
    /// repeated says nothing.
    fn answered(&mut self, number: u64, refused: u64, now: Millis) {
        let missed = self.missed.unwrap_or(refused);
        if number >= refused {
            self.peace = (self.peace * 2).clamp(FIRST_PEACE, LONGEST_PEACE);
        } else if number >= missed {
            self.peace = Duration::ZERO;
        } else {
            return;
        }
        (self.missed, self.refused, self.quiet_until) = (None, None, now + self.peace);
        self.last = self.last.max(Some(number));
    }

    fn take(&mut self, number: u64) {
        // Far below, the count has started anew.
        let anew = self.last.is_some_and(|last| last.saturating_sub(number) > WIDEST);
        self.last = if anew { Some(number) } else { self.last.max(Some(number)) };
    }
}

/// Ends the homeserver's waiting after it was refused, which could otherwise take it some seconds.
pub(crate) async fn hurry(refused: Arc<Notify>, homeserver: Arc<dyn Homeserver>) {
    loop {
        refused.notified().await;
        for wait in PINGS {
            tokio::time::sleep(wait).await;
            if let Err(error) = homeserver.ping("landbridge").await {
                tracing::debug!(%error, "the homeserver could not be asked to go on");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn after(numbers: &Numbers, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            assert_eq!(numbers.look(&id.to_string(), NOW), Ok(()), "{id}");
        }
    }

    #[test]
    fn who_was_overtaken_comes_first_and_everything_goes_on() {
        let numbers = Numbers::default();
        after(&numbers, 266..=268);
        assert_eq!(numbers.look("270", NOW), Err(269), "269 was left behind");
        after(&numbers, 269..=280);
        assert_eq!(numbers.look("282", NOW), Err(281), "once more, at once: it helped the last time");
        after(&numbers, 281..=300);
    }

    #[test]
    fn a_hole_is_found_after_a_restart_too() {
        let numbers = Numbers::resume(Some(268));
        assert_eq!(numbers.look("270", NOW), Err(269));
    }

    #[test]
    fn where_holes_are_natural_they_are_asked_about_seldom() {
        let numbers = Numbers::default();
        let mut refusals = Vec::new();
        for n in 0..100_000_u64 {
            // Two application services share one count; a transaction a second for a day and a bit.
            let now = NOW + Duration::from_secs(n);
            if numbers.look(&(2 * n).to_string(), now).is_err() {
                refusals.push(n);
                assert_eq!(numbers.look(&(2 * n).to_string(), now), Ok(()), "the second time it is taken");
            }
        }
        assert!(refusals.len() < 40, "{refusals:?}");
        assert!(refusals.is_sorted_by(|a, b| b - a >= 30), "{refusals:?}");
    }

    #[test]
    fn one_that_is_missed_in_times_of_peace_is_asked_for_later() {
        let numbers = Numbers::default();
        after(&numbers, [1]);
        assert_eq!(numbers.look("3", NOW), Err(2));
        after(&numbers, [3, 4, 6, 7]);
        let later = NOW + FIRST_PEACE;
        assert_eq!(numbers.look("8", later), Err(5));
        assert_eq!(numbers.look("5", later), Ok(()));
        assert_eq!(numbers.look("8", later), Ok(()));
    }

    #[test]
    fn other_ways_to_count_are_left_alone() {
        let numbers = Numbers::default();
        for id in ["1763730000000", "1763730009000", "abc", "", "99999999999999999999999", "1", "2", "0", "1", "1"] {
            assert_eq!(numbers.look(id, NOW), Ok(()), "{id}");
        }
        let numbers = Numbers::default();
        after(&numbers, (1..=500).chain(1..=20));
        assert_eq!(numbers.look("22", NOW), Err(21), "the count has started anew");
    }
}
