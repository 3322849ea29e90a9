//! The only SQL of the framework. One file per table; every write is part of a [`Change`], and changes are committed in groups.

mod apply;
mod change;
pub(crate) mod dead_letters;
mod inbox;
mod jobs;
mod mappings;
mod members;
mod messages;
mod notes;
mod outbox;
mod pictures;
mod revoked;
mod seen;
mod users;

use std::{sync::Arc, time::Duration};

use landbridge_sql::{Db, DbOptions, Durability, Migration, SqlError, WriteError, Writer, WriterOptions};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) use self::{
    apply::{Committed, Listener},
    change::{Change, Echo, Heard, Standing, Withdrawal},
    dead_letters::DeadLetterRow,
    inbox::InboxRow,
    jobs::JobRow,
    mappings::MappingRow,
    members::{MemberRow, MemberState},
    messages::{Memory, MessageRow},
    notes::NoteRow,
    outbox::OutboxRow,
    pictures::PictureRow,
    users::UserRow,
};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "first",
        sqlite: include_str!("../migrations/sqlite/0001_first.sql"),
        postgres: include_str!("../migrations/postgres/0001_first.sql"),
    },
    Migration {
        version: 2,
        name: "picture",
        sqlite: include_str!("../migrations/sqlite/0002_picture.sql"),
        postgres: include_str!("../migrations/postgres/0002_picture.sql"),
    },
    Migration {
        version: 3,
        name: "revoked_media",
        sqlite: include_str!("../migrations/sqlite/0003_revoked_media.sql"),
        postgres: include_str!("../migrations/postgres/0003_revoked_media.sql"),
    },
    Migration {
        version: 4,
        name: "names_and_archives",
        sqlite: include_str!("../migrations/sqlite/0004_names_and_archives.sql"),
        postgres: include_str!("../migrations/postgres/0004_names_and_archives.sql"),
    },
    Migration {
        version: 5,
        name: "notes",
        sqlite: include_str!("../migrations/sqlite/0005_notes.sql"),
        postgres: include_str!("../migrations/postgres/0005_notes.sql"),
    },
    Migration {
        version: 6,
        name: "deserted rooms",
        sqlite: include_str!("../migrations/sqlite/0006_deserted_rooms.sql"),
        postgres: include_str!("../migrations/postgres/0006_deserted_rooms.sql"),
    },
];

/// The bridge's database. Cheap to clone; the writing task ends when the last clone is gone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    writer: Writer<apply::Tables>,
}

/// What a queued change will become.
pub(crate) type Pending = oneshot::Receiver<Result<Committed, WriteError>>;

impl Store {
    /// Opens the database at `address` and brings its schema up to date. `listener` hears of each commit, in commit order. Awaiting
    /// the returned handle after dropping all stores waits for the last commit.
    pub(crate) async fn open(
        address: &str,
        durability: Durability,
        listener: Arc<dyn Listener>,
    ) -> Result<(Self, JoinHandle<()>), SqlError> {
        let db = open_with(address, durability, true).await?;
        let next = apply::next_seq(&db).await?;
        let tables = Arc::new(apply::Tables::new(next, listener));
        let (writer, task) = Writer::start(db.clone(), tables, WriterOptions { max_batch: 256, queue: 4096 });
        Ok((Self { db, writer }, task))
    }

    /// Writes a change and returns after it is durable.
    pub(crate) async fn commit(&self, change: Change) -> Result<Committed, WriteError> {
        self.writer.submit(change).await
    }

    /// Writes a change without being waited for: tried again until it is durable, or the store is closed. What it writes must not
    /// depend on what is written after it.
    pub(crate) async fn later(&self, change: Change, retry: Duration) -> Result<(), WriteError> {
        let pending = self.writer.enqueue(change.clone()).await?;
        let store = self.clone();
        tokio::spawn(async move {
            match pending.await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(_)) => {
                    tokio::time::sleep(retry).await;
                    // `None` when the store is closed.
                    let _ = crate::dispatch::commit_patiently(&store, change, retry).await;
                }
            }
        });
        Ok(())
    }

    /// Waits until what was given to be written before is written, by whomever.
    pub(crate) async fn settled(&self) -> Result<(), WriteError> {
        self.commit(Change::default()).await.map(drop)
    }

    /// Gives a change its place in the order, and returns before it is durable.
    pub(crate) async fn enqueue(&self, change: Change) -> Result<Pending, WriteError> {
        self.writer.enqueue(change).await
    }

    pub(crate) async fn close(&self) {
        self.db.close().await;
    }
}

/// Opens the database for reading and small repairs, without a writer: for the command line, also beside a running bridge.
pub(crate) async fn open(address: &str, durability: Durability) -> Result<Db, SqlError> {
    open_with(address, durability, false).await
}

async fn open_with(address: &str, durability: Durability, reserve_log: bool) -> Result<Db, SqlError> {
    let options = DbOptions { durability, migrations_table: "_bridge_migrations", reserve_log, ..DbOptions::default() };
    Db::open(address, MIGRATIONS, options).await
}

#[cfg(test)]
mod tests;

#[cfg(test)]
impl Store {
    /// Makes the disk full: no page more than there are, or as many as anybody wants.
    pub(crate) async fn limit_pages(&self, most: Option<u32>) {
        self.db.limit_pages(most).await.expect("SQLite takes the limit");
    }
}
