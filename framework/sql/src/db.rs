//! The two pools, transactions over them, and rows out of them.

use std::{str::FromStr, time::Duration};

use serde::Serialize;
use sqlx::{
    Postgres, Row as _, Sqlite, Transaction,
    postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow},
    query::Query,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};

use crate::{Migration, SqlError, Step, Value, migrate::migrator, round::Told};

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
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: 4,
            writer_cache: 8192,
            reader_cache: 2048,
            migrations_table: "_migrations",
        }
    }
}

/// An open database.
#[derive(Debug, Clone)]
pub enum Db {
    /// SQLite in WAL mode. The writer pool has exactly one connection, because SQLite has one writer anyway.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Read-only connections; each sees a snapshot.
        readers: SqlitePool,
    },
    /// PostgreSQL.
    Postgres(PgPool),
}

/// A statement that takes many rows at once, as one JSON array of arrays bound to `$1`.
///
/// The template says `{rows}` where the rows come from; each row is then the column `value`, and its cells are `value->>0`,
/// `value->>1`, … (text in PostgreSQL, so numbers want `CAST(value->>1 AS BIGINT)`). `{bytes:N}` stands for cell N of a row,
/// which holds hexadecimal digits, as bytes.
///
/// ```
/// # use landbridge_sql::BatchSql;
/// let insert = BatchSql::new("INSERT INTO t (a, b) SELECT value->>0, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true");
/// # let _ = insert;
/// ```
#[derive(Debug)]
pub struct BatchSql {
    sqlite: String,
    postgres: String,
}

impl BatchSql {
    /// Reads a template.
    pub fn new(template: &'static str) -> Self {
        // Rows in binary form: in the text form each cell that is read of a row writes and parses the whole row again.
        let sqlite = template.replace("{rows}", "jsonb_each($1)");
        let postgres = template.replace("{rows}", "json_array_elements($1::json) AS rows(value)");
        Self {
            sqlite: replace_bytes(&sqlite, |cell| format!("unhex(value->>{cell})")),
            postgres: replace_bytes(&postgres, |cell| format!("decode(value->>{cell}, 'hex')")),
        }
    }

    pub(crate) fn sqlite(&self) -> &str {
        &self.sqlite
    }

    pub(crate) fn postgres(&self) -> &str {
        &self.postgres
    }
}

/// Writes rows as JSON. A NUL, which PostgreSQL keeps in no text, becomes U+FFFD.
fn encode<T: Serialize + ?Sized>(rows: &T) -> Result<String, SqlError> {
    let text = serde_json::to_string(rows).map_err(SqlError::Encode)?;
    Ok(if text.contains("\\u0000") { without_nul(&text) } else { text })
}

