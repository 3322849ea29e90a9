//! What application services call events that they named themselves: their names are told to them alone, and mean the real events
//! where they say them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use landbridge_sql::SqlError;
use parking_lot::RwLock;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    rooms::mentions,
    store::{local::Local, names as table},
};

/// The names of events. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: Local,
    /// Whether any service has named an event.
    any: AtomicBool,
    /// Which services have, as far as that was asked.
    named: RwLock<HashMap<String, bool>>,
}

impl Names {
    pub(crate) fn new(local: Local) -> Self {
        Self { inner: Arc::new(Inner { local, any: AtomicBool::new(false), named: RwLock::default() }) }
    }

    /// Finds out whether there are names at all.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn load(&self) -> Result<(), SqlError> {
        self.inner.any.store(table::is_any(self.inner.local.db(), None).await?, Ordering::Release);
        Ok(())
    }

    /// Notes that a service is about to name events.
    pub(crate) fn begin(&self, appservice: &str) {
        self.inner.named.write().insert(appservice.to_owned(), true);
        self.inner.any.store(true, Ordering::Release);
    }

    /// Whether any service has named an event: else nothing is to be done.
    pub(crate) fn any(&self) -> bool {
        self.inner.any.load(Ordering::Acquire)
    }

    async fn has(&self, appservice: &str) -> Result<bool, SqlError> {
        if !self.any() {
            return Ok(false);
        }
        let known = self.inner.named.read().get(appservice).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let has = table::is_any(self.inner.local.db(), Some(appservice)).await?;
        Ok(*self.inner.named.write().entry(appservice.to_owned()).or_insert(has))
    }

    /// The events that names of a service mean; what is no name of it is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn meant(
        &self,
        appservice: &str,
        names: &BTreeSet<String>,
    ) -> Result<HashMap<String, String>, SqlError> {
        if names.is_empty() || !self.has(appservice).await? {
            return Ok(HashMap::new());
        }
        let named = table::by_name(self.inner.local.db(), appservice, names).await?;
        Ok(named.into_iter().map(|(name, named)| (name, named.event_id.to_string())).collect())
    }

    /// Calls the events that JSON names as a service does; gives what was changed.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn call(&self, appservice: &str, values: &[&RawValue]) -> Result<Vec<Option<Value>>, SqlError> {
        if values.is_empty() || !self.has(appservice).await? {
            return Ok(vec![None; values.len()]);
        }
        let mut parsed = Vec::with_capacity(values.len());
        let mut mentioned = BTreeSet::new();
        for value in values {
            let value: Value = serde_json::from_str(value.get()).unwrap_or_default();
            mentions::mentioned(&value, &mut mentioned);
            parsed.push(value);
        }
        let names = table::by_event(self.inner.local.db(), appservice, &mentioned).await?;
        if names.is_empty() {
            return Ok(vec![None; values.len()]);
        }
        Ok(parsed.into_iter().map(|mut value| mentions::replace(&mut value, &names).then_some(value)).collect())
    }

    /// Calls the events of a list, and those that they name, as a service does.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn call_all(&self, appservice: &str, values: &mut [Box<RawValue>]) -> Result<(), SqlError> {
        if values.is_empty() || !self.has(appservice).await? {
            return Ok(());
        }
        let raw: Vec<&RawValue> = values.iter().map(|value| &**value).collect();
        let called = self.call(appservice, &raw).await?;
        for (value, called) in values.iter_mut().zip(called) {
            if let Some(called) = called {
                *value = to_raw_value(&called).map_err(SqlError::Encode)?;
            }
        }
        Ok(())
    }
}
