//! Which nick to try next.

use crate::numerics::NickProblem;

/// Lengths that servers allow, longest first: what a nick is cut to when the server finds it erroneous.
const LENGTHS: [usize; 8] = [64, 40, 31, 30, 20, 16, 15, 9];

/// Attempts before we give up.
const MAX_ATTEMPTS: u32 = 40;

/// The nicks tried while registering, one after the other.
#[derive(Debug)]
pub(super) struct Ladder {
    base: String,
    current: String,
    max_len: usize,
    taken: u32,
    attempts: u32,
}

impl Ladder {
    /// Begins with the wanted nick, cut to the length the network is known to take.
    pub(super) fn new(wanted: &str, max_len: Option<usize>) -> Self {
        let max_len = max_len.unwrap_or(usize::MAX);
        let mut ladder = Self { base: wanted.to_owned(), current: String::new(), max_len, taken: 0, attempts: 0 };
        ladder.build();
        ladder
    }

    /// The nick to try.
    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Goes on to the next nick; `None` when there is nothing left to try.
    pub(super) fn next(&mut self, problem: NickProblem) -> Option<&str> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS {
            return None;
        }
        match problem {
            NickProblem::Erroneous => self.mend(),
            NickProblem::InUse | NickProblem::Unavailable | NickProblem::Banned | NickProblem::TooFast => {
                self.taken += 1;
            }
        }
        self.build();
        Some(&self.current)
    }

    /// The server does not say whether the nick is too long or wrongly made (InspIRCd and ngIRCd answer 432 to both):
    /// first the letters are made ones that every server takes, then it gets shorter, then it is given up.
    fn mend(&mut self) {
        let plain = plain(&self.base);
        if plain != self.base {
            self.base = plain;
        } else if let Some(shorter) = LENGTHS.into_iter().find(|len| *len < self.current.len()) {
            self.max_len = shorter;
        } else if self.base.starts_with("guest") {
            self.taken += 1;
        } else {
            "guest".clone_into(&mut self.base);
        }
    }

    fn build(&mut self) {
        let suffix = match self.taken {
            0 => String::new(),
            few @ 1..=2 => "_".repeat(few as usize),
            more => (more - 1).to_string(),
        };
        let room = self.max_len.saturating_sub(suffix.len()).max(1);
        self.current = format!("{}{suffix}", &self.base[..self.base.floor_char_boundary(room)]);
        if self.current.is_empty() {
            self.current = format!("g{suffix}");
        }
    }
}

/// Letters, digits and signs that RFC 2812 lets a nick have, beginning with one that may begin it.
fn plain(nick: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "[]\\`_^{|}-".contains(*c);
    let plain: String = nick.chars().filter(allowed).collect();
    let plain = plain.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    if plain.is_empty() { "guest".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NickProblem::{Erroneous, InUse};

    fn tried(wanted: &str, max_len: Option<usize>, problems: &[NickProblem]) -> Vec<String> {
        let mut ladder = Ladder::new(wanted, max_len);
        let mut tried = vec![ladder.current().to_owned()];
        for problem in problems {
            tried.push(ladder.next(*problem).unwrap().to_owned());
        }
        tried
    }

    #[test]
    fn a_taken_nick_gets_a_suffix() {
        assert_eq!(tried("alice", None, &[InUse; 4]), ["alice", "alice_", "alice__", "alice2", "alice3"]);
        assert_eq!(tried("alicealic", Some(9), &[InUse; 3]), ["alicealic", "aliceali_", "aliceal__", "aliceali2"]);
    }

    #[test]
    fn p12_a_nick_that_is_too_long_gets_shorter() {
        let long = "a".repeat(50);
        let lens: Vec<_> = tried(&long, None, &[Erroneous; 7]).iter().map(String::len).collect();
        assert_eq!(lens, [50, 40, 31, 30, 20, 16, 15, 9]);
        assert_eq!(tried(&long, Some(30), &[InUse]), ["a".repeat(30), "a".repeat(29) + "_"]);
    }

    #[test]
    fn letters_the_server_does_not_take_go_first() {
        assert_eq!(tried("9Ünïcødé", None, &[Erroneous]), ["9Ünïcødé", "ncd"]);
        assert_eq!(tried("日本", None, &[Erroneous, InUse]), ["日本", "guest", "guest_"]);
        assert_eq!(tried("bad", None, &[Erroneous, Erroneous, Erroneous]), ["bad", "guest", "guest_", "guest__"]);
    }

    #[test]
    fn the_ladder_ends() {
        let mut ladder = Ladder::new("x", None);
        assert_eq!((0..100).take_while(|_| ladder.next(InUse).is_some()).count(), MAX_ATTEMPTS as usize);
    }
}
