//! What all sessions share: the link, the rooms, what waits for an answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use landbridge::network::{ConfigIssue, Host};
use parking_lot::Mutex;
use rand::RngExt as _;
use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{XmppNetwork, archive::Reading, origins::Origins, outside::Outside};
use crate::{
    config::XmppConfig,
    convert::to_xmpp::Own,
    jid::Jid,
    link::{Counters, Endpoint, IqError, Iqs, Outlet},
    muc::{JoinError, Out, Room, SeatId, token::Marks},
    stanza::{Element, ElementExt as _, Refused, StanzaError},
};

/// The resource under which every Matrix user sits in rooms: always the same, so that a seat is found again.
pub(super) const RESOURCE: &str = "matrix";
/// The node of the bridge's own address. No Matrix user has it: theirs hold a `%`.
const BOT: &str = "bridge";
/// How many of our own messages are remembered after they came back.
const MOST_HEARD: usize = 8192;
/// How many messages of a room are held back while what was missed is fetched; those beyond are fetched, too.
pub(super) const MOST_HELD: usize = 5000;
/// How many users' names are remembered.
const MOST_NAMES: usize = 20_000;

/// Where a room's message of ours is waited for.
type Landing = oneshot::Sender<Result<Option<String>, StanzaError>>;

/// Where somebody waits for a seat.
type Seated = oneshot::Sender<Result<(), JoinError>>;

/// What all sessions share.
pub(super) struct Shared {
    pub(super) config: XmppConfig,
    pub(super) host: Host<XmppNetwork>,
    pub(super) own: Own,
    pub(super) endpoint: Endpoint,
    pub(super) counters: Arc<Counters>,
    pub(super) iqs: Iqs,
    /// The way out, while there is a link.
    pub(super) outlet: watch::Sender<Option<Outlet>>,
    pub(super) rooms: Mutex<HashMap<Jid, RoomState>>,
    /// Told when one of our seats has another role in its room.
    pub(super) roles: watch::Sender<()>,
    waiting: Mutex<HashMap<(Jid, SeatId), Vec<Seated>>>,
    landing: Mutex<HashMap<String, Landing>>,
    heard: Mutex<Heard>,
    names: Mutex<HashMap<OwnedUserId, String>>,
    /// Cancelled when the bridge as a whole stops, as the relay session hears it.
    pub(super) stopping: Mutex<tokio_util::sync::CancellationToken>,
    pub(super) doors: super::doors::Doors,
    pub(super) people: super::direct::People,
    pub(super) markers: super::markers::Markers,
    pub(super) presences: super::presence::Presences,
    pub(super) uploads: super::files::Uploads,
    pub(super) avatars: super::avatars::Avatars,
    pub(super) portraits: super::portraits::Portraits,
    next_id: AtomicU64,
    id_prefix: String,
    bot: Jid,
}

/// A room, and what the bridge does about it.
pub(super) struct RoomState {
    pub(super) room: Room,
    /// Whether it is bridged: then the listener returns to it.
    pub(super) wanted: bool,
    /// What it was called when it was asked last.
    pub(super) name: Option<String>,
    /// Whether its own service lists it, as of when it was asked last.
    pub(super) public: bool,
    /// Whether it was read how often its nicks were given up.
    pub(super) nicks_known: bool,
    /// Whether it has an archive (XEP-0313).
    pub(super) archive: bool,
    /// What its archive held when it was read last, for those who ask at the same time.
    pub(super) shelf: Arc<tokio::sync::Mutex<Option<Reading>>>,
    /// Messages that wait until what was missed is fetched.
    pub(super) held: Option<Held>,
    /// How often in a row the listener could not return.
    pub(super) failures: u32,
    /// Whether it was read how often the listener was kicked out of it.
    pub(super) kicks_known: bool,
    /// Whether the listener was put out of it.
    pub(super) outside: Outside,
    /// What was said under another origin id.
    pub(super) origins: Origins,
    /// Whether what was said last had no id of the room's.
    pub(super) gives_no_ids: bool,
    /// For which of our seats a voice was asked for lately, and when.
    pub(super) asked_for_voice: HashMap<SeatId, Instant>,
    /// The id of the topic that is being set.
    pub(super) topic_sent: Option<String>,
}

/// What is held back while an archive is read.
#[derive(Debug)]
pub(super) struct Held {
    /// From when on the archive is read.
    pub(super) since: String,
    pub(super) stanzas: Vec<Element>,
    pub(super) overflown: bool,
}

