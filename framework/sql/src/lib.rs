//! One SQL text over two engines, and a writer that groups commits.
//!
//! The engine is an enum of two concrete pools ([`Db`]), not `sqlx::Any`: each arm is statically typed, and the few places where
//! the dialects differ are two words of a template ([`BatchSql`]). Statements use `$1` placeholders and
//! `ON CONFLICT … DO UPDATE`, which both engines read; columns are `TEXT`, `BIGINT` and `BLOB`/`BYTEA`.
//!
//! *Invariant:* nothing awaits the network while a transaction is open. Writes go through one [`Writer`], which gathers what many
//! callers want to write into one transaction and answers each of them after the commit.

mod batch;
mod db;
mod error;
mod migrate;
mod postgres;
mod reserve;
mod round;
mod row;
mod sqlite;
mod tx;
mod value;
mod writer;

pub use batch::{BatchSql, Statements, encode};
pub use db::{Db, DbOptions, Durability};
pub use error::SqlError;
pub use migrate::Migration;
pub use postgres::PostgresDb;
pub use round::Step;
pub use row::Row;
pub use sqlite::{Held, SqliteConnections};
pub use tx::Tx;
pub use value::Value;
pub use writer::{Apply, Round, WriteError, Writer, WriterOptions};
