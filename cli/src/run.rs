//! `landbridge run`

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use landbridge::{SystemClock, config::Config, matrix::HttpTransport};
use landbridge_irc::IrcNetwork;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    args::{ConfigArg, LogArgs},
    bridge::Running,
    connections, irc, log, runtime,
    serve::Server,
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

async fn run(config: Config<IrcNetwork>) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let homeserver = Url::parse(config.homeserver.url.as_str()).context("homeserver.url")?;
    let public_url = match &config.public_url {
        Some(url) => Url::parse(url.as_str()).context("public_url")?,
        None => Url::parse(&format!("http://{}", listener.local_addr()?))?,
    };
    let transport = Arc::new(HttpTransport::new(homeserver)?);
    let (plumbed, server) = (irc::plumbed(&config.network), irc::server(&config.network));
    let homeserver = config.homeserver.url.clone();
    let bridge = Running::start(config, plumbed, transport, &public_url, Arc::new(SystemClock)).await?;
    let serving = Server::start(listener, bridge.everything());
    println!(
        "Landbridge {} bridges IRC ({server}) into {homeserver}, listening on {listen}.",
        env!("CARGO_PKG_VERSION")
    );
    let telling = tokio::spawn(connections::tell(bridge.sessions().clone(), server));

    runtime::until_stopped().await?;
    eprintln!("Stopping…");
    telling.abort();
    serving.stop().await;
    bridge.stop().await;
    Ok(())
}
