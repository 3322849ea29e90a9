//! Keys that application services hold themselves: the one-time keys of their users' devices ([MSC3983]), and the keys of their users and
//! devices ([MSC3984]). Only the service to which a user belongs alone is asked, and only if its registration says so.
//!
//! [MSC3983]: https://github.com/matrix-org/matrix-spec-proposals/pull/3983
//! [MSC3984]: https://github.com/matrix-org/matrix-spec-proposals/pull/3984

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use landbridge_registration::Registration;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use super::registry::{Appservice, Appservices};

/// How long a service may take to answer. After that, what is stored counts.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of how many users a service is asked in one request.
const MAX_USERS: usize = 100;

/// How many requests to services one request of a client may cause.
const MAX_REQUESTS: usize = 20;

/// The longest key, in bytes of JSON.
const MAX_KEY_BYTES: usize = 65_536;

const CLAIM: &str = "/_matrix/app/unstable/org.matrix.msc3983/keys/claim";
const QUERY: &str = "/_matrix/app/unstable/org.matrix.msc3984/keys/query";

/// Asks application services for keys.
#[derive(Clone, Debug)]
pub(crate) struct ServiceKeys {
    appservices: Appservices,
}

/// Keys of users and devices, as `/keys/query` tells them.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By user and device.
    pub(crate) device_keys: HashMap<String, Map<String, Value>>,
    /// By kind (`master`, `self_signing`, `user_signing`) and user.
    pub(crate) cross_signing: HashMap<(&'static str, String), Value>,
}

/// What `/keys/query` calls the cross-signing keys of each kind.
const CROSS_SIGNING: [(&str, &str); 3] =
    [("master", "master_keys"), ("self_signing", "self_signing_keys"), ("user_signing", "user_signing_keys")];

impl ServiceKeys {
    pub(crate) const fn new(appservices: Appservices) -> Self {
        Self { appservices }
    }

    /// Whether a service is asked for one-time keys of a user.
    pub(crate) fn claims_for(&self, user_id: &UserId) -> bool {
        self.asked(|registration| registration.msc3983).iter().any(|service| service.user(user_id).is_exclusive())
    }

    /// One-time keys from the services whose users' devices these are: user, device and algorithm of each. Which of them no service gave
    /// one for is not in the answer, which has the key's id and the key.
    pub(crate) async fn claim(
        &self,
        wanted: &[(OwnedUserId, OwnedDeviceId, String)],
    ) -> HashMap<(String, String, String), (String, Value)> {
        let services = self.asked(|registration| registration.msc3983);
        let mut requests: Requests<BTreeMap<&str, Vec<&str>>> = Requests::default();
        for (user_id, device_id, algorithm) in wanted {
            if let Some(devices) = requests.of(&services, user_id) {
                devices.entry(device_id.as_str()).or_default().push(algorithm);
            }
        }
        let answers = requests.send(CLAIM, |users| json!(users)).await;
        let mut found = HashMap::new();
        for (user_id, device_id, algorithm) in wanted {
            let (user, device) = (user_id.as_str(), device_id.as_str());
            let given = answers.iter().filter_map(|answer| answer.of(user_id)?.get(user)?.get(device)?.as_object());
            let fits = |(id, key): &(&String, &Value)| {
                let named =
                    id.strip_prefix(algorithm.as_str()).is_some_and(|rest| rest.len() > 1 && rest.starts_with(':'));
                named && (key.is_object() || key.is_string()) && is_short(key)
            };
            if let Some((id, key)) = given.flatten().find(fits) {
                let whose = (user.to_owned(), device.to_owned(), algorithm.clone());
                found.insert(whose, (id.clone(), key.clone()));
            }
        }
        found
    }

