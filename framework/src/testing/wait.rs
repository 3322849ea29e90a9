//! Waiting for what is expected.

use std::{fmt::Debug, time::Duration};

use tokio::sync::watch;

/// How long a test waits for what it expects before it fails. Only a broken test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `found` finds what is expected in a value that changes, and returns it.
///
/// # Panics
/// When it did not come within [`PATIENCE`]; the message shows what was there instead.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub async fn until<T: Debug, F>(
    what: &str,
    value: &mut watch::Receiver<u64>,
    mut found: impl FnMut() -> Result<T, F>,
) -> T
where
    F: Debug,
{
    let wait = async {
        loop {
            value.mark_unchanged();
            if let Ok(found) = found() {
                return found;
            }
            if value.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    if let Ok(found) = tokio::time::timeout(PATIENCE, wait).await {
        return found;
    }
    match found() {
        Ok(found) => found,
        Err(instead) => panic!("waited in vain for {what}; there is: {instead:#?}"),
    }
}
