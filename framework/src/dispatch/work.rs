//! Gives each lane that has something to do a worker.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::mpsc, task::JoinSet};

/// How long a lane rests whose worker broke down.
const REST: Duration = Duration::from_secs(1);

/// Runs `worker` for each lane that needs one, until it is dropped; then all workers end with it. A worker that panics is started
/// again after a rest, when `again` has put back what it held: one broken lane stops no other.
pub(crate) async fn work<W, F>(
    mut needy: mpsc::UnboundedReceiver<String>,
    worker: W,
    again: impl Fn(&str) + Send + Sync + 'static,
) where
    W: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (worker, again) = (Arc::new(worker), Arc::new(again));
    let mut workers = JoinSet::new();
    loop {
        tokio::select! {
            lane = needy.recv() => {
                let Some(lane) = lane else { return };
                let (worker, again) = (Arc::clone(&worker), Arc::clone(&again));
                workers.spawn(async move {
                    while AssertUnwindSafe(worker(lane.clone())).catch_unwind().await.is_err() {
                        tracing::error!(lane, "the worker of a lane broke down; it starts again");
                        tokio::time::sleep(REST).await;
                        again(&lane);
                    }
                });
            }
            Some(_) = workers.join_next() => {}
        }
    }
}
