//! Registrations in a folder, served as they come, change and go.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use landbridge_registration::read;
use ruma::OwnedServerName;

use super::{Appservice, Deliveries, HttpTransport, transport::AppserviceTransport};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// How a file was when it was read.
type Stamp = (Option<SystemTime>, u64);

/// A folder of registrations.
pub(crate) struct Folder {
    path: PathBuf,
    server_name: OwnedServerName,
    client: reqwest::Client,
    known: BTreeMap<PathBuf, Known>,
}

/// A file of the folder.
struct Known {
    stamp: Stamp,
    /// The service that is served because of it.
    id: Option<String>,
}

impl Folder {
    pub(crate) fn new(path: &Path, server_name: OwnedServerName, client: reqwest::Client) -> Self {
        Self { path: path.to_owned(), server_name, client, known: BTreeMap::new() }
    }

    /// Serves what lies there now, and then follows the folder until deliveries stop.
    pub(crate) async fn watch(mut self, deliveries: &Deliveries) -> Result<(), io::Error> {
        let found = list(&self.path).await?;
        self.follow(found, deliveries).await;
        // The task holds the deliveries only while it looks, or they would never end.
        let held = deliveries.downgrade();
        deliveries.keep(tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(deliveries) = held.upgrade() else { return };
                match list(&self.path).await {
                    Ok(found) => self.follow(found, &deliveries).await,
                    Err(error) => {
                        tracing::warn!(folder = %self.path.display(), %error, "the registrations cannot be read");
                    }
                }
            }
        }));
        Ok(())
    }

    async fn follow(&mut self, found: BTreeMap<PathBuf, Stamp>, deliveries: &Deliveries) {
        let gone: Vec<PathBuf> = self.known.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        for path in gone {
            if let Some(Known { id: Some(id), .. }) = self.known.remove(&path) {
                tracing::info!(appservice.id = id, "the registration is gone");
                deliveries.remove(&id);
            }
        }
        for (path, stamp) in found {
            if self.known.get(&path).is_none_or(|known| known.stamp != stamp) {
                self.serve(path, stamp, deliveries).await;
            }
        }
    }

    async fn serve(&mut self, path: PathBuf, stamp: Stamp, deliveries: &Deliveries) {
        let old = self.known.get_mut(&path).and_then(|known| known.id.take());
        let appservice = match self.read(&path) {
            Ok(appservice) => appservice,
            Err(error) => {
                tracing::error!(%error, "a registration is broken; what it said before stays in force");
                self.known.insert(path, Known { stamp, id: old });
                return;
            }
        };
        if let Some(old) = old {
            deliveries.remove(&old);
        }
        let id = appservice.id().to_owned();
        match deliveries.add(appservice).await {
            Ok(_) => {
                tracing::info!(appservice.id = id, "an application service is served");
                self.known.insert(path, Known { stamp, id: Some(id) });
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "an application service cannot be served");
                self.known.insert(path, Known { stamp, id: None });
            }
        }
    }

    fn read(&self, path: &Path) -> Result<Appservice, String> {
        let registration = read(path).map_err(|error| error.to_string())?;
        let transport = registration
            .url
            .as_ref()
            .map(|url| Arc::new(HttpTransport::new(self.client.clone(), url.base())) as Arc<dyn AppserviceTransport>);
        Appservice::new(registration, &self.server_name, transport)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The registrations of a folder.
async fn list(folder: &Path) -> Result<BTreeMap<PathBuf, Stamp>, io::Error> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let mut found = BTreeMap::new();
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let Ok(data) = entry.metadata().await else { continue };
        if is_yaml && data.is_file() {
            found.insert(path, (data.modified().ok(), data.len()));
        }
    }
    Ok(found)
}
