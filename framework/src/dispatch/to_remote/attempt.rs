//! One delivery: said, found out about, tried again, or given up.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use ruma::UserId;
use tokio::time::{Instant, error::Elapsed};

use super::{End, Held, Spoken, ToRemote, aside::stands_aside, in_doubt};
use crate::{
    clock::Millis,
    dispatch::{
        WhenUnsure,
        convert::{guarded, message},
        outcome::{self, Verdict},
    },
    metrics::Outcome,
    network::{Delivered, Idempotency, IdempotencyKey, Landed, Network, RemoteOp, SendError, Session as _, SessionId},
    store::OutboxRow,
};

/// A session that does not answer a delivery for this long may have said it or not.
pub(super) const LONGEST_DELIVERY: Duration = Duration::from_mins(10);

impl<N: Network> ToRemote<N> {
    /// Delivers one row, however long that takes within its age.
    pub(super) async fn deliver(&self, row: &OutboxRow, held: &mut Held<N>) -> End<N> {
        let Ok(mut op) = serde_json::from_str::<RemoteOp<N>>(&row.op) else {
            return End::fault("the stored operation cannot be read");
        };
        let Some(key) = IdempotencyKey::parse(&row.idem) else { return End::fault("the stored key cannot be read") };
        let Some(session_id) = session_id(&row.session) else { return End::fault("the stored session cannot be read") };
        let told = held.told.remove(&row.seq);
        if told.is_none()
            && let Some(end) = self.follows(row, &op).await
        {
            return end;
        }
        let mut unsure = in_doubt(row);
        let mut claimed = unsure || held.claimed > 0;
        let (mut attempt, mut wait) = (row.attempts, self.parts.options.first_wait);
        let (begun, mut deadline) = (Instant::now(), self.deadline(row, held));
        let (mut watch, mut told) = match told {
            Some(Spoken { watch, said }) => (watch, Some(said)),
            None => (self.parts.lanes.under_way.watch(&row.idem), None),
        };
        'attempts: loop {
            let session = match &told {
                Some(_) => None,
                None => self.parts.speakers.session(&session_id).await,
            };
            if told.is_none() && session.is_none() && self.parts.speakers.is_refused(&session_id) {
                let text = format!("{} refused your connection", N::INFO.name);
                let tell = Some(outcome::too_old(N::INFO.name, &text));
                return End::Failed { tell, park: Some(text), why: Outcome::Refused };
            }
            let session = session.filter(|_| self.parts.speakers.connected(&session_id).now_or_never().is_some());
            let (attempted, on_its_way) = (session.is_some() || told.is_some(), told.is_some());
            let error = 'tried: {
                let said: Said<'_, N> = match (told.take(), &session) {
                    (Some(said), _) => said,
                    (None, None) => break 'tried SendError::Disconnected,
                    (None, Some(session)) => {
                        if let Err(end) = self.store_file(row, &mut op, held, deadline).await {
                            return end;
                        }
                        if unsure {
                            match self.find_out(row, session, (&op, &key), held).await {
                                Ok(true) => unsure = false,
                                Ok(false) => break 'tried SendError::Disconnected,
                                Err(end) => return end,
                            }
                        }
                        if !claimed {
                            if self.claim_now(held).await.is_none() {
                                return End::Stopped;
                            }
                            claimed = true;
                        }
                        if self.is_withdrawn(row).await {
                            return End::Withdrawn;
                        }
                        session.deliver(&op, &key, attempt + 1)
                    }
                };
                attempt += 1;
                let said = AssertUnwindSafe(said).catch_unwind();
                let said = tokio::select! {
                    biased;
                    Ok(_) = &mut watch.echo => return End::Echoed,
                    said = tokio::time::timeout(LONGEST_DELIVERY, said) => said,
                };
                match answered(said) {
                    Ok(Delivered { id }) => {
                        self.parts.kill.pass("remote.delivered").await;
                        return End::Delivered(id);
                    }
                    // It went out with others and was certainly not said: now it is its turn.
                    Err(error) if on_its_way && error.is_not_yet() => {
                        attempt -= 1;
                        continue 'attempts;
                    }
                    Err(error) => error,
                }
            };
            let for_how_long = match outcome::verdict(N::INFO.name, &error) {
                Verdict::Fail { tell, park } => {
                    tracing::warn!(lane = row.lane, seq = row.seq, %error, "a delivery to the network failed");
                    return End::Failed { tell, park: park.then(|| error.to_string()), why: Outcome::Refused };
                }
                Verdict::FindOut => {
                    unsure = true;
                    continue;
                }
                Verdict::Keep { why, keep } if !stands_aside(row) => return self.kept(row, &why, keep).await,
                Verdict::Keep { why, keep } => {
                    held.keep = keep;
                    deadline = self.deadline(row, held);
                    let until = Millis(row.at) + keep;
                    if self.parts.clock.now() >= until {
                        let tell = Some(outcome::kept_too_long(N::INFO.name, &why, keep));
                        return End::Failed { tell, park: None, why: Outcome::Expired };
                    }
                    if self.release(row, attempt, &error, held).await.is_none() {
                        return End::Stopped;
                    }
                    (claimed, unsure) = (false, false);
                    let longest = until.since(self.parts.clock.now()).min(self.parts.options.longest_wait);
                    match &session {
                        Some(session) => drop(tokio::time::timeout(longest, session.may_speak(&op.room)).await),
                        None => tokio::time::sleep(self.parts.options.first_wait).await,
                    }
                    continue;
                }
                Verdict::Wait(for_how_long) => for_how_long,
            };
            if self.parts.clock.now() >= deadline {
                let tell = if unsure {
                    outcome::unsure(N::INFO.name)
                } else {
                    outcome::too_old(N::INFO.name, &error.to_string())
                };
                return End::Failed { tell: Some(tell), park: Some(error.to_string()), why: Outcome::Expired };
            }
            if claimed && !unsure && self.release(row, attempt, &error, held).await.is_none() {
                return End::Stopped;
            }
            claimed = unsure;
            // However long anything else may wait: its sender is told in time.
            let left = deadline.since(self.parts.clock.now()).max(self.parts.options.first_wait);
            let patience = self.parts.options.puppet_patience.saturating_sub(begun.elapsed());
            let is_puppet = !N::SHARED_LINK && session_id.user_id().is_some() && !stands_aside(row);
            if is_puppet && patience.is_zero() && !unsure {
                return End::Aside(None);
            }
            if attempted {
                // However quickly the connection comes and goes, the lane does not spin.
                tokio::time::sleep(for_how_long.unwrap_or(wait).min(left)).await;
                wait = (wait * 2).min(self.parts.options.longest_wait);
            } else {
                let longest = if is_puppet {
                    patience.max(self.parts.options.first_wait)
                } else {
                    self.parts.options.longest_wait
                };
                // What is not connected by then is decided by the next turn.
                let _ = tokio::time::timeout(
                    longest.min(self.parts.options.longest_wait).min(left),
                    self.parts.speakers.connected(&session_id),
                )
                .await;
                if self.parts.speakers.session(&session_id).await.is_none() {
                    tokio::time::sleep(self.parts.options.first_wait).await;
                }
            }
        }
    }

    /// Until when a row is tried: its age counts from when it was heard, or from when this life began; what is kept, longer.
    fn deadline(&self, row: &OutboxRow, held: &Held<N>) -> Millis {
        Millis(row.at).max(self.since) + self.parts.options.max_age.max(held.keep)
    }

    /// Whether what may have been said was: `Ok` when it was not, or nothing speaks against saying it again; `Ok(false)` when nobody
    /// can be asked yet.
    async fn find_out(
        &self,
        row: &OutboxRow,
        session: &N::Session,
        (op, key): (&RemoteOp<N>, &IdempotencyKey),
        held: &mut Held<N>,
    ) -> Result<bool, End<N>> {
        let landed = match held.found.remove(&row.seq) {
            Some(landed) => landed,
            None => self.ask_together(session, (op, key, Millis(row.at)), held).await,
        };
        tracing::debug!(lane = row.lane, seq = row.seq, ?landed, "what may have been said was looked for");
        match landed {
            Landed::Yes { id } => Err(End::Delivered(id)),
            Landed::No => Ok(true),
            Landed::NotNow => Ok(false),
            Landed::CannotTell => {
                let caps = guarded(|| session.caps(&op.room)).unwrap_or_default();
                if caps.idempotency == Idempotency::ClientId || self.parts.options.when_unsure == WhenUnsure::SayAgain {
                    return Ok(true);
                }
                let park = Some("nobody can tell whether it was delivered".to_owned());
                Err(End::Failed { tell: Some(outcome::unsure(N::INFO.name)), park, why: Outcome::Unknown })
            }
        }
    }

    /// Asks about the first row, and at the same time about those behind it that an earlier life claimed too: each answer may take a
    /// while. What is found out about those is kept for their turn.
    async fn ask_together(
        &self,
        session: &N::Session,
        (op, key, since): (&RemoteOp<N>, &IdempotencyKey, Millis),
        held: &mut Held<N>,
    ) -> Landed<N::Message> {
        tracing::debug!(key = %key, "asking whether it was said");
        let mut others = Vec::new();
        for row in held.rows.iter().skip(1).take_while(|row| in_doubt(row)) {
            let (Some(id), Some((op, key))) = (session_id(&row.session), parsed::<N>(row)) else { continue };
            if op.upload.is_some() {
                continue;
            }
            if let Some(session) = self.parts.speakers.session(&id).await {
                others.push((row.seq, session, op, key, Millis(row.at)));
            }
        }
        let asked = others
            .iter()
            .map(async |(seq, session, op, key, since)| (*seq, landed::<N>(session, op, key, *since).await));
        let (landed, found) = tokio::join!(landed::<N>(session, op, key, since), join_all(asked));
        held.found.extend(found);
        landed
    }
}

