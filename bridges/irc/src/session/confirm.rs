//! What became of the lines that were written.
//!
//! "Written" is not "taken": a server may answer with an error, or be gone. Three kinds of evidence count, the best that
//! the server offers: its answer under our label, our message come back, or its PONG to a PING that we sent right behind
//! the line. Servers work a connection's lines in order, so whatever they complain of stands before that PONG. Where PINGs
//! cost nothing each line has its own, and nobody waits for the PONG before the next line. Where they count against the
//! limits of speed, several lines share one; a complaint is then about a line that was written before it came, and where
//! that leaves more than one, what became of them is unknown to us (the bot, who hears the channel, may know).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{Evidence, Outcome, Receipt, Rejection};
use crate::{message::ServerTime, numerics};

/// What the driver calls a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandId(pub u64);

/// Lines that share a PING while more lines wait.
const FENCED_TOGETHER: usize = 8;

/// How long a written line waits for others to share its PING.
const FENCE_WAIT: Duration = Duration::from_secs(5);

/// Whether several lines may share one PING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fencing {
    /// Each has its own.
    Each,
    /// The next line need not wait for one; `more` says whether lines wait that could share it.
    Shared {
        /// Whether lines wait.
        more: bool,
    },
}

/// How long a label or an echo may be missing before we ask with a PING.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Folded names that a line is about.
pub(super) type Keys = SmallVec<[Box<str>; 2]>;

/// A line that was written and is not confirmed.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: CommandId,
    /// The verb on the wire.
    pub(super) verb: Box<str>,
    /// Folded names the command is about; an error that names one of them is about it.
    pub(super) keys: Keys,
    /// Its label, if it has one.
    pub(super) label: Option<Box<str>>,
    /// The words, if the server will send them back.
    pub(super) echo: Option<Box<str>>,
    pub(super) written: Instant,
    /// The PING behind it.
    fence: Option<u64>,
    error: Option<Rejection>,
    /// What is known of the complaints that came so far.
    guilt: Guilt,
}

/// Whether a complaint was about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guilt {
    /// None came that could have been.
    None,
    /// One came that could have been, or about another.
    Suspected,
    /// One came that could have been about no other.
    Proven,
}

impl Flight {
    pub(super) fn new(id: CommandId, verb: &str, keys: Keys, written: Instant) -> Self {
        Self {
            id,
            verb: verb.into(),
            keys,
            label: None,
            echo: None,
            written,
            fence: None,
            error: None,
            guilt: Guilt::None,
        }
    }

    /// Whether the server answers by itself.
    fn is_answered(&self) -> bool {
        self.label.is_some() || self.echo.is_some()
    }

    fn is_about(&self, complaint: &Complaint<'_>) -> bool {
        let named = complaint.names.iter().any(|name| self.keys.contains(name));
        let called = complaint.verb.is_some_and(|verb| self.verb.eq_ignore_ascii_case(verb));
        (named || called) && numerics::can_answer(complaint.rejection.numeric, &self.verb)
    }

    /// Whether a complaint about the one could be about the other.
    fn is_like(&self, other: &Self) -> bool {
        self.fence == other.fence && self.keys == other.keys
    }
}

/// All lines that are not confirmed, in the order they were written.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flying: VecDeque<Flight>,
    fences: u64,
}

type Done = Vec<(CommandId, Outcome)>;

impl Flights {
    pub(super) fn push(&mut self, flight: Flight) {
        self.flying.push_back(flight);
    }

    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Whether a JOIN of this channel (folded) is under way.
    pub(super) fn is_joining(&self, channel: &str) -> bool {
        self.flying.iter().any(|flight| &*flight.verb == "JOIN" && flight.keys.iter().any(|key| &**key == channel))
    }

    /// Whether a NICK of ours is under way.
    pub(super) fn is_renaming(&self) -> bool {
        self.flying.iter().any(|flight| &*flight.verb == "NICK")
    }

