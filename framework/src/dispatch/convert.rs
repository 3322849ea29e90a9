//! The first step of a lane: what was heard becomes what is to be said. Pure conversions, in order, and one commit for each batch.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use ruma::{OwnedRoomId, RoomId};

use super::{commit_patiently, queues::Next};
use crate::{
    bridge::{
        HomeserverError, commands::Commands, dead_letters::Stage, mappings::RoomMapping, members::Members,
        parts::Parts, room_names::RoomNames, rooms::Rooms,
    },
    network::{Caps, Context, Direction, Network, Session as _, SessionId},
    store::{Change, DeadLetterRow, InboxRow},
};

/// How many rows are converted before their outcome is committed.
const BATCH: usize = 32;
/// How many rows are read from the store at once.
const LOAD: usize = 128;

/// Converts. One for all lanes.
pub(crate) struct Converter<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) members: Arc<Members<N>>,
    pub(crate) room_names: Arc<RoomNames>,
    pub(crate) rooms: Arc<Rooms<N>>,
    pub(crate) commands: Arc<Commands<N>>,
}

/// Why a row was not converted.
#[derive(Debug)]
pub(super) enum NotConverted {
    /// The homeserver or the store cannot be asked now: the lane waits.
    NotNow(String),
    /// It is parked; the Matrix side is told what the change says.
    Park(String, Box<Change>),
}

impl From<HomeserverError> for NotConverted {
    fn from(error: HomeserverError) -> Self {
        match error {
            HomeserverError::Limited(_) | HomeserverError::Unavailable(_) => Self::NotNow(error.to_string()),
            error => Self::Park(error.to_string(), Box::default()),
        }
    }
}

impl From<landbridge_sql::SqlError> for NotConverted {
    fn from(error: landbridge_sql::SqlError) -> Self {
        Self::NotNow(error.to_string())
    }
}

/// What a lane keeps between conversions, because it seldom changes.
pub(super) struct Kept<N: Network> {
    /// Of which room the members are, and of which version of it.
    of: Option<(OwnedRoomId, u64)>,
    pub(super) context: Context<N>,
    /// Whether the stream towards the network has nothing to do: then the first thing decided is claimed in the same commit.
    pub(super) idle: bool,
}

impl<N: Network> Converter<N> {
    pub(crate) fn new(
        parts: &Arc<Parts<N>>,
        members: &Arc<Members<N>>,
        rooms: &Arc<Rooms<N>>,
        commands: Commands<N>,
    ) -> Self {
        Self {
            parts: Arc::clone(parts),
            members: Arc::clone(members),
            room_names: Arc::new(RoomNames::new(Arc::clone(&parts.homeserver))),
            rooms: Arc::clone(rooms),
            commands: Arc::new(commands),
        }
    }

    /// What a lane keeps, before it was ever needed.
    pub(super) fn kept(&self) -> Kept<N> {
        let context = Context::<N> {
            caps: Caps::default(),
            members: Vec::new(),
            puppets: Vec::new(),
            server_name: self.parts.names.server_name.to_string(),
        };
        Kept { of: None, context, idle: false }
    }

    /// Works a lane until it has nothing to do.
    pub(crate) async fn run(self: Arc<Self>, lane: String) {
        let mut kept = self.kept();
        loop {
            match self.parts.lanes.inbox.take(&lane, BATCH) {
                Next::Idle => return,
                Next::Load { after, left } => match self.parts.store.inbox_of(&lane, after, LOAD as i64).await {
                    Ok(rows) => self.parts.lanes.inbox.loaded(&lane, rows, LOAD, left),
                    Err(error) => {
                        tracing::warn!(lane, %error, "a lane cannot be read; waiting");
                        tokio::time::sleep(self.parts.options.first_wait).await;
                    }
                },
                Next::Rows(rows) => {
                    if self.batch(&lane, &rows, &mut kept).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Converts some rows and commits the outcome. `None` when the store is closed.
    async fn batch(&self, lane: &str, rows: &[Arc<InboxRow>], kept: &mut Kept<N>) -> Option<()> {
        self.parts.kill.pass("convert.started").await;
        kept.context.puppets = self.parts.speakers.names();
        let mut change = Change::default();
        for row in rows {
            if !change.outbox.is_empty() && may_refer(row) {
                // What it is about may be among these.
                commit_patiently(&self.parts.store, std::mem::take(&mut change), self.parts.options.first_wait).await?;
            }
            kept.idle = change.outbox.is_empty() && !self.parts.lanes.to_remote.contains(lane);
            change.merge(self.one(row, kept).await);
            change.inbox_done.push(row.seq);
        }
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        self.parts.kill.pass("convert.committed").await;
        Some(())
    }

    /// Converts one row, however long that takes.
    async fn one(&self, row: &InboxRow, kept: &mut Kept<N>) -> Change {
        let mut wait = self.parts.options.first_wait;
        loop {
            let converted = match row.direction {
                Direction::ToRemote => self.convert_from_matrix(row, kept).await,
                Direction::ToMatrix => self.convert_from_remote(row, kept).await,
            };
            match converted {
                Ok(change) => return change,
                Err(NotConverted::NotNow(error)) => {
                    tracing::warn!(lane = row.lane, error, "something heard cannot be worked on now; waiting");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(self.parts.options.longest_wait);
                }
                Err(NotConverted::Park(error, mut change)) => {
                    tracing::error!(lane = row.lane, seq = row.seq, error, "something heard is parked");
                    change.park.push(self.parked(row, error));
                    return *change;
                }
            }
        }
    }

    fn parked(&self, row: &InboxRow, error: String) -> DeadLetterRow {
        DeadLetterRow {
            number: row.seq,
            lane: row.lane.clone(),
            direction: row.direction,
            stage: Stage::Convert,
            input: serde_json::to_string(row).unwrap_or_default(),
            error,
            attempts: 1,
            at: self.parts.clock.now().0,
        }
    }

    /// Brings what a lane keeps up to date, for the session that will deliver.
    pub(super) async fn context(&self, mapping: &RoomMapping<N::Room>, session: &SessionId, kept: &mut Kept<N>) {
        self.members_of(&mapping.room_id, kept);
        let session = match self.parts.speakers.session(session).await {
            Some(session) => Some(session),
            None => self.parts.speakers.session(&SessionId::Relay).await,
        };
        kept.context.caps = session.map(|session| session.caps(&mapping.remote)).unwrap_or_default();
    }

    fn members_of(&self, room_id: &RoomId, kept: &mut Kept<N>) {
        let known = kept.of.as_ref().filter(|(of, _)| of == room_id).map(|(_, version)| *version);
        if let Some((version, members)) = self.members.snapshot(room_id, known) {
            kept.of = Some((room_id.to_owned(), version));
            kept.context.members = members;
        }
    }
}

/// Whether an event from Matrix may be about another.
fn may_refer(row: &InboxRow) -> bool {
    row.direction == Direction::ToRemote && (row.body.contains("m.relates_to") || row.body.contains("m.room.redaction"))
}

/// Runs a conversion; a panic in it is an error like any other.
pub(super) fn guarded<T>(convert: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(convert)).map_err(|panic| message(&*panic))
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
