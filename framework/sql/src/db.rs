//! The two pools, transactions over them, and rows out of them.

use std::{str::FromStr, time::Duration};

use serde::Serialize;
use sqlx::{
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    BatchSql, Migration, PostgresDb, Row, SqlError, Tx, Value,
    batch::encode,
    migrate::migrator,
    reserve::reserve_log,
    row::{bind_postgres, bind_sqlite},
    sqlite::SqliteConnections,
};

/// How much of an acknowledged commit survives a power cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// All of it: each commit is synced to the disk (SQLite `synchronous=FULL`; PostgreSQL's default).
    #[default]
    Full,
    /// The last commits may be lost in a power cut, the file stays whole (SQLite `synchronous=NORMAL`).
    Normal,
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// What survives a power cut.
    pub durability: Durability,
    /// How many connections may read at once.
    pub readers: u32,
    /// How much of a SQLite database the writing connection keeps in memory, in KiB.
    pub writer_cache: u32,
    /// How much of it each reading connection keeps, in KiB. Every commit makes them forget it.
    pub reader_cache: u32,
    /// The table that remembers which migrations ran; one per schema that lives in the database.
    pub migrations_table: &'static str,
    /// Whether a SQLite database gets room for its write-ahead log, 16.5 MB, before it is needed, so that commits are fast from the first on:
    /// not for a quick look.
    pub reserve_log: bool,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: 4,
            writer_cache: 8192,
            reader_cache: 2048,
            migrations_table: "_migrations",
            reserve_log: true,
        }
    }
}

/// How many compiled statements each connection keeps.
const STATEMENTS: usize = 64;
/// How many pages of 4 kiB may wait in the write-ahead log of a SQLite database before they are copied back.
const WAL_PAGES: usize = 4000;

/// An open database.
#[derive(Debug, Clone)]
pub enum Db {
    /// SQLite in WAL mode. There is exactly one connection that writes, because SQLite has one writer anyway.
    Sqlite {
        /// The one connection that writes.
        writer: SqliteConnections,
        /// Read-only connections; each sees a snapshot.
        readers: SqliteConnections,
    },
    /// PostgreSQL.
    Postgres(PostgresDb),
}

impl Db {
    /// Opens the database at `address` (`sqlite:PATH` or `postgres://…`), makes the file where there is none, and brings the
    /// schema up to date.
    ///
    /// # Errors
    /// [`SqlError::Address`] for an address of neither kind; [`SqlError::Migration`] where a step fails;
    /// [`SqlError::Failed`] where the database cannot be reached.
    pub async fn open(address: &str, migrations: &[Migration], options: DbOptions) -> Result<Self, SqlError> {
        if address.starts_with("sqlite:") {
            Self::open_sqlite(address, migrations, options).await
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            Self::open_postgres(address, migrations, options).await
        } else {
            Err(SqlError::Address(address.split_once(':').map_or(address, |(scheme, _)| scheme).to_owned()))
        }
    }

    async fn open_sqlite(address: &str, migrations: &[Migration], options: DbOptions) -> Result<Self, SqlError> {
        let synchronous = match options.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        };
        let connect = SqliteConnectOptions::from_str(address)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .statement_cache_capacity(STATEMENTS)
            .pragma("temp_store", "memory")
            // The same pages change again and again: the longer they are kept apart, the fewer are copied back.
            .pragma("wal_autocheckpoint", WAL_PAGES.to_string());
        let cached = |kibibytes: u32| connect.clone().pragma("cache_size", format!("-{kibibytes}"));
        migrate(connect.clone(), &migrator(migrations, options.migrations_table, |step| step.sqlite)).await?;
        if options.reserve_log && options.durability == Durability::Full {
            // Nobody has the database open: a log beside an empty database would not be kept.
            let file = connect.get_filename().to_owned();
            match tokio::task::spawn_blocking(move || reserve_log(&file, WAL_PAGES)).await {
                Ok(Ok(())) => {}
                // A disk that is full, or a file system without links: the log grows as it is written.
                Ok(Err(error)) => tracing::debug!(%error, "no room was taken for the write-ahead log"),
                Err(error) => tracing::debug!(%error, "no room was taken for the write-ahead log"),
            }
        }
        let writer = SqliteConnections::open(cached(options.writer_cache), 1).await?;
        let reading = cached(options.reader_cache).read_only(true).create_if_missing(false);
        let readers = SqliteConnections::open(reading, options.readers.max(1)).await?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(address: &str, migrations: &[Migration], options: DbOptions) -> Result<Self, SqlError> {
        let db = PostgresDb::open(address, options.readers.max(1) + 2).await?;
        migrator(migrations, options.migrations_table, |step| step.postgres)
            .run(db.pool())
            .await
            .map_err(SqlError::Migration)?;
        Ok(Self::Postgres(db))
    }

