//! PostgreSQL: a pool that reads, and one connection that rounds are written on.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::{sync::Mutex, time::Instant};

use crate::SqlError;

/// How many compiled statements each connection keeps.
const STATEMENTS: usize = 256;
/// After this long without use a connection is asked whether it still lives: before each statement that would be as long as many a
/// statement.
const IDLE: Duration = Duration::from_secs(1);

/// The connections to a PostgreSQL database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PostgresDb {
    pool: PgPool,
    /// Not of the pool, which asks each connection that comes back whether it lives. None before the first round, and after one that
    /// may have broken it.
    writer: Arc<Mutex<Option<Held>>>,
}

/// A connection, and when it was last used.
#[derive(Debug)]
struct Held {
    connection: PgConnection,
    used: Instant,
}

impl PostgresDb {
    /// Connects, with as many connections as may be used at once beside the one that writes rounds.
    pub(crate) async fn open(address: &str, connections: u32) -> Result<Self, SqlError> {
        let connect = PgConnectOptions::from_str(address)?
            .application_name("landbridge")
            .statement_cache_capacity(STATEMENTS)
            // Our statements read few rows: compiling a plan takes longer than any of them runs.
            .options([("jit", "off")])
            // A plan for any value takes a range of places in the log for a small one, and reads the whole log backwards for the end
            // of a room's timeline.
            .options([("plan_cache_mode", "force_custom_plan")]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for >= IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(connect)
            .await?;
        Ok(Self { pool, writer: Arc::default() })
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Does something with the connection that writes rounds. It is kept for the next, unless it may be broken.
    pub(crate) async fn with_writer<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, SqlError> {
        let mut place = self.writer.lock().await;
        // Taken out: where this is cut short, the connection ends, and with it what it had begun.
        let mut connection = match place.take() {
            Some(held) => self.alive(held).await?,
            None => self.connect().await?,
        };
        let done = work(&mut connection).await;
        if matches!(done, Ok(_) | Err(sqlx::Error::Database(_))) {
            *place = Some(Held { connection, used: Instant::now() });
        }
        Ok(done?)
    }

    async fn alive(&self, mut held: Held) -> Result<PgConnection, sqlx::Error> {
        if held.used.elapsed() >= IDLE && held.connection.ping().await.is_err() {
            return self.connect().await;
        }
        Ok(held.connection)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        // What rounds write is bound as whole arrays, of which a plan would learn nothing.
        let options = PgConnectOptions::clone(&self.pool.connect_options()).options([("plan_cache_mode", "auto")]);
        options.connect().await
    }

    /// Closes all connections, after what they are doing.
    pub(crate) async fn close(&self) {
        if let Some(held) = self.writer.lock().await.take() {
            // Nothing is open on it: whatever it says, it is gone.
            let _ = held.connection.close().await;
        }
        self.pool.close().await;
    }
}
