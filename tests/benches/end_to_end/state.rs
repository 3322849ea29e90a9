//! What part of the disk the state of a large room takes.

use landbridge_sql::{Db, DbOptions};
use landbridge_tests::Workdir;

use crate::{
    report::{Limit::AtMost, Report},
    scale::{CROWD, fill, scaled},
};

/// How many messages are said in the room.
const MESSAGES: usize = 100_000;

/// A room of 10,000 members in which 100,000 messages are said: the tables of its state, at every event that ever was, and of who is in
/// it, beside the whole.
pub(crate) async fn share(report: &mut Report) {
    let dir = Workdir::new("state");
    fill(dir.path(), scaled(CROWD), scaled(MESSAGES)).await;
    let file = format!("sqlite:{}", dir.path().join("homeserver.db").display());
    let options = DbOptions { migrations_table: "_bench", reserve_log: false, ..DbOptions::default() };
    let db = Db::open(&file, &[], options).await.expect("the database");
    let sql = "SELECT coalesce(m.tbl_name, s.name), SUM(s.pgsize) FROM dbstat s LEFT JOIN sqlite_schema m USING (name) \
               GROUP BY 1 ORDER BY 2 DESC";
    let tables: Vec<(String, i64)> = (db.fetch_all(sql, &[]).await.expect("the sizes").iter())
        .map(|row| (row.text(0).expect("a name"), row.int(1).expect("a size")))
        .collect();
    let whole: i64 = tables.iter().map(|(_, bytes)| bytes).sum();
    for (name, bytes) in tables.iter().filter(|(_, bytes)| bytes * 200 > whole) {
        eprintln!("  {name}: {:.1} MB", *bytes as f64 / 1e6);
    }
    let state: i64 = tables.iter().filter(|(name, _)| name.starts_with("state_")).map(|(_, bytes)| bytes).sum();
    report.ours(
        "state of a room of 10,000 members, of a disk with 100,000 messages",
        "%",
        AtMost(1.0),
        state as f64 * 100.0 / whole as f64,
    );
}