    /// Whether a NICK of ours under this label is under way.
    pub(super) fn is_renaming_under(&self, label: &str) -> bool {
        self.flying.iter().any(|flight| &*flight.verb == "NICK" && flight.label.as_deref() == Some(label))
    }

    /// When a PING should follow what was written; `None` when nothing waits for one.
    pub(super) fn fence_at(&self, fencing: Fencing) -> Option<Instant> {
        let unfenced = || self.flying.iter().filter(|flight| flight.fence.is_none());
        let silent = unfenced().filter(|flight| !flight.is_answered());
        let together = fencing == Fencing::Shared { more: true } && silent.clone().count() < FENCED_TOGETHER;
        let asked = silent.map(|flight| if together { flight.written + FENCE_WAIT } else { flight.written }).min();
        let answered =
            unfenced().filter(|flight| flight.is_answered()).map(|flight| flight.written + ANSWER_WAIT).min();
        asked.into_iter().chain(answered).min()
    }

    /// A PING goes out now; the number to send in it.
    pub(super) fn fence(&mut self) -> u64 {
        self.fences += 1;
        for flight in self.flying.iter_mut().filter(|flight| flight.fence.is_none()) {
            flight.fence = Some(self.fences);
        }
        self.fences
    }

    /// The PONG to a PING came: what was written before and met no complaint was taken.
    pub(super) fn passed(&mut self, number: u64) -> Done {
        let (passed, kept): (VecDeque<_>, _) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|flight| flight.fence.is_some_and(|fence| fence <= number));
        self.flying = kept;
        let outcome = |flight: &Flight| {
            let mut suspects = passed.iter().filter(|other| other.guilt == Guilt::Suspected && other.is_like(flight));
            match (flight.guilt, &flight.error) {
                (Guilt::Proven, Some(error)) => Outcome::Rejected(error.clone()),
                // As many complaints as suspects.
                (Guilt::Suspected, Some(error)) if suspects.all(|other| other.error.is_some()) => {
                    Outcome::Rejected(error.clone())
                }
                (Guilt::Suspected, error) => Outcome::Suspected(error.clone()),
                (Guilt::None | Guilt::Proven, _) => Outcome::Accepted(receipt(Evidence::Fence)),
            }
        };
        passed.iter().map(|flight| (flight.id, outcome(flight))).collect()
    }

    /// The server answered under a label, without complaint.
    pub(super) fn answered(&mut self, label: &str) -> Done {
        self.take_label(label)
            .map(|flight| (flight.id, Outcome::Accepted(receipt(Evidence::Label))))
            .into_iter()
            .collect()
    }

    /// A message of ours came back.
    pub(super) fn echoed(&mut self, echo: &Echo<'_>) -> Done {
        let by_text = |flight: &Flight, exact: bool| {
            flight.echo.as_deref().is_some_and(|text| !exact || text == echo.text)
                && &*flight.verb == echo.verb
                && flight.keys.iter().any(|key| &**key == echo.target)
        };
        let index = match echo.label {
            Some(label) => self.flying.iter().position(|flight| flight.label.as_deref() == Some(label)),
            // Servers may change the words (colours taken off, cut to length): then it is the oldest to that target.
            None => {
                let exact = self.flying.iter().position(|flight| flight.label.is_none() && by_text(flight, true));
                exact.or_else(|| self.flying.iter().position(|flight| flight.label.is_none() && by_text(flight, false)))
            }
        };
        let Some(flight) = index.and_then(|index| self.flying.remove(index)) else { return Done::new() };
        let truncated =
            flight.echo.as_deref().is_some_and(|text| text.len() > echo.text.len() && text.starts_with(echo.text));
        let receipt = Receipt { by: Evidence::Echo, msgid: echo.msgid.map(Box::from), time: echo.time, truncated };
        vec![(flight.id, Outcome::Accepted(receipt))]
    }

    /// The server complained, under a label or of something that it names. Whether a line of ours was meant.
    pub(super) fn refused(&mut self, complaint: Complaint<'_>) -> (bool, Done) {
        if let Some(label) = complaint.label {
            let taken = self.take_label(label).map(|flight| (flight.id, Outcome::Rejected(complaint.rejection)));
            return (taken.is_some(), taken.into_iter().collect());
        }
        let meant = |flight: &Flight| flight.error.is_none() && flight.label.is_none() && flight.is_about(&complaint);
        let Some(index) = self.flying.iter().position(meant) else { return (false, Done::new()) };
        // Where every line is answered by itself, the answers come in the order of the lines.
        if self.flying[index].is_answered() {
            let flight = self.flying.remove(index);
            return (
                true,
                flight.map(|flight| (flight.id, Outcome::Rejected(complaint.rejection))).into_iter().collect(),
            );
        }
        // What stands before one PING's PONG is not about a line behind that PING.
        let fence = self.flying[index].fence;
        let could_be = |flight: &Flight| flight.fence == fence && !flight.is_answered();
        let alone = !self.flying.iter().skip(index + 1).any(|flight| meant(flight) && could_be(flight));
        if alone && self.flying[index].guilt == Guilt::None {
            self.flying[index].guilt = Guilt::Proven;
        } else {
            let suspects = self.flying.iter_mut().filter(|flight| flight.is_about(&complaint) && could_be(flight));
            suspects.filter(|flight| flight.guilt == Guilt::None).for_each(|flight| flight.guilt = Guilt::Suspected);
        }
        self.flying[index].error = Some(complaint.rejection);
        (true, Done::new())
    }

    /// What the server never answered by now. `heard` is since when we have listened without a break.
    pub(super) fn expired(&mut self, now: Instant, heard: Option<Instant>, patience: Duration) -> Done {
        let mut done = Done::new();
        while self.expires_at(heard, patience).is_some_and(|at| at <= now) {
            if let Some(flight) = self.flying.pop_front() {
                done.push((flight.id, Outcome::Unknown("the server did not confirm it in time")));
            }
        }
        done
    }

    /// When the oldest line runs out of patience.
    pub(super) fn expires_at(&self, heard: Option<Instant>, patience: Duration) -> Option<Instant> {
        self.flying.front().map(|flight| heard.map_or(flight.written, |heard| heard.max(flight.written)) + patience)
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) -> Done {
        let unknown = Outcome::Unknown("the connection ended before the server confirmed it");
        std::mem::take(&mut self.flying).into_iter().map(|flight| (flight.id, unknown.clone())).collect()
    }

    fn take_label(&mut self, label: &str) -> Option<Flight> {
        let index = self.flying.iter().position(|flight| flight.label.as_deref() == Some(label))?;
        self.flying.remove(index)
    }
}

