//! The second step of a lane, towards the network: deliver, in order, and never twice.
//!
//! Before something is said it is claimed: after a crash, a claimed row may have been said, and the session is asked whether it was.
//! Whatever waits is not claimed. Where much waits, and the network confirms late, several are told at once; each is then worked
//! in its turn with what became of it.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use ruma::{RoomId, UserId};
use tokio::time::{Instant, error::Elapsed};

use super::{
    WhenUnsure, commit_patiently,
    convert::{guarded, message},
    echoes::Watch,
    outcome::{self, Told, Verdict},
    queues::Next,
    status::{self, About},
};
use crate::{
    bridge::{HomeserverError, dead_letters::Stage, parts::Parts},
    clock::Millis,
    metrics::Outcome,
    network::{
        Delivered, Direction, Idempotency, IdempotencyKey, Landed, Network, RemoteId, RemoteOp, SendError,
        Session as _, SessionId, op::UPLOAD_URL,
    },
    store::{Change, DeadLetterRow, Memory, OutboxRow},
};

/// How many rows are read from the store at once, and how many are held.
const BATCH: usize = 64;
/// A lane with more than this to say claims several at once.
const BUSY: usize = 8;
/// How many are claimed at once in a busy lane. After a crash each of them may have been said.
const CLAIM: usize = 8;
/// A session that does not answer a delivery for this long may have said it or not.
const LONGEST_DELIVERY: Duration = Duration::from_mins(10);

/// Delivers to the network. One for all lanes.
pub(crate) struct ToRemote<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    /// Since when this life delivers: the time before does not count as waiting.
    pub(crate) since: Millis,
}

/// How a delivery ended.
enum End<N: Network> {
    /// The network has it.
    Delivered(Option<N::Message>),
    /// Our own message came back while its answer was lost: the row is closed already.
    Echoed,
    /// It will not be delivered.
    Failed { tell: Option<Told>, park: Option<String>, why: Outcome },
    /// It waits for a session that others need not wait for.
    Aside,
    /// The store is closed.
    Stopped,
}

impl<N: Network> End<N> {
    fn fault(error: &str) -> Self {
        Self::Failed { tell: Some(outcome::fault()), park: Some(error.to_owned()), why: Outcome::Parked }
    }
}

/// Stands between a lane and the session whose rows stand aside.
const ASIDE: char = '\u{1f}';

/// The lane in which a row stands aside.
fn aside(row: &OutboxRow) -> String {
    format!("{}{ASIDE}{}", row.lane, row.session)
}

/// What a lane holds.
struct Held<N: Network> {
    rows: VecDeque<Arc<OutboxRow>>,
    /// How many of the first rows are claimed.
    claimed: usize,
    /// What became of first rows that were told together and may have been said, by their number.
    told: HashMap<i64, Spoken<N>>,
}

impl<N: Network> Held<N> {
    fn new() -> Self {
        Self { rows: VecDeque::new(), claimed: 0, told: HashMap::new() }
    }

    /// The first rows that may be told together: claimed by us, of one session, never tried before.
    fn together(&self, most: usize) -> Vec<Arc<OutboxRow>> {
        let alike = |first: &OutboxRow, row: &OutboxRow| row.session == first.session && row.fresh && row.attempts == 0;
        let Some(first) = self.rows.front() else { return Vec::new() };
        self.rows.iter().take(self.claimed.min(most)).take_while(|row| alike(first, row)).cloned().collect()
    }
}

/// What became of one of several that were told together.
struct Spoken<N: Network> {
    watch: Watch,
    said: Result<Delivered<N::Message>, SendError>,
}

