//! What sessions hear: durable before they may acknowledge it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{SetOnce, mpsc, oneshot};

use super::{
    decide::Decider,
    kill::Kill,
    nth_equal::{Line, NthEqual},
};
use crate::{
    bridge::{
        Speakers,
        ephemeral::{About, News, What as Now},
        mappings::{Mappings, remote_lane},
        pictures::Pictures,
    },
    clock::{Clock, Millis},
    network::{
        ConnectionState, Dedupe, Direction, Ingested, Network, Picture, Pictured, Presence, Receipt, RemoteEvent,
        RemoteId, RoomKind, SessionId, event,
        host::{Backend, Closed},
    },
    store::{Change, Echo, Heard, InboxRow, Store},
};

/// How many events may wait for their place in the store; at the bound, sessions wait.
const QUEUE: usize = 1024;
/// How many events one commit holds.
const BATCH: usize = 256;
/// How long the pump waits before it tries a failed commit again.
const RETRY: Duration = Duration::from_millis(250);

/// What stands behind a [`Host`](crate::Host).
pub(crate) struct Ingest<N: Network> {
    pump: mpsc::Sender<Job>,
    mappings: Mappings<N::Room>,
    clock: Arc<dyn Clock>,
    nth_equal: Mutex<NthEqual>,
    store: Store,
    news: Arc<News<N>>,
    /// The network, which is made with a host and so comes later.
    later: Arc<SetOnce<Later<N>>>,
}

/// What is only there once the network is.
pub(crate) struct Later<N: Network> {
    pub(crate) network: Arc<N>,
    pub(crate) speakers: Arc<dyn Speakers<N>>,
    pub(crate) pictures: Pictures<N>,
    pub(crate) decider: Arc<Decider<N>>,
    /// Told when a session is connected.
    pub(crate) connected: mpsc::UnboundedSender<SessionId>,
}

struct Job {
    what: What,
    answer: oneshot::Sender<Ingested>,
}

enum What {
    Heard(Heard),
    Echo(Echo),
}

impl<N: Network> Ingest<N> {
    /// Makes it, and the pump that must run beside it.
    pub(crate) fn new(
        store: Store,
        mappings: Mappings<N::Room>,
        clock: Arc<dyn Clock>,
        news: Arc<News<N>>,
        kill: Kill,
        later: Arc<SetOnce<Later<N>>>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (pump, jobs) = mpsc::channel(QUEUE);
        let running = run(store.clone(), jobs, kill, Arc::clone(&later));
        (Self { pump, mappings, clock, nth_equal: Mutex::default(), store, news, later }, running)
    }

