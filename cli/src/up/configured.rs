//! Bridges that a file describes, as for `landbridge run`, but without what is known here.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context, bail};
use landbridge::config::{Config, GenerateError, Reading, Sections, generate_registration_with};
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::XmppNetwork;
use ruma::{OwnedServerName, owned_server_name};

use super::{bridge::Planned, surroundings::Surroundings};
use crate::networks::{Kind, Known, kind_of, names_registration, server_name_in, unreadable};

/// Reads such a file. The registration is made where there is none, and kept.
pub(super) fn plan(file: &Path, around: &Surroundings<'_>) -> anyhow::Result<Planned> {
    match kind_of(file).with_context(unreadable(file))? {
        Kind::Irc => Ok(Planned::new(read::<IrcNetwork>(file, around)?, Vec::new())),
        Kind::Xmpp => Ok(Planned::new(read::<XmppNetwork>(file, around)?, Vec::new())),
    }
}

/// Reads such a file only to look at it, for a server of the name that the file gives or the usual one. What `landbridge up` would make is
/// made in a folder that goes.
pub(crate) fn look<N: Known>(file: &Path) -> anyhow::Result<Reading<Config<N>>> {
    let folder = tempfile::tempdir()?;
    let named = server_name_in(file).with_context(unreadable(file))?;
    let server_name = named.and_then(|name| OwnedServerName::try_from(name).ok());
    let server_name = server_name.unwrap_or_else(|| owned_server_name!("localhost"));
    let listen = (Ipv4Addr::LOCALHOST, 8008).into();
    let known = Surroundings { data: folder.path(), server_name: &server_name, listen }.sections::<N>()?;
    if !names_registration(file).with_context(unreadable(file))? {
        make_registration::<N>(file, &known)?;
    }
    Config::<N>::read_with(file, &known).with_context(unreadable(file))
}

/// Makes the registration where there is none.
fn make_registration<N: Known>(file: &Path, known: &Sections) -> anyhow::Result<()> {
    match generate_registration_with::<N>(file, known) {
        // There is one, or what is wrong with the file is told by whoever reads it.
        Ok(_) | Err(GenerateError::Io(..) | GenerateError::Config(..)) => Ok(()),
        Err(error @ GenerateError::Build(_)) => Err(error.into()),
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
    make_registration::<N>(file, &known)?;
    let reading = Config::<N>::read_with(file, &known).with_context(unreadable(file))?;
    for fault in &reading.faults {
        eprintln!("{fault}");
    }
    let Some(config) = reading.config else { bail!("{}: the bridge cannot start with this", file.display()) };
    Ok(config)
}
