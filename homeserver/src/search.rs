//! Full-text search over messages, names and topics ([spec])
//!
//! The index follows the log by a cursor of its own and waits while others write much: a search waits for it to catch up. What bridges
//! put into the histories of rooms is no part of the log and read by itself (`histories`). What is taken
//! back leaves it when the redaction is read, what is purged in the same commit. Only whole words are found. What is encrypted is not, because the server cannot read it.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-search

mod histories;

use std::{sync::Arc, time::Duration};

use ruma::OwnedEventId;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use self::histories::Histories;
pub(crate) use crate::store::search::{Order, key_of};
use crate::{
    http::error::ApiError,
    rooms::{Event, EventNid, RoomNid},
    store::{Store, local::Local, search as table},
    stream::{Position, Stream},
};

/// How many events one round adds to the index.
const ROUND: usize = 500;

/// How long the log must be quiet before its end is read, unless somebody searches.
const QUIET: Duration = Duration::from_secs(1);

/// How long a search waits for the index.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most words of one search; further ones are passed over.
const MAX_WORDS: usize = 20;

/// The index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Search {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    stream: Stream,
    read: watch::Receiver<Position>,
    hurry: Arc<Notify>,
    indexing: JoinHandle<()>,
    histories: Histories,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.indexing.abort();
    }
}

impl Search {
    pub(crate) fn new(store: Store, stream: Stream) -> Self {
        let (sender, read) = watch::channel(Position::START);
        let hurry = Arc::new(Notify::new());
        let indexing = tokio::spawn(index(store.clone(), stream.clone(), sender, hurry.clone()));
        let histories = Histories::read(store.clone());
        Self { inner: Arc::new(Inner { store, stream, read, hurry, indexing, histories }) }
    }

    /// The words that a text is searched by.
    pub(crate) fn words(term: &str) -> Vec<String> {
        let words = term.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        words.take(MAX_WORDS).map(str::to_lowercase).collect()
    }

    /// Events that hold all of these words, in the rooms of a JSON list: `limit` of them after the first `skip`. Visibility is not
    /// looked at, and what is not in the index yet is not found: see [`Self::catch_up`].
    pub(crate) async fn find(
        &self,
        words: &[String],
        rooms: &str,
        order: Order,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, ApiError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let store = &self.inner.store;
        let nids: Vec<EventNid> = table::find(store.db(), words, rooms, order, number(skip), number(limit)).await?;
        Ok(store.events(&nids).await?)
    }

    /// Has the history of a room read anew, to which something was added.
    pub(crate) fn history_grew(&self, room: RoomNid) {
        self.inner.histories.grew(room);
    }

    /// Waits until what is in the log now, and in the histories of some rooms, is in the index, but not forever.
    pub(crate) async fn catch_up(&self, rooms: &[RoomNid]) {
        let head = self.inner.stream.position();
        let mut read = self.inner.read.clone();
        self.inner.hurry.notify_one();
        let all = async {
            // Where the index cannot be read any more, there is nothing to wait for.
            let _ = read.wait_for(|read| *read >= head).await;
            self.inner.histories.are_read(rooms).await;
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("the search index is far behind; what is new is not found yet");
        }
    }
}

/// Follows the log.
async fn index(store: Store, stream: Stream, read: watch::Sender<Position>, hurry: Arc<Notify>) {
    let mut position = match table::cursor(store.db()).await {
        Ok(position) => Position(position),
        Err(error) => {
            tracing::error!(%error, "the search index cannot be read");
            return;
        }
    };
    loop {
        let head = stream.wait_past(position).await;
        // While much is written, that comes first.
        tokio::select! {
            () = hurry.notified() => {}
            () = quiet(&stream) => {}
        }
        match round(&store, &stream, position, head).await {
            Ok(next) => {
                position = next;
                read.send_replace(position);
                if position < head {
                    hurry.notify_one();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the search index stumbled");
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    }
}

/// Returns when the log has not grown for a while.
async fn quiet(stream: &Stream) {
    loop {
        let before = stream.position();
        tokio::time::sleep(QUIET).await;
        if stream.position() == before {
            return;
        }
    }
}

async fn round(store: &Store, stream: &Stream, after: Position, head: Position) -> Result<Position, ApiError> {
    let local = Local::new(store.clone());
    let events = stream.read(after, head, ROUND).await?;
    let next = events.last().filter(|_| events.len() == ROUND).map_or(head, |event| event.position());
    let kept = events.iter().filter(|event| event.redacted_by().is_none());
    let added = table::insert(local.db(), kept.map(|event| &**event))?;
    let mut statements: Vec<_> = added.into_iter().collect();
    let taken_back: Vec<OwnedEventId> = events.iter().filter_map(|event| event.redacts.clone()).collect();
    let taken_back = store.events_by_id(&taken_back).await?;
    let taken_back = taken_back.iter().filter(|event| event.redacted_by().is_some());
    statements.extend(taken_back.filter_map(|event| table::remove(local.db(), event)));
    if statements.is_empty() && next.0 - after.0 < 10_000 {
        // Nothing to store: at worst these are looked at again after a restart.
        return Ok(next);
    }
    statements.push(table::moved(next.0));
    local.write(statements).await?;
    Ok(next)
}