    /// What the event will be recognised by, or that it was heard before.
    fn heard(
        &self,
        session: &SessionId,
        room: &N::Room,
        event: &RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Option<Heard> {
        let (mut mark, mut cursor, mut reached) = (String::new(), None, None);
        let now = self.clock.now();
        let named = |id: N::Message| format!("m:{}\u{1f}{}", room.encode(), id.encode());
        match dedupe {
            Dedupe::Id(id) => mark = named(id),
            Dedupe::Archived { id, at } => {
                mark = id.map(named).unwrap_or_default();
                // Nobody heard further than until now, whatever a clock elsewhere says.
                reached = Some((archive_of(room), at.map_or(now, |at| at.min(now)).0));
            }
            Dedupe::Cursor { stream, seq } => cursor = Some((stream, seq)),
            Dedupe::NthEqual { window } => {
                if !self.nth_equal.lock().is_new(line::<N>(event), session, now, window) {
                    return None;
                }
            }
            Dedupe::OwnEcho { .. } | Dedupe::Never => {}
        }
        let body = serde_json::to_string(event).ok()?;
        let row = InboxRow {
            seq: 0,
            lane: remote_lane(room),
            direction: Direction::ToMatrix,
            session: Some(session.to_string()),
            mark,
            body,
            at: now.0,
        };
        Some(Heard { cursor, reached, rows: vec![row], ..Heard::default() })
    }

    /// Whether anything said in a room has somewhere to go.
    fn is_wanted(&self, network: &N, room: &N::Room) -> bool {
        self.mappings.by_remote(room).is_some() || matches!(network.room_kind(room), RoomKind::Direct { .. })
    }
}

/// The stream of what was heard of a room that keeps an archive.
fn archive_of<R: RemoteId>(room: &R) -> String {
    format!("archive\u{1f}{}", room.encode())
}

/// A hash of what a line says, where and by whom, but not of what may differ between two hearings.
fn line<N: Network>(event: &RemoteEvent<N>) -> Line {
    let mut event = event.clone();
    if let event::RemoteEvent::Message { at, name, .. } = &mut event {
        (*at, *name) = (None, None);
    }
    let text = serde_json::to_vec(&event).unwrap_or_default();
    let digest = Sha256::digest(&text);
    let mut line = Line::default();
    line.copy_from_slice(&digest[..16]);
    line
}

#[async_trait]
impl<N: Network> Backend<N> for Ingest<N> {
    async fn ingest(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Ingested, Closed> {
        self.offer(session, event, dedupe).await?.await
    }

    async fn offer(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Receipt, Closed> {
        let room = event.room().clone();
        if !self.is_wanted(&self.later.wait().await.network, &room) {
            return Ok(Receipt::new(std::future::ready(Ok(Ingested::NotMapped))));
        }
        let what = if let Dedupe::OwnEcho { key, id } = dedupe {
            let name = id.map(|id| id.encode());
            What::Echo(Echo { direction: Direction::ToRemote, idem: key.to_string(), name })
        } else {
            // The place in the pump comes first: what was marked as heard is certain to be kept.
            let permit = self.pump.reserve().await.map_err(|_| Closed)?;
            let Some(heard) = self.heard(session, &room, &event, dedupe) else {
                return Ok(Receipt::new(std::future::ready(Ok(Ingested::Duplicate))));
            };
            let (answer, receipt) = oneshot::channel();
            permit.send(Job { what: What::Heard(heard), answer });
            return Ok(Receipt::new(answered(self.pump.clone(), receipt)));
        };
        let (answer, receipt) = oneshot::channel();
        self.pump.send(Job { what, answer }).await.map_err(|_| Closed)?;
        Ok(Receipt::new(answered(self.pump.clone(), receipt)))
    }

    fn state(&self, session: &SessionId, state: ConnectionState) {
        let Some(later) = self.later.get() else { return };
        let connected = matches!(state, ConnectionState::Connected { .. });
        later.speakers.heard(session, state);
        if connected {
            // The receiver is gone only when the bridge is stopping.
            let _ = later.connected.send(session.clone());
        }
    }

    fn typing(&self, _session: &SessionId, room: N::Room, who: N::User, typing: bool) {
        self.news.put(About::Typing(room, who), Now::Typing(typing));
    }

    fn read(&self, _session: &SessionId, room: N::Room, who: N::User, message: N::Message) {
        self.news.put(About::Read(room, who), Now::Read(message));
    }

    fn presence(&self, _session: &SessionId, who: N::User, presence: Presence, status: Option<String>) {
        self.news.put(About::Presence(who), Now::Presence(presence, status));
    }

    async fn picture(&self, _: &SessionId, who: N::User, picture: Option<Picture>) -> Result<Pictured, Closed> {
        Ok(self.later.wait().await.pictures.show(&who, picture).await)
    }

    async fn heard_until(&self, room: &N::Room) -> Result<Option<Millis>, Closed> {
        self.store.position(&archive_of(room)).await.map(|at| at.map(Millis)).map_err(|error| {
            tracing::warn!(%error, "it cannot be read how far a room was heard");
            Closed
        })
    }

    async fn rooms(&self) -> Result<Vec<N::Room>, Closed> {
        Ok(self.mappings.all().iter().map(|mapping| mapping.remote.clone()).collect())
    }
}

/// Waits for the pump's answer. A job whose place was had before the pump ended, and which came into it afterwards, lies there with its end of
/// `receipt` for as long as somebody could still ask: no answer comes, and none is refused.
async fn answered<J, A>(pump: mpsc::Sender<J>, mut receipt: oneshot::Receiver<A>) -> Result<A, Closed> {
    tokio::select! {
        biased;
        answer = &mut receipt => answer.map_err(|_| Closed),
        () = pump.closed() => receipt.try_recv().map_err(|_| Closed),
    }
}

/// Commits what waits, batch after batch, in order. A batch that cannot be committed (the disk is full, the database is away) is
/// tried again until it can, and nothing overtakes it.
async fn run<N: Network>(store: Store, mut jobs: mpsc::Receiver<Job>, kill: Kill, later: Arc<SetOnce<Later<N>>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        kill.pass("ingest.received").await;
        let mut change = Change::default();
        let mut answers = Vec::with_capacity(batch.len());
        for Job { what, answer } in batch.drain(..) {
            match what {
                What::Heard(heard) => {
                    change.heard.push(heard);
                    answers.push((answer, true));
                }
                What::Echo(echo) => {
                    change.echoes.push(echo);
                    answers.push((answer, false));
                }
            }
        }
        if let Some(later) = later.get() {
            later.decider.decide(&mut change.heard);
        }
        let Some(done) = super::commit_patiently(&store, change, RETRY).await else { return };
        kill.pass("ingest.committed").await;
        let mut fresh = done.fresh.into_iter();
        for (answer, heard) in answers {
            let ingested = match heard.then(|| fresh.next()) {
                None => Ingested::OwnEcho,
                Some(Some(true)) => Ingested::New,
                Some(_) => Ingested::Duplicate,
            };
            // A session that does not wait for its receipt has dropped it.
            let _ = answer.send(ingested);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_in_as_the_pump_ends_is_refused() {
        // Its place was had before, and it comes afterwards.
        let (pump, jobs) = mpsc::channel(2);
        let (answer, receipt) = oneshot::channel::<Ingested>();
        let place = pump.reserve().await.unwrap();
        drop(jobs);
        place.send(answer);
        assert!(answered(pump.clone(), receipt).await.is_err());
        // What was answered before the end stays so.
        let (answer, receipt) = oneshot::channel();
        answer.send(Ingested::New).unwrap();
        assert_eq!(answered(pump, receipt).await.unwrap(), Ingested::New);
    }
}