/// Whether an operation landed, as its session knows.
async fn landed<N: Network>(
    session: &N::Session,
    op: &RemoteOp<N>,
    key: &IdempotencyKey,
    since: Millis,
) -> Landed<N::Message> {
    let asked = AssertUnwindSafe(session.reconcile(op, key, since)).catch_unwind();
    asked.await.unwrap_or(Landed::CannotTell)
}

/// A row's operation and key, where both can be read.
pub(super) fn parsed<N: Network>(row: &OutboxRow) -> Option<(RemoteOp<N>, IdempotencyKey)> {
    Some((serde_json::from_str(&row.op).ok()?, IdempotencyKey::parse(&row.idem)?))
}

/// A delivery under way.
type Said<'a, N> = BoxFuture<'a, Result<Delivered<<N as Network>::Message>, SendError>>;

/// What a panic leaves behind.
type Panic = Box<dyn Any + Send>;

/// What a delivery came to, however it ended.
fn answered<T>(said: Result<Result<Result<T, SendError>, Panic>, Elapsed>) -> Result<T, SendError> {
    match said {
        Ok(Ok(said)) => said,
        Ok(Err(panic)) => Err(SendError::Bug(message(&*panic))),
        Err(_) => Err(SendError::MaybeSent("no answer".to_owned())),
    }
}

pub(super) fn session_id(text: &str) -> Option<SessionId> {
    match text {
        "relay" => Some(SessionId::Relay),
        "gateway" => Some(SessionId::Gateway),
        user => UserId::parse(user).ok().map(SessionId::User),
    }
}
