//! A whole bridge: its configuration, its homeserver, its endpoints and its end, put together.
//!
//! ```no_run
//! # use landbridge::testing::ScriptedNetwork as MyNetwork;
//! fn main() -> std::process::ExitCode {
//!     landbridge::run::main::<MyNetwork>()
//! }
//! ```

mod command;
mod logging;
#[cfg(test)]
mod tests;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use landbridge_sql::Durability;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::command::main;
use crate::{
    bridge::{Bridge, Plumb, Setup, StartError},
    chance::Chance,
    clock::{Clock, SystemClock},
    config::{Config, UnknownPolicy},
    dispatch::{DispatchOptions, Kill, WhenUnsure},
    http::{
        Appservice, MediaLinks, MediaSource, NetworkDirectory, Operations, health_route, media_routes, open_routes,
    },
    matrix::{Client, ClientHomeserver, HttpTransport, RetryPolicy, Transport, TransportError, WebFiles},
    metrics::Metrics,
    network::Network,
};

/// Why a bridge does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nothing can be sent anywhere.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An address in the configuration or the registration is none.
    #[error("{0}")]
    Config(String),
    /// It cannot listen.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, io::Error),
}

/// A bridge that runs, with its endpoints.
pub struct Running<N: Network> {
    bridge: Bridge<N>,
    appservice: Appservice,
    open: Router,
    apart: Option<(SocketAddr, Router)>,
}

impl<N: Network> fmt::Debug for Running<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bridge.fmt(f)
    }
}

impl<N: Network> Running<N> {
    /// Starts a bridge that reaches its homeserver over `transport`. It needs neither homeserver nor network to be there yet, and
    /// listens nowhere: its routers are there to be served, or to be called in the same process.
    ///
    /// # Errors
    /// [`RunError`] when it cannot run at all.
    pub async fn start(
        config: Config<N>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        kill: Kill,
    ) -> Result<Self, RunError> {
        let names = config.names().map_err(|error| RunError::Config(format!("sender_localpart: {error}")))?;
        let (as_token, hs_token) = (config.registration.as_token.clone(), config.registration.hs_token.clone());
        let id = config.registration.id.clone();
        let links = MediaLinks::new(&public_url(&config)?, as_token.reveal().as_bytes());
        // The lanes do their own waiting; who follows a link to a file waits for one answer.
        let chance = Chance::from_system();
        let client = |transport, policy| Client::with_chance(transport, as_token.clone(), policy, chance.clone());
        let once = client(Arc::clone(&transport), RetryPolicy::once());
        let patient = client(transport, RetryPolicy::default());
        let media = &config.bridge.media;
        let files = WebFiles::new(media.reach(), media.max_size.0);
        let files = files.map_err(|error| RunError::Config(format!("files cannot be fetched: {error}")))?;
        let homeserver = ClientHomeserver::new(once, Some(links.clone()), id.clone(), names.bot.clone());
        let homeserver = homeserver.with_files(media.fetch.then_some(files));
        let metrics = Metrics::new();
        let setup = Setup {
            bridge_id: id,
            epoch: format!("{} {}", as_token.reveal(), hs_token.reveal()),
            database: config.database.clone(),
            durability: Durability::Full,
            names: names.clone(),
            sessions: config.bridge.sessions::<N>(),
            dispatch: dispatch(&config),
            plumbed: plumbed(&config),
            display_name: config.bridge.display_name.clone(),
            permissions: config.bridge.permissions(),
            retention: config.bridge.retention(),
            chance: chance.clone(),
            metrics: metrics.clone(),
            kill,
        };
        let max = config.bridge.media.max_size.0;
        let bridge = Bridge::start(setup, config.network, Arc::new(homeserver), clock).await?;
        let media = MediaSource { links, client: patient, max, revoked: Some(bridge.revoked().clone()) };
        let sessions = bridge.sessions().clone();
        let operations = Operations {
            metrics: metrics.clone(),
            intake: bridge.intake(),
            sessions: Arc::new(move || sessions.summary()),
        };
        let directory = Arc::new(NetworkDirectory::new(Arc::clone(bridge.network()), names));
        let appservice = Appservice { hs_token, intake: bridge.intake(), directory, metrics };
        let apart = config.metrics.listen.map(|listen| (listen, open_routes(operations.clone(), None)));
        let open = match apart {
            Some(_) => health_route(operations).merge(media_routes(media)),
            None => open_routes(operations, Some(media)),
        };
        Ok(Self { appservice, open, apart, bridge })
    }

