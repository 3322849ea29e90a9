//! The IRC bridge in the homeserver's process.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, bail};
use axum::{Router, body::Body, extract::Request};
use landbridge::{
    Network, SystemClock,
    config::{BridgeSection, Config, HomeserverSection, LoggingSection, MetricsSection, registration_for},
    dispatch::Kill,
    matrix::InProcess,
    run::Running,
};
use landbridge_homeserver::{Homeserver, appservice};
use landbridge_irc::{IrcConfig, IrcNetwork};
use landbridge_registration::{Registration, ServiceUrl};
use ruma::ServerName;
use tokio::sync::SetOnce;
use tower::ServiceExt;

use super::{address, banner::IrcBanner};
use crate::{args::UpArgs, irc, registration::read_or_make};

/// Below which path the bridge's health, metrics and media are found.
pub(super) const PATH: &str = "/_landbridge/irc";

/// What people see the bot called in the rooms it makes.
const BOT_NAME: &str = "IRC bridge";

/// A running bridge.
pub(super) struct Irc {
    pub(super) running: Running<IrcNetwork>,
    /// The IRC server, as host:port.
    pub(super) server: String,
    nick: String,
}

/// What the command line says of IRC, if anything.
pub(super) fn settings(args: &UpArgs) -> anyhow::Result<Option<IrcConfig>> {
    let Some(address) = &args.irc else { return Ok(None) };
    let (host, port) = address::parse(address).map_err(anyhow::Error::msg)?;
    let mut config = IrcConfig::for_server(host, port.unwrap_or(if args.irc_tls { 6697 } else { 6667 }));
    for server in &mut config.servers {
        server.tls.enabled = args.irc_tls;
    }
    config.flood.enabled = !args.irc_unlimited;
    if let Some(nick) = &args.irc_nick {
        config.bot.nick.clone_from(nick);
    }
    let fatal: Vec<String> =
        IrcNetwork::validate(&config).into_iter().filter(|issue| issue.fatal).map(|issue| issue.to_string()).collect();
    if !fatal.is_empty() {
        bail!("{}", fatal.join("\n"));
    }
    Ok(Some(config))
}

/// The registration, which is made at the first start and kept.
pub(super) fn registration(data: &Path, server_name: &ServerName) -> anyhow::Result<Registration> {
    let homeserver = homeserver_section("http://localhost", server_name)?;
    read_or_make(&data.join("irc-registration.yaml"), || {
        Ok(registration_for::<IrcNetwork>(&homeserver, &BridgeSection::default(), "http://in-process.invalid")?)
    })
}

/// Where the bridge stores.
pub(crate) fn database(data: &Path) -> String {
    format!("sqlite:{}", data.join("irc.db").display())
}

fn homeserver_section(url: &str, server_name: &ServerName) -> anyhow::Result<HomeserverSection> {
    Ok(HomeserverSection { url: ServiceUrl::parse(url)?, server_name: server_name.to_owned() })
}

impl Irc {
    /// Starts the bridge, and makes it known to the homeserver. Neither needs a socket for that.
    pub(super) async fn start(
        network: IrcConfig,
        registration: Registration,
        homeserver: &Homeserver,
        data: &Path,
        listen: SocketAddr,
        server_name: &ServerName,
    ) -> anyhow::Result<Self> {
        let (server, nick) = (irc::server(&network), network.bot.nick.clone());
        let url = format!("http://{listen}");
        let config = Config {
            homeserver: homeserver_section(&url, server_name)?,
            listen,
            registration: registration.clone(),
            database: database(data),
            public_url: Some(ServiceUrl::parse(format!("{url}{PATH}"))?),
            bridge: BridgeSection { display_name: Some(BOT_NAME.to_owned()), ..BridgeSection::default() },
            logging: LoggingSection::default(),
            metrics: MetricsSection::default(),
            network,
        };
        let late = Arc::new(SetOnce::new());
        let to_bridge = Arc::new(appservice::InProcess::new(until_set(Arc::clone(&late))));
        homeserver.add_appservice_over(registration, to_bridge).await.context("the bridge cannot be added")?;
        let to_homeserver = Arc::new(InProcess::new(homeserver.router()).taking_turns());
        let running = Running::start(config, to_homeserver, Arc::new(SystemClock), Kill::from_env()).await?;
        let _ = late.set(running.appservice());
        Ok(Self { running, server, nick })
    }

    pub(super) fn banner(&self, channels: &[String], server_name: &ServerName) -> IrcBanner {
        let alias = |channel: &str| format!("#irc_{}:{server_name}", channel.to_ascii_lowercase());
        IrcBanner {
            server: self.server.clone(),
            nick: self.nick.clone(),
            rooms: channels.iter().map(|channel| (channel.clone(), alias(channel))).collect(),
            any_alias: alias("#channel"),
        }
    }
}

/// A router that lets requests wait until the real one is there: homeserver and bridge each need the other first.
fn until_set(late: Arc<SetOnce<Router>>) -> Router {
    Router::new().fallback(async move |request: Request<Body>| {
        let router = late.wait().await.clone();
        router.oneshot(request).await
    })
}
