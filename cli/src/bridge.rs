//! A bridge and what it stands on, joined.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use landbridge::{
    Clock, Network,
    bridge::{Bridge, Plumb, Setup},
    config::{Config, UnknownPolicy},
    dispatch::{DispatchOptions, Kill, WhenUnsure},
    http::{Appservice, MediaLinks, MediaSource, NetworkDirectory, Operations, open_routes},
    matrix::{Client, ClientHomeserver, Transport},
    metrics::Metrics,
    sessions::Sessions,
};
use landbridge_sql::Durability;
use url::Url;

/// How long what is under way may take when the bridge stops.
const DRAIN: Duration = Duration::from_secs(5);

/// A bridge that runs.
pub(crate) struct Running<N: Network> {
    bridge: Bridge<N>,
    appservice: Appservice,
    open: Router,
}

impl<N: Network> fmt::Debug for Running<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bridge.fmt(f)
    }
}

/// Rooms that the configuration of a network joins, beside those under `bridge:`.
pub(crate) type Plumbed = Vec<Plumb>;

impl<N: Network> Running<N> {
    /// Starts a bridge that reaches its homeserver over `transport`. Links to media lead to `public_url`.
    pub(crate) async fn start(
        config: Config<N>,
        plumbed: Plumbed,
        transport: Arc<dyn Transport>,
        public_url: &Url,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let names = config.names().context("registration.sender_localpart")?;
        let (as_token, hs_token) = (&config.registration.as_token, &config.registration.hs_token);
        let links = MediaLinks::new(public_url, as_token.reveal().as_bytes());
        let client = Client::new(transport, as_token.clone());
        let id = config.registration.id.clone();
        let homeserver = ClientHomeserver::new(client.clone(), Some(links.clone()), id.clone(), names.bot.clone());
        let media = MediaSource { links, client, max: config.bridge.media.max_size.0 };
        let hs_token = hs_token.clone();
        let setup = Setup {
            bridge_id: id,
            epoch: format!("{} {}", as_token.reveal(), hs_token.reveal()),
            database: config.database.clone(),
            durability: Durability::Full,
            names: names.clone(),
            sessions: config.bridge.sessions::<N>(),
            dispatch: dispatch(&config),
            plumbed: rooms(&config).chain(plumbed).collect(),
            kill: Kill::from_env(),
        };
        let bridge = Bridge::start(setup, config.network, Arc::new(homeserver), clock).await?;
        let directory = NetworkDirectory::new(Arc::clone(bridge.network()), names);
        let sessions = bridge.sessions().clone();
        let operations = Operations {
            metrics: Metrics::new(),
            intake: bridge.intake(),
            sessions: Arc::new(move || sessions.summary()),
        };
        let appservice = Appservice { hs_token, intake: bridge.intake(), directory: Arc::new(directory) };
        Ok(Self { appservice, open: open_routes(operations, Some(media)), bridge })
    }

    /// What the homeserver calls.
    pub(crate) fn appservice(&self) -> Router {
        landbridge::http::router(self.appservice.clone(), Router::new())
    }

    /// What anybody may call: health, metrics, media.
    pub(crate) fn open(&self) -> Router {
        self.open.clone()
    }

    /// Both of these.
    pub(crate) fn everything(&self) -> Router {
        landbridge::http::router(self.appservice.clone(), self.open())
    }

    /// The sessions.
    pub(crate) fn sessions(&self) -> &Sessions<N> {
        self.bridge.sessions()
    }

    /// Finishes what is under way, and stops.
    pub(crate) async fn stop(self) {
        self.bridge.stop(DRAIN).await;
    }
}

fn dispatch<N: Network>(config: &Config<N>) -> DispatchOptions {
    let when_unsure = match config.bridge.when_unknown {
        UnknownPolicy::Tell => WhenUnsure::Tell,
        UnknownPolicy::Resend => WhenUnsure::SayAgain,
    };
    DispatchOptions { max_age: config.bridge.give_up_after(), when_unsure, ..DispatchOptions::default() }
}

fn rooms<N: Network>(config: &Config<N>) -> impl Iterator<Item = Plumb> {
    config.bridge.rooms.iter().map(|plumbed| Plumb { room: plumbed.room.clone(), remote: plumbed.remote.clone() })
}
