//! Delivers the log to one application service: one transaction in flight, in order, none lost, none altered ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#pushing-events

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::Instant;

use super::{
    backoff::Backoff,
    batch::{Batch, BatchError, Limits, Sources},
    interest::{Interest, InterestChange},
    query::segment,
    registry::Appservice,
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    store::{
        StoreError, accounts,
        appservices::{self as table, CursorRow, TxnRow},
        device_keys,
        local::Local,
        statement::Statement,
    },
    stream::Position,
};

/// The most events of one transaction, and the most messages to devices.
pub(super) const MAX_EVENTS: usize = 100;

/// The most bytes of one transaction's events; one event that is larger goes alone.
pub(super) const MAX_BYTES: usize = 2 * 1024 * 1024;

/// How long a service may take to take a transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far apart transactions begin where they are not full: each costs a request and a commit, however little is in it. What comes
/// after a pause is sent at once.
const APART: Duration = Duration::from_millis(5);

/// How long a service's own words wait for company: it knows them, and who else waits for them is told first.
const ECHO: Duration = Duration::from_millis(4);

/// How long a service that knows events may take before its transaction is stored.
const GRACE: Duration = Duration::from_millis(20);

/// How long what such a service took is kept in memory alone, and how many transactions: after a crash it is told of their events again.
const UNSTORED: (Duration, usize) = (Duration::from_millis(100), 64);

/// How far the cursor moves in memory over events of no interest before that is stored.
const IDLE_STRIDE: i64 = 1000;

/// The work for one application service.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) appservice: Arc<Appservice>,
    pub(super) sources: Sources,
    pub(super) local: Local,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// Where the work stands.
pub(super) struct Progress {
    interest: Interest,
    /// As it is in memory; what is stored may lag behind over events of no interest.
    cursor: CursorRow,
    stored: i64,
    /// What the next commit carries: the thawed transaction and what it changed.
    pending: Vec<Statement>,
    /// Transactions that were taken and of which nothing is stored, and since when.
    unstored: Option<(Instant, usize)>,
    max_events: usize,
    ephemeral: bool,
    to_device_after: (i64, i64),
    /// Where the log ended when no message waited for a device of the service.
    no_to_device: Option<Position>,
    backoff: Backoff,
}

impl Progress {
    /// Whether what is in memory alone is to be stored now.
    fn is_late(&self) -> bool {
        self.unstored.is_some_and(|(since, count)| since.elapsed() >= UNSTORED.0 || count >= UNSTORED.1)
    }

    fn is_stored(&mut self) {
        self.pending.clear();
        self.stored = self.cursor.pos;
        self.unstored = None;
    }
}

/// A transaction in flight, with what its acknowledgement changes.
pub(super) struct Flight {
    txn: TxnRow,
    changes: Vec<InterestChange>,
    /// Whether it is stored, and so is the same after a crash.
    frozen: bool,
    /// Whether it was taken before it was to be stored.
    fleeting: bool,
}

enum Outcome {
    Acknowledged,
    TooLarge,
    Failed,
}

