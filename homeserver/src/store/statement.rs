//! Statements with their values, to be run later.

use landbridge_sql::{BatchSql, Row, SqlError, Step, Tx, Value, encode};
use serde::Serialize;

use super::lately::Topic;

/// One value a statement is bound to.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A `BIGINT` or null.
    Int(Option<i64>),
    /// A `TEXT` or null.
    Text(Option<String>),
    /// A `BLOB`/`BYTEA` or null.
    Bytes(Option<Vec<u8>>),
    /// The position in the log that this write gets.
    Position,
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Cell {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Cell {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Vec<u8>> for Cell {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

/// A statement with what it is bound to.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// One with its values.
    One { sql: &'static str, cells: Vec<Cell>, about: Option<(Topic, Option<usize>)> },
    /// One over many rows, encoded.
    Rows(&'static BatchSql, String),
}

impl Statement {
    pub(crate) fn new(sql: &'static str, cells: impl IntoIterator<Item = Cell>) -> Self {
        Self::One { sql, cells: cells.into_iter().collect(), about: None }
    }

    /// A statement over many rows.
    pub(crate) fn rows<T: Serialize>(sql: &'static BatchSql, rows: &[T]) -> Result<Self, SqlError> {
        Ok(Self::Rows(sql, encode(rows)?))
    }

    /// Says what it writes: the cell with this number is the key, or there is one key for all.
    pub(super) fn about(mut self, topic: Topic, key: Option<usize>) -> Self {
        if let Self::One { about, .. } = &mut self {
            *about = Some((topic, key));
        }
        self
    }

    /// What it writes, and for whom.
    pub(super) fn topic(&self) -> Option<(Topic, &str)> {
        let Self::One { about: Some((topic, key)), cells, .. } = self else { return None };
        match key.and_then(|key| cells.get(key)) {
            Some(Cell::Text(Some(key))) => Some((*topic, key)),
            _ => Some((*topic, "")),
        }
    }

    /// Whether it wants a place in the log.
    pub(super) fn is_placed(&self) -> bool {
        matches!(self, Self::One { cells, .. } if cells.iter().any(|cell| matches!(cell, Cell::Position)))
    }

    /// The rows that it answers, where it is a question.
    pub(super) async fn fetch(&self, tx: &mut Tx<'_>) -> Result<Vec<Row>, SqlError> {
        match self {
            Self::One { sql, cells, .. } => {
                let values: Vec<_> = cells.iter().map(|cell| cell.value(0)).collect();
                tx.fetch_all(sql, &values).await
            }
            Self::Rows(..) => Err(SqlError::Refused("a statement over many rows is no question")),
        }
    }

    /// The statement, as it is run when the write has this place in the log.
    pub(super) fn step(&self, position: i64) -> Step<'_> {
        match self {
            Self::One { sql, cells, .. } => {
                Step::One { sql, values: cells.iter().map(|cell| cell.value(position)).collect(), touched: None }
            }
            Self::Rows(sql, rows) => Step::Rows(sql, rows.clone()),
        }
    }
}

impl Cell {
    fn value(&self, position: i64) -> Value<'_> {
        match self {
            Self::Int(value) => Value::Int(*value),
            Self::Text(value) => Value::Text(value.as_deref()),
            Self::Bytes(value) => Value::Bytes(value.as_deref()),
            Self::Position => Value::Int(Some(position)),
        }
    }
}

/// Builds a [`Statement`]: `statement!("INSERT …", user.as_str(), 5, Cell::Position)`.
macro_rules! statement {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::statement::Statement::new($sql, [$($crate::store::statement::Cell::from($value)),*])
    };
}
pub(crate) use statement;