    /// Begins a transaction that may write. On SQLite it waits for the one writing connection and takes the write lock at once.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where no connection can be had.
    pub async fn begin(&self) -> Result<Tx<'static>, SqlError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin("BEGIN IMMEDIATE").await?),
            Self::Postgres(db) => Tx::Postgres(db.pool().begin().await?),
        })
    }

    /// Begins a transaction that only reads, and sees one snapshot throughout.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where no connection can be had.
    pub async fn snapshot(&self) -> Result<Tx<'static>, SqlError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin("BEGIN").await?),
            Self::Postgres(db) => {
                Tx::Postgres(db.pool().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// Reads all rows of a statement, outside any transaction.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where the statement fails.
    pub async fn fetch_all(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, SqlError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let rows = readers.fetch_all(bind_sqlite(sqlx::query(sql), values)).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(db) => bind_postgres(sqlx::query(sql), values)
                .fetch_all(db.pool())
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        })
    }

    /// Reads at most one row of a statement, outside any transaction.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where the statement fails.
    pub async fn fetch_optional(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, SqlError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                readers.fetch_optional(bind_sqlite(sqlx::query(sql), values)).await?.map(Row::Sqlite)
            }
            Self::Postgres(db) => {
                bind_postgres(sqlx::query(sql), values).fetch_optional(db.pool()).await?.map(Row::Postgres)
            }
        })
    }

    /// Reads with many keys at once: `rows` is bound as the `{rows}` of the template.
    ///
    /// # Errors
    /// [`SqlError::Encode`] where `rows` has no JSON form; [`SqlError::Failed`] where the statement fails.
    pub async fn fetch_rows<T: Serialize + ?Sized>(
        &self,
        sql: &'static BatchSql,
        rows: &T,
    ) -> Result<Vec<Row>, SqlError> {
        let rows = encode(rows)?;
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let found = readers.fetch_all(sqlx::query(sql.sqlite()).bind(rows)).await?;
                found.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(db) => {
                let found = sqlx::query(sql.postgres()).bind(rows).fetch_all(db.pool()).await?;
                found.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Lets a SQLite database grow no further than `most` pages (never below what it holds), or without bound: so that a test can
    /// fill the disk. Does nothing on PostgreSQL.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where the statement fails.
    pub async fn limit_pages(&self, most: Option<u32>) -> Result<(), SqlError> {
        if let Self::Sqlite { writer, .. } = self {
            let sql = format!("PRAGMA max_page_count = {}", most.unwrap_or(u32::MAX - 1));
            writer.fetch_all(sqlx::query(sqlx::AssertSqlSafe(sql))).await?;
        }
        Ok(())
    }

    /// Closes all connections, after what they are doing.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(db) => db.close().await,
        }
    }
}

/// Brings the schema up to date, with a connection of its own: whoever closes a database last takes its log away.
async fn migrate(connect: SqliteConnectOptions, steps: &Migrator) -> Result<(), SqlError> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(connect).await?;
    let ran = steps.run(&pool).await;
    pool.close().await;
    ran.map_err(SqlError::Migration)
}
