//! Registrations that were added while the server ran, kept in the database.

use std::sync::Arc;

use landbridge_registration::Registration;
use landbridge_sql::SqlError;
use ruma::OwnedServerName;

use super::{AddError, Appservice, AppserviceTransport, Deliveries, HttpTransport};
use crate::{
    clock::Clock,
    store::{StoreError, appservices as table, local::Local},
};

/// What operators add and remove at run time.
#[derive(Clone, Debug)]
pub(crate) struct Registrations {
    local: Local,
    server_name: OwnedServerName,
    /// Without one, services are not called.
    client: Option<reqwest::Client>,
    clock: Arc<dyn Clock>,
}

/// Why a registration was not added or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationsError {
    /// It cannot be used.
    #[error("{0}")]
    Broken(String),
    /// It is in the way of another.
    #[error(transparent)]
    Add(#[from] AddError),
    #[error(transparent)]
    Read(#[from] SqlError),
    #[error(transparent)]
    Write(#[from] StoreError),
}

impl Registrations {
    pub(crate) fn new(
        local: Local,
        server_name: OwnedServerName,
        client: Option<reqwest::Client>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { local, server_name, client, clock }
    }

    /// Serves what was added before. One that is in the way of the configuration's is logged and left out.
    pub(crate) async fn load(&self, deliveries: &Deliveries) -> Result<(), SqlError> {
        for (id, text) in table::registrations(self.local.db()).await? {
            let added = match self.appservice(&text) {
                Ok(appservice) => deliveries.add(appservice).await.map(drop).map_err(RegistrationsError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                tracing::error!(appservice.id = id, %error, "an application service cannot be served");
            }
        }
        Ok(())
    }

    /// Serves the service of a registration (YAML or JSON) from now on; gives its id.
    pub(crate) async fn add(&self, text: &str, deliveries: &Deliveries) -> Result<String, RegistrationsError> {
        let appservice = self.appservice(text)?;
        let id = appservice.id().to_owned();
        deliveries.add(appservice).await?;
        let at = i64::from(self.clock.now().0);
        if let Err(error) = self.local.write(vec![table::put_registration(&id, text, at)]).await {
            deliveries.remove(&id);
            return Err(error.into());
        }
        Ok(id)
    }

    /// Serves a service no more, and forgets how far it was; says whether there was one.
    pub(crate) async fn remove(&self, id: &str, deliveries: &Deliveries) -> Result<bool, RegistrationsError> {
        if !deliveries.remove(id) {
            return Ok(false);
        }
        let mut statements = table::forget(id);
        statements.push(table::delete_registration(id));
        self.local.write(statements).await?;
        Ok(true)
    }

    fn appservice(&self, text: &str) -> Result<Appservice, RegistrationsError> {
        let broken = |error: &dyn std::fmt::Display| RegistrationsError::Broken(error.to_string());
        let registration = Registration::from_yaml(text).map_err(|error| broken(&error))?;
        let transport = registration
            .url
            .as_ref()
            .zip(self.client.clone())
            .map(|(url, client)| Arc::new(HttpTransport::new(client, url.base())) as Arc<dyn AppserviceTransport>);
        Appservice::new(registration, &self.server_name, transport).map_err(|error| broken(&error))
    }
}
