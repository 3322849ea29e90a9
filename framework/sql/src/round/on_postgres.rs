//! A round on PostgreSQL: as few statements as can be, for each is a way there and back.

use std::{borrow::Cow, collections::HashSet, fmt::Write as _};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgArguments, query::Query};

use super::{Step, Told, renumber};
use crate::{PostgresDb, SqlError, batch::POSTGRES_ROWS, row::bind_postgres};

/// Runs all steps in one transaction; a single statement is one by itself.
pub(super) async fn commit(db: &PostgresDb, steps: Vec<Step<'_>>) -> Result<(), SqlError> {
    let groups = groups(steps);
    db.with_writer(async |connection| {
        if let [_] = groups.as_slice() {
            for group in groups {
                run(connection, group).await?;
            }
            return Ok(());
        }
        let mut tx = connection.begin().await?;
        for group in groups {
            run(&mut tx, group).await?;
        }
        tx.commit().await
    })
    .await
}

/// Neighbours that become one statement. In one statement nobody sees what another part writes, and parts run in no order: so each
/// writes a table of its own and reads no other.
fn groups(steps: Vec<Step<'_>>) -> Vec<Vec<Step<'_>>> {
    let mut groups: Vec<Vec<Step<'_>>> = Vec::new();
    // The tables of the last group, where more may join it.
    let mut tables: Option<HashSet<&'static str>> = None;
    for step in steps {
        let table = only_table(sql(&step));
        let joins = tables.as_mut().zip(table).is_some_and(|(tables, table)| tables.insert(table));
        if let Some(group) = groups.last_mut().filter(|_| joins) {
            group.push(step);
        } else {
            tables = table.map(|table| HashSet::from([table]));
            groups.push(vec![step]);
        }
    }
    groups
}

fn sql(step: &Step<'_>) -> &'static str {
    match step {
        Step::Rows(sql, _) => sql.postgres(),
        Step::One { sql, .. } => sql,
    }
}

/// The table that a statement writes, where it is plain that it reads no other and answers nothing.
fn only_table(sql: &str) -> Option<&str> {
    let rest = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| sql.strip_prefix(verb))?;
    let table = rest.split([' ', '(']).next()?;
    let reads_more = ["JOIN", "RETURNING", "USING", "EXISTS", "UNION", "TABLE "].iter().any(|word| rest.contains(word))
        || rest.matches("SELECT").count() > 1
        || rest.split("FROM ").skip(1).any(|source| {
            !source.starts_with("(SELECT")
                && source.strip_prefix(POSTGRES_ROWS).is_none_or(|after| after.starts_with(','))
        });
    (!reads_more).then_some(table)
}

/// One statement for a group, and which of its parts are counted.
fn joined(group: &[Step<'_>]) -> (Cow<'static, str>, Vec<Told>) {
    if let [step] = group {
        return (Cow::Borrowed(sql(step)), Vec::new());
    }
    let mut text = String::with_capacity(256 * group.len());
    let (mut bound, mut told, mut counts) = (0, Vec::new(), String::new());
    for (number, step) in group.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{} w{number} AS (", if number == 0 { "WITH" } else { "," });
        renumber(sql(step), bound, &mut text);
        bound += match step {
            Step::Rows(..) => 1,
            Step::One { values, .. } => values.len(),
        };
        let counted = Told::of(step);
        if counted.is_wanted() {
            text.push_str(" RETURNING 1");
            let _ = write!(counts, "{}(SELECT COUNT(*) FROM w{number})", if told.is_empty() { "" } else { ", " });
            told.push(counted);
        }
        text.push(')');
    }
    text.push_str(" SELECT ");
    text.push_str(if counts.is_empty() { "1" } else { &counts });
    (Cow::Owned(text), told)
}

async fn run(connection: &mut PgConnection, group: Vec<Step<'_>>) -> Result<(), sqlx::Error> {
    let (text, told) = joined(&group);
    let alone = group.first().filter(|_| group.len() == 1).map(Told::of);
    let mut query = match text {
        Cow::Borrowed(text) => sqlx::query(text),
        Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
    };
    for step in group {
        query = bound(query, step);
    }
    if told.is_empty() {
        // To its very end: only there is it told that the commit succeeded.
        let done = query.execute(connection).await?;
        alone.inspect(|told| told.tell(done.rows_affected()));
        return Ok(());
    }
    let rows = query.fetch_all(connection).await?;
    for (column, told) in told.iter().enumerate() {
        let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(column))?;
        told.tell(u64::try_from(count).unwrap_or(0));
    }
    Ok(())
}

fn bound<'q>(query: Query<'q, sqlx::Postgres, PgArguments>, step: Step<'_>) -> Query<'q, sqlx::Postgres, PgArguments> {
    match step {
        Step::Rows(_, rows) => query.bind(rows),
        Step::One { values, .. } => bind_postgres(query, &values),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock, atomic::AtomicU64};

    use super::*;
    use crate::BatchSql;

    static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
        BatchSql::new("INSERT INTO t (a) SELECT value->>0 FROM {rows} WHERE true ON CONFLICT (a) DO NOTHING")
    });

    fn one(sql: &'static str) -> Step<'static> {
        Step::One { sql, values: vec![1.into()], touched: None }
    }

    #[test]
    fn statements_that_cannot_meet_become_one() {
        let steps = vec![
            Step::Rows(&INSERT, "[]".into()),
            Step::One {
                sql: "DELETE FROM u WHERE b = $1",
                values: vec![1.into()],
                touched: Some(Arc::new(AtomicU64::new(0))),
            },
            one("UPDATE v SET a = $1"),
            one("UPDATE t SET a = $1"),
            one("INSERT INTO w (a) SELECT a FROM t WHERE a = $1"),
            one("DELETE FROM u WHERE b = $1"),
        ];
        let groups = groups(steps);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1, 1]);
        assert_eq!(
            joined(&groups[0]).0,
            "WITH w0 AS (INSERT INTO t (a) SELECT value->>0 FROM jsonb_array_elements($1::jsonb) AS rows(value) \
             WHERE true ON CONFLICT (a) DO NOTHING), w1 AS (DELETE FROM u WHERE b = $2 RETURNING 1), \
             w2 AS (UPDATE v SET a = $3) SELECT (SELECT COUNT(*) FROM w1)"
        );
    }

    #[test]
    fn what_may_read_another_table_stands_alone() {
        for alone in [
            "INSERT INTO t (a) SELECT a FROM u",
            "INSERT INTO t (a) VALUES ($1) RETURNING a",
            "UPDATE t SET a = (SELECT max(a) FROM t)",
            "UPDATE t SET a = u.a FROM u WHERE u.b = t.b",
            "UPDATE t SET a = 1 FROM (SELECT $1 AS a) AS x JOIN u ON u.a = x.a WHERE t.a = u.a",
            "DELETE FROM t USING u WHERE t.a = u.a",
            "DELETE FROM t WHERE a IN (SELECT value->>0 FROM jsonb_array_elements($1::jsonb) AS rows(value), u)",
            "DELETE FROM t WHERE EXISTS (TABLE u)",
            "SELECT 1",
        ] {
            assert_eq!(only_table(alone), None, "{alone}");
        }
        for joins in [
            "INSERT INTO t(a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
            "UPDATE t SET b = b + 1 WHERE a = $1",
            "DELETE FROM t WHERE a IN (SELECT value->>0 FROM jsonb_array_elements($1::jsonb) AS rows(value))",
        ] {
            assert_eq!(only_table(joins), Some("t"), "{joins}");
        }
    }
}
