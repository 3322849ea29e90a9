//! Bridges that a file describes, as for `landbridge run`, but without what is known here.

use std::path::Path;

use anyhow::{Context, bail};
use landbridge::config::{Config, GenerateError, generate_registration_with};
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::XmppNetwork;

use super::{bridge::Planned, surroundings::Surroundings};
use crate::networks::{Kind, Known, kind_of, server_name_in};

/// Reads such a file. The registration is made where there is none, and kept.
pub(super) fn plan(file: &Path, around: &Surroundings<'_>) -> anyhow::Result<Planned> {
    let unreadable = || format!("{} cannot be read", file.display());
    match kind_of(file).with_context(unreadable)? {
        Kind::Irc => Ok(Planned::new(read::<IrcNetwork>(file, around)?, Vec::new())),
        Kind::Xmpp => Ok(Planned::new(read::<XmppNetwork>(file, around)?, Vec::new())),
    }
}

fn read<N: Known>(file: &Path, around: &Surroundings<'_>) -> anyhow::Result<Config<N>> {
    if let Some(named) = server_name_in(file)?.filter(|named| named != around.server_name.as_str()) {
        bail!(
            "{}: homeserver.server_name is {named}, but this server is {}. Leave `homeserver` out.",
            file.display(),
            around.server_name
        );
    }
    let known = around.sections::<N>()?;
    match generate_registration_with::<N>(file, &known) {
        // There is one, or what is wrong with the file is told below.
        Ok(_) | Err(GenerateError::Io(..) | GenerateError::Config(..)) => {}
        Err(error @ GenerateError::Build(_)) => return Err(error.into()),
    }
    let reading = Config::<N>::read_with(file, &known).with_context(|| format!("{} cannot be read", file.display()))?;
    for fault in &reading.faults {
        eprintln!("{fault}");
    }
    let Some(config) = reading.config else { bail!("{}: the bridge cannot start with this", file.display()) };
    Ok(config)
}
