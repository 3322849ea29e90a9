//! The IRC bridge, as the command line describes it.

use anyhow::bail;
use landbridge::{
    Network,
    config::{BridgeSection, Config, LoggingSection, MetricsSection, registration_for},
};
use landbridge_irc::{IrcConfig, IrcNetwork};
use landbridge_registration::ServiceUrl;

use super::{address, surroundings::Surroundings};
use crate::{args::UpArgs, registration::read_or_make};

/// What people see the bot called in the rooms it makes.
const BOT_NAME: &str = "IRC bridge";

/// The bridge's configuration, if the command line says anything of IRC. Its registration is made at the first start and kept.
pub(super) fn config(args: &UpArgs, around: &Surroundings<'_>) -> anyhow::Result<Option<Config<IrcNetwork>>> {
    let Some(network) = settings(args)? else { return Ok(None) };
    let homeserver = around.homeserver()?;
    let registration = read_or_make(&around.registration::<IrcNetwork>(), || {
        Ok(registration_for::<IrcNetwork>(&homeserver, &BridgeSection::default(), "http://in-process.invalid")?)
    })?;
    Ok(Some(Config {
        homeserver,
        listen: around.listen,
        registration,
        database: around.database::<IrcNetwork>(),
        public_url: Some(ServiceUrl::parse(around.public_url::<IrcNetwork>())?),
        bridge: BridgeSection { display_name: Some(BOT_NAME.to_owned()), ..BridgeSection::default() },
        logging: LoggingSection::default(),
        metrics: MetricsSection::default(),
        network,
    }))
}

fn settings(args: &UpArgs) -> anyhow::Result<Option<IrcConfig>> {
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
