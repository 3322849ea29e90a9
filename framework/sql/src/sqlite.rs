//! Connections to a SQLite file. A pool for servers asks each connection that comes back whether it still lives, which here costs two
//! changes of threads for each statement; a file does not hang up.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{
    Connection as _, Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long to wait for a connection at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A question with its values.
type Asked<'a> = Query<'a, Sqlite, SqliteArguments>;

/// So many connections to one file, opened when they are needed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteConnections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: SqliteConnectOptions,
    size: u32,
    /// One for each connection that may be had.
    permits: Arc<Semaphore>,
    /// Those that nobody has, the last returned first: its cache is the warmest.
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteConnections {
    /// Opens the first of at most `size`.
    pub(crate) async fn open(options: SqliteConnectOptions, size: u32) -> Result<Self, sqlx::Error> {
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX)));
        let connections = Self(Arc::new(Inner { options, size, permits, idle: Mutex::default() }));
        drop(connections.get().await?);
        Ok(connections)
    }

    /// A connection, in the order in which they were asked for.
    pub(crate) async fn get(&self) -> Result<Held, sqlx::Error> {
        let permits = &self.0.permits;
        let permit = match permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => timeout(PATIENCE, permits.clone().acquire_owned())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)?
                .map_err(|_| sqlx::Error::PoolClosed)?,
        };
        let idle = self.0.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.0.options).await?,
        };
        Ok(Held { taken: Some(Taken { connection, permit, home: self.0.clone() }), open: false })
    }

    /// A connection with a transaction that `begin` opens.
    pub(crate) fn begin(&self, begin: &'static str) -> BoxFuture<'_, Result<Held, sqlx::Error>> {
        Box::pin(async move {
            let mut held = self.get().await?;
            held.open = true;
            sqlx::query(begin).execute(&mut *held).await?;
            Ok(held)
        })
    }

    /// All rows of a question. Boxed, because the compiler cannot tell otherwise that what waits for it may change threads.
    pub(crate) fn fetch_all<'a>(&'a self, query: Asked<'a>) -> BoxFuture<'a, Result<Vec<SqliteRow>, sqlx::Error>> {
        Box::pin(async move { query.fetch_all(&mut *self.get().await?).await })
    }

    /// The only row of a question, if there is one.
    pub(crate) fn fetch_optional<'a>(
        &'a self,
        query: Asked<'a>,
    ) -> BoxFuture<'a, Result<Option<SqliteRow>, sqlx::Error>> {
        Box::pin(async move { query.fetch_optional(&mut *self.get().await?).await })
    }

    /// Closes all of them, each after what it is doing; no more can be had then.
    pub(crate) async fn close(&self) {
        let _all = self.0.permits.acquire_many(self.0.size).await;
        self.0.permits.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for connection in idle {
            let _ = connection.close().await;
        }
    }
}

#[derive(Debug)]
struct Taken {
    connection: SqliteConnection,
    permit: OwnedSemaphorePermit,
    home: Arc<Inner>,
}

impl Taken {
    fn give_back(self) {
        self.home.idle().push(self.connection);
        drop(self.permit);
    }
}

/// A connection that nobody else has until it is dropped. With a transaction that was not ended, it is rolled back first.
#[derive(Debug)]
pub struct Held {
    /// Always there, until it is dropped.
    taken: Option<Taken>,
    /// Whether a transaction may be open.
    open: bool,
}

impl Held {
    /// From here on a transaction may be open.
    pub(crate) const fn opens(&mut self) {
        self.open = true;
    }

    /// It was ended by what was run.
    pub(crate) const fn has_ended(&mut self) {
        self.open = false;
    }

    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.open = false;
        Ok(())
    }

    /// Where the engine has ended the transaction by itself, as after a full disk, there is nothing to undo; it says so, and that is
    /// no news.
    pub(crate) async fn rollback(mut self) {
        let _ = sqlx::query("ROLLBACK").execute(&mut *self).await;
        self.open = false;
    }
}

#[expect(clippy::expect_used, reason = "what is held is given back by `drop` alone")]
impl Deref for Held {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.taken.as_ref().expect("it is held").connection
    }
}

#[expect(clippy::expect_used, reason = "what is held is given back by `drop` alone")]
impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.taken.as_mut().expect("it is held").connection
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut taken) = self.taken.take() else { return };
        if !self.open {
            taken.give_back();
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = sqlx::query("ROLLBACK").execute(&mut taken.connection).await;
                taken.give_back();
            });
        }
        // Without a runtime the connection is closed, which rolls back, too; another is opened in its place.
    }
}
