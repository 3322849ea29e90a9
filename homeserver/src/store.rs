//! The only SQL of this crate. Reads see snapshots; every write goes through one writer, which groups commits.

pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod aliases;
pub(crate) mod appservices;
pub(crate) mod backups;
pub(crate) mod cache;
pub(crate) mod dehydrated;
pub(crate) mod deletions;
pub(crate) mod device_keys;
pub(crate) mod devices;
mod digest;
pub(crate) mod directory;
mod event_cache;
pub(crate) mod events;
pub(crate) mod grants;
mod history;
mod indices;
mod keys;
pub(crate) mod lately;
pub(crate) mod local;
mod log;
pub(crate) mod media;
pub(crate) mod memberships;
mod migrations;
pub(crate) mod names;
mod nodes;
pub(crate) mod notices;
pub(crate) mod profile_fields;
mod purge;
pub(crate) mod pushers;
pub(crate) mod receipts;
pub(crate) mod relations;
pub(crate) mod reports;
mod room_cache;
mod rooms;
pub(crate) mod search;
pub(crate) mod statement;
mod text;
mod txns;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use landbridge_sql::{Db, DbOptions, SqlError, Step, Tx, WriteError, Writer, WriterOptions};
use parking_lot::Mutex;
use ruma::UserId;
use tokio::{sync::watch, task::JoinHandle};

use self::{
    lately::Lately,
    log::{Log, Op},
};
pub(crate) use self::{
    log::{NewEvent, RoomWrite, Writing},
    memberships::MembershipRow,
    nodes::{MISSING, NewStates, hex},
    rooms::{CurrentState, RoomInfo},
    txns::TxnKey,
};
use crate::{
    rooms::RoomNid,
    stream::{Position, Waiters},
};

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Nothing was written; the same write may succeed later.
    #[error("the database has no room left")]
    Full,
    /// A uniqueness rule refused the write.
    #[error("the row is there already")]
    Conflict,
    /// The write stands on one before it, which was not written.
    #[error("a write before this one failed")]
    Superseded,
    /// The database failed. Nothing was written.
    #[error("{0}")]
    Failed(Arc<SqlError>),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        WriteError::from(error).into()
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::Full,
            WriteError::Conflict => Self::Conflict,
            WriteError::Closed => Self::Closed,
            WriteError::Failed(error) => match &*error {
                SqlError::Refused(log::BROKEN_CHAIN) => Self::Superseded,
                _ => Self::Failed(error),
            },
        }
    }
}

/// Why something that a user keeps here was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] SqlError),
    /// The store failed.
    #[error(transparent)]
    Write(#[from] StoreError),
    /// The user keeps as much already as one may; the text says what. Nothing was written.
    #[error("{0}")]
    TooMany(&'static str),
}

/// A small write of any service: it commits together with everybody else's and gets a place in the log.
#[async_trait]
pub trait Write: Send + Sync + 'static {
    /// The statements that are all of this write, where it needs to read nothing: a round of such writes is one call of the
    /// engine. `None`, as by default: ask [`Write::write`].
    fn steps(&self, _position: Position) -> Option<Vec<Step<'_>>> {
        None
    }

    /// Writes, inside the transaction. May run again after a failed round, so nothing in memory may change here.
    ///
    /// # Errors
    /// Any error undoes this write, and no other.
    async fn write(&self, tx: &mut Tx<'_>, position: Position) -> Result<(), SqlError> {
        for step in self.steps(position).unwrap_or_default() {
            tx.execute_step(step).await?;
        }
        Ok(())
    }

    /// Called after the commit, before readers are woken and the writer's caller is answered, in commit order.
    fn committed(&self, _position: Position) {}

    /// Whether the write has a place of its own in the log, and wakes the readers. Without, `position` is the log's end.
    fn wakes(&self) -> bool {
        true
    }

    /// Whom it concerns where it wakes: a user, and the members of these rooms. `None`, as by default: anybody, for all that can be told.
    fn concerns(&self) -> Option<(&UserId, &[RoomNid])> {
        None
    }
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    log: Arc<Log>,
    writer: Arc<Mutex<Option<Writer<Log>>>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the database at `address` (`sqlite:PATH` or `postgres://…`) and brings its schema up to date.
    ///
    /// # Errors
    /// [`SqlError`] where that fails.
    pub async fn open(address: &str) -> Result<Self, SqlError> {
        let options = DbOptions { migrations_table: "_homeserver_migrations", ..DbOptions::default() };
        let db = Db::open(address, migrations::STEPS, options).await?;
        let log = Arc::new(Log::open(&db).await?);
        let (writer, task) = Writer::start(db.clone(), log.clone(), WriterOptions::default());
        let store =
            Self { db, log, writer: Arc::new(Mutex::new(Some(writer))), task: Arc::new(Mutex::new(Some(task))) };
        store.read_unindexed().await?;
        let filling = store.clone();
        tokio::spawn(async move {
            if let Err(error) = filling.fill_txn_filter().await {
                // Without it every transaction id is looked for, as before it is filled.
                tracing::debug!(%error, "the known transaction ids were not read");
            }
        });
        Ok(store)
    }

    /// The address of a SQLite database in a file.
    pub fn sqlite_address(file: &Path) -> String {
        format!("sqlite:{}", file.display())
    }

    /// The database, for reading.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Where the log ends now.
    pub(crate) fn head(&self) -> Position {
        self.log.head()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Position> {
        self.log.subscribe()
    }

    pub(crate) fn waiters(&self) -> &Arc<Waiters> {
        &self.log.waiters
    }

    /// What was written when.
    pub(crate) fn lately(&self) -> &Arc<Lately> {
        &self.log.lately
    }

    /// Commits `write` together with everybody else's and returns its place in the log.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of `write` was written.
    pub async fn write(&self, write: Box<dyn Write>) -> Result<Position, StoreError> {
        self.submit(Op::Other(write)).await
    }

    /// Takes one place in the log for something that is not stored.
    pub(crate) async fn tick(&self) -> Result<Position, StoreError> {
        self.submit(Op::Tick).await
    }

    /// Queues what a room's task wants written, in order. The answer comes after the commit.
    pub(crate) async fn enqueue_room(&self, write: RoomWrite) -> Result<Writing, StoreError> {
        let writer = self.writer()?;
        self.index_if_due();
        Ok(Writing(writer.enqueue(Op::Room(Box::new(write))).await?))
    }

    async fn submit(&self, op: Op) -> Result<Position, StoreError> {
        let writer = self.writer()?;
        Ok(writer.submit(op).await?)
    }

    fn writer(&self) -> Result<Writer<Log>, StoreError> {
        self.writer.lock().clone().ok_or(StoreError::Closed)
    }

    /// Waits for what is being written, then closes the database. Later writes answer [`StoreError::Closed`].
    pub async fn close(&self) {
        if let Err(error) = self.index().await {
            tracing::debug!(%error, "the indices of events are completed at the next start");
        }
        drop(self.writer.lock().take());
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
        self.db.close().await;
    }
}
