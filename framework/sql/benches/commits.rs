//! How long a commit of one row takes on SQLite, alone and one after the other, with and without room taken for the log; and a question.
//!
//! `cargo bench -p landbridge-sql --bench commits`

#![expect(clippy::expect_used, reason = "a measurement that cannot go on ends")]

use std::time::{Duration, Instant};

use landbridge_sql::{Db, DbOptions, Migration, Step};

const STEPS: &[Migration] = &[Migration {
    version: 1,
    name: "init",
    sqlite: "CREATE TABLE line (n INTEGER PRIMARY KEY, words TEXT NOT NULL)",
    postgres: "CREATE TABLE line (n BIGINT PRIMARY KEY, words TEXT NOT NULL)",
}];

/// As many commits, with a pause before each; how long each took.
async fn commits(db: &Db, count: usize, pause: Duration) -> Vec<Duration> {
    let words = "x".repeat(800);
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        tokio::time::sleep(pause).await;
        let values = vec![words.as_str().into()];
        let step = Step::One { sql: "INSERT INTO line (words) VALUES ($1)", values, touched: None };
        let began = Instant::now();
        db.commit_round(vec![step]).await.expect("the row is written");
        took.push(began.elapsed());
    }
    took.sort();
    took
}

/// As many questions for one row, with a pause before each; how long each took.
async fn questions(db: &Db, count: usize, pause: Duration) -> Vec<Duration> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let row = db.fetch_optional("SELECT words FROM line WHERE n = $1", &[1.into()]).await.expect("it is read");
        assert!(row.is_some(), "the row is there");
        took.push(began.elapsed());
    }
    took.sort();
    took
}

#[tokio::main]
async fn main() {
    let (alone, behind) = if std::env::args().any(|argument| argument == "--bench") { (300, 3_000) } else { (3, 3) };
    for reserve_log in [false, true, false, true] {
        let dir = tempfile::tempdir().expect("there is room for a folder");
        let address = format!("sqlite:{}", dir.path().join("bench.db").display());
        let db = Db::open(&address, STEPS, DbOptions { reserve_log, ..DbOptions::default() }).await.expect("it opens");
        let at_ease = commits(&db, alone, Duration::from_millis(10)).await;
        let in_a_row = commits(&db, behind, Duration::ZERO).await;
        let asked_at_ease = questions(&db, alone, Duration::from_millis(10)).await;
        let asked_in_a_row = questions(&db, behind, Duration::ZERO).await;
        db.close().await;
        println!(
            "room taken: {reserve_log:5}; one every 10 ms: median {:.2?}, 90th {:.2?}; one behind the other: median {:.2?}, 90th {:.2?}",
            at_ease[alone / 2],
            at_ease[alone * 9 / 10],
            in_a_row[behind / 2],
            in_a_row[behind * 9 / 10],
        );
        println!(
            "a row read every 10 ms: median {:.2?}; one behind the other: median {:.2?}",
            asked_at_ease[alone / 2],
            asked_in_a_row[behind / 2],
        );
    }
}
