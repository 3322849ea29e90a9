//! Several deliveries of one lane on their way at once.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, ready},
};

use super::{
    ToRemote,
    aside::stands_aside,
    attempt::{LONGEST_DELIVERY, parsed, session_id},
    claims::{Held, Spoken},
};
use crate::{
    dispatch::convert::guarded,
    network::{Confirmation, IdempotencyKey, Network, RemoteOp, SendError, Session as _},
    store::OutboxRow,
};

/// What is told together with others, and who says it.
type Telling<N> = (Arc<<N as Network>::Session>, RemoteOp<N>, IdempotencyKey);

/// What became of each of several, in order; `None` for what was certainly not said.
type Told<N> = Vec<Option<Confirmation<N>>>;

impl<N: Network> ToRemote<N> {
    /// Tells the first rows together, where they and their sessions allow it: on a shared link those behind what is on its way already,
    /// elsewhere once that has had its turn. What becomes of each is kept for its turn.
    pub(super) async fn tell_together(&self, held: &mut Held<N>) {
        let under_way = held.told.len();
        let may_follow = under_way == 0 || (N::SHARED_LINK && !held.stopped);
        // One alone is said in its turn as well as here.
        let worth = if under_way == 0 { 2 } else { 1 };
        if !may_follow || held.claimed < under_way + worth {
            return;
        }
        let Some(first) = held.rows.get(under_way).cloned() else { return };
        let Some(session) = self.connected(&first).await else { return };
        let rows = held.together(under_way, guarded(|| session.window()).unwrap_or(1));
        let ops = self.ready_ones(&rows).await;
        if ops.len() < worth {
            return;
        }
        let watches: Vec<_> =
            rows.iter().take(ops.len()).map(|row| self.parts.lanes.under_way.watch(&row.idem)).collect();
        let tell = if N::SHARED_LINK { among::<N>(&session, &ops) } else { one_by_one::<N>(&session, ops) };
        let told = match tokio::time::timeout(LONGEST_DELIVERY, AssertUnwindSafe(tell).catch_unwind()).await {
            Ok(Ok(told)) => told,
            // What it had said of them by then, nobody can tell.
            Ok(Err(_)) | Err(_) => watches.iter().map(|_| Some(no_answer::<N>())).collect(),
        };
        held.stopped = told.len() < watches.len();
        for ((row, watch), said) in rows.iter().zip(watches).zip(told) {
            if let Some(said) = said {
                held.told.insert(row.seq, Spoken { watch, said });
            }
        }
    }

    /// Who says a row, where they can do so now and nothing of theirs stands aside. What was kept until it may be said is said in its turn,
    /// once it is known that it was not withdrawn.
    async fn connected(&self, row: &OutboxRow) -> Option<Arc<N::Session>> {
        let id = session_id(&row.session).filter(|_| !(self.is_aside(row) || N::SHARED_LINK && stands_aside(row)))?;
        let session = self.parts.speakers.session(&id).await?;
        self.parts.speakers.connected(&id).now_or_never().map(|()| session)
    }

    /// The first rows that can be said now, with who says them.
    async fn ready_ones(&self, rows: &[Arc<OutboxRow>]) -> Vec<Telling<N>> {
        let mut ready_ones: Vec<Telling<N>> = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            // Mostly it is whoever spoke before.
            let again = index.checked_sub(1).filter(|before| rows[*before].session == row.session);
            let session = match again.and_then(|before| ready_ones.get(before)) {
                Some((session, ..)) => Some(Arc::clone(session)),
                None => self.connected(row).await,
            };
            let (Some(session), Some((op, key))) = (session, parsed::<N>(row)) else { break };
            if op.upload.is_some() {
                break;
            }
            ready_ones.push((session, op, key));
        }
        ready_ones
    }
}

fn among<'a, N: Network>(session: &'a Arc<N::Session>, ops: &'a [Telling<N>]) -> BoxFuture<'a, Told<N>> {
    async { session.deliver_among(ops).await.into_iter().map(Some).collect() }.boxed()
}

/// All are told, and each is confirmed, before this comes to an end.
fn one_by_one<'a, N: Network>(session: &'a Arc<N::Session>, ops: Vec<Telling<N>>) -> BoxFuture<'a, Told<N>> {
    let all = ops.len();
    let ops: Vec<_> = ops.into_iter().map(|(_, op, key)| (op, key)).collect();
    async move {
        let mut results = session.deliver_all(&ops).await.into_iter();
        let told = (0..all).map(|_| match results.next() {
            // What was certainly not said is said in its turn.
            Some(Err(error)) if error.is_not_yet() => None,
            Some(said) => Some(ready(said).boxed()),
            None => Some(no_answer::<N>()),
        });
        told.collect()
    }
    .boxed()
}

fn no_answer<N: Network>() -> Confirmation<N> {
    ready(Err(SendError::MaybeSent("no answer".to_owned()))).boxed()
}
