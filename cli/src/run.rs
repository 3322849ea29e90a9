//! `landbridge run`

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use landbridge::{SystemClock, config::Config, dispatch::Kill, matrix::HttpTransport, run::Running};
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::XmppNetwork;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    args::{ConfigArg, LogArgs},
    connections, log,
    networks::{Kind, Known, kind_of},
    runtime,
    serve::{DRAIN, Server},
};

pub(crate) fn main(args: &ConfigArg, log: &LogArgs) -> anyhow::Result<()> {
    let kind = kind_of(&args.config).with_context(|| format!("{} cannot be read", args.config.display()))?;
    match kind {
        Kind::Irc => start::<IrcNetwork>(args, log),
        Kind::Xmpp => start::<XmppNetwork>(args, log),
    }
}

fn start<N: Known>(args: &ConfigArg, log: &LogArgs) -> anyhow::Result<()> {
    let config = read::<N>(&args.config)?;
    log::start_as(log, &config.logging)?;
    runtime::block_on(run(config))?
}

/// Reads the configuration, and says what is wrong with it.
fn read<N: Known>(path: &Path) -> anyhow::Result<Config<N>> {
    let reading = Config::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    for fault in &reading.faults {
        eprintln!("{fault}");
    }
    match reading.config {
        Some(config) => Ok(config),
        None => bail!("the bridge cannot start with this configuration; `landbridge check` looks at it again"),
    }
}

async fn run<N: Known>(mut config: Config<N>) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let (homeserver, server) = (config.homeserver.url.clone(), N::server(&config.network));
    let transport = Arc::new(HttpTransport::new(Url::parse(homeserver.as_str()).context("homeserver.url")?)?);
    config.bridge.rooms.extend(N::plumbed(&config.network));
    let running = Running::start(config, transport, Arc::new(SystemClock), Kill::from_env()).await?;
    let serving = Server::start(listener, running.everything());
    let apart = match running.apart() {
        None => None,
        Some((listen, routes)) => {
            let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
            Some(Server::start(listener, routes))
        }
    };
    println!(
        "Landbridge {} bridges {} ({server}) into {homeserver}, listening on {listen}.",
        env!("CARGO_PKG_VERSION"),
        N::INFO.name
    );
    let telling = tokio::spawn(connections::tell(running.bridge().sessions().clone(), server));

    runtime::until_stopped().await?;
    eprintln!("Stopping…");
    telling.abort();
    serving.stop().await;
    if let Some(apart) = apart {
        apart.stop().await;
    }
    running.stop(DRAIN).await;
    Ok(())
}
