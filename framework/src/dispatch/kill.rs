//! Places where a test can kill the process, one beside each thing that is persisted.

/// Every kill point, in the order in which a message passes them.
pub const KILL_POINTS: [&str; 12] = [
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
    "matrix.delivered",
    "matrix.committed",
];

/// Aborts the process here, when the environment says `LANDBRIDGE_KILL_POINT=name` (at the first pass) or `name:n` (at the
/// n-th). Does nothing without the feature `testing`.
#[inline]
pub fn kill_point(name: &'static str) {
    #[cfg(feature = "testing")]
    armed::pass(name);
    #[cfg(not(feature = "testing"))]
    let _ = name;
}

#[cfg(feature = "testing")]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    };

    /// The name, and how many passes are left. Read once: a process is killed once.
    static ARMED: LazyLock<Option<(String, AtomicI64)>> = LazyLock::new(|| {
        let text = std::env::var("LANDBRIDGE_KILL_POINT").ok()?;
        let (name, passes) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicI64::new(passes.parse().unwrap_or(1))))
    });

    pub(super) fn pass(name: &'static str) {
        if let Some((armed, left)) = &*ARMED
            && armed == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
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
