//! Room for SQLite's write-ahead log, taken before it is needed.
//!
//! A commit that makes the log longer also changes the size of its file and where it lies on the disk, which the file system writes to
//! a journal of its own: such a sync takes two to five times as long as one that only overwrites. After each checkpoint SQLite begins
//! the log at its beginning again, and never makes the file shorter, so this is the price of the first few thousand pages alone,
//! which for a small bridge are a day's. A file of zeros is to SQLite a log without a valid header, that is, an empty one.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// What a page of 4 kiB takes in the log.
const FRAME: usize = 4096 + 24;

/// Makes the log of the database in the file `database` as long as `pages` take, unless there is a log already.
///
/// # Errors
/// What the file system says; then there is no log, and nothing else is left.
pub(crate) fn reserve_log(database: &Path, pages: usize) -> io::Result<()> {
    let log = beside(database, "-wal");
    if log.try_exists()? {
        return Ok(());
    }
    // Whoever opens the database meanwhile makes a log of their own, which must not be written over: ours is complete before it gets
    // the name, and does not get it where there is one.
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = beside(database, &format!("-wal.{}.{number}", std::process::id()));
    let made = fill(&draft, database, pages).and_then(|()| fs::hard_link(&draft, &log));
    match (made, fs::remove_file(&draft)) {
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    name.into()
}

fn fill(draft: &Path, database: &Path, pages: usize) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 1 << 16];
    let mut file = File::create_new(draft)?;
    // Nobody reads in the log who may not read the database.
    file.set_permissions(fs::metadata(database)?.permissions())?;
    let mut left = pages * FRAME;
    while left > 0 {
        let piece = left.min(ZEROS.len());
        file.write_all(&ZEROS[..piece])?;
        left -= piece;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Db, DbOptions, Migration, Step};

    const STEPS: &[Migration] = &[Migration {
        version: 1,
        name: "init",
        sqlite: "CREATE TABLE line (words TEXT NOT NULL)",
        postgres: "CREATE TABLE line (words TEXT NOT NULL)",
    }];

    async fn open(database: &Path) -> Db {
        Db::open(&format!("sqlite:{}", database.display()), STEPS, DbOptions::default()).await.unwrap()
    }

    async fn say(db: &Db, words: &str) {
        let step = Step::One { sql: "INSERT INTO line (words) VALUES ($1)", values: vec![words.into()], touched: None };
        db.commit_round(vec![step]).await.unwrap();
    }

    async fn said(db: &Db) -> Vec<String> {
        let rows = db.fetch_all("SELECT words FROM line ORDER BY rowid", &[]).await.unwrap();
        rows.iter().map(|row| row.text(0).unwrap()).collect()
    }

    #[tokio::test]
    async fn what_is_in_a_log_is_kept_by_whoever_opens_the_database_next() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here.db"), dir.path().join("there.db"));
        let db = open(&here).await;
        let reserved = fs::metadata(beside(&here, "-wal")).unwrap().len();
        assert!(reserved > 16_000_000, "{reserved}");
        say(&db, "one").await;
        // A second one beside it, and what a crash at this moment would leave.
        let beside_it = open(&here).await;
        say(&beside_it, "two").await;
        for ending in ["", "-wal"] {
            fs::copy(beside(&here, ending), beside(&there, ending)).unwrap();
        }
        let after_a_crash = open(&there).await;
        for db in [&db, &beside_it, &after_a_crash] {
            assert_eq!(said(db).await, ["one", "two"]);
        }
        // What is written stays within what was taken.
        assert_eq!(fs::metadata(beside(&here, "-wal")).unwrap().len(), reserved);
        for db in [db, beside_it, after_a_crash] {
            db.close().await;
        }
        assert!(!beside(&here, "-wal").exists());
    }

    #[test]
    fn a_log_is_made_whole_or_not_at_all_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("t.db");
        // Without a database nothing is made, and nothing is left behind.
        reserve_log(&database, 3).unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&database, "x").unwrap();
        reserve_log(&database, 3).unwrap();
        assert_eq!(fs::read(dir.path().join("t.db-wal")).unwrap(), vec![0; 3 * FRAME]);
        fs::write(dir.path().join("t.db-wal"), "somebody's").unwrap();
        reserve_log(&database, 3).unwrap();
        assert_eq!(fs::read(dir.path().join("t.db-wal")).unwrap(), b"somebody's");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
