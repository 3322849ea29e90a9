//! A bridge that runs: everything put together.

use std::{fmt, sync::Arc, time::Duration};

use ruma::RoomId;
use tokio::{
    sync::{Notify, SetOnce, mpsc},
    task::{JoinHandle, JoinSet},
};

use super::{
    Homeserver, Revoked,
    commands::Commands,
    entering::Entering,
    ephemeral::{self, Teller},
    existence::Existence,
    gate::Gate,
    greeting::greet,
    mappings::{Mappings, RoomMapping},
    members::Members,
    parts::Parts,
    pictures::Pictures,
    plumbing::plumb,
    retention::prune,
    rooms::{RoomError, Rooms},
    setup::{Setup, StartError},
    shelf::Shelf,
    virtual_users::VirtualUsers,
};
use crate::{
    clock::Clock,
    dispatch::{
        Converter, Intake, ToMatrix, ToRemote,
        decide::Decider,
        ephemeral::Ephemerals,
        inbox::{Inbox, count},
        ingest::{Ingest, Later},
        lanes::{Lanes, Needy},
        numbers::hurry,
        revive, work,
    },
    network::{Host, Network},
    sessions::Sessions,
    store::{Change, Store},
};

/// A bridge that runs. Dropped, it stops where it stands, as in a crash; [`Bridge::stop`] lets it finish.
pub struct Bridge<N: Network> {
    parts: Arc<Parts<N>>,
    sessions: Sessions<N>,
    intake: Arc<Gate>,
    rooms: Arc<Rooms<N>>,
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
        let Setup { bridge_id: bridge, epoch, database, durability, names, sessions, plumbed, .. } = setup;
        let Setup { dispatch: options, display_name, permissions, retention, chance, metrics, kill, .. } = setup;
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
        let existence = Existence::new(Arc::clone(&homeserver), names.clone(), Arc::clone(&clock));
        let shelf =
            Shelf { store: store.clone(), homeserver: Arc::clone(&homeserver), clock: Arc::clone(&clock), existence };
        let host = Host::new(Arc::new(ingest)).with_library(Arc::new(shelf));
        let network = N::start(config, host).await.map_err(StartError::Config)?;
        let sessions = Sessions::new(sessions, Arc::clone(&clock), chance);

        let parts = Arc::new(Parts {
            bridge,
            network: Arc::new(network),
            names: Arc::new(names),
            mappings,
            homeserver,
            speakers: Arc::new(sessions.clone()),
            lanes,
            store,
            clock,
            metrics,
            kill,
            options,
            alive: Arc::new(Notify::new()),
        });
        let users = Arc::new(VirtualUsers::new(&parts));
        let (members, settling) = Members::new(&parts, &users, parts.store.members().await?);
        tasks.spawn(settling);
        tasks.spawn(Teller::new(&parts, &users, &members).run(news));
        let rooms = Arc::new(Rooms::new(&parts, &users, &members));
        rooms.resume_upgrades().await?;
        let revoked = Revoked::new(parts.store.clone(), Arc::clone(&parts.clock));

        let ephemerals = Arc::new(Ephemerals::new(&parts));
        tasks.spawn(Arc::clone(&ephemerals).run());
        let commands = Commands::new(&parts, &rooms, permissions, revoked.clone());
        let converter = Arc::new(Converter::new(&parts, &members, &rooms, commands));
        let decider = Arc::new(Decider::new(&converter));
        let inbox = Inbox::resume(&parts, &users, &rooms, Arc::clone(&decider), ephemerals, &epoch).await?;
        tasks.spawn(count(parts.store.clone(), Arc::clone(&parts.clock), Arc::clone(&inbox.backlog)));
        tasks.spawn(hurry(Arc::clone(&inbox.numbers.refused), Arc::clone(&parts.homeserver)));
        let to_matrix = ToMatrix::new(&parts, &users, &members, &rooms);

        let (connected, connections) = mpsc::unbounded_channel();
        tasks.spawn(Entering::new(&parts, &rooms).run(connections));
        let revive_now = Arc::new(Notify::new());
        tasks.spawn(revive(parts.store.clone(), Arc::clone(&parts.clock), Arc::clone(&revive_now)));
        tasks.spawn(prune(parts.store.clone(), Arc::clone(&parts.clock), retention));
        tasks.spawn(greet(Arc::clone(&parts), display_name));
        tasks.spawn(plumb(Arc::clone(&rooms), plumbed));
        let resuming = Arc::clone(&rooms);
        tasks.spawn(async move { resuming.resume().await });

        // From here on things are heard.
        let pictures = Pictures::new(&parts, &users);
        let (network, speakers) = (Arc::clone(&parts.network), Arc::clone(&parts.speakers));
        let _ = later.set(Later { network, speakers, pictures, decider, connected });
        sessions.start(Arc::clone(&parts.network));
        // Only now: who has something to say must find a session for it.
        spawn_lanes(&mut tasks, needy, &parts.lanes, converter, ToRemote::new(&parts), to_matrix);
        let intake = Arc::new(Gate::new(Arc::new(inbox)));
        Ok(Self { parts, sessions, intake, rooms, revoked, revive: revive_now, tasks, writer })
    }

    /// What the appservice endpoints stand on.
    pub fn intake(&self) -> Arc<dyn Intake> {
        Arc::clone(&self.intake) as _
    }

    /// The network.
    pub fn network(&self) -> &Arc<N> {
        &self.parts.network
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions<N> {
        &self.sessions
    }

    /// The pairs of rooms.
    pub fn mappings(&self) -> Vec<Arc<RoomMapping<N::Room>>> {
        self.parts.mappings.all()
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
            while self.parts.lanes.len() > 0 {
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
        if let Err(error) = self.parts.store.commit(Change::default()).await {
            tracing::warn!(%error, "the store did not take the last writes");
        }
        self.parts.store.close().await;
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
        self.parts.store.close().await;
    }
}

/// Works the three kinds of lanes, for ever.
fn spawn_lanes<N: Network>(
    tasks: &mut JoinSet<()>,
    needy: Needy,
    lanes: &Arc<Lanes>,
    converter: Arc<Converter<N>>,
    to_remote: ToRemote<N>,
    to_matrix: ToMatrix<N>,
) {
    let again = Arc::clone(lanes);
    let worker = move |lane| Arc::clone(&converter).run(lane);
    tasks.spawn(work(needy.inbox, worker, move |lane| again.inbox.again(lane)));
    let (again, to_remote) = (Arc::clone(lanes), Arc::new(to_remote));
    let worker = move |lane| Arc::clone(&to_remote).run(lane);
    tasks.spawn(work(needy.to_remote, worker, move |lane| again.to_remote.again(lane)));
    let (again, to_matrix) = (Arc::clone(lanes), Arc::new(to_matrix));
    let worker = move |lane| Arc::clone(&to_matrix).run(lane);
    tasks.spawn(work(needy.to_matrix, worker, move |lane| again.to_matrix.again(lane)));
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