impl Queue {
    /// Delivers until the task is dropped.
    pub(super) async fn run(self, mut progress: Progress, mut flight: Option<Flight>) {
        let mut began = None;
        loop {
            let mut current = match flight.take() {
                Some(flight) => flight,
                None => {
                    if progress.is_late()
                        && let Err(error) = self.store(&mut progress).await
                    {
                        self.hiccup("store", &error).await;
                        continue;
                    }
                    self.keep_apart(&progress, began).await;
                    self.keep_echoes(&progress).await;
                    match self.next_flight(&mut progress).await {
                        Ok(Some(next)) => next,
                        Ok(None) => {
                            self.wait_for_log(&mut progress).await;
                            continue;
                        }
                        Err(error) => {
                            self.hiccup("gather", &error).await;
                            continue;
                        }
                    }
                }
            };
            self.appservice.going().await;
            began = Some(Instant::now());
            let outcome = match self.freeze_and_send(&mut progress, &mut current).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    progress.interest.undo(&current.changes);
                    self.hiccup("freeze", &error).await;
                    continue;
                }
            };
            match outcome {
                Outcome::Acknowledged => self.acknowledged(&mut progress, current),
                Outcome::TooLarge => self.too_large(&mut progress, current).await,
                Outcome::Failed => {
                    let wait = progress.backoff.next(self.entropy.chance());
                    self.appservice.failed(progress.backoff.failures());
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.appservice.woken() => {}
                    }
                    if self.appservice.is_skipping() {
                        self.set_aside(&mut progress, current, 0, "an operator").await;
                    } else {
                        flight = Some(current);
                    }
                }
            }
        }
    }

    /// Waits until the next transaction may begin, unless it will be full.
    async fn keep_apart(&self, progress: &Progress, began: Option<Instant>) {
        let waiting = self.sources.stream.position().0 - progress.cursor.pos;
        if let Some(began) = began
            && usize::try_from(waiting).is_ok_and(|waiting| waiting < progress.max_events)
        {
            tokio::time::sleep_until(began + APART).await;
        }
    }

    /// Waits as long as nothing but the service's own words is to be told.
    async fn keep_echoes(&self, progress: &Progress) {
        let until = Instant::now() + ECHO;
        while let Some(head) = self.echoes_up_to(progress).await {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                _ = self.sources.stream.wait_past(head) => {}
            }
        }
    }

    /// The end of the log, where all that waits there for the service are some events that its own users sent.
    async fn echoes_up_to(&self, progress: &Progress) -> Option<Position> {
        let (after, head) = (Position(progress.cursor.pos), self.sources.stream.position());
        let waiting = usize::try_from(head.0 - after.0).ok()?;
        if waiting == 0 || waiting >= progress.max_events {
            return None;
        }
        // What cannot be read now is read, and told, by who gathers.
        let events = self.sources.stream.read(after, head, waiting).await.ok()?;
        let echoes = events.iter().filter(|event| self.appservice.owns_user(&event.sender)).count();
        (echoes == waiting).then_some(head)
    }

    /// Takes up the stored cursor and what was in flight, or begins at the log's end.
    pub(super) async fn begin(&self) -> Result<(Progress, Option<Flight>), BatchError> {
        let id = self.appservice.id();
        let namespaces = serde_json::to_string(&self.appservice.registration().namespaces)?;
        let stored = table::cursor(self.local.db(), id).await?;
        let (cursor, interest) = match stored {
            Some(cursor) if cursor.namespaces == namespaces => (cursor, self.load_interest().await?),
            stored => self.fresh_cursor(stored, namespaces).await?,
        };
        let mut progress = Progress {
            interest,
            stored: cursor.pos,
            cursor,
            pending: Vec::new(),
            unstored: None,
            max_events: MAX_EVENTS,
            ephemeral: true,
            to_device_after: (0, 0),
            no_to_device: None,
            backoff: Backoff::default(),
        };
        self.note_position(&progress);
        let flight = match table::in_flight(self.local.db(), id).await? {
            None => None,
            Some(txn) => {
                let (after, end) = (Position(progress.cursor.pos), Position(txn.end_pos));
                let changes = self.sources.walk(&self.appservice, &mut progress.interest, after, end).await?;
                Some(Flight { txn, changes, frozen: true, fleeting: false })
            }
        };
        Ok((progress, flight))
    }

    async fn load_interest(&self) -> Result<Interest, BatchError> {
        let pairs = table::members(self.local.db(), self.appservice.id()).await?;
        Ok(Interest::load(pairs.into_iter().filter_map(|(room_id, user_id)| {
            Some((OwnedRoomId::try_from(room_id).ok()?, OwnedUserId::try_from(user_id).ok()?))
        })))
    }

    /// A service that is new, or whose namespaces changed: the index is made from who is joined now.
    async fn fresh_cursor(
        &self,
        stored: Option<CursorRow>,
        namespaces: String,
    ) -> Result<(CursorRow, Interest), BatchError> {
        let id = self.appservice.id();
        let cursor = match stored {
            Some(stored) => CursorRow { namespaces, ..stored },
            None => CursorRow {
                pos: self.sources.stream.position().0,
                epoch: self.entropy.word(8),
                next_txn: 1,
                namespaces,
            },
        };
        let mut pairs = Vec::new();
        for user_id in accounts::all_ids(self.local.db()).await? {
            let Ok(user_id) = OwnedUserId::try_from(user_id) else { continue };
            if self.appservice.owns_user(&user_id) {
                for room_id in self.sources.rooms.joined_rooms(&user_id).await? {
                    pairs.push((room_id, user_id.clone()));
                }
            }
        }
        let mut statements = vec![table::clear_members(id), table::put_cursor(id, &cursor)];
        let rows: Vec<_> = pairs.iter().map(|(room, user)| (id, room.as_str(), user.as_str())).collect();
        statements.push(table::add_members(&rows)?);
        self.local.write(statements).await?;
        Ok((cursor, Interest::load(pairs)))
    }

    /// Gathers the next transaction.
    async fn next_flight(&self, progress: &mut Progress) -> Result<Option<Flight>, BatchError> {
        let Progress { max_events: events, ephemeral, to_device_after, .. } = *progress;
        loop {
            let after = Position(progress.cursor.pos);
            let no_to_device = progress.no_to_device;
            let limits = Limits { events, bytes: MAX_BYTES, ephemeral, to_device_after, no_to_device };
            let batch = self.sources.next(&self.appservice, &mut progress.interest, after, limits).await?;
            progress.no_to_device = batch.no_to_device;
            if !batch.body.is_empty() {
                return flight(progress, batch).map(Some);
            }
            let moved = batch.end > after;
            // A walk over events of no interest changes nothing of the index, so the cursor may move without them.
            progress.cursor.pos = batch.end.0;
            if progress.cursor.pos - progress.stored >= IDLE_STRIDE || !progress.pending.is_empty() {
                self.store(progress).await?;
            }
            self.note_position(progress);
            if !moved || batch.end >= self.sources.stream.position() {
                return Ok(None);
            }
        }
    }

    /// A transaction is stored before it is sent, so that it is repeated byte for byte after a crash, too. That of a service that knows
    /// events is stored only if it is not taken at once.
    async fn freeze_and_send(&self, progress: &mut Progress, flight: &mut Flight) -> Result<Outcome, StoreError> {
        if flight.frozen {
            return Ok(self.send(&flight.txn).await);
        }
        if !self.appservice.knows_events() || flight.txn.to_device > 0 {
            self.freeze(progress, &flight.txn).await?;
            flight.frozen = true;
            return Ok(self.send(&flight.txn).await);
        }
        let mut sending = pin!(self.send(&flight.txn));
        let (frozen, outcome) = match tokio::time::timeout(GRACE, &mut sending).await {
            Ok(Outcome::Acknowledged) => {
                flight.fleeting = true;
                return Ok(Outcome::Acknowledged);
            }
            Ok(outcome) => (self.freeze(progress, &flight.txn).await, outcome),
            Err(_) => tokio::join!(self.freeze(progress, &flight.txn), sending),
        };
        match frozen {
            Ok(()) => flight.frozen = true,
            // It is frozen with the next try, or passed over once it is acknowledged: what is pending says so.
            Err(error) => tracing::error!(appservice.id = self.appservice.id(), %error, "a transaction was not stored"),
        }
        Ok(outcome)
    }

    /// Stores a transaction, in the commit that thaws the one before.
    async fn freeze(&self, progress: &mut Progress, txn: &TxnRow) -> Result<(), StoreError> {
        let id = self.appservice.id();
        let mut statements = progress.pending.clone();
        statements.push(table::put_cursor(id, &progress.cursor));
        statements.push(table::freeze(id, txn));
        self.local.write(statements).await?;
        progress.is_stored();
        Ok(())
    }

    async fn store(&self, progress: &mut Progress) -> Result<(), StoreError> {
        let mut statements = progress.pending.clone();
        statements.push(table::put_cursor(self.appservice.id(), &progress.cursor));
        self.local.write(statements).await?;
        progress.is_stored();
        Ok(())
    }

    /// `PUT /_matrix/app/v1/transactions/{txnId}`.
    async fn send(&self, txn: &TxnRow) -> Outcome {
        let path = format!("/_matrix/app/v1/transactions/{}", segment(&txn.txn_id));
        let body = Bytes::from(txn.body.clone());
        let Some(answer) = self.appservice.call(Method::PUT, &path, body, PATIENCE).await else {
            return Outcome::Failed;
        };
        match answer {
            Ok(answer) if answer.status().is_success() => Outcome::Acknowledged,
            Ok(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge,
            Ok(answer) => {
                let status = answer.status().as_u16();
                tracing::warn!(appservice.id = self.appservice.id(), txn.id = %txn.txn_id, status, "a transaction was not taken");
                Outcome::Failed
            }
            Err(error) => {
                tracing::warn!(appservice.id = self.appservice.id(), txn.id = %txn.txn_id, %error, "a transaction was not answered");
                Outcome::Failed
            }
        }
    }

    /// The cursor moves with the next commit, the same that thaws the transaction.
    fn acknowledged(&self, progress: &mut Progress, flight: Flight) {
        self.thaw(progress, &flight);
        progress.max_events = (progress.max_events * 2).min(MAX_EVENTS);
        progress.ephemeral = true;
        progress.backoff.reset();
        // What was to be skipped was taken after all.
        let _ = self.appservice.is_skipping();
        let status = self.appservice.status();
        status.failures.store(0, Ordering::Relaxed);
        status.transactions.fetch_add(1, Ordering::Relaxed);
        status.events.fetch_add(u64::try_from(flight.txn.events).unwrap_or(0), Ordering::Relaxed);
        self.note_position(progress);
    }

    fn thaw(&self, progress: &mut Progress, flight: &Flight) {
        let id = self.appservice.id();
        progress.cursor.pos = flight.txn.end_pos;
        if flight.fleeting {
            let (since, count) = progress.unstored.unwrap_or_else(|| (Instant::now(), 0));
            progress.unstored = Some((since, count + 1));
        } else {
            progress.pending.push(table::thaw(id));
        }
        if flight.txn.to_device > 0 {
            let (position, number) = flight.txn.to_device_end;
            progress.to_device_after = flight.txn.to_device_end;
            progress.pending.push(device_keys::delete_of_service(id, position, number));
        }
        // Of several changes of one membership the last counts.
        let changes = flight.changes.iter().map(|change| ((&*change.room_id, &*change.user_id), change.joined));
        let last: HashMap<_, _> = changes.collect();
        let rows = |joined: bool| -> Vec<_> {
            let those = last.iter().filter(|(_, last)| **last == joined);
            those.map(|((room, user), _)| (id, room.as_str(), user.as_str())).collect()
        };
        let (added, removed) = (rows(true), rows(false));
        if !added.is_empty() {
            progress.pending.extend(table::add_members(&added));
        }
        if !removed.is_empty() {
            progress.pending.extend(table::remove_members(&removed));
        }
    }

    /// The service never took it, so it may be split: the parts are new transactions with new ids. What is still too large alone is
    /// set aside, or it would block everything after it for ever.
    async fn too_large(&self, progress: &mut Progress, flight: Flight) {
        let id = self.appservice.id();
        let things = flight.txn.events + flight.txn.to_device;
        if things > 1 || (things == 1 && progress.ephemeral) {
            progress.interest.undo(&flight.changes);
            progress.max_events = usize::try_from(things / 2).unwrap_or(1).max(1);
            progress.ephemeral = false;
            progress.pending.push(table::thaw(id));
            return;
        }
        self.set_aside(progress, flight, 413, "its size").await;
    }

    /// Keeps a transaction apart that the service will never take, and goes on after it.
    async fn set_aside(&self, progress: &mut Progress, flight: Flight, status: i64, why: &'static str) {
        let id = self.appservice.id();
        tracing::error!(appservice.id = id, txn.id = %flight.txn.txn_id, why, "a transaction is set aside");
        let at = i64::from(self.clock.now().0);
        self.appservice.status().refused.fetch_add(1, Ordering::Relaxed);
        self.appservice.status().failures.store(0, Ordering::Relaxed);
        progress.backoff.reset();
        progress.pending.push(table::refuse(id, &flight.txn, status, at));
        self.thaw(progress, &flight);
        while let Err(error) = self.store(progress).await {
            self.hiccup("set aside", &error).await;
        }
    }

    /// Waits for what comes, and stores meanwhile what is in memory alone.
    async fn wait_for_log(&self, progress: &mut Progress) {
        let mut more = pin!(self.sources.stream.wait_past(Position(progress.cursor.pos)));
        if let Some((since, _)) = progress.unstored {
            tokio::select! {
                biased;
                _ = &mut more => return,
                () = tokio::time::sleep_until(since + UNSTORED.0) => {}
            }
            if let Err(error) = self.store(progress).await {
                return self.hiccup("store", &error).await;
            }
        }
        more.await;
    }

    fn note_position(&self, progress: &Progress) {
        self.appservice.status().acknowledged.store(progress.cursor.pos, Ordering::Relaxed);
    }

    /// The store failed, perhaps because the disk is full: nothing is lost, it is tried again.
    async fn hiccup(&self, what: &'static str, error: &(dyn std::error::Error + Sync)) {
        tracing::error!(appservice.id = self.appservice.id(), %error, what, "delivery to an application service paused");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Makes the next transaction of a batch.
fn flight(progress: &mut Progress, batch: Batch) -> Result<Flight, BatchError> {
    let body = match batch.body.freeze() {
        Ok(body) => body,
        Err(error) => {
            progress.interest.undo(&batch.changes);
            return Err(error.into());
        }
    };
    let txn = TxnRow {
        txn_id: format!("{}.{}", progress.cursor.epoch, progress.cursor.next_txn),
        end_pos: batch.end.0,
        events: i64::try_from(batch.body.events.len()).unwrap_or(i64::MAX),
        to_device: i64::try_from(batch.body.to_device.len()).unwrap_or(i64::MAX),
        to_device_end: batch.to_device_end,
        body,
    };
    progress.cursor.next_txn += 1;
    Ok(Flight { txn, changes: batch.changes, frozen: false, fleeting: false })
}
