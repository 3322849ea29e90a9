//! Deliveries that are under way, so that our own message coming back can end them while their answer is lost.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The keys of deliveries under way. Bounded by the number of lanes: each delivers at most a batch each way at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashMap<String, oneshot::Sender<Option<String>>>>>);

/// A delivery under way; dropped, it is so no longer.
#[derive(Debug)]
pub(crate) struct Watch {
    key: String,
    all: UnderWay,
    /// Resolves to the name that the other side gave.
    pub(crate) echo: oneshot::Receiver<Option<String>>,
}

impl UnderWay {
    /// Begins to watch for the echo of `key`.
    pub(crate) fn watch(&self, key: &str) -> Watch {
        let (sender, echo) = oneshot::channel();
        self.0.lock().insert(key.to_owned(), sender);
        Watch { key: key.to_owned(), all: self.clone(), echo }
    }

    /// The echo of `key` came, and its row is closed.
    pub(crate) fn heard(&self, key: &str, name: Option<&str>) {
        if let Some(sender) = self.0.lock().remove(key) {
            // A delivery that ended meanwhile needs no echo.
            let _ = sender.send(name.map(str::to_owned));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.key);
    }
}
