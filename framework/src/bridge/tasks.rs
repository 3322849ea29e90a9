//! Tasks that end with the bridge.

use parking_lot::Mutex;
use tokio::task::JoinSet;

/// A set of tasks that are broken off when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Begins one.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Breaks all off, and returns when none is left.
    pub(crate) async fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock());
        tasks.shutdown().await;
    }
}
