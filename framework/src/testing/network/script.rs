//! The test's end of the scripted network.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{ScriptedNetwork, caps};
use crate::{
    clock::Millis,
    network::{
        Body, Caps, ConnectionError, Dedupe, Ephemeral, EphemeralKind, Host, IdempotencyKey, Ingested, Membership,
        Picture, Pictured, Presence, Receipt, RemoteEvent, RemoteOp, SendError, SessionId, host::Closed,
    },
    testing::until,
};

/// What happened on the network.
pub type Heard = RemoteEvent<ScriptedNetwork>;

/// What the bridge has told the network.
#[derive(Clone, Debug)]
pub struct Said {
    /// Through which session.
    pub session: SessionId,
    /// Where.
    pub room: String,
    /// What.
    pub text: String,
    /// The network's name for it.
    pub id: String,
    /// Under which key.
    pub key: IdempotencyKey,
    /// The whole operation.
    pub op: RemoteOp<ScriptedNetwork>,
}

/// Drives a [`ScriptedNetwork`]. Clones drive the same one, over restarts of the bridge too.
#[derive(Clone)]
pub struct Script(Arc<Shared>);

impl Default for Script {
    fn default() -> Self {
        let state = State { caps: caps::full(), ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(state), changes: watch::Sender::new(0) }))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("said", &self.lines()).finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    host: Option<Host<ScriptedNetwork>>,
    said: Vec<Said>,
    ephemeral: Vec<String>,
    landed: HashMap<IdempotencyKey, String>,
    outcomes: VecDeque<Outcome>,
    attempts: u64,
    caps: Caps,
    connected: HashSet<SessionId>,
    cuts: BTreeMap<SessionId, ConnectionError>,
    refusals: HashMap<SessionId, ConnectionError>,
    down: bool,
    kept_out: HashSet<SessionId>,
    /// Who may say nothing yet, and for how long it is kept.
    withheld: HashMap<SessionId, Duration>,
    entered: HashSet<String>,
    forgetful: bool,
    /// How often nobody can be asked whether something landed.
    unasked: u32,
    asked_since: Vec<Millis>,
    closed: bool,
    panics: bool,
    window: usize,
    told_at_once: usize,
    next: u64,
}

/// Stands for a panic among the reasons why a connection ends.
pub(super) const PANIC: &str = "\0panic";

/// What becomes of a delivery.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Fail(SendError),
    /// It is not known to have landed, but did, or did not.
    Maybe {
        landed: bool,
    },
}

impl Script {
    pub(super) fn attach(&self, host: Host<ScriptedNetwork>) {
        self.change(|state| {
            state.host = Some(host);
            state.connected.clear();
            state.cuts.clear();
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.0.state.lock());
        self.0.changes.send_modify(|count| *count += 1);
        done
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    // --- what happens on the network ---

    /// Somebody says something; returns once the bridge has it for good.
    ///
    /// # Errors
    /// [`Closed`] when the bridge is stopping: then it has not.
    pub async fn hears(&self, room: &str, sender: &str, text: &str) -> Result<Ingested, Closed> {
        let id = self.change(State::fresh);
        let event = message(room, sender, text, &id);
        self.happens(event, Dedupe::Id(id)).await
    }

    /// Somebody comes or goes.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn hears_member(&self, room: &str, who: &str, membership: Membership) -> Result<Ingested, Closed> {
        let event = Heard::Member {
            room: room.to_owned(),
            who: who.to_owned(),
            name: None,
            membership,
            by: None,
            reason: None,
        };
        self.happens(event, Dedupe::Never).await
    }

    /// Anything happens; the relay session hears it.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn happens(&self, event: Heard, dedupe: Dedupe<String>) -> Result<Ingested, Closed> {
        self.happens_to(&SessionId::Relay, event, dedupe).await
    }

