//! What is counted, for Prometheus.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{dispatch::intake::Backlog, network::Direction};

/// Everything that is counted. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    outcomes: Family<OutcomeLabels, Counter>,
    latency: Family<DirectionLabels, Histogram>,
    transactions: Family<TransactionLabels, Counter>,
    transaction_seconds: Histogram,
    inbox: Gauge,
    outbox: Gauge,
    lanes: Gauge,
    oldest: Gauge<f64, std::sync::atomic::AtomicU64>,
    sessions: Family<SessionLabels, Gauge>,
    dead_letters: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// It crossed.
    Delivered,
    /// It had crossed before.
    Duplicate,
    /// It was our own, heard again.
    Echo,
    /// The other side, or a rule, refused it; its sender was told.
    Refused,
    /// Nobody can tell whether it crossed.
    Unknown,
    /// It waited longer than it may.
    Expired,
    /// It is parked as a dead letter.
    Parked,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    network: &'static str,
    direction: Way,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    network: &'static str,
    direction: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Way {
    ToRemote,
    ToMatrix,
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::ToRemote => Self::ToRemote,
            Direction::ToMatrix => Self::ToMatrix,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransactionLabels {
    taken: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionLabels {
    state: String,
}

/// From a tenth of a millisecond to a minute and a half.
fn seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let inner = Inner {
            registry: Mutex::new(Registry::with_prefix("landbridge")),
            outcomes: Family::default(),
            latency: Family::new_with_constructor(seconds as fn() -> Histogram),
            transactions: Family::default(),
            transaction_seconds: seconds(),
            inbox: Gauge::default(),
            outbox: Gauge::default(),
            lanes: Gauge::default(),
            oldest: Gauge::default(),
            sessions: Family::default(),
            dead_letters: Counter::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// A message came to its end.
    pub fn outcome(&self, network: &'static str, direction: Direction, outcome: Outcome) {
        let labels = OutcomeLabels { network, direction: direction.into(), outcome };
        self.0.outcomes.get_or_create(&labels).inc();
        if outcome == Outcome::Parked {
            self.0.dead_letters.inc();
        }
    }

    /// How long a message took from being heard to being taken by the other side.
    pub fn latency(&self, network: &'static str, direction: Direction, took: Duration) {
        let labels = DirectionLabels { network, direction: direction.into() };
        self.0.latency.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A transaction was answered.
    pub fn transaction(&self, taken: bool, took: Duration) {
        let taken = if taken { "yes" } else { "no" };
        self.0.transactions.get_or_create(&TransactionLabels { taken }).inc();
        self.0.transaction_seconds.observe(took.as_secs_f64());
    }

    /// Sets what is measured rather than counted.
    pub fn observe(&self, backlog: &Backlog, sessions: &BTreeMap<String, usize>) {
        let inner = &*self.0;
        inner.inbox.set(number(backlog.inbox));
        inner.outbox.set(number(backlog.outbox));
        inner.lanes.set(number(backlog.lanes));
        inner.oldest.set(backlog.oldest.as_secs_f64());
        inner.sessions.clear();
        for (state, count) in sessions {
            inner.sessions.get_or_create(&SessionLabels { state: state.clone() }).set(number(*count as u64));
        }
    }

    /// The [OpenMetrics text](https://prometheus.io/docs/specs/om/open_metrics_spec/).
    pub fn render(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.0.registry.lock()).is_err() {
            tracing::error!("the metrics could not be written");
        }
        out
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Inner {
    fn register(&self) {
        let mut registry = self.registry.lock();
        registry.register("messages", "What became of messages", self.outcomes.clone());
        registry.register("message_seconds", "From being heard to being taken by the other side", self.latency.clone());
        registry.register("transactions", "Transactions of the homeserver", self.transactions.clone());
        registry.register(
            "transaction_seconds",
            "From a transaction being there whole to its answer",
            self.transaction_seconds.clone(),
        );
        registry.register("inbox", "Things heard and not yet converted", self.inbox.clone());
        registry.register("outbox", "Things decided and not yet delivered", self.outbox.clone());
        registry.register("lanes_busy", "Lanes that have something to do", self.lanes.clone());
        registry.register("oldest_unacknowledged_seconds", "Age of the oldest thing that waits", self.oldest.clone());
        registry.register("sessions", "Sessions by state", self.sessions.clone());
        registry.register("dead_letters", "Messages parked as dead letters", self.dead_letters.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_became_of_messages_and_how_much_waits() {
        let metrics = Metrics::new();
        metrics.outcome("irc", Direction::ToRemote, Outcome::Delivered);
        metrics.outcome("irc", Direction::ToRemote, Outcome::Delivered);
        metrics.outcome("irc", Direction::ToMatrix, Outcome::Parked);
        metrics.latency("irc", Direction::ToMatrix, Duration::from_millis(3));
        metrics.transaction(true, Duration::from_millis(1));
        let backlog = Backlog { inbox: 3, outbox: 2, lanes: 1, oldest: Duration::from_secs(90) };
        metrics.observe(&backlog, &[("connected".to_owned(), 7)].into());
        let text = metrics.render();
        for line in [
            r#"landbridge_messages_total{network="irc",direction="ToRemote",outcome="Delivered"} 2"#,
            r#"landbridge_messages_total{network="irc",direction="ToMatrix",outcome="Parked"} 1"#,
            r#"landbridge_message_seconds_bucket{le="0.005",network="irc",direction="ToMatrix"} 1"#,
            r#"landbridge_transactions_total{taken="yes"} 1"#,
            "landbridge_inbox 3",
            "landbridge_outbox 2",
            "landbridge_lanes_busy 1",
            "landbridge_oldest_unacknowledged_seconds 90.0",
            r#"landbridge_sessions{state="connected"} 7"#,
            "landbridge_dead_letters_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
