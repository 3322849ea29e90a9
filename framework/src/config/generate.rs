//! Makes the registration that fits a configuration.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use landbridge_registration::{BuildError, Builder, Namespace, Overwrite, Registration};
use serde::Deserialize;

use super::{BridgeSection, HomeserverSection, Sections, collect, tree::Tree};
use crate::network::Network;

/// Why no registration was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A file cannot be read or written; an existing registration is never written over.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
    /// The configuration does not say enough.
    #[error("{path}: {problem}", path = .0.display(), problem = .1)]
    Config(PathBuf, String),
    /// The registration cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Makes the registration that fits a network: bot `@{id}bot`, virtual users `@{id}_…`, portals `#{id}_…`, with new tokens.
///
/// # Errors
/// When the system has no randomness to give, or the URL is none.
pub fn registration_for<N: Network>(
    homeserver: &HomeserverSection,
    bridge: &BridgeSection,
    url: &str,
) -> Result<Registration, BuildError> {
    let (users, aliases) = bridge.prefixes::<N>();
    let server_name = &homeserver.server_name;
    Builder::new(N::INFO.id, bridge.bot::<N>())
        .url(url)
        .user_namespace(Namespace::users_with_prefix(&users, server_name))
        .alias_namespace(Namespace::aliases_with_prefix(&aliases, server_name))
        .protocol(N::INFO.id)
        .rate_limited(false)
        .ephemeral(true)
        .build()
}

/// Writes the registration that a configuration names, and returns where. Its URL is where the bridge listens: change it where the
/// homeserver is on another machine.
///
/// # Errors
/// [`GenerateError`], also when there is a registration already.
pub fn generate_registration<N: Network>(config: &Path) -> Result<PathBuf, GenerateError> {
    generate_registration_with::<N>(config, &Sections::new())
}

/// The same for a configuration in which what is `known` already need not stand; see [`Config::read_with`](super::Config::read_with).
///
/// # Errors
/// [`GenerateError`], also when there is a registration already.
pub fn generate_registration_with<N: Network>(config: &Path, known: &Sections) -> Result<PathBuf, GenerateError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| GenerateError::Io(path, error)
    };
    let text = std::fs::read_to_string(config).map_err(fail(config))?;
    let needed = Needed::read(&text, known).map_err(|problem| GenerateError::Config(config.to_owned(), problem))?;
    let url = format!("http://{}", needed.listen);
    let registration = registration_for::<N>(&needed.homeserver, &needed.bridge, &url)?;
    let path = config.parent().unwrap_or(Path::new("")).join(needed.registration);
    landbridge_registration::write(&path, &registration, Overwrite::Never).map_err(fail(&path))?;
    Ok(path)
}

/// What a registration is made of. Everything else of the configuration need not be there yet.
#[derive(Deserialize)]
struct Needed {
    homeserver: HomeserverSection,
    listen: SocketAddr,
    registration: PathBuf,
    #[serde(default)]
    bridge: BridgeSection,
}

impl Needed {
    fn read(text: &str, known: &Sections) -> Result<Self, String> {
        let mut tree = Tree::read(text).map_err(|fault| fault.problem)?;
        tree.complete(known);
        collect::section(tree.value).map_err(|faults| {
            let lines = faults.iter().map(|fault| format!("{}: {}; {}", fault.path, fault.problem, fault.fix));
            lines.collect::<Vec<_>>().join("\n")
        })
    }
}
