//! Values into statements, and rows out of them.

use sqlx::{
    Postgres, Row as _, Sqlite,
    postgres::{PgArguments, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{SqlError, Value};

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

/// A text as every engine keeps it: a NUL, which PostgreSQL takes in no text, becomes U+FFFD, whether it is written or looked for.
fn storable(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

macro_rules! bind {
    ($name:ident, $engine:ty, $arguments:ty) => {
        pub(crate) fn $name<'q>(
            mut query: Query<'q, $engine, $arguments>,
            values: &[Value<'_>],
        ) -> Query<'q, $engine, $arguments> {
            for value in values {
                query = match value {
                    Value::Int(value) => query.bind(*value),
                    Value::Text(value) => query.bind(value.map(storable)),
                    Value::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
                };
            }
            query
        }
    };
}

bind!(bind_sqlite, Sqlite, SqliteArguments);
bind!(bind_postgres, Postgres, PgArguments);
