//! The application services of this server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use landbridge_registration::{Faults, Match, NamespaceMatcher, Registration};
use parking_lot::RwLock;
use ruma::{RoomAliasId, RoomId, ServerName, UserId};
use tokio::sync::{Notify, watch};

use super::{
    legacy,
    transport::{AppserviceTransport, TransportError},
};

/// One application service: its registration, its namespaces, and the way to it.
#[derive(Debug)]
pub struct Appservice {
    registration: Registration,
    matcher: NamespaceMatcher,
    transport: Option<Arc<dyn AppserviceTransport>>,
    /// Rung when it showed that it is there.
    awake: Notify,
    status: DeliveryStatus,
    /// Whether an operator lets nothing be delivered to it.
    paused: watch::Sender<bool>,
    /// Whether what is in flight is to be set aside.
    skipping: AtomicBool,
    /// Whether it showed that it knows only the paths from before they had versions.
    legacy: AtomicBool,
}

/// How delivery to an application service goes, for operators.
#[derive(Debug, Default)]
pub struct DeliveryStatus {
    /// Everything in the log up to here has been acknowledged or was of no interest.
    pub acknowledged: AtomicI64,
    /// Transactions acknowledged since the start.
    pub transactions: AtomicU64,
    /// Events acknowledged since the start.
    pub events: AtomicU64,
    /// Failures in a row; 0 while all is well.
    pub failures: AtomicU64,
    /// Transactions that the service will never take, since the start.
    pub refused: AtomicU64,
}

impl Appservice {
    /// `transport` is `None` for a service that is never called (`url: null`).
    ///
    /// # Errors
    /// When a namespace is no regular expression or the sender no user id.
    pub fn new(
        registration: Registration,
        server_name: &ServerName,
        transport: Option<Arc<dyn AppserviceTransport>>,
    ) -> Result<Self, Faults> {
        let matcher = NamespaceMatcher::new(&registration, server_name)?;
        Ok(Self {
            registration,
            matcher,
            transport,
            awake: Notify::new(),
            status: DeliveryStatus::default(),
            paused: watch::Sender::new(false),
            skipping: AtomicBool::new(false),
            legacy: AtomicBool::new(false),
        })
    }

    /// The registration's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.registration.id
    }

    /// The registration.
    #[must_use]
    pub const fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Its own user.
    #[must_use]
    pub fn sender(&self) -> &UserId {
        self.matcher.sender()
    }

    /// Whether it may act as a user: its sender and the local users of its namespaces.
    #[must_use]
    pub fn owns_user(&self, user_id: &UserId) -> bool {
        self.matcher.user(user_id).is_interesting()
    }

    /// What it has to do with an alias.
    #[must_use]
    pub fn alias(&self, alias: &RoomAliasId) -> Match {
        self.matcher.alias(alias)
    }

    /// What it has to do with a room id.
    #[must_use]
    pub fn room(&self, room_id: &RoomId) -> Match {
        self.matcher.room(room_id)
    }

    /// What it has to do with a user.
    #[must_use]
    pub fn user(&self, user_id: &UserId) -> Match {
        self.matcher.user(user_id)
    }

    /// Whether it can be called at all.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.transport.is_some()
    }

    /// Whether it takes each event once ([`AppserviceTransport::knows_events`]).
    pub(super) fn knows_events(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| transport.knows_events())
    }

    /// Whether it is told of messages to the devices of its users (MSC4203): if it asks for ephemeral events or for encryption.
    #[must_use]
    pub fn wants_to_device(&self) -> bool {
        self.is_reachable() && (self.registration.wants_ephemeral() || self.registration.msc3202)
    }

    /// How delivery to it goes.
    #[must_use]
    pub const fn status(&self) -> &DeliveryStatus {
        &self.status
    }

    /// Whether an operator lets nothing be delivered to it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Lets nothing be delivered to it, or everything again.
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Waits while it is paused.
    pub(super) async fn going(&self) {
        // The sender lives as long as this does.
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }

    /// Has the transaction in flight set aside, which the service does not take; `false` where none was refused yet.
    pub fn skip(&self) -> bool {
        let failing = self.status.failures.load(Ordering::Relaxed) > 0;
        self.skipping.store(failing, Ordering::Relaxed);
        if failing {
            self.wake();
        }
        failing
    }

    /// Whether what is in flight is to be set aside; asked once.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping.swap(false, Ordering::Relaxed)
    }

    /// Tries again at once what waits for the next try.
    pub fn wake(&self) {
        self.awake.notify_one();
    }

    /// Waits until somebody calls [`Self::wake`].
    pub(super) async fn woken(&self) {
        self.awake.notified().await;
    }

    pub(super) fn failed(&self, failures: u32) {
        self.status.failures.store(u64::from(failures), Ordering::Relaxed);
    }

    /// Sends a request with the `hs_token`; `None` for a service that is never called. A service that does not know the path is
    /// asked again on the path from before paths had versions ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/application-service-api/#legacy-routes
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Option<Result<Response<Bytes>, TransportError>> {
        let transport = self.transport.as_ref()?;
        let old = legacy::path(path, &self.registration.hs_token);
        if !self.legacy.load(Ordering::Relaxed) {
            let answer = self.send(&**transport, method.clone(), path, body.clone(), timeout).await;
            match &answer {
                Ok(answer) if old.is_some() && legacy::is_unknown(answer) => {}
                _ => return Some(answer),
            }
        }
        let Some(old) = old else { return Some(self.send(&**transport, method, path, body, timeout).await) };
        let answer = self.send(&**transport, method, &old, body, timeout).await;
        let known = answer.as_ref().is_ok_and(|answer| !legacy::is_unknown(answer));
        // A service that was updated meanwhile is found out here.
        self.legacy.store(known, Ordering::Relaxed);
        Some(answer)
    }

    async fn send(
        &self,
        transport: &dyn AppserviceTransport,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let request =
            self.request(method, path, body).map_err(|error| TransportError::Connection(error.to_string()))?;
        transport.call(request, timeout).await
    }

    /// The `hs_token` goes into the header, as the specification has asked since v1.4, and never into the URL, where it would be
    /// logged, but on the old paths, whose services look nowhere else.
    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>, http::Error> {
        let mut token = HeaderValue::from_str(&format!("Bearer {}", self.registration.hs_token.reveal()))?;
        token.set_sensitive(true);
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, token)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("landbridge-homeserver/", env!("CARGO_PKG_VERSION")))
            .body(body)
    }
}

