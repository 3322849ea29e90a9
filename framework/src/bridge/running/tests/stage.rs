//! A bridge between a simulated homeserver and a scripted network.

use std::{sync::Arc, time::Duration};

use axum::Router;
use landbridge_registration::Registration;
use landbridge_sql::Durability;
use tempfile::TempDir;

use crate::{
    bridge::{Bridge, Permissions, Retention, Setup},
    chance::Chance,
    dispatch::{DispatchOptions, Kill, StatusForm},
    http::{Appservice, MediaLinks, NetworkDirectory, router},
    matrix::{Backoff, Client, ClientHomeserver, RetryPolicy},
    network::IdentityMode,
    sessions::SessionOptions,
    testing::{
        Script, ScriptedConfig, ScriptedNetwork, SimHomeserver, SimRoom, SimUser, TestClock, names, registration,
    },
};

pub(super) const SERVER: &str = "localhost";

pub(super) struct Stage {
    pub(super) homeserver: SimHomeserver,
    pub(super) script: Script,
    pub(super) clock: TestClock,
    pub(super) bridge: Option<Bridge<ScriptedNetwork>>,
    pub(super) mode: IdentityMode,
    pub(super) permissions: Permissions,
    pub(super) status: StatusForm,
    pub(super) retention: Retention,
    /// Where links to files lead.
    pub(super) links: MediaLinks,
    pub(super) registration: Registration,
    dir: TempDir,
}

impl Stage {
    /// Nothing runs yet but the homeserver.
    pub(super) fn dark() -> Self {
        let homeserver = SimHomeserver::new(SERVER);
        let registration = registration("test", SERVER);
        homeserver.register(registration.clone());
        Self {
            homeserver,
            script: Script::default(),
            clock: TestClock::default(),
            bridge: None,
            mode: IdentityMode::Relay,
            permissions: Permissions::default(),
            status: StatusForm::default(),
            retention: Retention::default(),
            links: MediaLinks::new(&"https://bridge.example".parse().unwrap(), b"secret"),
            registration,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The bridge runs.
    pub(super) async fn lit() -> Self {
        let mut stage = Self::dark();
        stage.starts(Kill::default()).await;
        stage
    }

    /// The bridge runs, alice is in the portal of `#lobby`.
    pub(super) async fn lobby() -> (Self, SimUser, SimRoom) {
        let stage = Self::lit().await;
        let (alice, room) = stage.enters("alice", "#lobby").await;
        (stage, alice, room)
    }

    pub(super) async fn enters(&self, localpart: &str, remote: &str) -> (SimUser, SimRoom) {
        let user = self.homeserver.user(localpart);
        let room = user.joins(&format!("#test_{remote}:{SERVER}")).await.expect("the portal is there");
        self.script.expects_entered(remote).await;
        self.script.expects(remote, &format!("{localpart} Join")).await;
        (user, room)
    }

    pub(super) fn database(&self) -> String {
        format!("sqlite:{}", self.dir.path().join("bridge.db").display())
    }

    pub(super) async fn starts(&mut self, kill: Kill) {
        let names = names("test", SERVER);
        let client =
            Client::with_policy(self.homeserver.transport(), self.registration.as_token.clone(), RetryPolicy::once());
        let homeserver = ClientHomeserver::new(client, Some(self.links.clone()), "test".to_owned(), names.bot.clone());
        let quick = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        let setup = Setup {
            bridge_id: "test".to_owned(),
            epoch: "1".to_owned(),
            database: self.database(),
            durability: Durability::Normal,
            names: names.clone(),
            sessions: SessionOptions { mode: self.mode, backoff: quick, patience: quick, ..SessionOptions::default() },
            dispatch: DispatchOptions {
                first_wait: Duration::from_millis(60),
                longest_wait: Duration::from_millis(200),
                puppet_patience: Duration::from_millis(100),
                status: self.status,
                ..DispatchOptions::default()
            },
            plumbed: Vec::new(),
            display_name: Some("Test bridge".to_owned()),
            permissions: self.permissions.clone(),
            retention: self.retention,
            chance: Chance::from_seed(1),
            metrics: crate::metrics::Metrics::new(),
            kill,
        };
        let config = ScriptedConfig { script: self.script.clone() };
        let bridge = Bridge::start(setup, config, Arc::new(homeserver), Arc::new(self.clock.clone())).await.unwrap();
        let directory = NetworkDirectory::new(Arc::clone(bridge.network()), names);
        let hs_token = self.registration.hs_token.clone();
        let metrics = crate::metrics::Metrics::new();
        let appservice = Appservice { hs_token, intake: bridge.intake(), directory: Arc::new(directory), metrics };
        self.homeserver.connect(router(appservice, Router::new()));
        self.script.expects_connected(&crate::network::SessionId::Relay).await;
        self.bridge = Some(bridge);
    }

    /// The bridge is gone in an instant.
    pub(super) async fn crashes(&mut self) {
        self.homeserver.disconnect();
        self.bridge.take().expect("the bridge runs").dies().await;
    }

    pub(super) fn bridge(&self) -> &Bridge<ScriptedNetwork> {
        self.bridge.as_ref().expect("the bridge runs")
    }

    /// What the network was told that somebody said, in order.
    pub(super) fn lines(&self) -> Vec<String> {
        self.script.lines().into_iter().filter(|line| !line.ends_with(" Join")).collect()
    }

    /// Waits until the network was told that much.
    pub(super) async fn expects_lines(&self, count: usize) -> Vec<String> {
        let joins = self.script.lines().len() - self.lines().len();
        self.script.expects_count(count + joins).await;
        self.lines()
    }

    /// Waits until nothing is under way.
    pub(super) async fn settles(&self) {
        self.homeserver.all_taken().await;
        let quiet = async {
            while self.bridge().parts.lanes.len() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), quiet).await.expect("the lanes come to rest");
    }
}

/// What one user said, in order.
pub(super) fn by(room: &SimRoom, sender: &str) -> Vec<String> {
    room.messages().into_iter().filter(|(from, _)| from == sender).map(|(_, text)| text).collect()
}
