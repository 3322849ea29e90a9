//! `landbridge run`

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use landbridge::{SystemClock, config::Config, dispatch::Kill, matrix::HttpTransport, run::Running};
use landbridge_irc::IrcNetwork;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    args::{ConfigArg, LogArgs},
    connections, irc, log, runtime,
    serve::{DRAIN, Server},
};

pub(crate) fn main(args: &ConfigArg, log: &LogArgs) -> anyhow::Result<()> {
    let config = read(&args.config)?;
    log::start_as(log, &config.logging)?;
    runtime::block_on(run(config))?
}

/// Reads the configuration, and says what is wrong with it.
fn read(path: &Path) -> anyhow::Result<Config<IrcNetwork>> {
    let reading = Config::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    for fault in &reading.faults {
        eprintln!("{fault}");
    }
    match reading.config {
        Some(config) => Ok(config),
        None => bail!("the bridge cannot start with this configuration; `landbridge check` looks at it again"),
    }
}

async fn run(mut config: Config<IrcNetwork>) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let (homeserver, server) = (config.homeserver.url.clone(), irc::server(&config.network));
    let transport = Arc::new(HttpTransport::new(Url::parse(homeserver.as_str()).context("homeserver.url")?)?);
    config.bridge.rooms.extend(irc::plumbed(&config.network));
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
        "Landbridge {} bridges IRC ({server}) into {homeserver}, listening on {listen}.",
        env!("CARGO_PKG_VERSION")
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
