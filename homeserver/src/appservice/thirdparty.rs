//! Third-party networks, as application services describe them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#third-party-networks

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    query::segment,
    registry::{Appservice, Appservices},
};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what a service says of a protocol is believed.
const FRESH: Duration = Duration::from_secs(3600);

/// The most results taken from one service.
const MAX_RESULTS: usize = 1000;

/// What application services say of third-party networks.
#[derive(Clone, Debug, Default)]
pub struct Thirdparty {
    appservices: Appservices,
    known: Arc<Mutex<HashMap<ProtocolKey, (Instant, Value)>>>,
}

/// A service's id and a protocol's name.
type ProtocolKey = (String, String);

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Users.
    User,
    /// Rooms.
    Location,
}

impl Thirdparty {
    /// Asks these.
    #[must_use]
    pub fn new(appservices: Appservices) -> Self {
        Self { appservices, known: Arc::default() }
    }

    /// Every protocol of every service; instances of the same protocol are put together.
    pub async fn protocols(&self) -> BTreeMap<String, Value> {
        let all = self.appservices.all();
        let asked = all
            .iter()
            .flat_map(|appservice| appservice.registration().protocols.iter().map(move |name| (appservice, name)));
        // All at once: one that hangs holds up none of the others.
        let answers =
            join_all(asked.map(async |(appservice, name)| (name, self.of_appservice(appservice, name).await)));
        let mut protocols: BTreeMap<String, Value> = BTreeMap::new();
        for (name, found) in answers.await {
            let Some(found) = found else { continue };
            match protocols.get_mut(name) {
                None => drop(protocols.insert(name.clone(), found)),
                Some(known) => add_instances(known, &found),
            }
        }
        protocols
    }

    /// One protocol, if a service serves it.
    pub async fn protocol(&self, name: &str) -> Option<Value> {
        let mut merged: Option<Value> = None;
        let serving = self.serving(name);
        for found in join_all(serving.iter().map(|appservice| self.of_appservice(appservice, name))).await {
            match (&mut merged, found) {
                (None, found) => merged = found,
                (Some(known), Some(found)) => add_instances(known, &found),
                (Some(_), None) => {}
            }
        }
        merged
    }

    fn serving(&self, protocol: &str) -> Vec<Arc<Appservice>> {
        let mut all = self.appservices.all();
        all.retain(|appservice| appservice.registration().protocols.iter().any(|name| name == protocol));
        all
    }

    async fn of_appservice(&self, appservice: &Appservice, name: &str) -> Option<Value> {
        let key = (appservice.id().to_owned(), name.to_owned());
        if let Some((at, known)) = self.known.lock().get(&key)
            && at.elapsed() < FRESH
        {
            return Some(known.clone());
        }
        let path = format!("/_matrix/app/v1/thirdparty/protocol/{}", segment(name));
        let mut protocol = ask(appservice, &path).await?;
        if !is_protocol(&protocol) {
            tracing::warn!(appservice.id = appservice.id(), protocol = name, "a protocol is described wrongly");
            return None;
        }
        for instance in protocol["instances"].as_array_mut().into_iter().flatten() {
            let id = format!("{}|{}", appservice.id(), instance["network_id"].as_str().unwrap_or_default());
            instance["instance_id"] = id.into();
        }
        self.known.lock().insert(key, (Instant::now(), protocol.clone()));
        Some(protocol)
    }

    /// Users or rooms of a protocol with these fields; what is not one is left out.
    pub async fn search(&self, kind: Kind, protocol: &str, query: &str) -> Option<Vec<Value>> {
        let serving = self.serving(protocol);
        if serving.is_empty() {
            return None;
        }
        let path = format!("/_matrix/app/v1/thirdparty/{}/{}?{query}", kind.path(), segment(protocol));
        Some(collect(kind, &serving, &path).await)
    }

    /// The third-party names of a Matrix user or room.
    pub async fn reverse(&self, kind: Kind, query: &str) -> Vec<Value> {
        let path = format!("/_matrix/app/v1/thirdparty/{}?{query}", kind.path());
        collect(kind, &self.appservices.all(), &path).await
    }
}

impl Kind {
    const fn path(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Location => "location",
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::User => "userid",
            Self::Location => "alias",
        }
    }
}

async fn collect(kind: Kind, appservices: &[Arc<Appservice>], path: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for answer in join_all(appservices.iter().map(|appservice| ask(appservice, path))).await {
        let Some(Value::Array(results)) = answer else { continue };
        let fits = |result: &Value| {
            result[kind.id()].is_string() && result["protocol"].is_string() && result["fields"].is_object()
        };
        found.extend(results.into_iter().filter(fits).take(MAX_RESULTS));
    }
    found
}

async fn ask(appservice: &Appservice, path: &str) -> Option<Value> {
    match appservice.call(Method::GET, path, Bytes::new(), PATIENCE).await? {
        Ok(answer) if answer.status().is_success() => serde_json::from_slice(answer.body()).ok(),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(appservice.id = appservice.id(), %error, "an application service did not answer a lookup");
            None
        }
    }
}

fn is_protocol(protocol: &Value) -> bool {
    protocol["user_fields"].is_array()
        && protocol["location_fields"].is_array()
        && protocol["field_types"].is_object()
        && protocol["instances"].as_array().is_some_and(|instances| instances.iter().all(is_instance))
}

fn is_instance(instance: &Value) -> bool {
    instance["desc"].is_string() && instance["network_id"].is_string() && instance["fields"].is_object()
}

fn add_instances(known: &mut Value, more: &Value) {
    if let (Some(known), Some(more)) = (known["instances"].as_array_mut(), more["instances"].as_array()) {
        known.extend(more.iter().cloned());
    }
}
