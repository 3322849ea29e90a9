//! The table `notice_room`: where each user is told what the server has to say.

use landbridge_sql::{Db, SqlError, Value};

use super::statement::{Statement, statement};

pub(crate) async fn room_of(db: &Db, user_id: &str) -> Result<Option<String>, SqlError> {
    let row = db.fetch_optional("SELECT room_id FROM notice_room WHERE user_id = $1", &[Value::from(user_id)]).await?;
    row.map(|row| row.text(0)).transpose()
}

pub(crate) fn put_room(user_id: &str, room_id: &str) -> Statement {
    statement!(
        "INSERT INTO notice_room (user_id, room_id) VALUES ($1, $2) \
         ON CONFLICT (user_id) DO UPDATE SET room_id = excluded.room_id",
        user_id,
        room_id
    )
}
