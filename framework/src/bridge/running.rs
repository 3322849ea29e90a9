//! A bridge that runs: everything put together.

use std::{fmt, sync::Arc, time::Duration};

use landbridge_sql::{Durability, SqlError};
use parking_lot::Mutex;
use ruma::RoomId;
use tokio::{
    sync::{Notify, Semaphore, SetOnce, mpsc},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    Homeserver, HomeserverError, Names, Permissions, Revoked, Speakers,
    commands::Commands,
    ephemeral::{self, Teller},
    gate::Gate,
    mappings::{MappingKind, Mappings, RoomMapping, remote_lane},
    members::Members,
    pictures::Pictures,
    room_names::RoomNames,
    rooms::{RoomError, Rooms},
    stripes::Stripes,
    tasks::Tasks,
    virtual_users::VirtualUsers,
};
use crate::{
    chance::Chance,
    clock::{Clock, Millis},
    dispatch::{
        Backlog, Converter, DispatchOptions, Intake, Kill, ToMatrix, ToRemote, answer, commit_patiently,
        ephemeral::Ephemerals,
        inbox::{self, Inbox, count},
        ingest::{Ingest, Later},
        lanes::{Lanes, Needy},
        numbers::{Numbers, hurry},
        revive, work,
    },
    metrics::Metrics,
    network::{ConfigIssue, Host, Network, RemoteId, SendError, Session as _, SessionId},
    sessions::{SessionOptions, Sessions},
    store::{Change, Store},
};

/// What a bridge stands on.
#[derive(Debug)]
pub struct Setup {
    /// Names the bridge in the keys of what it says: must never change.
    pub bridge_id: String,
    /// Tells this registration from any other: transaction ids count anew with each. The registration's tokens, say; only a hash of
    /// it is stored.
    pub epoch: String,
    /// Where the bridge stores: `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// What survives a power cut.
    pub durability: Durability,
    /// What virtual users and portals are called.
    pub names: Names,
    /// How sessions are handled.
    pub sessions: SessionOptions,
    /// How things are delivered.
    pub dispatch: DispatchOptions,
    /// Rooms to be joined to remote rooms.
    pub plumbed: Vec<Plumb>,
    /// What the bot is called; its name stays as it is where nothing is said.
    pub display_name: Option<String>,
    /// Who may give the bot which command.
    pub permissions: Permissions,
    /// For how long messages are remembered.
    pub retention: Retention,
    /// For jitter.
    pub chance: Chance,
    /// Where things are counted.
    pub metrics: Metrics,
    /// Where a test kills it.
    pub kill: Kill,
}

/// For how long it is remembered which event is which remote message: as long as something can answer, change or take back a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How old a message may be.
    pub keep_for: Duration,
    /// How many are remembered, the newest first.
    pub keep_most: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_for: Duration::from_hours(24 * 90), keep_most: 1_000_000 }
    }
}

/// A Matrix room that the configuration joins to a remote room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plumb {
    /// The Matrix room. The bot must be invited, or the room public.
    pub room: ruma::OwnedRoomOrAliasId,
    /// The remote room, as a human would type it.
    pub remote: String,
}

/// Why a bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] SqlError),
    /// The network's configuration.
    #[error("{0}")]
    Config(ConfigIssue),
}

/// A bridge that runs. Dropped, it stops where it stands, as in a crash; [`Bridge::stop`] lets it finish.
pub struct Bridge<N: Network> {
    network: Arc<N>,
    sessions: Sessions<N>,
    intake: Arc<Gate>,
    mappings: Mappings<N::Room>,
    rooms: Arc<Rooms<N>>,
    lanes: Arc<Lanes>,
    store: Store,
    revoked: Revoked,
    revive: Arc<Notify>,
    tasks: JoinSet<()>,
    writer: JoinHandle<()>,
}

impl<N: Network> fmt::Debug for Bridge<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bridge({})", N::INFO.id)
    }
}

/// How often the marks of what was heard are thinned out, how old they get, and how many go at once.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
const SEEN_FOR: Duration = Duration::from_hours(24 * 30);
const PRUNE_BATCH: i64 = 1000;