/// A message of ours come back.
#[derive(Debug)]
pub(super) struct Echo<'a> {
    pub(super) label: Option<&'a str>,
    pub(super) verb: &'a str,
    /// Folded.
    pub(super) target: &'a str,
    pub(super) text: &'a str,
    pub(super) msgid: Option<&'a str>,
    pub(super) time: Option<ServerTime>,
}

/// A complaint of the server.
#[derive(Debug)]
pub(super) struct Complaint<'a> {
    pub(super) label: Option<&'a str>,
    /// The verb it names or implies.
    pub(super) verb: Option<&'a str>,
    /// The names in it, folded.
    pub(super) names: &'a [Box<str>],
    pub(super) rejection: Rejection,
}

fn receipt(by: Evidence) -> Receipt {
    Receipt { by, msgid: None, time: None, truncated: false }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::{numerics::RefusedBecause, session::RejectedBecause};

    fn rejection() -> Rejection {
        Rejection { numeric: 404, why: RejectedBecause::Command(RefusedBecause::CannotSend), text: String::new() }
    }

    fn said(flights: &mut Flights, id: u64, target: &str, now: Instant) {
        flights.push(Flight::new(CommandId(id), "PRIVMSG", smallvec![target.into()], now));
    }

    fn complain(flights: &mut Flights, name: &str) -> (bool, Done) {
        flights.refused(Complaint { label: None, verb: None, names: &[name.into()], rejection: rejection() })
    }

    #[test]
    fn a_complaint_before_the_pong_is_about_the_line_it_names() {
        let now = Instant::now();
        let mut flights = Flights::default();
        said(&mut flights, 1, "#a", now);
        said(&mut flights, 2, "#b", now);
        let fence = flights.fence();
        said(&mut flights, 3, "#b", now);
        assert_eq!(complain(&mut flights, "#b"), (true, vec![]));
        let done = flights.passed(fence);
        assert_eq!(
            done,
            [
                (CommandId(1), Outcome::Accepted(receipt(Evidence::Fence))),
                (CommandId(2), Outcome::Rejected(rejection())),
            ]
        );
        let fence = flights.fence();
        assert_eq!(flights.passed(fence), [(CommandId(3), Outcome::Accepted(receipt(Evidence::Fence)))]);
    }

    #[test]
    fn one_complaint_about_two_lines_leaves_both_in_doubt_and_two_leave_none() {
        let now = Instant::now();
        for (complaints, certain) in [(1, false), (2, true)] {
            let mut flights = Flights::default();
            said(&mut flights, 1, "#a", now);
            said(&mut flights, 2, "#a", now);
            let fence = flights.fence();
            for _ in 0..complaints {
                assert!(complain(&mut flights, "#a").0);
            }
            let done = flights.passed(fence);
            assert_eq!(done.iter().all(|(_, outcome)| matches!(outcome, Outcome::Rejected(_))), certain);
            assert_eq!(done.iter().all(|(_, outcome)| matches!(outcome, Outcome::Suspected(_))), !certain);
        }
    }

    #[test]
    fn a_complaint_is_about_a_line_that_was_written_before_it_came() {
        let now = Instant::now();
        let mut flights = Flights::default();
        said(&mut flights, 1, "#a", now);
        complain(&mut flights, "#a");
        said(&mut flights, 2, "#a", now);
        complain(&mut flights, "#a");
        said(&mut flights, 3, "#a", now);
        let fence = flights.fence();
        let outcomes: Vec<_> = flights.passed(fence).into_iter().map(|(_, outcome)| outcome).collect();
        let taken = Outcome::Accepted(receipt(Evidence::Fence));
        assert_eq!(outcomes, [Outcome::Rejected(rejection()), Outcome::Rejected(rejection()), taken]);
    }

    #[test]
    fn what_was_said_after_a_doubtful_complaint_is_not_in_doubt() {
        let now = Instant::now();
        let mut flights = Flights::default();
        (1..3).for_each(|id| said(&mut flights, id, "#a", now));
        complain(&mut flights, "#a");
        said(&mut flights, 3, "#a", now);
        let fence = flights.fence();
        let doubtful: Vec<_> =
            flights.passed(fence).iter().map(|(_, outcome)| matches!(outcome, Outcome::Suspected(_))).collect();
        assert_eq!(doubtful, [true, true, false]);
    }

    #[test]
    fn lines_share_a_ping_while_more_wait_where_pings_cost() {
        let now = Instant::now();
        let mut flights = Flights::default();
        let more = Fencing::Shared { more: true };
        said(&mut flights, 1, "#a", now);
        assert_eq!(flights.fence_at(Fencing::Shared { more: false }), Some(now));
        assert_eq!(flights.fence_at(Fencing::Each), Some(now));
        assert_eq!(flights.fence_at(more), Some(now + FENCE_WAIT));
        (2..=FENCED_TOGETHER as u64).for_each(|id| said(&mut flights, id, "#a", now));
        assert_eq!(flights.fence_at(more), Some(now));
        flights.fence();
        assert_eq!(flights.fence_at(more), None);
    }
}
