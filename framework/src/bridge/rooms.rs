//! How pairs of rooms come to be, and end.
//!
//! Making a room cannot be repeated safely, so its alias is the lock: who finds the alias taken adopts the room. What was begun is
//! a stored job until it is done, so that a crash leaves no room that nobody is mapped to.

use std::sync::Arc;

use landbridge_sql::SqlError;
use ruma::{OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    HomeserverError,
    homeserver::NewRoom,
    mappings::{MappingKind, RoomMapping, remember, remote_lane},
    members::Members,
    parts::Parts,
    stripes::Stripes,
    tasks::Tasks,
    virtual_users::VirtualUsers,
};
use crate::{
    dispatch::aside_lanes,
    network::{Network, Reject, RemoteId, RoomInfo, RoomKind, SendError, Session as _, SessionId},
    store::{Change, JobRow, Standing, Withdrawal},
};

/// Why two rooms were not joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// The network does not let us in, or has no such room.
    #[error("{0}")]
    Rejected(Reject),
    /// The network cannot be asked now.
    #[error("the network cannot be asked now: {0}")]
    NotNow(String),
    /// The remote room has a Matrix room already, or the other way round.
    #[error("it is bridged to {0} already")]
    Mapped(String),
    /// The remote room has no name that an alias could be made of.
    #[error("that room cannot have an alias")]
    NoAlias,
    /// The homeserver did not do it.
    #[error("{0}")]
    Homeserver(#[from] HomeserverError),
    /// The store did not keep it.
    #[error("the store failed: {0}")]
    Store(String),
}

/// What was begun.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Job<R, U> {
    Portal {
        room: R,
    },
    Upgrade {
        from: OwnedRoomId,
        to: OwnedRoomId,
    },
    Direct {
        room: R,
        owner: OwnedUserId,
        with: U,
        /// The Matrix room that was theirs and cannot be used any more.
        #[serde(default)]
        instead_of: Option<OwnedRoomId>,
    },
}

/// Joins and parts rooms.
pub(crate) struct Rooms<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) members: Arc<Members<N>>,
    pub(crate) users: Arc<VirtualUsers<N>>,
    pub(crate) locks: Stripes,
    /// Told when somebody lets us into a room.
    pub(crate) invited: Notify,
    /// What goes on beside everything else; ends with the bridge.
    pub(crate) tasks: Tasks,
}