/// Replaces each escape `\u0000` that is one: an even number of backslashes before it.
fn without_nul(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        if let Some(after) = escape.strip_prefix("\\u0000") {
            out.push_str("\\ufffd");
            rest = after;
        } else {
            // A backslash is never the last character of JSON, and what it escapes is ASCII.
            let (pair, after) = escape.split_at(escape.len().min(2));
            out.push_str(pair);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Replaces each `{bytes:N}` by what `with` makes of N.
fn replace_bytes(text: &str, with: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{bytes:") {
        out.push_str(before);
        let Some((cell, tail)) = after.split_once('}') else {
            out.push_str("{bytes:");
            rest = after;
            continue;
        };
        out.push_str(&with(cell));
        rest = tail;
    }
    out.push_str(rest);
    out
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
            .statement_cache_capacity(128)
            .pragma("temp_store", "memory");
        let cached = |kibibytes: u32| connect.clone().pragma("cache_size", format!("-{kibibytes}"));
        let pool = |size: u32| SqlitePoolOptions::new().max_connections(size).idle_timeout(None).max_lifetime(None);
        let writer = pool(1).connect_with(cached(options.writer_cache)).await?;
        migrator(migrations, options.migrations_table, |step| step.sqlite)
            .run(&writer)
            .await
            .map_err(SqlError::Migration)?;
        let readers = pool(options.readers.max(1))
            .min_connections(1)
            .connect_with(cached(options.reader_cache).read_only(true).create_if_missing(false))
            .await?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(address: &str, migrations: &[Migration], options: DbOptions) -> Result<Self, SqlError> {
        let connect = PgConnectOptions::from_str(address)?.application_name("landbridge");
        let pool = PgPoolOptions::new().max_connections(options.readers.max(1) + 2).connect_with(connect).await?;
        migrator(migrations, options.migrations_table, |step| step.postgres)
            .run(&pool)
            .await
            .map_err(SqlError::Migration)?;
        Ok(Self::Postgres(pool))
    }

    /// Begins a transaction that may write. On SQLite it waits for the one writing connection and takes the write lock at once.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where no connection can be had.
    pub async fn begin(&self) -> Result<Tx<'static>, SqlError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(begin_writing(writer).await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Begins a transaction that only reads, and sees one snapshot throughout.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where no connection can be had.
    pub async fn snapshot(&self) -> Result<Tx<'static>, SqlError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
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
                bind_sqlite(sqlx::query(sql), values).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                bind_postgres(sqlx::query(sql), values).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads at most one row of a statement, outside any transaction.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where the statement fails.
    pub async fn fetch_optional(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, SqlError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                bind_sqlite(sqlx::query(sql), values).fetch_optional(readers).await?.map(Row::Sqlite)
            }
            Self::Postgres(pool) => {
                bind_postgres(sqlx::query(sql), values).fetch_optional(pool).await?.map(Row::Postgres)
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
                let found = sqlx::query(sql.sqlite.as_str()).bind(rows).fetch_all(readers).await?;
                found.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                let found = sqlx::query(sql.postgres.as_str()).bind(rows).fetch_all(pool).await?;
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
            sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(writer).await?;
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
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// After some failures, such as a full disk, SQLite ends a transaction by itself, and the connection counts one that is not there. It
/// would refuse to begin another for ever: a new connection takes its place.
async fn begin_writing(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    let error = match writer.begin_with(BEGIN).await {
        Ok(tx) => return Ok(tx),
        Err(error) => error,
    };
    // It is the only one of its pool.
    if let Ok(broken) = writer.acquire().await {
        let _ = broken.close().await;
    }
    writer.begin_with(BEGIN).await.map_err(|_| error)
}

/// An open transaction; dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub enum Tx<'c> {
    /// On SQLite.
    Sqlite(Transaction<'c, Sqlite>),
    /// On PostgreSQL.
    Postgres(Transaction<'c, Postgres>),
}

impl Tx<'_> {
    /// Runs a statement and says how many rows it touched.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, SqlError> {
        Ok(match self {
            Self::Sqlite(tx) => bind_sqlite(sqlx::query(sql), values).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => bind_postgres(sqlx::query(sql), values).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs a statement over many rows at once and says how many rows it touched. An empty batch touches none and asks nothing.
    ///
    /// # Errors
    /// [`SqlError::Encode`] where `rows` has no JSON form, else as [`SqlError`] sorts them.
    pub async fn execute_rows<T: Serialize>(&mut self, sql: &'static BatchSql, rows: &[T]) -> Result<u64, SqlError> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.execute_encoded(sql, encode(rows)?).await
    }

    async fn execute_encoded(&mut self, sql: &'static BatchSql, rows: String) -> Result<u64, SqlError> {
        Ok(match self {
            Self::Sqlite(tx) => sqlx::query(sql.sqlite.as_str()).bind(rows).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => {
                sqlx::query(sql.postgres.as_str()).bind(rows).execute(&mut **tx).await?.rows_affected()
            }
        })
    }

    /// Runs a statement of a round.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn execute_step(&mut self, step: Step<'_>) -> Result<(), SqlError> {
        let told = Told::of(&step);
        let touched = match step {
            Step::Rows(sql, rows) => self.execute_encoded(sql, rows).await?,
            Step::One { sql, values, .. } => self.execute(sql, &values).await?,
        };
        told.tell(touched);
        Ok(())
    }

    /// Runs a statement over many rows at once and reads what it returns (`… RETURNING …`, or a `SELECT` over keys).
    ///
    /// # Errors
    /// [`SqlError::Encode`] where `rows` has no JSON form, else as [`SqlError`] sorts them.
    pub async fn fetch_rows<T: Serialize>(&mut self, sql: &'static BatchSql, rows: &[T]) -> Result<Vec<Row>, SqlError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows = encode(rows)?;
        Ok(match self {
            Self::Sqlite(tx) => {
                let found = sqlx::query(sql.sqlite.as_str()).bind(rows).fetch_all(&mut **tx).await?;
                found.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                let found = sqlx::query(sql.postgres.as_str()).bind(rows).fetch_all(&mut **tx).await?;
                found.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads all rows of a statement.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, SqlError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                let rows = bind_sqlite(sqlx::query(sql), values).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                let rows = bind_postgres(sqlx::query(sql), values).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads at most one row of a statement.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn fetch_optional(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, SqlError> {
        Ok(match self {
            Self::Sqlite(tx) => bind_sqlite(sqlx::query(sql), values).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Self::Postgres(tx) => {
                bind_postgres(sqlx::query(sql), values).fetch_optional(&mut **tx).await?.map(Row::Postgres)
            }
        })
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them; then nothing of the transaction was written.
    pub async fn commit(self) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Undoes the transaction.
    ///
    /// # Errors
    /// [`SqlError::Failed`] where the connection broke; the engine then undoes it by itself.
    pub async fn rollback(self) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

/// One row of a result; cells are read by position.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

macro_rules! cell {
    ($(#[$doc:meta])* $name:ident, $kind:ty, $wanted:literal) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`SqlError::Corrupt`] where the cell holds something else.
        pub fn $name(&self, column: usize) -> Result<$kind, SqlError> {
            match self {
                Self::Sqlite(row) => row.try_get(column),
                Self::Postgres(row) => row.try_get(column),
            }
            .map_err(|source| SqlError::Corrupt { column, wanted: $wanted, source })
        }
    };
}

impl Row {
    cell!(
        /// A number.
        int, i64, "a number"
    );
    cell!(
        /// A number, or nothing.
        opt_int, Option<i64>, "a number or null"
    );
    cell!(
        /// A text.
        text, String, "a text"
    );
    cell!(
        /// A text, or nothing.
        opt_text, Option<String>, "a text or null"
    );
    cell!(
        /// Bytes.
        bytes, Vec<u8>, "bytes"
    );
    cell!(
        /// Bytes, or nothing.
        opt_bytes, Option<Vec<u8>>, "bytes or null"
    );
}

pub(crate) fn bind_sqlite<'q>(
    mut query: Query<'q, Sqlite, SqliteArguments>,
    values: &[Value<'_>],
) -> Query<'q, Sqlite, SqliteArguments> {
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(*value),
            Value::Text(value) => query.bind(value.map(str::to_owned)),
            Value::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
        };
    }
    query
}

pub(crate) fn bind_postgres<'q>(
    mut query: Query<'q, Postgres, PgArguments>,
    values: &[Value<'_>],
) -> Query<'q, Postgres, PgArguments> {
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(*value),
            Value::Text(value) => query.bind(value.map(str::to_owned)),
            Value::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
        };
    }
    query
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn a_nul_becomes_a_character_that_every_engine_keeps() {
        let written = encode(&["a\0b", "a\\u0000b", "\\\0"]).unwrap();
        let read: Vec<String> = serde_json::from_str(&written).unwrap();
        assert_eq!(read, ["a\u{fffd}b", "a\\u0000b", "\\\u{fffd}"]);
    }
}