/// Our own messages that came back, by id.
#[derive(Debug, Default)]
struct Heard {
    order: VecDeque<Box<str>>,
    by_id: HashMap<Box<str>, Option<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(config: XmppConfig, host: Host<XmppNetwork>) -> Result<Self, ConfigIssue> {
        let component = &config.component;
        let wrong = || ConfigIssue::fatal("xmpp.component.domain", "this is no domain", "write the component's domain");
        let bot = Jid::parse(&format!("{BOT}@{}/{RESOURCE}", component.domain)).ok_or_else(wrong)?;
        let own = Own { domain: bot.domain().to_owned(), marks: Marks::new(&component.secret.0) };
        let endpoint = Endpoint {
            host: component.host.clone(),
            port: component.port,
            domain: bot.domain().to_owned(),
            secret: component.secret.0.clone(),
            max_stanza: component.max_stanza_bytes,
        };
        Ok(Self {
            host,
            own,
            endpoint,
            counters: Arc::default(),
            iqs: Iqs::default(),
            outlet: watch::Sender::default(),
            rooms: Mutex::default(),
            roles: watch::Sender::default(),
            waiting: Mutex::default(),
            landing: Mutex::default(),
            heard: Mutex::default(),
            names: Mutex::default(),
            stopping: Mutex::default(),
            doors: super::doors::Doors::default(),
            people: super::direct::People::default(),
            markers: super::markers::Markers::default(),
            presences: super::presence::Presences::default(),
            uploads: super::files::Uploads::default(),
            avatars: super::avatars::Avatars::default(),
            portraits: super::portraits::Portraits::default(),
            next_id: AtomicU64::new(0),
            id_prefix: format!("{:08x}", rand::rng().random::<u32>()),
            bot,
            config,
        })
    }

    /// The full address of a seat.
    pub(super) fn seat_jid(&self, seat: &SeatId) -> Option<Jid> {
        match seat {
            SeatId::Listener => Some(self.bot.clone()),
            SeatId::Puppet(user_id) => self.own.jid(user_id)?.with_resource(RESOURCE),
        }
    }

    /// Whose address this is, if it is one of ours.
    pub(super) fn seat_of(&self, jid: &Jid) -> Option<SeatId> {
        if jid.bare_str() == self.bot.bare_str() {
            return Some(SeatId::Listener);
        }
        self.own.user(jid).map(SeatId::Puppet)
    }

    /// The name of a seat, of which nicks are made.
    pub(super) fn name_of(&self, seat: &SeatId) -> String {
        match seat {
            SeatId::Listener => self.config.bot.nick.clone(),
            SeatId::Puppet(user_id) => self.display_name(user_id),
        }
    }

    /// The name a Matrix user goes by, as far as it is known.
    pub(super) fn display_name(&self, user_id: &UserId) -> String {
        self.names.lock().get(user_id).cloned().unwrap_or_else(|| user_id.localpart().to_owned())
    }

    /// A Matrix user goes by this name.
    pub(super) fn is_called(&self, user_id: &UserId, name: &str) {
        let mut names = self.names.lock();
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(user_id.to_owned(), name.to_owned());
    }

    /// Matrix users who have been seen, with the names they go by.
    pub(super) fn known_users(&self, most: usize) -> Vec<(OwnedUserId, String)> {
        let names = self.names.lock();
        let mut known: Vec<_> = names.iter().map(|(id, name)| (id.clone(), name.clone())).collect();
        known.sort();
        known.truncate(most);
        known
    }

