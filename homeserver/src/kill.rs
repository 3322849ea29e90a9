//! Places where a test can kill the server.

/// A batch is read and checked, and nothing of it is written.
pub(crate) const BATCH_STARTED: &str = "batch.started";
/// A batch is written, and its sender was not told.
pub(crate) const BATCH_COMMITTED: &str = "batch.committed";

/// Aborts the process where the environment says `LANDBRIDGE_KILL_POINT=name`. Nothing in a release build.
#[inline]
pub(crate) fn pass(name: &str) {
    if cfg!(debug_assertions) && std::env::var_os("LANDBRIDGE_KILL_POINT").is_some_and(|armed| armed == name) {
        std::process::abort();
    }
}
