//! What can go wrong with a statement, sorted by what the caller must do.

/// A failed statement or commit.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The disk (or the tablespace) is full. Nothing of the transaction was written; the same write may succeed later.
    #[error("the database has no room left")]
    Full(#[source] sqlx::Error),
    /// A uniqueness rule refused a row. The caller decides whether that is a duplicate or a fault.
    #[error("the row is there already")]
    Conflict(#[source] sqlx::Error),
    /// A column holds what its reader does not understand.
    #[error("column {column} cannot be read as {wanted}")]
    Corrupt {
        /// The position of the column in the statement's result, from 0.
        column: usize,
        /// What the reader wanted.
        wanted: &'static str,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// Anything else: no connection, a syntax error, an engine's fault.
    #[error("the database failed: {0}")]
    Failed(#[source] sqlx::Error),
    /// A schema could not be brought up to date.
    #[error("the schema cannot be migrated: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A value could not be turned into the rows of a batch.
    #[error("rows cannot be encoded: {0}")]
    Encode(#[source] serde_json::Error),
    /// The one who applies an operation, or reads a row, refused. The text says why.
    #[error("{0}")]
    Refused(&'static str),
    /// The address of a database is not one we know.
    #[error("{0:?} is not a database address; expected sqlite:PATH or postgres://…")]
    Address(String),
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else { return Self::Failed(error) };
        if database.is_unique_violation() {
            return Self::Conflict(error);
        }
        // SQLITE_FULL is 13; PostgreSQL's class 53 is "insufficient resources", 53100 "disk full".
        match database.code().as_deref() {
            Some("13" | "53100") => Self::Full(error),
            _ => Self::Failed(error),
        }
    }
}
