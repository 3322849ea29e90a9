//! What a bridge need not be told, because it is in its homeserver's process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use landbridge::{
    Network,
    config::{HomeserverSection, Sections},
};
use landbridge_registration::ServiceUrl;
use ruma::ServerName;
use serde_json::json;

/// Where a bridge of this process lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The data directory.
    pub(super) data: &'a Path,
    /// The homeserver's name.
    pub(super) server_name: &'a ServerName,
    /// Where the process listens.
    pub(super) listen: SocketAddr,
}

/// Below which path a bridge's health, metrics and media are found.
pub(super) fn path<N: Network>() -> String {
    format!("/_landbridge/{}", N::INFO.id)
}

/// Where a bridge stores.
pub(crate) fn database(data: &Path, network: &str) -> String {
    format!("sqlite:{}", data.join(format!("{network}.db")).display())
}

impl Surroundings<'_> {
    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The homeserver.
    pub(super) fn homeserver(&self) -> anyhow::Result<HomeserverSection> {
        Ok(HomeserverSection { url: ServiceUrl::parse(self.url())?, server_name: self.server_name.to_owned() })
    }

    /// Where the registration is kept.
    pub(super) fn registration<N: Network>(&self) -> PathBuf {
        self.data.join(format!("{}-registration.yaml", N::INFO.id))
    }

    /// Where the bridge stores.
    pub(super) fn database<N: Network>(&self) -> String {
        database(self.data, N::INFO.id)
    }

    /// Where anybody reaches what the bridge serves.
    pub(super) fn public_url<N: Network>(&self) -> String {
        format!("{}{}", self.url(), path::<N>())
    }

    /// All this, as a configuration would say it.
    pub(super) fn sections<N: Network>(&self) -> std::io::Result<Sections> {
        // What is relative in a configuration is so to its own folder.
        let data = std::path::absolute(self.data)?;
        let here = Surroundings { data: &data, ..*self };
        let homeserver = json!({ "url": self.url(), "server_name": self.server_name });
        let sections = [
            ("homeserver", homeserver),
            ("listen", json!(self.listen)),
            ("registration", json!(here.registration::<N>())),
            ("database", json!(here.database::<N>())),
            ("public_url", json!(self.public_url::<N>())),
        ];
        Ok(sections.into_iter().map(|(name, section)| (name.to_owned(), section)).collect())
    }
}
