//! A bridge in the homeserver's process.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use axum::{Router, body::Body, extract::Request};
use futures_util::future::BoxFuture;
use landbridge::{SystemClock, config::Config, dispatch::Kill, matrix::InProcess, network::RemoteId, run::Running};
use landbridge_homeserver::{Homeserver, appservice};
use landbridge_registration::Registration;
use tokio::{net::TcpListener, sync::SetOnce, task::JoinHandle};
use tower::ServiceExt;

use super::{banner::BridgeBanner, surroundings};
use crate::{
    connections,
    networks::Known,
    serve::{DRAIN, Server},
};

/// How a bridge of some network is started.
type Start = dyn for<'a> FnOnce(&'a Homeserver) -> Starting<'a> + Send;

type Starting<'a> = BoxFuture<'a, anyhow::Result<Embedded>>;

/// A bridge that is to be started.
pub(super) struct Planned {
    /// By what the homeserver knows it.
    pub(super) registration: Registration,
    /// Where it stores.
    pub(super) database: String,
    start: Box<Start>,
}

impl Planned {
    /// With the rooms that a newcomer is told of.
    pub(super) fn new<N: Known>(config: Config<N>, rooms: Vec<String>) -> Self {
        Self {
            registration: config.registration.clone(),
            database: config.database.clone(),
            start: Box::new(move |homeserver| Box::pin(start(config, rooms, homeserver))),
        }
    }

    /// Starts it, and makes it known to the homeserver.
    pub(super) async fn start(self, homeserver: &Homeserver) -> anyhow::Result<Embedded> {
        (self.start)(homeserver).await
    }
}

/// A running bridge, whichever its network.
pub(super) struct Embedded {
    path: String,
    open: Router,
    apart: Option<(SocketAddr, Router)>,
    banner: BridgeBanner,
    tell: BoxFuture<'static, ()>,
    stop: BoxFuture<'static, ()>,
}

impl Embedded {
    /// What is said of it when it is up.
    pub(super) fn banner(&self) -> BridgeBanner {
        self.banner.clone()
    }

    /// Adds what it serves to everybody to the homeserver's routes.
    pub(super) fn serve(&self, routes: Router) -> Router {
        routes.nest(&self.path, self.open.clone())
    }

    /// Serves what its configuration wants served elsewhere, and says from now on what becomes of its connection.
    pub(super) async fn attend(self) -> anyhow::Result<Attended> {
        let apart = match self.apart {
            None => None,
            Some((listen, routes)) => {
                let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
                Some(Server::start(listener, routes))
            }
        };
        Ok(Attended { apart, telling: tokio::spawn(self.tell), stop: self.stop })
    }
}

/// A bridge until the process stops.
pub(super) struct Attended {
    apart: Option<Server>,
    telling: JoinHandle<()>,
    stop: BoxFuture<'static, ()>,
}

impl Attended {
    /// Stops it.
    pub(super) async fn stop(self) {
        self.telling.abort();
        if let Some(apart) = self.apart {
            apart.stop().await;
        }
        self.stop.await;
    }
}

/// Starts a bridge, and makes it known to the homeserver. Neither needs a socket for that.
async fn start<N: Known>(
    mut config: Config<N>,
    rooms: Vec<String>,
    homeserver: &Homeserver,
) -> anyhow::Result<Embedded> {
    let server = N::server(&config.network);
    let (own_name, (room, any)) = (N::own_name(&config.network), N::some_room(&config.network));
    let (registration, names) = (config.registration.clone(), config.names()?);
    config.bridge.rooms.extend(N::plumbed(&config.network));
    let late = Arc::new(SetOnce::new());
    let to_bridge = Arc::new(appservice::InProcess::new(until_set(Arc::clone(&late))).knowing_events());
    homeserver.add_appservice_over(registration, to_bridge).await.context("the bridge cannot be added")?;
    let to_homeserver = Arc::new(InProcess::new(homeserver.router()).taking_turns());
    let running = Running::start(config, to_homeserver, Arc::new(SystemClock), Kill::from_env()).await?;
    let _ = late.set(running.appservice());
    let alias = |room: &str| {
        let alias = N::Room::decode(room).and_then(|room| names.alias(&**running.bridge().network(), &room));
        alias.map(String::from).unwrap_or_default()
    };
    let banner = BridgeBanner {
        network: N::INFO.name,
        server: server.clone(),
        name: own_name,
        rooms: rooms.iter().map(|room| (room.clone(), alias(room))).collect(),
        any: (room, alias(&any)),
    };
    Ok(Embedded {
        path: surroundings::path::<N>(),
        open: running.open(),
        apart: running.apart(),
        banner,
        tell: Box::pin(connections::tell(running.bridge().sessions().clone(), server)),
        stop: Box::pin(running.stop(DRAIN)),
    })
}

/// A router that lets requests wait until the real one is there: homeserver and bridge each need the other first.
fn until_set(late: Arc<SetOnce<Router>>) -> Router {
    Router::new().fallback(async move |request: Request<Body>| {
        let router = late.wait().await.clone();
        router.oneshot(request).await
    })
}