    /// The keys of these users, and of these devices of theirs (all where none is named), as far as their services tell them.
    pub(crate) async fn query(&self, wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>) -> Told {
        let services = self.asked(|registration| registration.msc3984);
        let mut requests: Requests<Vec<&str>> = Requests::default();
        for (user_id, devices) in wanted {
            if let Some(named) = requests.of(&services, user_id) {
                named.extend(devices.iter().map(|device_id| device_id.as_str()));
            }
        }
        let mut told = Told::default();
        for answer in requests.send(QUERY, |users| json!({ "device_keys": users })).await {
            for user in &answer.users {
                let of_user = |field: &str| answer.body.get(field).and_then(|users| users.get(user));
                let named = <&UserId>::try_from(user.as_str()).ok().and_then(|user_id| wanted.get(user_id));
                let is_wanted = |device: &str| {
                    named.is_some_and(|named| named.is_empty() || named.iter().any(|named| named.as_str() == device))
                };
                for (device, keys) in of_user("device_keys").and_then(Value::as_object).into_iter().flatten() {
                    if is_wanted(device) && keys["user_id"] == **user && keys["device_id"] == **device && is_short(keys)
                    {
                        told.device_keys.entry(user.clone()).or_default().insert(device.clone(), keys.clone());
                    }
                }
                for (kind, field) in CROSS_SIGNING {
                    if let Some(key) = of_user(field).filter(|key| key["user_id"] == **user && is_short(key)) {
                        told.cross_signing.insert((kind, user.clone()), key.clone());
                    }
                }
            }
        }
        told
    }

    fn asked(&self, asks: impl Fn(&Registration) -> bool) -> Vec<Arc<Appservice>> {
        let mut all = self.appservices.all();
        all.retain(|service| service.is_reachable() && asks(service.registration()));
        all
    }
}

fn is_short(key: &Value) -> bool {
    key.to_string().len() <= MAX_KEY_BYTES
}

/// What services are to be asked: for each request the service, and by user what is asked of them.
#[derive(Debug)]
struct Requests<'a, T>(Vec<(&'a Arc<Appservice>, BTreeMap<&'a str, T>)>);

impl<T> Default for Requests<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What a service answered, and of whom it was asked.
#[derive(Debug)]
struct Answer {
    users: Vec<String>,
    body: Value,
}

impl Answer {
    fn of(&self, user_id: &UserId) -> Option<&Value> {
        self.users.iter().any(|user| user == user_id.as_str()).then_some(&self.body)
    }
}

impl<'a, T: Default + serde::Serialize> Requests<'a, T> {
    /// Where to say what is asked of a user; `None` where nobody is asked, or too many were.
    fn of(&mut self, services: &'a [Arc<Appservice>], user_id: &'a UserId) -> Option<&mut T> {
        let service = services.iter().find(|service| service.user(user_id).is_exclusive())?;
        let fits = |(other, users): &(&Arc<Appservice>, BTreeMap<&str, T>)| {
            other.id() == service.id() && (users.len() < MAX_USERS || users.contains_key(user_id.as_str()))
        };
        let place = match self.0.iter().position(fits) {
            Some(place) => place,
            None if self.0.len() == MAX_REQUESTS => return None,
            None => {
                self.0.push((service, BTreeMap::new()));
                self.0.len() - 1
            }
        };
        self.0.get_mut(place).map(|(_, users)| users.entry(user_id.as_str()).or_default())
    }

    /// Asks all at once; who does not answer has no keys.
    async fn send(self, path: &str, body: impl Fn(&BTreeMap<&str, T>) -> Value) -> Vec<Answer> {
        let asked = self.0.iter().map(async |(service, users)| {
            let body = ask(service, path, body(users).to_string()).await?;
            Some(Answer { users: users.keys().map(|user| (*user).to_owned()).collect(), body })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

async fn ask(service: &Appservice, path: &str, body: String) -> Option<Value> {
    match service.call(Method::POST, path, Bytes::from(body), PATIENCE).await? {
        Ok(answer) if answer.status().is_success() => serde_json::from_slice(answer.body()).ok(),
        Ok(answer) => {
            tracing::debug!(appservice.id = service.id(), status = %answer.status(), path, "an application service gave no keys");
            None
        }
        Err(error) => {
            tracing::warn!(appservice.id = service.id(), %error, path, "an application service was asked for keys in vain");
            None
        }
    }
}
