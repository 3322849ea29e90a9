//! Sessions over the scripted network, with time standing still until everybody waits.

use std::{sync::Arc, time::Duration};

use ruma::user_id;
use tokio::time::Instant;

use super::*;
use crate::{
    matrix::Backoff,
    network::{
        ConnectionError, Dedupe, Host, IdempotencyKey, Ingested, RemoteEvent, RemoteOp, SendError, Session as _,
        host::{Backend, Closed},
    },
    testing::{Script, ScriptedConfig, ScriptedNetwork, TestClock},
};

/// Stands where the dispatcher stands, as far as sessions see it.
struct Stand(Sessions<ScriptedNetwork>);

#[async_trait]
impl Backend<ScriptedNetwork> for Stand {
    async fn ingest(
        &self,
        _: &SessionId,
        _: RemoteEvent<ScriptedNetwork>,
        _: Dedupe<String>,
    ) -> Result<Ingested, Closed> {
        Ok(Ingested::New)
    }
    fn state(&self, session: &SessionId, state: ConnectionState) {
        self.0.heard(session, state);
    }
    fn typing(&self, _: &SessionId, _: String, _: String, _: bool) {}
    async fn rooms(&self) -> Result<Vec<String>, Closed> {
        Ok(Vec::new())
    }
}

struct Case {
    sessions: Sessions<ScriptedNetwork>,
    script: Script,
    clock: TestClock,
}

const SECOND: Duration = Duration::from_secs(1);

impl Case {
    async fn new(change: impl FnOnce(&mut SessionOptions)) -> Self {
        let mut options = SessionOptions {
            mode: IdentityMode::AutoPuppet,
            max_puppets: 2,
            backoff: Backoff::new(SECOND, SECOND * 60),
            ..SessionOptions::default()
        };
        change(&mut options);
        let (config, clock) = (ScriptedConfig::default(), TestClock::default());
        let script = config.script.clone();
        let sessions = Sessions::new(options, Arc::new(clock.clone()), Chance::from_seed(1));
        let host = Host::new(Arc::new(Stand(sessions.clone())));
        let network = ScriptedNetwork::start(config, host).await.unwrap();
        sessions.start(Arc::new(network));
        sessions.connected(&SessionId::Relay).await;
        Self { sessions, script, clock }
    }

    async fn speaks(&self, name: &str) -> SessionId {
        let user_id = UserId::parse(format!("@{name}:example.org")).unwrap();
        let id = self.sessions.speaker(&user_id, name).await;
        self.sessions.connected(&id).await;
        id
    }

    fn state(&self, id: &SessionId) -> Option<SessionState> {
        self.sessions.states().into_iter().find(|(found, _)| found == id).map(|(_, state)| state)
    }

