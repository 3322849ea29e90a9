//! How much waits for a device that does not come for it: so much at most, and the newest.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{DeviceError, Message};
use crate::store::{device_keys as table, local::Local};

/// How many messages wait for a device of a user. What waits for application services is kept until they take it.
pub const MAX_WAITING: i64 = 10_000;

/// How long these are together, in bytes.
pub const MAX_WAITING_BYTES: i64 = 32 * 1024 * 1024;

/// What part of a bound may come anew before it is looked what waits: by so much the bounds may be passed for a while.
const SLACK: i64 = 10;

/// Of how many devices is remembered how much came for them; beyond that all are looked at with the next sweep.
const DEVICES: usize = 20_000;

/// How many messages go in one write.
const AT_ONCE: i64 = 2_000;

/// Bounds what waits for devices. What came is counted in memory, so that most messages cost no look at what waits.
#[derive(Debug)]
pub(super) struct Backlog {
    local: Local,
    known: Mutex<Known>,
    dropped: AtomicU64,
    /// How many of these were said in the log.
    said: AtomicU64,
}

#[derive(Debug)]
struct Known {
    /// What came for devices since it was looked what waits for them.
    grown: HashMap<(String, String), Grown>,
    /// Whether there may be devices beyond the bound that are not in `grown`, as after a start.
    is_unsure: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Grown {
    messages: i64,
    bytes: i64,
}

impl Grown {
    const fn is_much(self) -> bool {
        self.messages > MAX_WAITING / SLACK || self.bytes > MAX_WAITING_BYTES / SLACK
    }
}

impl Backlog {
    pub(super) fn new(local: Local) -> Self {
        let known = Mutex::new(Known { grown: HashMap::new(), is_unsure: true });
        Self { local, known, dropped: AtomicU64::new(0), said: AtomicU64::new(0) }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts what was queued, and looks at what waits for those devices for which much came.
    pub(super) async fn grew(&self, messages: &[&Message]) -> Result<(), DeviceError> {
        let much: Vec<(String, String)> = {
            let mut known = self.known.lock();
            messages.iter().filter_map(|message| known.grows(message)).collect()
        };
        for (user_id, device_id) in much {
            self.cut(&user_id, &device_id).await?;
        }
        Ok(())
    }

    /// Looks at what waits for all devices, where some may be beyond the bound, and says what was dropped since the last time.
    pub(super) async fn sweep(&self) -> Result<(), DeviceError> {
        let is_unsure = std::mem::take(&mut self.known.lock().is_unsure);
        if is_unsure && let Err(error) = self.cut_all().await {
            self.known.lock().is_unsure = true;
            return Err(error);
        }
        let dropped = self.dropped();
        let before = self.said.swap(dropped, Ordering::Relaxed);
        if dropped > before {
            tracing::warn!(
                messages = dropped - before,
                "messages were dropped that waited for devices which do not sync"
            );
        }
        Ok(())
    }

    async fn cut_all(&self) -> Result<(), DeviceError> {
        let mut last = (String::new(), String::new());
        while let Some(next) = table::waited_for_after(self.local.db(), &last.0, &last.1).await? {
            self.cut(&next.0, &next.1).await?;
            last = next;
        }
        Ok(())
    }

    /// Drops what waits for a device beyond the bound, the oldest first.
    async fn cut(&self, user_id: &str, device_id: &str) -> Result<(), DeviceError> {
        let bound = (MAX_WAITING, MAX_WAITING_BYTES);
        let Some(cut) = table::to_device_beyond(self.local.db(), user_id, device_id, bound).await? else {
            return Ok(());
        };
        loop {
            let nth = table::to_device_nth(self.local.db(), user_id, device_id, AT_ONCE).await?;
            let until = nth.map_or(cut, |nth| nth.min(cut));
            let done = self.local.write(vec![table::drop_to_device(user_id, device_id, until)]).await?;
            self.dropped.fetch_add(done.rows, Ordering::Relaxed);
            if until == cut {
                return Ok(());
            }
        }
    }
}

impl Known {
    /// Counts a message; gives its device where much came for it.
    fn grows(&mut self, message: &Message) -> Option<(String, String)> {
        let device = (message.user_id.to_string(), message.device_id.clone());
        if self.grown.len() >= DEVICES && !self.grown.contains_key(&device) {
            self.grown.clear();
            self.is_unsure = true;
        }
        let grown = self.grown.entry(device.clone()).or_default();
        grown.messages += 1;
        grown.bytes = grown.bytes.saturating_add(i64::try_from(message.body.len()).unwrap_or(i64::MAX));
        if !grown.is_much() {
            return None;
        }
        *grown = Grown::default();
        Some(device)
    }
}
