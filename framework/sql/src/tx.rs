//! Transactions.

use serde::Serialize;
use sqlx::{Postgres, Transaction};

use crate::{
    BatchSql, Row, SqlError, Step, Value,
    batch::encode,
    round::Told,
    row::{bind_postgres, bind_sqlite},
    sqlite::Held,
};

/// An open transaction; dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub enum Tx<'c> {
    /// On SQLite.
    Sqlite(Held),
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
            Self::Sqlite(tx) => sqlx::query(sql.sqlite()).bind(rows).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => sqlx::query(sql.postgres()).bind(rows).execute(&mut **tx).await?.rows_affected(),
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
                let found = sqlx::query(sql.sqlite()).bind(rows).fetch_all(&mut **tx).await?;
                found.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                let found = sqlx::query(sql.postgres()).bind(rows).fetch_all(&mut **tx).await?;
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
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}