/// Why an application service was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Another has this id.
    #[error("there is an application service with the id {0:?} already")]
    DuplicateId(String),
    /// Another has this token: a request could not be told from the other's.
    #[error("the application service {0:?} has the same as_token")]
    DuplicateToken(String),
    /// The registration is broken.
    #[error("{0}")]
    Registration(Faults),
    /// The store failed.
    #[error("{0}")]
    Store(String),
}

/// All application services. Cheap to clone; services can be added at run time.
#[derive(Clone, Debug, Default)]
pub struct Appservices {
    list: Arc<RwLock<Vec<Arc<Appservice>>>>,
    /// Rung after each that comes or goes.
    changed: Arc<watch::Sender<()>>,
}

impl Appservices {
    /// Adds one.
    ///
    /// # Errors
    /// When its id or its token is another's.
    pub fn add(&self, appservice: Arc<Appservice>) -> Result<(), AddError> {
        let mut list = self.list.write();
        for other in list.iter() {
            if other.id() == appservice.id() {
                return Err(AddError::DuplicateId(other.id().to_owned()));
            }
            if other.registration.as_token.matches(appservice.registration.as_token.reveal()) {
                return Err(AddError::DuplicateToken(other.id().to_owned()));
            }
        }
        list.push(appservice);
        drop(list);
        self.changed.send_replace(());
        Ok(())
    }

    /// Takes one out.
    pub(super) fn remove(&self, id: &str) {
        self.list.write().retain(|appservice| appservice.id() != id);
        self.changed.send_replace(());
    }

    /// Tells when one has come or gone.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Appservice>> {
        self.list.read().clone()
    }

    /// The one with this `as_token`. Every one is compared, each in constant time.
    #[must_use]
    pub fn by_token(&self, token: &str) -> Option<Arc<Appservice>> {
        self.find(|appservice| appservice.registration.as_token.matches(token))
    }

    /// The one with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<Arc<Appservice>> {
        self.find(|appservice| appservice.id() == id)
    }

    /// The service that is told of messages to the devices of a user, if one is.
    #[must_use]
    pub fn for_to_device(&self, user_id: &UserId) -> Option<Arc<Appservice>> {
        let list = self.list.read();
        list.iter().find(|appservice| appservice.wants_to_device() && appservice.owns_user(user_id)).cloned()
    }

    /// Whether a user id is kept for an application service other than `but`.
    #[must_use]
    pub fn is_user_exclusive(&self, user_id: &UserId, but: Option<&Appservice>) -> bool {
        self.any_other(but, |appservice| appservice.user(user_id).is_exclusive())
    }

    /// Whether an alias is kept for an application service other than `but`.
    #[must_use]
    pub fn is_alias_exclusive(&self, alias: &RoomAliasId, but: Option<&Appservice>) -> bool {
        self.any_other(but, |appservice| appservice.alias(alias).is_exclusive())
    }

    fn any_other(&self, but: Option<&Appservice>, test: impl Fn(&Appservice) -> bool) -> bool {
        let list = self.list.read();
        list.iter().any(|appservice| but.is_none_or(|but| but.id() != appservice.id()) && test(appservice))
    }

    fn find(&self, test: impl Fn(&Appservice) -> bool) -> Option<Arc<Appservice>> {
        let list = self.list.read();
        // No early exit: how long it takes tells nothing about which one it is.
        list.iter().filter(|appservice| test(appservice)).fold(None, |_, found| Some(found.clone()))
    }
}
