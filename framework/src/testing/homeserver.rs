//! A homeserver in memory, with just what a bridge needs of one, that fails when told to.

mod client_api;
mod faults;
mod people;
mod push;
mod world;

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{Request, Response};
use landbridge_registration::{NamespaceMatcher, Registration};
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::ServerName;
use tokio::sync::watch;
use tower::ServiceExt as _;

use self::{client_api::Lost, push::Link, world::World};
pub use self::{
    faults::{Fault, PushFault},
    people::{SimRoom, SimUser},
};
use super::until;
use crate::matrix::{Transport, TransportError};

/// A homeserver in memory. Made for one application service; Matrix users are played by the test ([`SimHomeserver::user`]).
///
/// It refuses what Synapse refuses an application service (unregistered virtual users, users outside of the namespace), keeps
/// transaction ids in memory only and without the user in the key, and pushes one transaction at a time until it is taken.
#[derive(Clone)]
pub struct SimHomeserver {
    shared: Arc<Shared>,
    /// Ends the pushing with the last handle.
    _pusher: Arc<tokio_util::task::AbortOnDropHandle<()>>,
}

impl fmt::Debug for SimHomeserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimHomeserver").field("requests", &self.requests().len()).finish_non_exhaustive()
    }
}

/// What all handles share.
pub(super) struct Shared {
    world: Mutex<World>,
    taken: Mutex<push::Taken>,
    /// Transactions that wait until a later one is refused.
    left_behind: Mutex<Vec<push::Batch>>,
    /// Counts changes, so that tests can wait for one.
    changes: watch::Sender<u64>,
}

impl Shared {
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl SimHomeserver {
    /// An empty homeserver of this name. Must be made inside a tokio runtime.
    pub fn new(server_name: &str) -> Self {
        let world = World { server_name: server_name.to_owned(), now: 1_767_268_800_000, ..World::default() };
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            taken: Mutex::default(),
            left_behind: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let pusher = tokio::spawn(Arc::clone(&shared).push_forever());
        Self { shared, _pusher: Arc::new(tokio_util::task::AbortOnDropHandle::new(pusher)) }
    }

    /// Its name.
    pub fn server_name(&self) -> String {
        self.shared.world.lock().server_name.clone()
    }

    /// Makes an application service known.
    ///
    /// # Panics
    /// When the registration is not valid.
    #[expect(clippy::expect_used, reason = "this is how a test fails")]
    pub fn register(&self, registration: Registration) {
        let server_name = ServerName::parse(self.server_name()).expect("a valid server name");
        let matcher = NamespaceMatcher::new(&registration, &server_name).expect("a valid registration");
        let link = Link::new(registration, matcher);
        let mut world = self.shared.world.lock();
        world.profiles.entry(link.sender().to_owned()).or_insert_with(|| serde_json::json!({}));
        world.appservice = Some(link);
    }

    /// The application service is up, here.
    pub fn connect(&self, appservice: Router) {
        if let Some(link) = &mut self.shared.world.lock().appservice {
            link.router = Some(appservice);
        }
        self.shared.changed();
    }

    /// The application service is down.
    pub fn disconnect(&self) {
        if let Some(link) = &mut self.shared.world.lock().appservice {
            link.router = None;
        }
    }

    /// How the bridge reaches it.
    pub fn transport(&self) -> Arc<dyn Transport> {
        let turns = self.shared.world.lock().turns.is_some();
        Arc::new(SimTransport { router: self.router(), turns })
    }

    /// The Client-Server API, to be served on a socket.
    pub fn router(&self) -> Router {
        client_api::router(Arc::clone(&self.shared))
    }

    /// Somebody, played by the test.
    pub fn user(&self, localpart: &str) -> SimUser {
        SimUser::new(Arc::clone(&self.shared), localpart)
    }

    /// The next request whose path and query contain `path` meets this fault. Path segments are escaped as the client escapes them.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.fail_times(path, fault, 1);
    }

    /// The next so many requests meet this fault.
    pub fn fail_times(&self, path: &str, fault: Fault, times: u32) {
        self.shared.world.lock().faults.add(path, fault, times);
    }

    /// The next transaction meets this fault.
    pub fn fail_push(&self, fault: PushFault) {
        self.shared.world.lock().faults.pushes.push_back(fault);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.shared.world.lock().faults.clear();
    }

    /// Restarts: the transaction ids that it remembered are forgotten, as Synapse forgets them.
    pub fn restart(&self) {
        self.shared.world.lock().transactions.clear();
    }

    /// Restarts with its database made anew as far as the application service is concerned: transactions count from 1 again.
    pub fn restart_counting(&self) {
        self.restart();
        self.shared.world.lock().next_txn = 0;
    }

    /// Has the old media endpoints only, as before v1.11.
    pub fn has_legacy_media_only(&self) {
        self.shared.world.lock().legacy_media = true;
    }