    /// Anything happens; this session hears it.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn happens_to(
        &self,
        session: &SessionId,
        event: Heard,
        dedupe: Dedupe<String>,
    ) -> Result<Ingested, Closed> {
        self.host().ok_or(Closed)?.ingest(session, event, dedupe).await
    }

    /// Anything happens, and the bridge is not waited for: it answers with the receipt.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn offers(&self, event: Heard, dedupe: Dedupe<String>) -> Result<Receipt, Closed> {
        self.host().ok_or(Closed)?.offer(&SessionId::Relay, event, dedupe).await
    }

    /// Somebody types.
    pub fn types(&self, room: &str, who: &str, typing: bool) {
        if let Some(host) = self.host() {
            host.typing(&SessionId::Relay, room.to_owned(), who.to_owned(), typing);
        }
    }

    /// Somebody has read up to a message.
    pub fn reads(&self, room: &str, who: &str, message: &str) {
        if let Some(host) = self.host() {
            host.read(&SessionId::Relay, room.to_owned(), who.to_owned(), message.to_owned());
        }
    }

    /// Somebody comes, goes, or is away.
    pub fn is(&self, who: &str, presence: Presence, status: Option<&str>) {
        if let Some(host) = self.host() {
            host.presence(&SessionId::Relay, who.to_owned(), presence, status.map(str::to_owned));
        }
    }

    /// Somebody has a picture, or none any more.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn shows(&self, who: &str, picture: Option<Picture>) -> Result<Pictured, Closed> {
        self.host().ok_or(Closed)?.picture(&SessionId::Relay, who.to_owned(), picture).await
    }

    fn host(&self) -> Option<Host<ScriptedNetwork>> {
        self.0.state.lock().host.clone()
    }

    // --- what the network does ---

    /// The next delivery fails so.
    pub fn refuses_next(&self, error: SendError) {
        self.change(|state| state.outcomes.push_back(Outcome::Fail(error)));
    }

    /// What this session says is withheld, and kept for so long.
    pub fn withholds(&self, id: &SessionId, keep: Duration) {
        self.change(|state| {
            state.withheld.insert(id.clone(), keep);
        });
    }

    /// This session may speak again.
    pub fn lets_speak(&self, id: &SessionId) {
        self.change(|state| {
            state.withheld.remove(id);
        });
    }

    pub(super) fn is_withheld(&self, id: &SessionId) -> bool {
        self.0.state.lock().withheld.contains_key(id)
    }

    /// For how long is kept what this session says, if it may say nothing yet.
    pub(super) fn withheld(&self, id: &SessionId) -> Option<Duration> {
        self.change(|state| {
            state.attempts += u64::from(state.withheld.contains_key(id));
            state.withheld.get(id).copied()
        })
    }

    /// The next delivery's answer is lost; it landed, or not.
    pub fn loses_next_answer(&self, landed: bool) {
        self.change(|state| state.outcomes.push_back(Outcome::Maybe { landed }));
    }

    /// From now on nobody can tell whether something landed.
    pub fn cannot_tell(&self) {
        self.change(|state| state.forgetful = true);
    }

    /// So often nobody can be asked yet whether an operation landed.
    pub fn cannot_be_asked(&self, times: u32) {
        self.change(|state| state.unasked = times);
    }

    /// From when on it was looked for what may have been said, each time.
    #[must_use]
    pub fn asked_since(&self) -> Vec<Millis> {
        self.0.state.lock().asked_since.clone()
    }

    pub(super) fn is_asked_since(&self, since: Millis) {
        self.change(|state| state.asked_since.push(since));
    }

    /// Whether nobody can be asked this time.
    pub(super) fn is_unasked(&self) -> bool {
        let mut state = self.0.state.lock();
        let left = state.unasked.checked_sub(1);
        state.unasked = left.unwrap_or(0);
        left.is_some()
    }

    /// How many operations of one room are told at once from now on.
    pub fn takes_at_once(&self, window: usize) {
        self.change(|state| state.window = window);
    }

    /// How many are.
    pub(super) fn window(&self) -> usize {
        self.0.state.lock().window.max(1)
    }

    /// How many operations were told together with others so far.
    #[must_use]
    pub fn told_at_once(&self) -> usize {
        self.0.state.lock().told_at_once
    }

    /// So many are told together.
    pub(super) fn is_told_at_once(&self, ops: usize) {
        self.0.state.lock().told_at_once += ops;
    }

    /// The network is down: every session's connection ends, and none can be made.
    pub fn goes_down(&self) {
        self.change(|state| {
            state.down = true;
            for id in state.connected.drain() {
                state.cuts.insert(id, ConnectionError::Transient("the network is down".to_owned()));
            }
        });
    }

    /// The network is up again.
    pub fn comes_up(&self) {
        self.change(|state| state.down = false);
    }

    /// One session's connection ends so.
    pub fn cuts(&self, session: &SessionId, error: ConnectionError) {
        self.change(|state| {
            state.connected.remove(session);
            state.cuts.insert(session.clone(), error);
        });
    }

    /// One session meets a fault in its own code.
    pub fn panics(&self, session: &SessionId) {
        self.cuts(session, ConnectionError::Config(PANIC.to_owned()));
    }

    /// One session will not be let in.
    pub fn shuts_out(&self, session: &SessionId, error: ConnectionError) {
        self.change(|state| state.refusals.insert(session.clone(), error));
    }

    /// One session's connections fail, as if for ever, until it is let in again.
    pub fn keeps_out(&self, session: &SessionId, out: bool) {
        self.change(|state| if out { state.kept_out.insert(session.clone()) } else { state.kept_out.remove(session) });
    }

    /// From now on no room can be had (or every one, again).
    pub fn refuses_rooms(&self, closed: bool) {
        self.change(|state| state.closed = closed);
    }

    /// From now on a Matrix message that says `panic` makes the conversion panic (or no longer), and so does what `panic` says on the
    /// network.
    pub fn panics_at_conversions(&self, panics: bool) {
        self.change(|state| state.panics = panics);
    }

    /// What can be said from now on.
    pub fn can(&self, change: impl FnOnce(&mut Caps)) {
        self.change(|state| change(&mut state.caps));
    }

    // --- what the bridge did ---

    /// Everything it said, oldest first.
    pub fn said(&self) -> Vec<Said> {
        self.0.state.lock().said.clone()
    }

    /// Everything it said, as `#room text`.
    pub fn lines(&self) -> Vec<String> {
        self.0.state.lock().said.iter().map(|said| format!("{} {}", said.room, said.text)).collect()
    }

    /// How often it tried to say something.
    pub fn attempts(&self) -> u64 {
        self.0.state.lock().attempts
    }

    /// Waits until it has said this there.
    pub async fn expects(&self, room: &str, text: &str) -> Said {
        until(&format!("{room} {text}"), &mut self.changes(), || {
            let said = self.said();
            let found = said.iter().find(|said| said.room == room && said.text == text).cloned();
            found.ok_or_else(|| self.lines())
        })
        .await
    }

    /// What it was told and keeps nowhere, oldest first: `@alice:localhost types in #lobby`, `… stops in #lobby`, `… has read m1 in
    /// #lobby`, `… is Online (busy)`; with `(relay)` behind it where the relay was told.
    pub fn ephemeral(&self) -> Vec<String> {
        self.0.state.lock().ephemeral.clone()
    }

    /// Waits until it was told this.
    pub async fn expects_ephemeral(&self, what: &str) {
        until(what, &mut self.changes(), || {
            let told = self.ephemeral();
            if told.iter().any(|told| told == what) { Ok(()) } else { Err(told) }
        })
        .await;
    }

    /// Waits until it has said this many things.
    pub async fn expects_count(&self, count: usize) -> Vec<String> {
        until(&format!("{count} lines"), &mut self.changes(), || {
            let lines = self.lines();
            if lines.len() >= count { Ok(lines) } else { Err(lines) }
        })
        .await
    }

    /// Waits until a session is connected.
    pub async fn expects_connected(&self, session: &SessionId) {
        until(&format!("{session} to connect"), &mut self.changes(), || {
            let state = self.0.state.lock();
            if state.connected.contains(session) { Ok(()) } else { Err(format!("{:?}", state.connected)) }
        })
        .await;
    }

    /// Waits until the relay is in a room.
    pub async fn expects_entered(&self, room: &str) {
        until(&format!("the relay to enter {room}"), &mut self.changes(), || {
            let state = self.0.state.lock();
            if state.entered.contains(room) { Ok(()) } else { Err(format!("{:?}", state.entered)) }
        })
        .await;
    }

    /// Who is connected.
    pub fn connected(&self) -> Vec<SessionId> {
        let mut connected: Vec<_> = self.0.state.lock().connected.iter().cloned().collect();
        connected.sort();
        connected
    }

    // --- the session's end ---

    pub(super) fn admit(&self, id: &SessionId) -> Option<Result<(), ConnectionError>> {
        self.change(|state| {
            if let Some(error) = state.refusals.remove(id) {
                return Some(Err(error));
            }
            if state.down || state.kept_out.contains(id) {
                return Some(Err(ConnectionError::Transient("the network is down".to_owned())));
            }
            state.cuts.remove(id);
            state.connected.insert(id.clone());
            Some(Ok(()))
        })
    }

    pub(super) fn take_cut(&self, id: &SessionId) -> Option<ConnectionError> {
        self.0.state.lock().cuts.remove(id)
    }

    pub(super) fn left(&self, id: &SessionId) {
        self.change(|state| state.connected.remove(id));
    }

    pub(super) fn is_connected(&self, id: &SessionId) -> bool {
        self.0.state.lock().connected.contains(id)
    }

    pub(super) fn current_caps(&self) -> Caps {
        self.0.state.lock().caps.clone()
    }

    pub(super) fn enter(&self, room: &str, here: bool) {
        self.change(|state| if here { state.entered.insert(room.to_owned()) } else { state.entered.remove(room) });
    }

    pub(super) fn next_outcome(&self) -> Option<Outcome> {
        self.change(|state| {
            state.attempts += 1;
            state.outcomes.pop_front()
        })
    }

    pub(super) fn land(&self, session: &SessionId, op: &RemoteOp<ScriptedNetwork>, key: &IdempotencyKey) -> String {
        self.change(|state| {
            let id = state.fresh();
            state.landed.insert(*key, id.clone());
            let text = String::from_utf8_lossy(&op.wire).into_owned();
            state.said.push(Said {
                session: session.clone(),
                room: op.room.clone(),
                text,
                id: id.clone(),
                key: *key,
                op: op.clone(),
            });
            id
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    pub(super) fn has_panics(&self) -> bool {
        self.0.state.lock().panics
    }

    pub(super) fn tell(&self, event: &Ephemeral<ScriptedNetwork>) {
        let who = &event.user_id;
        let what = match &event.kind {
            EphemeralKind::Typing { room, typing: true } => format!("{who} types in {room}"),
            EphemeralKind::Typing { room, typing: false } => format!("{who} stops in {room}"),
            EphemeralKind::Read { room, target, .. } => {
                format!("{who} has read {} in {room}", target.messages.join("+"))
            }
            EphemeralKind::Presence { presence, status } => {
                let status = status.as_ref().map(|status| format!(" ({status})")).unwrap_or_default();
                format!("{who} is {presence:?}{status}")
            }
        };
        let by = if event.own_session { "" } else { " (relay)" };
        self.change(|state| state.ephemeral.push(format!("{what}{by}")));
    }

    /// `None` when nobody can tell; else whether it landed, and as what.
    pub(super) fn landed(&self, key: &IdempotencyKey) -> Option<Option<String>> {
        let state = self.0.state.lock();
        (!state.forgetful).then(|| state.landed.get(key).cloned())
    }
}

impl State {
    fn fresh(&mut self) -> String {
        self.next += 1;
        format!("m{}", self.next)
    }
}

fn message(room: &str, sender: &str, text: &str, id: &str) -> Heard {
    Heard::Message {
        room: room.to_owned(),
        sender: sender.to_owned(),
        name: None,
        id: Some(id.to_owned()),
        at: None,
        body: Body::plain(text),
        reply_to: None,
    }
}