    async fn until(&self, id: &SessionId, fits: impl Fn(Option<SessionState>) -> bool) {
        while !fits(self.state(id)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn session_of(name: &str) -> SessionId {
    SessionId::User(UserId::parse(format!("@{name}:example.org")).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_relay_comes_first_and_users_come_when_they_speak() {
    let case = Case::new(|_| {}).await;
    assert_eq!(case.script.connected(), [SessionId::Relay]);
    assert_eq!(case.speaks("alice").await, session_of("alice"));
    assert_eq!(case.speaks("alice").await, session_of("alice"));
    assert_eq!(case.script.connected(), [SessionId::Relay, session_of("alice")]);
    assert_eq!(case.sessions.names(), [(user_id!("@alice:example.org").to_owned(), "alice".to_owned())]);
    let (counts, healthy) = case.sessions.summary();
    assert_eq!((counts["connected"], healthy), (2, true));
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_the_budget_is_spent_speaks_through_the_relay() {
    let case = Case::new(|_| {}).await;
    for (name, id) in [("a", session_of("a")), ("b", session_of("b")), ("c", SessionId::Relay), ("a", session_of("a"))]
    {
        assert_eq!(case.speaks(name).await, id, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_relay_mode_all_speak_through_the_relay() {
    let case = Case::new(|options| options.mode = IdentityMode::Relay).await;
    assert_eq!(case.speaks("alice").await, SessionId::Relay);
    assert!(case.sessions.session(&session_of("alice")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_comes_back_after_growing_waits() {
    let case = Case::new(|_| {}).await;
    case.script.goes_down();
    let down = Instant::now();
    case.until(&SessionId::Relay, |state| matches!(state, Some(SessionState::Waiting { .. }))).await;
    tokio::time::sleep(SECOND * 300).await;
    assert!(!case.sessions.summary().1);
    case.script.comes_up();
    case.sessions.connected(&SessionId::Relay).await;
    assert!(down.elapsed() <= SECOND * 361, "{:?}", down.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_good_connection_starts_the_waits_anew() {
    let case = Case::new(|options| options.stable_after = SECOND * 30).await;
    for _ in 0..10 {
        case.clock.advance(SECOND * 60);
        let lost = Instant::now();
        case.script.cuts(&SessionId::Relay, ConnectionError::Transient("reset".to_owned()));
        case.until(&SessionId::Relay, |state| matches!(state, Some(SessionState::Waiting { .. }))).await;
        case.sessions.connected(&SessionId::Relay).await;
        assert!(lost.elapsed() < SECOND * 2, "{:?}", lost.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_asks_for_time_gets_it() {
    let case = Case::new(|_| {}).await;
    let error = ConnectionError::Throttled { reason: "slow down".to_owned(), after: Some(SECOND * 500) };
    let lost = Instant::now();
    case.script.cuts(&SessionId::Relay, error);
    case.until(&SessionId::Relay, |state| matches!(state, Some(SessionState::Waiting { .. }))).await;
    case.sessions.connected(&SessionId::Relay).await;
    assert!((500..502).contains(&lost.elapsed().as_secs()), "{:?}", lost.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_speaks_through_the_relay_and_is_not_tried_again() {
    let case = Case::new(|_| {}).await;
    case.script.shuts_out(&session_of("alice"), ConnectionError::Banned("go away".to_owned()));
    case.speaks("alice").await;
    case.until(&session_of("alice"), |state| state.is_none()).await;
    assert_eq!(case.speaks("alice").await, SessionId::Relay);
    assert!(case.sessions.session(&session_of("alice")).await.is_none());
    case.sessions.pardon(user_id!("@alice:example.org"));
    assert_eq!(case.speaks("alice").await, session_of("alice"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_relay_stays_refused_and_says_so() {
    let case = Case::new(|_| {}).await;
    case.script.cuts(&SessionId::Relay, ConnectionError::BadCredentials("no".to_owned()));
    case.until(&SessionId::Relay, |state| matches!(state, Some(SessionState::Refused(_)))).await;
    tokio::time::sleep(SECOND * 86_400).await;
    assert!(matches!(case.state(&SessionId::Relay), Some(SessionState::Refused(ConnectionError::BadCredentials(_)))));
    case.sessions.connected(&SessionId::Relay).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_for_long_loses_the_session_and_gets_it_back() {
    let case = Case::new(|options| options.idle_after = SECOND * 3600).await;
    case.speaks("alice").await;
    case.clock.advance(SECOND * 3000);
    case.speaks("bob").await;
    case.clock.advance(SECOND * 1000);
    case.sessions.reap_idle();
    case.until(&session_of("alice"), |state| state.is_none()).await;
    assert_eq!(case.script.connected(), [SessionId::Relay, session_of("bob")]);
    assert!(case.sessions.session(&session_of("alice")).await.is_some());
    case.sessions.connected(&session_of("alice")).await;
    assert_eq!(case.sessions.names().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_put_out_leaves() {
    let case = Case::new(|_| {}).await;
    case.speaks("alice").await;
    let session = case.sessions.session(&session_of("alice")).await.unwrap();
    case.sessions.end(user_id!("@alice:example.org"));
    case.until(&session_of("alice"), |state| state.is_none()).await;
    let op = RemoteOp::<ScriptedNetwork>::send("#lobby".to_owned(), "hi");
    assert_eq!(session.deliver(&op, &IdempotencyKey([0; 16]), 1).await, Err(SendError::Disconnected));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_is_started_again() {
    let case = Case::new(|_| {}).await;
    case.script.panics(&SessionId::Relay);
    case.until(
        &SessionId::Relay,
        |state| matches!(state, Some(SessionState::Waiting { reason, .. }) if reason.contains("told to")),
    )
    .await;
    case.sessions.connected(&SessionId::Relay).await;
    assert!(case.sessions.summary().1);
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_everybody_say_goodbye() {
    let case = Case::new(|_| {}).await;
    case.speaks("alice").await;
    case.sessions.stop(SECOND * 5).await;
    assert!(case.script.connected().is_empty());
    assert!(case.sessions.session(&session_of("bob")).await.is_none(), "nobody comes any more");
    assert_eq!(case.state(&SessionId::Relay), Some(SessionState::Stopped));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_before_all_starts_or_after_all_stops_waits_for_who_said_it() {
    let options = SessionOptions { mode: IdentityMode::AutoPuppet, ..SessionOptions::default() };
    let early = Sessions::<ScriptedNetwork>::new(options, Arc::new(TestClock::default()), Chance::from_seed(1));
    let alice = user_id!("@alice:example.org");
    assert_eq!(early.speaker(alice, "alice").await, session_of("alice"));
    assert!(early.session(&session_of("alice")).await.is_none(), "there is none yet");

    let case = Case::new(|_| {}).await;
    let id = session_of("eve");
    case.script.shuts_out(&id, ConnectionError::Banned("go away".to_owned()));
    case.speaks("eve").await;
    case.until(&id, |state| state.is_none()).await;
    case.sessions.stop(SECOND).await;
    assert_eq!(case.sessions.speaker(alice, "alice").await, session_of("alice"));
    let eve = user_id!("@eve:example.org");
    assert_eq!(case.sessions.speaker(eve, "eve").await, SessionId::Relay, "she is kept out");
    let relays = Case::new(|options| options.mode = IdentityMode::Relay).await;
    relays.sessions.stop(SECOND).await;
    assert_eq!(relays.sessions.speaker(alice, "alice").await, SessionId::Relay);
}

#[tokio::test(start_paused = true)]
async fn changes_are_told() {
    let case = Case::new(|_| {}).await;
    let mut changes = case.sessions.subscribe();
    case.speaks("alice").await;
    let (id, state) = changes.recv().await.unwrap();
    assert_eq!((id, state), (session_of("alice"), SessionState::Connected { name: Some("alice".to_owned()) }));
}