    /// Keeps requests that bring a [`Turn`](landbridge_axum_ruma::Turn) in that order, and no others: what comes without one is
    /// overtaken. To be said before [`SimHomeserver::transport`].
    pub fn take_turns(&self) {
        self.shared.world.lock().turns = Some(0);
    }

    /// How many requests brought a turn.
    pub fn turns(&self) -> usize {
        self.shared.world.lock().turns.unwrap_or(0)
    }

    /// Holds transactions back until [`SimHomeserver::resume`].
    pub fn pause(&self) {
        self.shared.world.lock().paused = true;
    }

    /// Pushes again.
    pub fn resume(&self) {
        self.shared.world.lock().paused = false;
        self.shared.changed();
    }

    /// Waits until the application service has taken every event.
    pub async fn all_taken(&self) {
        let shared = &self.shared;
        until("all events to be taken", &mut shared.changes.subscribe(), || {
            let world = shared.world.lock();
            let waiting = world.queue.len() + world.ephemeral.len();
            if waiting + world.in_flight == 0 { Ok(()) } else { Err(world.queue.clone()) }
        })
        .await;
    }

    /// Which events the application service has taken, by id.
    pub fn taken(&self) -> BTreeSet<String> {
        self.shared.taken.lock().clone()
    }

    /// Every request of the bridge as `METHOD path?query`, oldest first.
    pub fn requests(&self) -> Vec<String> {
        self.shared.world.lock().requests.clone()
    }

    /// The room of an alias, if there is one. Asks nobody.
    pub fn room(&self, alias: &str) -> Option<SimRoom> {
        let room_id = self.shared.world.lock().aliases.get(alias).cloned()?;
        Some(SimRoom::new(Arc::clone(&self.shared), room_id))
    }

    /// A room by its id.
    pub fn room_by_id(&self, room_id: &str) -> SimRoom {
        SimRoom::new(Arc::clone(&self.shared), room_id.to_owned())
    }

    /// Rooms by id.
    pub fn rooms(&self) -> Vec<SimRoom> {
        let ids: Vec<String> = self.shared.world.lock().rooms.keys().cloned().collect();
        ids.into_iter().map(|id| SimRoom::new(Arc::clone(&self.shared), id)).collect()
    }

    /// What somebody shows of themselves; none for users that do not exist.
    pub fn profile(&self, user_id: &str) -> Option<serde_json::Value> {
        self.shared.world.lock().profiles.get(user_id).cloned()
    }

    /// Waits until somebody is like this: `online`, `unavailable`, `offline`, and what they say of it.
    pub async fn has_presence(&self, user_id: &str, presence: &str, status: Option<&str>) {
        until(&format!("{user_id} to be {presence}"), &mut self.shared.changes.subscribe(), || {
            let now = self.shared.world.lock().presence.get(user_id).cloned().unwrap_or_default();
            let same = now["presence"] == presence && now["status_msg"].as_str() == status;
            if same { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Waits until somebody goes by this name.
    pub async fn has_display_name(&self, user_id: &str, name: &str) {
        until(&format!("{user_id} to be called {name}"), &mut self.shared.changes.subscribe(), || {
            let now = self.profile(user_id).unwrap_or_default();
            if now["displayname"] == name { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Stores a file as if a Matrix user had, and returns its `mxc://` URI.
    pub fn store_media(&self, mime: &str, content: &[u8]) -> String {
        let mut world = self.shared.world.lock();
        let media_id = format!("media{}", world.fresh());
        world.media.insert(media_id.clone(), (mime.to_owned(), bytes::Bytes::copy_from_slice(content)));
        format!("mxc://{}/{media_id}", world.server_name)
    }

    /// Pushes an ephemeral event (`m.typing`, `m.receipt`, `m.presence`).
    pub fn push_ephemeral(&self, event: serde_json::Value) {
        self.shared.world.lock().ephemeral.push_back(event);
        self.shared.changed();
    }

    /// Pushes an event exactly as it is, however broken.
    pub fn push_raw(&self, event: serde_json::Value) {
        self.shared.world.lock().queue.push_back(event);
        self.shared.changed();
    }
}

/// Calls the router; what must never arrive does not.
#[derive(Clone)]
struct SimTransport {
    router: Router,
    turns: bool,
}

impl fmt::Debug for SimTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimTransport")
    }
}

#[async_trait]
impl Transport for SimTransport {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.extensions().get::<Lost>().is_none() {
            return Ok(response);
        }
        Err(if response.status() == http::StatusCode::GATEWAY_TIMEOUT {
            TransportError::Lost("the answer was lost".to_owned())
        } else {
            TransportError::Connect("connection refused".to_owned())
        })
    }

    fn takes_turns(&self) -> bool {
        self.turns
    }
}