impl<N: Network> Bridge<N> {
    /// Starts a bridge: takes up what an earlier life left, then begins to connect. Needs neither the homeserver nor the network to be
    /// there yet.
    ///
    /// # Errors
    /// [`StartError`] where it cannot run at all.
    pub async fn start(
        setup: Setup,
        config: N::Config,
        homeserver: Arc<dyn Homeserver>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let Setup { bridge_id: bridge, epoch, database, durability, names, sessions, .. } = setup;
        let Setup { dispatch: options, plumbed, display_name, permissions, retention, chance, metrics, kill, .. } =
            setup;
        let names = Arc::new(names);
        let mut tasks = JoinSet::new();
        let (lanes, needy) = Lanes::new();
        let (store, writer) = Store::open(&database, durability, Arc::clone(&lanes) as _).await?;
        let mappings = Mappings::load(store.mappings().await?);
        lanes.resume(&store).await?;

        let later = Arc::new(SetOnce::new());
        let news = ephemeral::news::<N>();
        let (ingest, pump) = Ingest::new(
            store.clone(),
            mappings.clone(),
            Arc::clone(&clock),
            Arc::clone(&news),
            kill.clone(),
            Arc::clone(&later),
        );
        tasks.spawn(pump);
        let host = Host::new(Arc::new(ingest));
        let network = Arc::new(N::start(config, host).await.map_err(StartError::Config)?);
        let sessions = Sessions::new(sessions, Arc::clone(&clock), chance);
        let speakers: Arc<dyn Speakers<N>> = Arc::new(sessions.clone());

        let users = Arc::new(VirtualUsers::new(
            Arc::clone(&network),
            Arc::clone(&names),
            Arc::clone(&homeserver),
            store.clone(),
        ));
        let (members, settling) = Members::new(
            Arc::clone(&network),
            Arc::clone(&names),
            Arc::clone(&users),
            Arc::clone(&homeserver),
            store.clone(),
            kill.clone(),
            store.members().await?,
        );
        tasks.spawn(settling);
        let teller = Teller {
            network: Arc::clone(&network),
            names: Arc::clone(&names),
            mappings: mappings.clone(),
            members: Arc::clone(&members),
            users: Arc::clone(&users),
            homeserver: Arc::clone(&homeserver),
            store: store.clone(),
        };
        tasks.spawn(teller.run(news));
        let pictures = Pictures::new(
            Arc::clone(&names),
            Arc::clone(&users),
            Arc::clone(&homeserver),
            store.clone(),
            Arc::clone(&clock),
        );
        let ephemerals =
            Arc::new(Ephemerals::new(Arc::clone(&names), mappings.clone(), Arc::clone(&speakers), store.clone()));
        tasks.spawn(Arc::clone(&ephemerals).run());
        let rooms = Arc::new(Rooms {
            network: Arc::clone(&network),
            names: Arc::clone(&names),
            mappings: mappings.clone(),
            members: Arc::clone(&members),
            users: Arc::clone(&users),
            homeserver: Arc::clone(&homeserver),
            speakers: Arc::clone(&speakers),
            store: store.clone(),
            clock: Arc::clone(&clock),
            locks: Stripes::default(),
            invited: Notify::new(),
            tasks: Tasks::default(),
        });
        rooms.resume_upgrades().await?;
        let alive = Arc::new(Notify::new());
        let backlog = Arc::new(Mutex::new(Backlog::default()));
        tasks.spawn(count(store.clone(), Arc::clone(&clock), Arc::clone(&backlog)));
        let epoch = inbox::epoch(&epoch);
        let numbers = Numbers::resume(store.position(&inbox::stream(&epoch)).await?);
        tasks.spawn(hurry(Arc::clone(&numbers.refused), Arc::clone(&homeserver)));
        let inbox = Inbox {
            network: Arc::clone(&network),
            names: Arc::clone(&names),
            mappings: mappings.clone(),
            rooms: Arc::clone(&rooms),
            users: Arc::clone(&users),
            lanes: Arc::clone(&lanes),
            store: store.clone(),
            clock: Arc::clone(&clock),
            kill: kill.clone(),
            epoch,
            numbers,
            alive: Arc::clone(&alive),
            ephemerals,
            backlog,
        };
        let revoked = Revoked::new(store.clone(), Arc::clone(&clock));
        let converter = Arc::new(Converter {
            bridge: bridge.clone(),
            network: Arc::clone(&network),
            names: Arc::clone(&names),
            mappings: mappings.clone(),
            members: Arc::clone(&members),
            room_names: Arc::new(RoomNames::new(Arc::clone(&homeserver))),
            rooms: Arc::clone(&rooms),
            commands: Arc::new(Commands {
                names: Arc::clone(&names),
                rooms: Arc::clone(&rooms),
                homeserver: Arc::clone(&homeserver),
                speakers: Arc::clone(&speakers),
                permissions,
                revoked: revoked.clone(),
            }),
            homeserver: Arc::clone(&homeserver),
            speakers: Arc::clone(&speakers),
            lanes: Arc::clone(&lanes),
            store: store.clone(),
            clock: Arc::clone(&clock),
            kill: kill.clone(),
            options: options.clone(),
        });
        let to_remote = Arc::new(ToRemote {
            bridge: bridge.clone(),
            names: Arc::clone(&names),
            homeserver: Arc::clone(&homeserver),
            speakers: Arc::clone(&speakers),
            lanes: Arc::clone(&lanes),
            store: store.clone(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            kill: kill.clone(),
            options: options.clone(),
            since: clock.now(),
        });
        let to_matrix = Arc::new(ToMatrix {
            network: Arc::clone(&network),
            names: Arc::clone(&names),
            mappings: mappings.clone(),
            members: Arc::clone(&members),
            users,
            rooms: Arc::clone(&rooms),
            homeserver: Arc::clone(&homeserver),
            lanes: Arc::clone(&lanes),
            store: store.clone(),
            clock: Arc::clone(&clock),
            metrics,
            kill,
            permits: Semaphore::new(options.matrix_at_once.max(1)),
            options: options.clone(),
            alive: Arc::clone(&alive),
        });
        spawn_lanes(&mut tasks, needy, &lanes, converter, to_remote, to_matrix);

        let (connected, connections) = mpsc::unbounded_channel();
        let revive_now = Arc::new(Notify::new());
        tasks.spawn(revive(store.clone(), Arc::clone(&clock), Arc::clone(&revive_now)));
        tasks.spawn(prune(store.clone(), Arc::clone(&clock), retention));
        let entering =
            Entering { bridge, rooms: Arc::clone(&rooms), store: store.clone(), clock, wait: options.first_wait };
        tasks.spawn(entering.run(connections));
        tasks.spawn(greet(Arc::clone(&homeserver), names, display_name, alive, options.clone()));
        tasks.spawn(plumb(Arc::clone(&rooms), plumbed, options));
        let resuming = Arc::clone(&rooms);
        tasks.spawn(async move { resuming.resume().await });

        // From here on things are heard.
        let _ = later.set(Later { network: Arc::clone(&network), speakers, pictures, connected });
        sessions.start(Arc::clone(&network));
        let intake = Arc::new(Gate::new(Arc::new(inbox)));
        Ok(Self {
            network,
            sessions,
            intake,
            mappings,
            rooms,
            lanes,
            store,
            revoked,
            revive: revive_now,
            tasks,
            writer,
        })
    }

    /// What the appservice endpoints stand on.
    pub fn intake(&self) -> Arc<dyn Intake> {
        Arc::clone(&self.intake) as _
    }

    /// The network.
    pub fn network(&self) -> &Arc<N> {
        &self.network
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions<N> {
        &self.sessions
    }

    /// The pairs of rooms.
    pub fn mappings(&self) -> Vec<Arc<RoomMapping<N::Room>>> {
        self.mappings.all()
    }

    /// The Matrix room of a shared remote room; made where there is none.
    ///
    /// # Errors
    /// [`RoomError`] says why there is none.
    pub async fn portal(&self, room: &N::Room) -> Result<Arc<RoomMapping<N::Room>>, RoomError> {
        self.rooms.portal(room).await
    }

    /// Joins a Matrix room that the bot is in to a remote room.
    ///
    /// # Errors
    /// [`RoomError`] says why not.
    pub async fn plumb(&self, room_id: &RoomId, room: &N::Room) -> Result<(), RoomError> {
        self.rooms.plumb(room_id, room).await
    }

    /// Which links to files were taken back.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Takes up dead letters that are to be tried again now, rather than in some seconds.
    pub fn revive(&self) {
        self.revive.notify_one();
    }

    /// Stops: takes nothing more, finishes what can be finished within `drain`, lets the sessions say goodbye. What is left is in the
    /// store, for the next life.
    pub async fn stop(mut self, drain: Duration) {
        self.intake.close();
        let idle = async {
            while self.lanes.len() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(drain, idle).await.is_err() {
            tracing::info!("what is not delivered yet stays for the next start");
        }
        self.sessions.stop(drain).await;
        self.rooms.tasks.shutdown().await;
        self.tasks.shutdown().await;
        // Everything queued before this is durable after it.
        if let Err(error) = self.store.commit(Change::default()).await {
            tracing::warn!(%error, "the store did not take the last writes");
        }
        self.store.close().await;
    }
}

#[cfg(feature = "testing")]
impl<N: Network> Bridge<N> {
    /// Ends where it stands, as in a crash, and returns when nothing of it is left: the next life may begin.
    pub async fn dies(mut self) {
        self.intake.slam();
        self.sessions.stop(Duration::from_secs(1)).await;
        self.rooms.tasks.shutdown().await;
        self.tasks.shutdown().await;
        self.writer.abort();
        // It ends by being aborted.
        let _ = (&mut self.writer).await;
        self.store.close().await;
    }
}

fn spawn_lanes<N: Network>(
    tasks: &mut JoinSet<()>,
    needy: Needy,
    lanes: &Arc<Lanes>,
    converter: Arc<Converter<N>>,
    to_remote: Arc<ToRemote<N>>,
    to_matrix: Arc<ToMatrix<N>>,
) {
    let again = Arc::clone(lanes);
    let worker = move |lane| Arc::clone(&converter).run(lane);
    tasks.spawn(work(needy.inbox, worker, move |lane| again.inbox.again(lane)));
    let again = Arc::clone(lanes);
    let worker = move |lane| Arc::clone(&to_remote).run(lane);
    tasks.spawn(work(needy.to_remote, worker, move |lane| again.to_remote.again(lane)));
    let again = Arc::clone(lanes);
    let worker = move |lane| Arc::clone(&to_matrix).run(lane);
    tasks.spawn(work(needy.to_matrix, worker, move |lane| again.to_matrix.again(lane)));
}

/// Enters the mapped rooms whenever the relay has connected.
struct Entering<N: Network> {
    bridge: String,
    rooms: Arc<Rooms<N>>,
    store: Store,
    clock: Arc<dyn Clock>,
    wait: Duration,
}

impl<N: Network> Entering<N> {
    async fn run(self, mut connections: mpsc::UnboundedReceiver<SessionId>) {
        let mut entering = CancellationToken::new();
        let this = Arc::new(self);
        let mut running = JoinSet::new();
        while let Some(session) = connections.recv().await {
            if session != SessionId::Relay {
                continue;
            }
            // The connection before this one is gone.
            entering.cancel();
            entering = CancellationToken::new();
            let (this, token) = (Arc::clone(&this), entering.clone());
            running.spawn(async move {
                let _ = token.run_until_cancelled(this.all()).await;
            });
            while running.try_join_next().is_some() {}
        }
    }

    async fn all(&self) {
        for mapping in self.rooms.mappings.all() {
            if mapping.kind != MappingKind::Direct {
                self.one(&mapping).await;
            }
        }
    }

    async fn one(&self, mapping: &RoomMapping<N::Room>) {
        let mut wait = self.wait;
        loop {
            let Some(relay) = self.rooms.speakers.session(&SessionId::Relay).await else { return };
            match relay.enter(&mapping.remote).await {
                Ok(()) | Err(SendError::Unsupported | SendError::Disconnected | SendError::LoggedOut) => return,
                Err(SendError::RetryAfter(wait)) => tokio::time::sleep(wait).await,
                Err(SendError::MaybeSent(_)) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_mins(5));
                }
                Err(error) => {
                    tracing::warn!(remote.room = ?mapping.remote, %error, "a remote room cannot be entered");
                    return self.tell(mapping, &error).await;
                }
            }
        }
    }

    async fn tell(&self, mapping: &RoomMapping<N::Room>, error: &SendError) {
        let (remote, now) = (mapping.remote.encode(), self.clock.now().0);
        let text = format!("{remote} on {} cannot be entered: {error}.", N::INFO.name);
        let lane = remote_lane(&mapping.remote);
        // Once an hour is enough.
        let key = format!("{}", now / 3_600_000);
        let row = answer::<N>(&format!("{}{key}", self.bridge), lane, &mapping.room_id, None, text, now);
        let change = Change { outbox: row.into_iter().collect(), ..Change::default() };
        // `None` when the store is closed.
        let _ = commit_patiently(&self.store, change, self.wait).await;
    }
}

/// Makes sure that the bot is there, and asks the homeserver to look for us: that also ends its waiting, if it could not reach us
/// before. A homeserver that is late is waited for.
async fn greet(
    homeserver: Arc<dyn Homeserver>,
    names: Arc<Names>,
    display_name: Option<String>,
    alive: Arc<Notify>,
    options: DispatchOptions,
) {
    let mut wait = options.first_wait;
    loop {
        let registered = match homeserver.register(names.bot.localpart()).await {
            Ok(()) | Err(HomeserverError::InUse) => Ok(()),
            Err(error) => Err(error),
        };
        let named = match (registered, &display_name) {
            (Ok(()), Some(name)) => homeserver.set_display_name(&names.bot, name).await,
            (registered, _) => registered,
        };
        let pinged = match named {
            Ok(()) => homeserver.ping("landbridge").await,
            Err(error) => Err(error),
        };
        alive.notify_waiters();
        match pinged {
            Ok(()) => return tracing::info!("the homeserver reaches us, and we reach it"),
            Err(error @ (HomeserverError::Unavailable(_) | HomeserverError::Limited(_))) => {
                tracing::warn!(%error, "waiting for the homeserver");
            }
            Err(error) => return tracing::warn!(%error, "the homeserver refused to ping us"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(options.longest_wait);
    }
}

/// Joins the rooms that the configuration names, however late homeserver and network are.
async fn plumb<N: Network>(rooms: Arc<Rooms<N>>, plumbed: Vec<Plumb>, options: DispatchOptions) {
    let mut left = plumbed;
    let mut wait = options.first_wait;
    while !left.is_empty() {
        let mut again = Vec::new();
        for one in left {
            if let Err(error) = plumb_one(&rooms, &one).await {
                tracing::warn!(room = %one.room, remote.room = one.remote, error, "rooms are not joined yet");
                again.push(one);
            }
        }
        left = again;
        if !left.is_empty() {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(options.longest_wait);
        }
    }
}

async fn plumb_one<N: Network>(rooms: &Rooms<N>, plumb: &Plumb) -> Result<(), String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let room_id = match <&RoomId>::try_from(&*plumb.room) {
        Ok(room_id) => room_id.to_owned(),
        Err(alias) => {
            let found = rooms.homeserver.resolve_alias(alias).await.map_err(|error| text(&error))?;
            found.ok_or("there is no such alias")?
        }
    };
    rooms.homeserver.join(&rooms.names.bot, &room_id).await.map_err(|error| text(&error))?;
    let relay = rooms.speakers.session(&SessionId::Relay).await.ok_or("there is no connection")?;
    let found = relay.resolve(&plumb.remote).await.ok().and_then(|found| found.room);
    let room = found.or_else(|| N::Room::decode(&plumb.remote)).ok_or("there is no such remote room")?;
    rooms.plumb(&room_id, &room).await.map_err(|error| text(&error))
}

/// Forgets what was heard long ago: no homeserver repeats itself after that time.
async fn prune(store: Store, clock: Arc<dyn Clock>, retention: Retention) {
    loop {
        match prune_once(&store, clock.now(), retention).await {
            // There may be more.
            Ok(gone) if gone > 0 => tokio::time::sleep(Duration::from_secs(1)).await,
            Ok(_) => tokio::time::sleep(PRUNE_EVERY).await,
            Err(error) => {
                tracing::warn!(%error, "old marks were not removed");
                tokio::time::sleep(PRUNE_EVERY).await;
            }
        }
    }
}

/// Removes at most a batch of each kind; says how much there was.
async fn prune_once(store: &Store, now: Millis, retention: Retention) -> Result<u64, SqlError> {
    let before = |age: Duration| now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let seen = store.forget_seen(before(SEEN_FOR), PRUNE_BATCH).await?;
    let mut oldest = before(retention.keep_for);
    if let Some(at) = store.message_behind(retention.keep_most).await? {
        oldest = oldest.max(at.saturating_add(1));
    }
    Ok(seen + store.forget_messages(oldest, PRUNE_BATCH).await?)
}

impl<N: Network> Drop for Bridge<N> {
    fn drop(&mut self) {
        self.intake.slam();
        self.writer.abort();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let sessions = self.sessions.clone();
            runtime.spawn(async move { sessions.stop(Duration::ZERO).await });
        }
    }
}

#[cfg(test)]
mod tests;
