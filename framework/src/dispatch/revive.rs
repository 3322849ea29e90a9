//! Dead letters that somebody wants to be tried again go back to where they stood, at the end of their lane.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::commit_patiently;
use crate::{
    bridge::dead_letters::{DeadLetter, Stage},
    clock::Clock,
    store::{Change, InboxRow, OutboxRow, Store},
};

/// How often the store is asked: the command line writes there, also while the bridge runs.
const EVERY: Duration = Duration::from_secs(3);

/// Brings dead letters back, for ever; at once when `now` is told.
pub(crate) async fn revive(store: Store, clock: Arc<dyn Clock>, now: Arc<Notify>) {
    loop {
        match store.dead_letters_to_retry().await {
            Ok(letters) => {
                for letter in letters {
                    let Some(change) = back(&letter, clock.now().0) else {
                        tracing::error!(id = letter.id, "a dead letter cannot be read; it stays");
                        continue;
                    };
                    if commit_patiently(&store, change, EVERY).await.is_none() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "dead letters cannot be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = now.notified() => {}
        }
    }
}

/// The same row under the same key, with all its time before it again.
fn back(letter: &DeadLetter, now: i64) -> Option<Change> {
    let mut change = Change { unpark: vec![letter.id], ..Change::default() };
    match letter.stage {
        Stage::Convert => {
            let row: InboxRow = serde_json::from_str(&letter.input).ok()?;
            change.revive_inbox.push(InboxRow { at: now, ..row });
        }
        Stage::Deliver => {
            let row: OutboxRow = serde_json::from_str(&letter.input).ok()?;
            change.outbox.push(OutboxRow { at: now, claimed: false, last_error: None, ..row });
        }
    }
    Some(change)
}
