//! Statements with their values, to be run later.

use landbridge_sql::Value;

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
        Self::Text(Some(storable(value)))
    }
}

impl From<Option<&str>> for Cell {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(storable))
    }
}

/// PostgreSQL's texts hold no NUL. JSON escapes it, so only words of clients, such as names of devices, change.
fn storable(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

impl From<Vec<u8>> for Cell {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

/// One statement with its values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(super) sql: &'static str,
    cells: Vec<Cell>,
}

impl Statement {
    pub(crate) fn new(sql: &'static str, cells: impl IntoIterator<Item = Cell>) -> Self {
        Self { sql, cells: cells.into_iter().collect() }
    }

    /// Whether it wants a place in the log.
    pub(super) fn is_placed(&self) -> bool {
        self.cells.iter().any(|cell| matches!(cell, Cell::Position))
    }

    pub(super) fn values(&self, position: i64) -> Vec<Value<'_>> {
        self.cells
            .iter()
            .map(|cell| match cell {
                Cell::Int(value) => Value::Int(*value),
                Cell::Text(value) => Value::Text(value.as_deref()),
                Cell::Bytes(value) => Value::Bytes(value.as_deref()),
                Cell::Position => Value::Int(Some(position)),
            })
            .collect()
    }
}

/// Builds a [`Statement`]: `statement!("INSERT …", user.as_str(), 5, Cell::Position)`.
macro_rules! statement {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::statement::Statement::new($sql, [$($crate::store::statement::Cell::from($value)),*])
    };
}
pub(crate) use statement;
