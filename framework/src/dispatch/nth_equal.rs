//! Networks that give messages no names: the n-th equal line of each session is one line.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{clock::Millis, network::SessionId};

/// How many hearings are remembered; at the bound, the oldest are forgotten, and a session that hears one of those very late
/// doubles it.
const MAX_HEARINGS: usize = 100_000;

/// A line, by a hash of what it says, where, and by whom.
pub(super) type Line = [u8; 16];

/// Which lines were heard lately, and by which sessions.
#[derive(Debug, Default)]
pub(super) struct NthEqual {
    lines: HashMap<Line, VecDeque<Hearing>>,
    /// Every hearing, oldest first, to forget them in that order.
    order: VecDeque<(Line, Millis)>,
}

#[derive(Debug)]
struct Hearing {
    at: Millis,
    window: Duration,
    sessions: Vec<SessionId>,
}

impl NthEqual {
    /// Whether this is the first time that this hearing of a line is heard of: each session hears the line as often as it was said,
    /// so the n-th hearing of one session is the n-th hearing of every other.
    pub(super) fn is_new(&mut self, line: Line, session: &SessionId, now: Millis, window: Duration) -> bool {
        self.forget(now);
        let hearings = self.lines.entry(line).or_default();
        for hearing in &mut *hearings {
            if now.since(hearing.at) <= hearing.window && !hearing.sessions.contains(session) {
                hearing.sessions.push(session.clone());
                return false;
            }
        }
        hearings.push_back(Hearing { at: now, window, sessions: vec![session.clone()] });
        self.order.push_back((line, now));
        true
    }

    /// Forgets what is too old to be heard again.
    fn forget(&mut self, now: Millis) {
        while let Some((line, at)) = self.order.front() {
            let hearings = self.lines.get_mut(line);
            let window =
                hearings.as_ref().and_then(|hearings| hearings.front()).map_or(Duration::ZERO, |first| first.window);
            if now.since(*at) <= window && self.order.len() < MAX_HEARINGS {
                return;
            }
            if let Some(hearings) = hearings {
                hearings.pop_front();
                if hearings.is_empty() {
                    self.lines.remove(line);
                }
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::UserId;

    use super::*;

    fn session(number: usize) -> SessionId {
        SessionId::User(UserId::parse(format!("@u{number}:test")).unwrap())
    }

    proptest! {
        /// Whatever a room says, and however the hearings of its sessions interleave, each line counts once.
        #[test]
        fn each_line_counts_once(
            said in prop::collection::vec(0_u8..3, 1..40),
            sessions in 1_usize..5,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut heard = vec![0; sessions];
            let mut dedupe = NthEqual::default();
            let mut new = Vec::new();
            let mut picks = picks.into_iter().cycle();
            while heard.iter().any(|count| *count < said.len()) {
                let behind: Vec<usize> = (0..sessions).filter(|s| heard[*s] < said.len()).collect();
                let who = *picks.next().unwrap().get(&behind);
                let line = said[heard[who]];
                heard[who] += 1;
                if dedupe.is_new([line; 16], &session(who), Millis(1000), Duration::from_secs(5)) {
                    new.push(line);
                }
            }
            let (mut new, mut said) = (new, said);
            new.sort_unstable();
            said.sort_unstable();
            prop_assert_eq!(new, said);
        }
    }

    #[test]
    fn the_same_line_later_is_another() {
        let mut dedupe = NthEqual::default();
        let window = Duration::from_secs(5);
        assert!(dedupe.is_new([1; 16], &session(1), Millis(0), window));
        assert!(!dedupe.is_new([1; 16], &session(2), Millis(4000), window));
        assert!(dedupe.is_new([1; 16], &session(2), Millis(6000), window));
        assert_eq!(dedupe.order.len(), 1, "what cannot be heard again is forgotten");
    }
}
