//! `landbridge check`

mod homeserver;

use anyhow::{Context, bail};

use landbridge::config::Config;
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::XmppNetwork;

use crate::{
    args::CheckArgs,
    networks::{Kind, Known, kind_of},
    runtime,
};

pub(crate) fn main(args: &CheckArgs) -> anyhow::Result<()> {
    let path = &args.config.config;
    match kind_of(path).with_context(|| format!("{} cannot be read", path.display()))? {
        Kind::Irc => check::<IrcNetwork>(args),
        Kind::Xmpp => check::<XmppNetwork>(args),
    }
}

fn check<N: Known>(args: &CheckArgs) -> anyhow::Result<()> {
    let path = &args.config.config;
    let reading = Config::<N>::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    for fault in &reading.faults {
        println!("{fault}");
    }
    let Some(config) = reading.config else {
        let fatal = reading.faults.iter().filter(|fault| fault.issue.fatal).count();
        bail!("the bridge cannot start until {}", if fatal == 1 { "this is put right" } else { "these are put right" });
    };
    println!("{}: the configuration can be used", path.display());
    if args.offline {
        return Ok(());
    }
    let (homeserver, network) = runtime::block_on(async {
        // Each says what is wrong with its side, whatever is wrong with the other.
        (homeserver::ask(&config).await, N::try_out(&config).await)
    })?;
    match (homeserver?, network) {
        (true, true) => {}
        (false, _) => bail!("homeserver and bridge do not reach each other"),
        (true, false) => bail!("the bridge cannot work with {} as it is", N::INFO.name),
    }
    println!("All is well: `landbridge run --config {}`", path.display());
    Ok(())
}
