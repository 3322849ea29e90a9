//! What only operators ask: all rooms, whoever is in them.

use landbridge_sql::{Db, SqlError, Value};

/// A room, and how many users are joined.
#[derive(Clone, Debug)]
pub(crate) struct RoomRow {
    pub(crate) room_id: String,
    pub(crate) version: String,
    pub(crate) joined: i64,
}

/// The rooms after one, by id.
pub(crate) async fn rooms(db: &Db, after: &str, limit: i64) -> Result<Vec<RoomRow>, SqlError> {
    let sql = "SELECT r.room_id, r.version, \
               (SELECT count(*) FROM membership m WHERE m.room = r.nid AND m.membership = 'join') \
               FROM room r WHERE r.room_id > $1 ORDER BY r.room_id LIMIT $2";
    let rows = db.fetch_all(sql, &[Value::from(after), Value::from(limit)]).await?;
    rows.iter().map(|row| Ok(RoomRow { room_id: row.text(0)?, version: row.text(1)?, joined: row.int(2)? })).collect()
}
