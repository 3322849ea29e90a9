//! What is forgotten in time.

use std::{sync::Arc, time::Duration};

use landbridge_sql::SqlError;

use super::setup::Retention;
use crate::{
    clock::{Clock, Millis},
    store::Store,
};

/// How often the marks of what was heard are thinned out, how old they get, and how many go at once.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
const SEEN_FOR: Duration = Duration::from_hours(24 * 30);
const PRUNE_BATCH: i64 = 1000;

/// Forgets what was heard long ago: no homeserver repeats itself after that time.
pub(super) async fn prune(store: Store, clock: Arc<dyn Clock>, retention: Retention) {
    loop {
        match prune_once(&store, clock.now(), retention).await {
            // There may be more.
            Ok(gone) if gone > 0 => tokio::time::sleep(Duration::from_secs(1)).await,
            Ok(_) => tokio::time::sleep(PRUNE_EVERY).await,
            Err(error) => {
                tracing::warn!(%error, "old marks were not removed");
                tokio::time::sleep(PRUNE_EVERY).await;
            }
        }
    }
}

/// Removes at most a batch of each kind; says how much there was.
pub(super) async fn prune_once(store: &Store, now: Millis, retention: Retention) -> Result<u64, SqlError> {
    let before = |age: Duration| now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let seen = store.forget_seen(before(SEEN_FOR), PRUNE_BATCH).await?;
    let mut oldest = before(retention.keep_for);
    if let Some(at) = store.message_behind(retention.keep_most).await? {
        oldest = oldest.max(at.saturating_add(1));
    }
    let notes = store.forget_notes(before(retention.keep_for), PRUNE_BATCH).await?;
    Ok(seen + notes + store.forget_messages(oldest, PRUNE_BATCH).await?)
}
