//! The configuration file: sections that say what they mean, and every fault of all of them reported at once.

mod checks;
mod collect;
mod generate;
mod report;
mod sections;
mod tree;
mod units;

use std::{fmt, io, net::SocketAddr, path::Path};

use landbridge_registration::{Registration, ServiceUrl};

pub use self::{
    generate::{GenerateError, generate_registration, generate_registration_with, registration_for},
    report::{Fault, Faults, Reading},
    sections::{
        BridgeSection, HistorySection, HomeserverSection, LogFormat, LoggingSection, MediaSection, MetricsSection,
        PermissionsSection, PlumbedRoom, PuppetsSection, UnknownPolicy,
    },
    units::{ByteSize, Span},
};
use crate::{bridge::Names, network::Network};

/// Sections of a configuration by name, such as `homeserver` or `database`, as they would be written.
pub type Sections = serde_json::Map<String, serde_json::Value>;

/// Everything a bridge is told.
pub struct Config<N: Network> {
    /// The homeserver.
    pub homeserver: HomeserverSection,
    /// Where the bridge listens for the homeserver.
    pub listen: SocketAddr,
    /// By which homeserver and bridge know each other.
    pub registration: Registration,
    /// Where the bridge stores: `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// Where anybody reaches what the bridge serves at `listen`: links to media.
    pub public_url: Option<ServiceUrl>,
    /// What the bridge does.
    pub bridge: BridgeSection,
    /// What is logged.
    pub logging: LoggingSection,
    /// Where it is counted.
    pub metrics: MetricsSection,
    /// The network's own section, under [`NetworkInfo::id`](crate::network::NetworkInfo::id).
    pub network: N::Config,
}

impl<N: Network> fmt::Debug for Config<N> {
    /// The network's own section may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("homeserver", &self.homeserver)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl<N: Network> Config<N> {
    /// Reads a configuration and the registration it names, and finds every fault of both.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub fn read(path: &Path) -> io::Result<Reading<Self>> {
        Self::read_with(path, &Sections::new())
    }

    /// Reads a configuration in which what is known already need not stand: `known` says how whole sections read that the file
    /// leaves out.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub fn read_with(path: &Path, known: &Sections) -> io::Result<Reading<Self>> {
        let text = std::fs::read_to_string(path)?;
        Ok(checks::read(path, &text, known))
    }

    /// What virtual users and portals are called.
    ///
    /// # Errors
    /// When the registration's sender is no user id, which reading it refuses.
    pub fn names(&self) -> Result<Names, ruma::IdParseError> {
        let bot = self.registration.sender(&self.homeserver.server_name)?;
        Ok(self.bridge.names::<N>(&self.homeserver, bot))
    }
}

#[cfg(test)]
mod tests;