    /// Another id for a question.
    pub(super) fn new_id(&self) -> String {
        format!("{}-{}", self.id_prefix, self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// The way out, while there is a link.
    pub(super) fn outlet(&self) -> Option<Outlet> {
        self.outlet.borrow().clone()
    }

    /// Sends a stanza that nobody waits for.
    pub(super) fn send_lossy(&self, stanza: &Element) {
        if let Some(outlet) = self.outlet() {
            outlet.send_lossy(stanza);
        }
    }

    /// Asks a question, whose id is set here, and waits for the answer.
    pub(super) async fn ask(&self, mut iq: Element, patience: Duration) -> Result<Element, IqError> {
        let Some(asked) = iq.to() else { return Err(IqError::Disconnected) };
        let outlet = self.outlet().ok_or(IqError::Disconnected)?;
        let id = match iq.attr("id") {
            Some(id) => id.to_owned(),
            None => self.new_id(),
        };
        iq.set("id", id.clone());
        let answer = self.iqs.open(&id, asked);
        if outlet.send(&iq).await.is_err() {
            self.iqs.close(&id);
            return Err(IqError::Disconnected);
        }
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(IqError::Disconnected),
            Err(_) => {
                self.iqs.close(&id);
                Err(IqError::Timeout)
            }
        }
    }

    /// Changes what is known of a room, where it is known.
    pub(super) fn with_room<T>(&self, jid: &Jid, change: impl FnOnce(&mut RoomState) -> T) -> Option<T> {
        self.rooms.lock().get_mut(jid).map(change)
    }

    /// Changes what is known of a room, which is known from now on.
    pub(super) fn know_room<T>(&self, jid: &Jid, change: impl FnOnce(&mut RoomState) -> T) -> T {
        let mut rooms = self.rooms.lock();
        let state = rooms.entry(jid.clone()).or_insert_with(|| RoomState {
            room: Room::new(jid.clone(), &self.own.domain, self.own.marks.clone(), self.config.rooms.create),
            wanted: false,
            name: None,
            public: false,
            nicks_known: false,
            archive: false,
            shelf: Arc::default(),
            held: None,
            failures: 0,
            kicks_known: false,
            outside: Outside::default(),
            origins: Origins::default(),
            gives_no_ids: false,
            asked_for_voice: HashMap::new(),
            topic_sent: None,
        });
        change(state)
    }

    /// Waits for a seat.
    pub(super) fn await_seat(&self, room: &Jid, seat: &SeatId) -> oneshot::Receiver<Result<(), JoinError>> {
        let (settled, waiting) = oneshot::channel();
        let mut all = self.waiting.lock();
        let queue = all.entry((room.clone(), seat.clone())).or_default();
        queue.retain(|waiter| !waiter.is_closed());
        queue.push(settled);
        waiting
    }

    /// A seat is taken, or will not be.
    pub(super) fn settle(&self, room: &Jid, seat: &SeatId, result: &Result<(), JoinError>) {
        for waiter in self.waiting.lock().remove(&(room.clone(), seat.clone())).unwrap_or_default() {
            let _ = waiter.send(result.clone());
        }
    }

    /// Waits for a message of ours to come back.
    pub(super) fn await_landing(&self, id: &str) -> oneshot::Receiver<Result<Option<String>, StanzaError>> {
        let (landed, waiting) = oneshot::channel();
        self.landing.lock().insert(id.to_owned(), landed);
        waiting
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up_landing(&self, id: &str) {
        self.landing.lock().remove(id);
    }

    /// A message of ours came back, or was refused.
    pub(super) fn landed(&self, id: &str, result: Result<Option<String>, StanzaError>) {
        if let Ok(archive) = &result {
            let mut heard = self.heard.lock();
            if heard.by_id.insert(id.into(), archive.clone()).is_none() {
                heard.order.push_back(id.into());
            }
            if heard.order.len() > MOST_HEARD
                && let Some(oldest) = heard.order.pop_front()
            {
                heard.by_id.remove(&oldest);
            }
        }
        if let Some(landing) = self.landing.lock().remove(id) {
            let _ = landing.send(result);
        }
    }

    /// Whether a message of ours came back, and the id that the room gave it.
    pub(super) fn heard(&self, id: &str) -> Option<Option<String>> {
        self.heard.lock().by_id.get(id).cloned()
    }

    /// The link is gone: nothing that was asked will be answered.
    pub(super) fn unlinked(&self) {
        self.outlet.send_replace(None);
        // First: who fails to read an archive because of it must not let go what is held back, as if nothing were missing before it.
        for state in self.rooms.lock().values_mut() {
            state.room.unlinked();
            state.held = None;
        }
        self.iqs.fail_all();
        self.landing.lock().clear();
        self.waiting.lock().clear();
        self.presences.unlinked();
        self.uploads.unlinked();
    }

    /// Sends what a room wants sent; the rest is left to the caller.
    pub(super) async fn send_all(&self, out: Vec<Out>) -> Vec<Out> {
        let mut rest = Vec::new();
        for one in out {
            match one {
                Out::Send(stanza) => {
                    if let Some(outlet) = self.outlet() {
                        let _: Result<(), Refused> = outlet.send(&stanza).await;
                    }
                }
                other => rest.push(other),
            }
        }
        rest
    }
}
