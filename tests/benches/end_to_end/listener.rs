//! Somebody on Matrix who listens.

use std::time::{Duration, Instant};

use tokio::{sync::mpsc, task::AbortHandle};

use crate::client::{Account, Api};

/// A client that syncs all the time, and what it hears from one sender in one room.
#[derive(Debug)]
pub(crate) struct Listener {
    heard: mpsc::UnboundedReceiver<(String, Instant)>,
    task: AbortHandle,
}

impl Listener {
    /// Starts to sync, and hears what `sender` says in `room` from now on.
    pub(crate) async fn start(api: &Api, account: &Account, room: &str, sender: &str) -> Self {
        let (found, heard) = mpsc::unbounded_channel();
        let (api, account, room, sender) = (api.clone(), account.clone(), room.to_owned(), sender.to_owned());
        let (mut since, _) = api.sync(&account, None, 0).await;
        let task = tokio::spawn(async move {
            loop {
                let (next, answer) = api.sync(&account, Some(&since), 30_000).await;
                let at = Instant::now();
                since = next;
                let timeline = &answer["rooms"]["join"][&room]["timeline"];
                assert_ne!(timeline["limited"], true, "the timeline is complete");
                for event in timeline["events"].as_array().map(Vec::as_slice).unwrap_or_default() {
                    if event["type"] == "m.room.message" && event["sender"] == sender.as_str() {
                        let body = event["content"]["body"].as_str().unwrap_or_default();
                        let _ = found.send((body.to_owned(), at));
                    }
                }
            }
        });
        Self { heard, task: task.abort_handle() }
    }

    /// Hears `count` numbers in order: how many came in a second since `began`, and how many were lost or out of place.
    pub(crate) async fn counts(&mut self, count: usize, began: Instant) -> (f64, f64) {
        let (mut wrong, mut last) = (0, began);
        for n in 0..count {
            let Ok((text, at)) = tokio::time::timeout(Duration::from_secs(60), self.next()).await else {
                wrong += count - n;
                break;
            };
            wrong += usize::from(text != n.to_string());
            last = at;
        }
        (count as f64 / (last - began).as_secs_f64(), wrong as f64)
    }

    /// The next message, and when it came.
    pub(crate) async fn next(&mut self) -> (String, Instant) {
        self.heard.recv().await.expect("the listener lives")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