    /// What the homeserver calls.
    pub fn appservice(&self) -> Router {
        crate::http::router(self.appservice.clone(), Router::new())
    }

    /// What anybody may call: health, links to media, and metrics where they are not served apart.
    pub fn open(&self) -> Router {
        self.open.clone()
    }

    /// What is to be served elsewhere, and where: health and metrics, where the configuration says so.
    pub fn apart(&self) -> Option<(SocketAddr, Router)> {
        self.apart.clone()
    }

    /// Both of these.
    pub fn everything(&self) -> Router {
        crate::http::router(self.appservice.clone(), self.open())
    }

    /// The bridge itself.
    pub fn bridge(&self) -> &Bridge<N> {
        &self.bridge
    }

    /// Takes nothing more, finishes what can be finished within `drain`, and stops.
    pub async fn stop(self, drain: Duration) {
        self.bridge.stop(drain).await;
    }
}

/// How long what is under way may take when the bridge stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a bridge until `stop` is cancelled: over HTTP, on the machine's clock.
///
/// # Errors
/// [`RunError`] when it cannot run at all.
pub async fn run<N: Network>(config: Config<N>, stop: CancellationToken) -> Result<(), RunError> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| RunError::Listen(listen, error))?;
    let homeserver = url("homeserver.url", config.homeserver.url.as_str())?;
    let transport = Arc::new(HttpTransport::new(homeserver)?);
    let running = Running::start(config, transport, Arc::new(SystemClock), Kill::from_env()).await?;
    tracing::info!(%listen, network = N::INFO.id, "the bridge runs");
    let routes = running.everything();
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut serving = JoinSet::new();
    serving.spawn(served.into_future());
    if let Some((listen, routes)) = running.apart() {
        let listener = TcpListener::bind(listen).await.map_err(|error| RunError::Listen(listen, error))?;
        serving.spawn(axum::serve(listener, routes).into_future());
    }
    stop.cancelled().await;
    tracing::info!("stopping");
    running.stop(DRAIN).await;
    serving.shutdown().await;
    Ok(())
}

/// Where links lead, if nothing else is said: to where the bridge listens.
fn public_url<N: Network>(config: &Config<N>) -> Result<Url, RunError> {
    match &config.public_url {
        Some(given) => url("public_url", given.as_str()),
        None => url("listen", &format!("http://{}", config.listen)),
    }
}

fn url(key: &str, text: &str) -> Result<Url, RunError> {
    Url::parse(text).map_err(|error| RunError::Config(format!("{key}: {error}")))
}

fn dispatch<N: Network>(config: &Config<N>) -> DispatchOptions {
    let when_unsure = match config.bridge.when_unknown {
        UnknownPolicy::Tell => WhenUnsure::Tell,
        UnknownPolicy::Resend => WhenUnsure::SayAgain,
    };
    let status = config.bridge.status;
    DispatchOptions { max_age: config.bridge.give_up_after(), when_unsure, status, ..DispatchOptions::default() }
}

fn plumbed<N: Network>(config: &Config<N>) -> Vec<Plumb> {
    let rooms = config.bridge.rooms.iter();
    rooms.map(|plumbed| Plumb { room: plumbed.room.clone(), remote: plumbed.remote.clone() }).collect()
}