impl<N: Network> Rooms<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>, users: &Arc<VirtualUsers<N>>, members: &Arc<Members<N>>) -> Self {
        Self {
            parts: Arc::clone(parts),
            members: Arc::clone(members),
            users: Arc::clone(users),
            locks: Stripes::default(),
            invited: Notify::new(),
            tasks: Tasks::default(),
        }
    }

    /// The Matrix room of a shared remote room: makes it where there is none. The network is asked first whether it may be.
    pub(crate) async fn portal(&self, room: &N::Room) -> Result<Arc<RoomMapping<N::Room>>, RoomError> {
        let _one_at_a_time = self.locks.lock(room).await;
        if let Some(mapping) = self.parts.mappings.by_remote(room) {
            return Ok(mapping);
        }
        let alias = self.parts.names.alias(&*self.parts.network, room).ok_or(RoomError::NoAlias)?;
        let info = self.info(room).await?;
        let job = self.begin(&Job::Portal { room: room.clone() }, room).await?;
        let new = NewRoom {
            alias_localpart: alias.alias().to_owned(),
            name: Some(info.name.unwrap_or_else(|| room.encode())),
            topic: info.topic,
            public: true,
            listed: info.public == Some(true),
            ..NewRoom::default()
        };
        let made = self.make(&self.parts.names.bot, &alias, new).await;
        let room_id = match made {
            Ok(room_id) => room_id,
            Err(error) => return Err(self.abandon(job, error).await),
        };
        let mapping =
            RoomMapping { room_id, remote: room.clone(), kind: MappingKind::Portal, owner: None, deserted: false };
        self.map(mapping, Some(job)).await
    }

    /// Joins a Matrix room that is there to a remote room. The bot must be in the Matrix room already.
    pub(crate) async fn plumb(&self, room_id: &RoomId, room: &N::Room) -> Result<(), RoomError> {
        let _one_at_a_time = self.locks.lock(room).await;
        if let Some(mapping) = self.parts.mappings.by_room(room_id) {
            if mapping.remote == *room {
                return Ok(());
            }
            return Err(RoomError::Mapped(mapping.remote.encode()));
        }
        if let Some(mapping) = self.parts.mappings.by_remote(room) {
            return Err(RoomError::Mapped(mapping.room_id.to_string()));
        }
        self.info(room).await?;
        let kind = MappingKind::Plumbed;
        let mapping =
            RoomMapping { room_id: room_id.to_owned(), remote: room.clone(), kind, owner: None, deserted: false };
        self.map(mapping, None).await.map(drop)
    }

    /// Parts a pair of rooms: the virtual users leave, and so does the bot leave the remote room.
    pub(crate) async fn unmap(&self, room_id: &RoomId) -> Result<(), RoomError> {
        let Some(mapping) = self.parts.mappings.by_room(room_id) else { return Ok(()) };
        let gone = self.members.want_nobody(room_id);
        let change = Change {
            unmap: vec![room_id.to_string()],
            withdraw: vec![Withdrawal {
                lanes: Standing::From(aside_lanes(&remote_lane(&mapping.remote))),
                source: None,
            }],
            members: gone.iter().map(|(_, row)| row.clone()).collect(),
            ..Change::default()
        };
        self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
        self.parts.mappings.remove(room_id);
        for (user, _) in gone {
            self.members.wake(room_id, &user);
        }
        if mapping.kind != MappingKind::Direct
            && let Some(relay) = self.parts.speakers.session(&SessionId::Relay).await
            && let Err(error) = relay.leave(&mapping.remote).await
        {
            tracing::info!(remote.room = ?mapping.remote, %error, "the remote room was not left");
        }
        Ok(())
    }

    /// One of ours who is in the Matrix room and can speak for the bridge.
    pub(crate) fn spokesman(&self, mapping: &RoomMapping<N::Room>) -> OwnedUserId {
        if mapping.kind == MappingKind::Direct
            && let RoomKind::Direct { with, .. } = self.parts.network.room_kind(&mapping.remote)
            && let Some(id) = self.parts.names.user_id(&*self.parts.network, &with)
        {
            return id;
        }
        self.parts.names.bot.clone()
    }

    /// Takes up the upgrades that an earlier life had heard of. To be called before anything is converted.
    pub(crate) async fn resume_upgrades(self: &Arc<Self>) -> Result<(), SqlError> {
        for JobRow { data, at, .. } in self.parts.store.jobs().await? {
            if let Ok(Job::Upgrade { from, to }) = serde_json::from_str::<Job<N::Room, N::User>>(&data) {
                self.resume_upgrade(from, to, at);
            }
        }
        Ok(())
    }

    /// Finishes what was begun before a crash. What still cannot be finished stays for the next start.
    pub(crate) async fn resume(&self) {
        let jobs = match self.parts.store.jobs().await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::error!(%error, "unfinished jobs cannot be read");
                return;
            }
        };
        for JobRow { name, data, .. } in jobs {
            let job = match serde_json::from_str::<Job<N::Room, N::User>>(&data) {
                Ok(job) => job,
                Err(error) => {
                    tracing::error!(job = name, %error, "an unfinished job cannot be understood");
                    continue;
                }
            };
            let done = match job {
                Job::Portal { room } => self.adopt(&room, &name).await,
                // Taken up before.
                Job::Upgrade { .. } => Ok(()),
                Job::Direct { room, owner, with, instead_of } => {
                    self.make_direct(&room, &owner, &with, None, instead_of).await.map(drop)
                }
            };
            if let Err(error) = done {
                tracing::warn!(job = name, %error, "a job that was begun before cannot be finished yet");
            }
        }
    }

    /// A portal was begun: where its room was made, it is ours; where not, nobody waits for it any more.
    async fn adopt(&self, room: &N::Room, job: &str) -> Result<(), RoomError> {
        let alias = self.parts.names.alias(&*self.parts.network, room).ok_or(RoomError::NoAlias)?;
        if let Some(room_id) = self.parts.homeserver.resolve_alias(&alias).await? {
            let mapping =
                RoomMapping { room_id, remote: room.clone(), kind: MappingKind::Portal, owner: None, deserted: false };
            self.map(mapping, Some(job.to_owned())).await?;
        } else {
            let change = Change { jobs_done: vec![job.to_owned()], ..Change::default() };
            self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
        }
        Ok(())
    }

    async fn info(&self, room: &N::Room) -> Result<RoomInfo, RoomError> {
        let relay = self.parts.speakers.session(&SessionId::Relay).await;
        let relay = relay.ok_or_else(|| RoomError::NotNow("there is no connection".to_owned()))?;
        match relay.room_info(room).await {
            Ok(info) => Ok(info),
            Err(SendError::Unsupported) => Ok(RoomInfo::default()),
            Err(SendError::Rejected(reject)) => Err(RoomError::Rejected(reject)),
            Err(error) => Err(RoomError::NotNow(error.to_string())),
        }
    }

    pub(super) async fn make(
        &self,
        creator: &UserId,
        alias: &RoomAliasId,
        new: NewRoom,
    ) -> Result<OwnedRoomId, HomeserverError> {
        match self.parts.homeserver.create_room(creator, &new).await {
            Err(HomeserverError::InUse) => {
                let found = self.parts.homeserver.resolve_alias(alias).await?;
                found.ok_or_else(|| HomeserverError::Unavailable("an alias is taken and leads nowhere".to_owned()))
            }
            other => other,
        }
    }

    pub(super) async fn begin(&self, job: &Job<N::Room, N::User>, room: &N::Room) -> Result<String, RoomError> {
        let kind = match job {
            Job::Portal { .. } => "portal",
            Job::Direct { .. } => "direct",
            Job::Upgrade { .. } => "upgrade",
        };
        let name = format!("{kind}:{}", room.encode());
        let data = serde_json::to_string(job).map_err(|error| RoomError::Store(error.to_string()))?;
        let row = JobRow { name: name.clone(), data, at: self.parts.clock.now().0 };
        let change = Change { jobs: vec![row], ..Change::default() };
        self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
        Ok(name)
    }

    /// A room certainly was not made: nothing is left to finish. Where nobody can tell, the job stays.
    pub(super) async fn abandon(&self, job: String, error: HomeserverError) -> RoomError {
        if !matches!(error, HomeserverError::Unavailable(_)) {
            let change = Change { jobs_done: vec![job], ..Change::default() };
            if let Err(error) = self.parts.store.commit(change).await {
                tracing::warn!(%error, "a job that came to nothing stays");
            }
        }
        error.into()
    }

    pub(super) async fn map(
        &self,
        mapping: RoomMapping<N::Room>,
        job: Option<String>,
    ) -> Result<Arc<RoomMapping<N::Room>>, RoomError> {
        let mut change = remember(&mapping, self.parts.clock.now());
        change.jobs_done.extend(job);
        self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
        tracing::info!(room.id = %mapping.room_id, remote.room = ?mapping.remote, kind = ?mapping.kind, "rooms are mapped");
        let (shared, mapping) = (mapping.kind != MappingKind::Direct, Arc::new(mapping));
        self.parts.mappings.insert((*mapping).clone());
        if shared && let Some(relay) = self.parts.speakers.session(&SessionId::Relay).await {
            // A session that is not connected enters all mapped rooms when it is.
            if let Err(error) = relay.enter(&mapping.remote).await {
                tracing::info!(remote.room = ?mapping.remote, %error, "the remote room was not entered yet");
            }
        }
        Ok(mapping)
    }
}