impl<N: Network> ToRemote<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>) -> Self {
        Self { parts: Arc::clone(parts), since: parts.clock.now() }
    }

    /// Works a lane until it has nothing to do.
    pub(crate) async fn run(self: Arc<Self>, lane: String) {
        let mut held = Held::new();
        loop {
            if held.rows.is_empty() && !self.refill(&lane, &mut held).await {
                return;
            }
            let Some(row) = held.rows.front().cloned() else { continue };
            if held.told.is_empty() {
                self.tell_together(&mut held).await;
            }
            let end = self.deliver(&row, &mut held).await;
            if matches!(end, End::Stopped) {
                return;
            }
            // A file may have been stored for it.
            let row = held.rows.pop_front().unwrap_or(row);
            held.claimed = held.claimed.saturating_sub(1);
            if matches!(end, End::Aside) && self.put_aside(&row).await.is_none() {
                return;
            }
            if self.finish(&lane, &row, end, &mut held).await.is_none() {
                return;
            }
        }
    }

    /// Takes what is next. Says no when the lane has been let go.
    async fn refill(&self, lane: &str, held: &mut Held<N>) -> bool {
        match self.parts.lanes.to_remote.take(lane, BATCH) {
            Next::Idle => return false,
            Next::Rows(rows) => {
                held.rows = rows.into();
                held.claimed = held.rows.iter().take_while(|row| row.claimed && row.fresh).count();
            }
            Next::Load { after, left } => {
                let way = Direction::ToRemote;
                match self.parts.store.outbox_of(way, lane, after, BATCH as i64).await {
                    Ok(rows) => self.parts.lanes.to_remote.loaded(lane, rows, BATCH, left),
                    Err(error) => {
                        tracing::warn!(lane, %error, "a lane cannot be read; waiting");
                        tokio::time::sleep(self.parts.options.first_wait).await;
                    }
                }
            }
        }
        true
    }

    /// What became of a row, and the claim on the next ones, in one commit. Waits for it only where something is claimed.
    async fn finish(&self, lane: &str, row: &OutboxRow, end: End<N>, held: &mut Held<N>) -> Option<()> {
        let mut change = Change::default();
        let room_id = RoomId::parse(&row.room_id).ok();
        match end {
            End::Delivered(id) => {
                // The last part of a message says that all of it crossed.
                let is_last = held.rows.front().is_none_or(|next| next.source != row.source);
                if let (Some(room_id), true, true) = (&room_id, is_last, row.memory.is_some()) {
                    let row =
                        self.about(row, room_id).map(|about| status::crossed::<N>(self.parts.options.status, about));
                    change.outbox.extend(row.into_iter().flatten().flatten());
                }
                self.parts.metrics.outcome(N::INFO.id, Direction::ToRemote, Outcome::Delivered);
                self.parts.metrics.latency(
                    N::INFO.id,
                    Direction::ToRemote,
                    self.parts.clock.now().since(Millis(row.at)),
                );
                change.outbox_done.push(row.seq);
                change.messages.extend(row.to_remember(id.map(|id| id.encode()).as_deref()));
            }
            End::Failed { tell, park, why } => {
                self.parts.metrics.outcome(N::INFO.id, Direction::ToRemote, why);
                change.outbox_done.push(row.seq);
                if let (Some(told), Some(room_id)) = (tell, &room_id) {
                    let rows = self
                        .about(row, room_id)
                        .map(|about| status::failed::<N>(self.parts.options.status, about, told));
                    change.outbox.extend(rows.into_iter().flatten().flatten());
                }
                change.park.extend(park.map(|error| self.parked(row, error)));
            }
            End::Echoed => self.parts.metrics.outcome(N::INFO.id, Direction::ToRemote, Outcome::Delivered),
            End::Aside | End::Stopped => {}
        }
        if held.claimed > 0 {
            // The next ones are claimed already; what is forgotten in a crash is found out then.
            return self.parts.store.later(change, self.parts.options.first_wait).await.ok();
        }
        if held.rows.is_empty() && self.parts.lanes.to_remote.waiting(lane) > 0 {
            self.refill(lane, held).await;
        }
        self.claim(&mut change, held);
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        self.parts.kill.pass("remote.committed").await;
        if held.claimed > 0 {
            self.parts.kill.pass("remote.claimed").await;
        }
        Some(())
    }

    /// Claims the next rows: one, or several where much waits. A row that an earlier life claimed stays as it is.
    fn claim(&self, change: &mut Change, held: &mut Held<N>) {
        let most = if held.rows.len() > BUSY { CLAIM } else { 1 };
        let next = held.rows.iter().take(most).take_while(|row| !in_doubt(row));
        change.claim = next.map(|row| row.seq).collect();
        held.claimed = held.claimed.max(change.claim.len());
    }

    /// Delivers one row, however long that takes within its age.
    async fn deliver(&self, row: &OutboxRow, held: &mut Held<N>) -> End<N> {
        let Ok(mut op) = serde_json::from_str::<RemoteOp<N>>(&row.op) else {
            return End::fault("the stored operation cannot be read");
        };
        let Some(key) = IdempotencyKey::parse(&row.idem) else { return End::fault("the stored key cannot be read") };
        let Some(session_id) = session_id(&row.session) else { return End::fault("the stored session cannot be read") };
        let told = held.told.remove(&row.seq);
        if told.is_none() && self.is_aside(row) {
            return End::Aside;
        }
        let mut unsure = in_doubt(row);
        let mut claimed = unsure || held.claimed > 0;
        let (mut attempt, mut wait) = (row.attempts, self.parts.options.first_wait);
        let (begun, deadline) = (Instant::now(), Millis(row.at).max(self.since) + self.parts.options.max_age);
        let (mut watch, mut told) = match told {
            Some(Spoken { watch, said }) => (watch, Some(said)),
            None => (self.parts.lanes.under_way.watch(&row.idem), None),
        };
        loop {
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
            let attempted = session.is_some() || told.is_some();
            let error = match session {
                None if told.is_some() => {
                    attempt += 1;
                    match told.take() {
                        _ if watch.echo.try_recv().is_ok() => return End::Echoed,
                        Some(Ok(Delivered { id })) => {
                            self.parts.kill.pass("remote.delivered").await;
                            return End::Delivered(id);
                        }
                        Some(Err(error)) => error,
                        None => SendError::Disconnected,
                    }
                }
                None => SendError::Disconnected,
                Some(session) => {
                    if let Err(end) = self.store_file(row, &mut op, held, deadline).await {
                        return end;
                    }
                    if unsure {
                        match self.find_out(&session, &op, &key).await {
                            Ok(()) => unsure = false,
                            Err(end) => return end,
                        }
                    }
                    if !claimed {
                        let mut change = Change::default();
                        held.claimed = 0;
                        self.claim(&mut change, held);
                        if commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await.is_none() {
                            return End::Stopped;
                        }
                        self.parts.kill.pass("remote.claimed").await;
                        claimed = true;
                    }
                    attempt += 1;
                    let deliver = AssertUnwindSafe(session.deliver(&op, &key, attempt)).catch_unwind();
                    let said = tokio::select! {
                        biased;
                        Ok(_) = &mut watch.echo => return End::Echoed,
                        said = tokio::time::timeout(LONGEST_DELIVERY, deliver) => said,
                    };
                    match answered(said) {
                        Ok(Delivered { id }) => {
                            self.parts.kill.pass("remote.delivered").await;
                            return End::Delivered(id);
                        }
                        Err(error) => error,
                    }
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
            let is_puppet = !N::SHARED_LINK && session_id.user_id().is_some() && !row.lane.contains(ASIDE);
            if is_puppet && patience.is_zero() && !unsure {
                return End::Aside;
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

    /// Tells the first rows together, where they and their session allow it. What became of each is kept for its turn.
    async fn tell_together(&self, held: &mut Held<N>) {
        let Some(first) = held.rows.front().cloned() else { return };
        let Some(session_id) = session_id(&first.session).filter(|_| held.claimed > 1 && !self.is_aside(&first)) else {
            return;
        };
        let Some(session) = self.parts.speakers.session(&session_id).await else { return };
        if self.parts.speakers.connected(&session_id).now_or_never().is_none() {
            return;
        }
        let rows = held.together(guarded(|| session.window()).unwrap_or(1));
        let ops: Vec<_> = rows.iter().map_while(|row| ready::<N>(row)).collect();
        if ops.len() < 2 {
            return;
        }
        let watches: Vec<_> =
            rows.iter().take(ops.len()).map(|row| self.parts.lanes.under_way.watch(&row.idem)).collect();
        let deliver = AssertUnwindSafe(session.deliver_all(&ops)).catch_unwind();
        let mut results = match tokio::time::timeout(LONGEST_DELIVERY, deliver).await {
            Ok(Ok(results)) => results.into_iter(),
            // What it had said of them by then, nobody can tell.
            Ok(Err(_)) | Err(_) => Vec::new().into_iter(),
        };
        for (row, watch) in rows.iter().zip(watches) {
            let said = results.next().unwrap_or_else(|| Err(SendError::MaybeSent("no answer".to_owned())));
            // What was certainly not said is said in its turn.
            if !said.as_ref().is_err_and(SendError::is_not_yet) {
                held.told.insert(row.seq, Spoken { watch, said });
            }
        }
    }

    /// Whether what may have been said was: `Ok` when it is to be said (again).
    async fn find_out(&self, session: &N::Session, op: &RemoteOp<N>, key: &IdempotencyKey) -> Result<(), End<N>> {
        let asked = AssertUnwindSafe(session.reconcile(op, key)).catch_unwind();
        match asked.await.unwrap_or(Landed::CannotTell) {
            Landed::Yes { id } => Err(End::Delivered(id)),
            Landed::No => Ok(()),
            Landed::CannotTell => {
                let caps = guarded(|| session.caps(&op.room)).unwrap_or_default();
                if caps.idempotency == Idempotency::ClientId || self.parts.options.when_unsure == WhenUnsure::SayAgain {
                    return Ok(());
                }
                let park = Some("nobody can tell whether it was delivered".to_owned());
                Err(End::Failed { tell: Some(outcome::unsure(N::INFO.name)), park, why: Outcome::Unknown })
            }
        }
    }

    /// Certainly not said: a crash while waiting leaves nothing to find out. `None` when the store is closed.
    async fn release(&self, row: &OutboxRow, attempt: u32, error: &SendError, held: &mut Held<N>) -> Option<()> {
        let mut release = vec![(row.seq, attempt, error.to_string())];
        let others = held.rows.iter().skip(1).take(held.claimed.saturating_sub(1));
        let others = others.filter(|row| !held.told.contains_key(&row.seq));
        release.extend(others.map(|row| (row.seq, row.attempts, "waits for the one before".to_owned())));
        held.claimed = 0;
        self.parts.store.later(Change { release, ..Change::default() }, self.parts.options.first_wait).await.ok()
    }

    /// Whether what this user said before stands aside: then this follows it there.
    fn is_aside(&self, row: &OutboxRow) -> bool {
        !row.lane.contains(ASIDE)
            && !in_doubt(row)
            && row.session.starts_with('@')
            && self.parts.lanes.to_remote.contains(&aside(row))
    }

    /// Puts a row aside, so that one user who cannot connect holds up nobody else in the room: behind whatever of theirs stands aside.
    async fn put_aside(&self, row: &OutboxRow) -> Option<()> {
        let lane = aside(row);
        tracing::info!(lane = row.lane, session.id = row.session, "what waits for a session of its own stands aside");
        let release = vec![(row.seq, row.attempts, "waits for its session".to_owned())];
        let change = Change { release, move_to: vec![(row.seq, lane.clone())], ..Change::default() };
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        let moved = OutboxRow { lane, claimed: false, fresh: true, ..row.clone() };
        self.parts.lanes.to_remote.push(&Arc::new(moved));
        Some(())
    }

    /// Stores the file of an operation and puts its address into it, once.
    async fn store_file(
        &self,
        row: &OutboxRow,
        op: &mut RemoteOp<N>,
        held: &mut Held<N>,
        deadline: Millis,
    ) -> Result<(), End<N>> {
        let Some(upload) = op.upload.clone() else { return Ok(()) };
        let mut wait = self.parts.options.first_wait;
        let failed = |error: String| End::Failed {
            why: Outcome::Refused,
            tell: Some(outcome::too_old(N::INFO.name, &format!("the file could not be stored: {error}"))),
            park: Some(error),
        };
        let mxc = loop {
            let stored = self
                .parts
                .homeserver
                .upload(&self.parts.names.bot, &upload.name, &upload.mime, upload.bytes.clone())
                .await;
            match stored {
                Ok(mxc) => break mxc,
                Err(error @ (HomeserverError::Unavailable(_) | HomeserverError::Limited(_)))
                    if self.parts.clock.now() < deadline =>
                {
                    tracing::info!(seq = row.seq, %error, "a file waits to be stored");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(self.parts.options.longest_wait);
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        };
        let url = self.parts.homeserver.public_url(&mxc, &upload.name);
        let url = url.ok_or_else(|| failed("no public address for files is configured".to_owned()))?;
        op.upload = None;
        op.wire = replace(&op.wire, UPLOAD_URL.as_bytes(), url.as_bytes());
        let text = serde_json::to_string(&op).map_err(|error| failed(error.to_string()))?;
        let memory = with_media(row.memory.as_deref(), mxc.as_str());
        if let Some(front) = held.rows.front_mut() {
            *front =
                Arc::new(OutboxRow { op: text.clone(), memory: memory.clone().or(row.memory.clone()), ..row.clone() });
        }
        let change = Change { rewrite: vec![(row.seq, text, memory)], ..Change::default() };
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await.map(drop).ok_or(End::Stopped)
    }

    /// The message that a row is about, where it is about one.
    fn about<'a>(&'a self, row: &'a OutboxRow, room_id: &'a RoomId) -> Option<About<'a>> {
        let event_id = row.source.as_deref()?;
        Some(About { bridge: &self.parts.bridge, lane: &row.lane, room_id, event_id, at: row.at })
    }

    fn parked(&self, row: &OutboxRow, error: String) -> DeadLetterRow {
        DeadLetterRow {
            number: row.seq,
            lane: row.lane.clone(),
            direction: row.direction,
            stage: Stage::Deliver,
            input: serde_json::to_string(row).unwrap_or_default(),
            error,
            attempts: row.attempts + 1,
            at: self.parts.clock.now().0,
        }
    }
}

/// Whether a row may have been said by an earlier life of the bridge, which claimed it.
fn in_doubt(row: &OutboxRow) -> bool {
    row.claimed && !row.fresh
}

/// A row as it is told, if it can be told together with others.
fn ready<N: Network>(row: &OutboxRow) -> Option<(RemoteOp<N>, IdempotencyKey)> {
    let op: RemoteOp<N> = serde_json::from_str(&row.op).ok()?;
    let key = IdempotencyKey::parse(&row.idem)?;
    op.upload.is_none().then_some((op, key))
}

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

fn session_id(text: &str) -> Option<SessionId> {
    match text {
        "relay" => Some(SessionId::Relay),
        "gateway" => Some(SessionId::Gateway),
        user => UserId::parse(user).ok().map(SessionId::User),
    }
}

/// What is remembered of a message, with the file that was stored for it.
fn with_media(memory: Option<&str>, mxc: &str) -> Option<String> {
    let mut memory: Memory = serde_json::from_str(memory?).ok()?;
    memory.media = Some(mxc.to_owned());
    serde_json::to_string(&memory).ok()
}

/// Replaces each `from` by `to`.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + to.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn each_place_is_replaced() {
        assert_eq!(replace(b"a<>b<>", b"<>", b"xyz"), b"axyzbxyz");
        assert_eq!(replace(b"", b"<>", b"x"), b"");
    }
}
