//! The table `dehydrated_device`: for each user at most one device that nobody is logged in on.

use landbridge_sql::{Db, SqlError, Value};

use super::{
    device_keys,
    statement::{Statement, statement},
};

/// Notes which of a user's devices it is; there must be none.
pub(crate) fn insert(user_id: &str, device_id: &str, data: &str) -> Statement {
    statement!("INSERT INTO dehydrated_device (user_id, device_id, data) VALUES ($1, $2, $3)", user_id, device_id, data)
}

/// A user's: its id and its data.
pub(crate) async fn of_user(db: &Db, user_id: &str) -> Result<Option<(String, String)>, SqlError> {
    let sql = "SELECT device_id, data FROM dehydrated_device WHERE user_id = $1";
    let row = db.fetch_optional(sql, &[Value::from(user_id)]).await?;
    row.map(|row| Ok((row.text(0)?, row.text(1)?))).transpose()
}

macro_rules! of_it {
    ($table:literal, $user:expr) => {
        statement!(
            concat!(
                "DELETE FROM ",
                $table,
                " WHERE user_id = $1 AND device_id IN (SELECT device_id FROM dehydrated_device WHERE user_id = $1)"
            ),
            $user
        )
    };
}

/// Forgets a user's, whichever it is by then, with its keys and waiting messages; the last statement touches a row if there was one.
pub(crate) fn delete(user_id: &str) -> Vec<Statement> {
    vec![
        of_it!("device_keys", user_id),
        of_it!("one_time_key", user_id),
        of_it!("fallback_key", user_id),
        of_it!("to_device", user_id),
        of_it!("device", user_id),
        device_keys::changed(user_id),
        statement!("DELETE FROM dehydrated_device WHERE user_id = $1", user_id),
    ]
}

/// It is dehydrated no more, whatever becomes of it.
pub(crate) fn forget(user_id: &str, device_id: &str) -> Statement {
    statement!("DELETE FROM dehydrated_device WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}
