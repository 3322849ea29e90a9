//! Statements over many rows at once.

use serde::Serialize;

use crate::{SqlError, Step, Tx};

/// Where the rows come from in PostgreSQL. In binary form: in the text form each cell that is read of a row parses the whole row again.
pub(crate) const POSTGRES_ROWS: &str = "jsonb_array_elements($1::jsonb) AS rows(value)";

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
        let postgres = template.replace("{rows}", POSTGRES_ROWS);
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

/// Statements over many rows, gathered for one commit.
#[derive(Debug, Default)]
pub struct Statements(Vec<Step<'static>>);

impl Statements {
    /// Adds a statement behind those that are there; none where there are no rows.
    ///
    /// # Errors
    /// [`SqlError::Encode`] where `rows` has no JSON form.
    pub fn add<T: Serialize>(&mut self, sql: &'static BatchSql, rows: &[T]) -> Result<(), SqlError> {
        if !rows.is_empty() {
            self.0.push(Step::Rows(sql, encode(rows)?));
        }
        Ok(())
    }

    /// Runs them in an open transaction.
    ///
    /// # Errors
    /// As [`SqlError`] sorts them.
    pub async fn run(self, tx: &mut Tx<'_>) -> Result<(), SqlError> {
        for step in self.0 {
            tx.execute_step(step).await?;
        }
        Ok(())
    }

    /// As [`Round`](crate::Round) and [`Db::commit_round`](crate::Db::commit_round) take them.
    pub fn into_steps(self) -> Vec<Step<'static>> {
        self.0
    }
}

/// Writes rows as JSON, as [`Step::Rows`] takes them. A NUL, which PostgreSQL keeps in no text, becomes U+FFFD.
///
/// # Errors
/// [`SqlError::Encode`] where they have no JSON form.
pub fn encode<T: Serialize + ?Sized>(rows: &T) -> Result<String, SqlError> {
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
