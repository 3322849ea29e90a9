//! Places where a test can kill the bridge, one beside each thing that is persisted.

#[cfg(feature = "testing")]
use std::sync::Arc;

#[cfg(feature = "testing")]
use parking_lot::Mutex;
#[cfg(feature = "testing")]
use tokio::sync::Notify;

/// Every kill point, in the order in which a message passes them.
pub const KILL_POINTS: [&str; 13] = [
    "transaction.received",
    "transaction.committed",
    "ingest.received",
    "ingest.committed",
    "convert.started",
    "convert.committed",
    "remote.claimed",
    "remote.delivered",
    "remote.committed",
    "matrix.started",
    "matrix.member",
    "matrix.delivered",
    "matrix.committed",
];

/// Kills the bridge at one of [`KILL_POINTS`].
///
/// The process aborts there when the environment says `LANDBRIDGE_KILL_POINT=name` (at the first pass) or `name:n` (at the n-th). A
/// test in the same process arms a trap instead: everything that passes any point from then on stands still for ever, and the
/// test drops the bridge. Does nothing without the feature `testing`.
#[derive(Debug, Clone, Default)]
pub struct Kill {
    #[cfg(feature = "testing")]
    trap: Arc<Trap>,
}

#[cfg(feature = "testing")]
#[derive(Debug, Default)]
struct Trap {
    state: Mutex<State>,
    sprung: Notify,
}

#[cfg(feature = "testing")]
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// The name, how many passes are left, and whether to abort the process.
    Armed(String, u64, bool),
    Sprung,
}

#[cfg(feature = "testing")]
impl Kill {
    /// As the environment says.
    pub fn from_env() -> Self {
        let kill = Self::default();
        if let Ok(text) = std::env::var("LANDBRIDGE_KILL_POINT") {
            let (name, passes) = text.split_once(':').unwrap_or((&text, "1"));
            *kill.trap.state.lock() = State::Armed(name.to_owned(), passes.parse().unwrap_or(1), true);
        }
        kill
    }

    /// Everything stands still from the n-th pass of `name` on.
    pub fn at(name: &str, pass: u64) -> Self {
        let kill = Self::default();
        *kill.trap.state.lock() = State::Armed(name.to_owned(), pass, false);
        kill
    }

    /// Waits until the trap has sprung.
    pub async fn sprung(&self) {
        loop {
            let notified = self.trap.sprung.notified();
            if matches!(*self.trap.state.lock(), State::Sprung) {
                return;
            }
            notified.await;
        }
    }

    pub(crate) async fn pass(&self, name: &'static str) {
        let dead = {
            let mut state = self.trap.state.lock();
            match &mut *state {
                State::Idle => false,
                State::Sprung => true,
                State::Armed(armed, left, abort) if armed == name => {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        if *abort {
                            std::process::abort();
                        }
                        *state = State::Sprung;
                        self.trap.sprung.notify_waiters();
                        true
                    } else {
                        false
                    }
                }
                State::Armed(..) => false,
            }
        };
        if dead {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(feature = "testing"))]
impl Kill {
    /// Never kills.
    pub fn from_env() -> Self {
        Self::default()
    }

    #[expect(clippy::unused_async, reason = "it waits with the feature `testing`")]
    pub(crate) async fn pass(&self, _name: &'static str) {}
}

#[cfg(test)]
mod tests {
    use super::KILL_POINTS;

    #[test]
    fn names_are_unique() {
        let mut names = KILL_POINTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KILL_POINTS.len());
    }
}
