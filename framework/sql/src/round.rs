//! A round of writes that needs to read nothing: all its statements in one transaction, and on SQLite in one call of the engine.

mod on_postgres;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _};

use crate::{BatchSql, Db, SqlError, Value, row, sqlite::SqliteConnections};

/// One statement of a round.
#[derive(Debug)]
pub enum Step<'a> {
    /// A statement over many rows, encoded as a JSON array of arrays.
    Rows(&'static BatchSql, String),
    /// A statement with its values.
    One {
        /// The statement, with placeholders from `$1`.
        sql: &'static str,
        /// What they stand for.
        values: Vec<Value<'a>>,
        /// Where to tell how many rows it touched; only to be read after the commit.
        touched: Option<Arc<AtomicU64>>,
    },
}

/// Where to tell how many rows a statement touched.
#[derive(Debug)]
pub(crate) struct Told(Option<Arc<AtomicU64>>);

impl Told {
    pub(crate) fn of(step: &Step<'_>) -> Self {
        Self(match step {
            Step::One { touched, .. } => touched.clone(),
            Step::Rows(..) => None,
        })
    }

    pub(crate) const fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn tell(&self, touched: u64) {
        if let Some(place) = &self.0 {
            place.store(touched, Ordering::Release);
        }
    }
}

impl Db {
    /// Runs statements in one transaction. On SQLite all of it is one call to the engine, which costs a thread switch each; on
    /// PostgreSQL neighbours that write different tables, and read no others, become one statement, which costs a way there and back.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them; then nothing was written.
    pub async fn commit_round(&self, steps: Vec<Step<'_>>) -> Result<(), SqlError> {
        if steps.is_empty() {
            return Ok(());
        }
        match self {
            Self::Sqlite { writer, .. } => on_sqlite(writer, steps).await,
            Self::Postgres(db) => on_postgres::commit(db, steps).await,
        }
    }
}

async fn on_sqlite(writer: &SqliteConnections, steps: Vec<Step<'_>>) -> Result<(), SqlError> {
    let (text, told) = (joined(&steps), steps.iter().map(Told::of).collect::<Vec<_>>());
    let mut connection = writer.get().await?;
    connection.opens();
    let mut query = sqlx::query(AssertSqlSafe(text));
    for step in steps {
        query = match step {
            Step::Rows(_, rows) => query.bind(rows),
            Step::One { values, .. } => row::bind_sqlite(query, &values),
        };
    }
    // The answer to `BEGIN` comes first, then one for each statement.
    let mut answers = (&mut *connection).fetch_many(query);
    let mut number = 0_usize;
    let ran = loop {
        match answers.try_next().await {
            Ok(Some(Either::Left(done))) => {
                if let Some(told) = number.checked_sub(1).and_then(|number| told.get(number)) {
                    told.tell(done.rows_affected());
                }
                number += 1;
            }
            Ok(Some(Either::Right(_))) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(answers);
    if let Err(error) = ran {
        connection.rollback().await;
        return Err(error.into());
    }
    connection.has_ended();
    Ok(())
}

/// The statements as one text, their placeholders numbered through.
fn joined(steps: &[Step<'_>]) -> String {
    let mut text = String::with_capacity(256 * (steps.len() + 1));
    let mut bound = 0;
    text.push_str("BEGIN IMMEDIATE;");
    for step in steps {
        match step {
            Step::Rows(sql, _) => {
                renumber(sql.sqlite(), bound, &mut text);
                bound += 1;
            }
            Step::One { sql, values, .. } => {
                renumber(sql, bound, &mut text);
                bound += values.len();
            }
        }
        text.push(';');
    }
    text.push_str("COMMIT");
    text
}

/// Copies a statement with `by` added to the number of each placeholder.
fn renumber(sql: &str, by: usize, out: &mut String) {
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.len() - after.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, tail) = after.split_at(digits);
        out.push_str(before);
        out.push('$');
        match number.parse::<usize>() {
            Ok(number) => out.push_str(&(number + by).to_string()),
            Err(_) => out.push_str(number),
        }
        rest = tail;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        let steps = [
            Step::One { sql: "UPDATE t SET a = $2 WHERE b = $1", values: vec![1.into(), 2.into()], touched: None },
            Step::One { sql: "DELETE FROM t WHERE c = $1", values: vec![3.into()], touched: None },
        ];
        let expected = "BEGIN IMMEDIATE;UPDATE t SET a = $2 WHERE b = $1;DELETE FROM t WHERE c = $3;COMMIT";
        assert_eq!(joined(&steps), expected);
    }
}
