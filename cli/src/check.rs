//! `landbridge check`

mod homeserver;

use anyhow::{Context as _, bail};

use landbridge::config::Config;
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::XmppNetwork;

use crate::{
    args::CheckArgs,
    networks::{Kind, Known, kind_of, unreadable},
    runtime,
    up::look,
};

pub(crate) fn main(args: &CheckArgs) -> anyhow::Result<()> {
    let path = &args.config.config;
    match kind_of(path).with_context(unreadable(path))? {
        Kind::Irc => check::<IrcNetwork>(args),
        Kind::Xmpp => check::<XmppNetwork>(args),
    }
}

fn check<N: Known>(args: &CheckArgs) -> anyhow::Result<()> {
    let path = &args.config.config;
    let reading = if args.up { look::<N>(path)? } else { Config::<N>::read(path).with_context(unreadable(path))? };
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
        let homeserver = if args.up { Ok(true) } else { homeserver::ask(&config).await };
        (homeserver, N::try_out(&config).await)
    })?;
    match (homeserver?, network) {
        (true, true) => {}
        (false, _) => bail!("homeserver and bridge do not reach each other"),
        (true, false) => bail!("the bridge cannot work with {} as it is", N::INFO.name),
    }
    let then = if args.up { "up --bridge" } else { "run --config" };
    println!("All is well: `landbridge {then} {}`", path.display());
    Ok(())
}
