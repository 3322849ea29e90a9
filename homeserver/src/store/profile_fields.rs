//! The table `profile_field`: what users say of themselves beside their name and avatar.

use landbridge_sql::{Db, SqlError, Value};

use super::statement::{Statement, statement};

/// Sets a field; touches no row where the names and values of the user's fields, with six bytes for each, would exceed `most` bytes.
pub(crate) fn put(user_id: &str, name: &str, value: &str, most: i64) -> Statement {
    statement!(
        "INSERT INTO profile_field (user_id, name, value) SELECT $1, $2, $3 WHERE $4 >= octet_length($2) + octet_length($3) + 6 \
         + (SELECT COALESCE(SUM(octet_length(name) + octet_length(value) + 6), 0) FROM profile_field \
         WHERE user_id = $1 AND name <> $2) \
         ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value",
        user_id,
        name,
        value,
        most
    )
}

pub(crate) fn delete(user_id: &str, name: &str) -> Statement {
    statement!("DELETE FROM profile_field WHERE user_id = $1 AND name = $2", user_id, name)
}

/// Forgets all that a user said.
pub(crate) fn forget(user_id: &str) -> Statement {
    statement!("DELETE FROM profile_field WHERE user_id = $1", user_id)
}

/// The fields of a user by name.
pub(crate) async fn of_user(db: &Db, user_id: &str) -> Result<Vec<(String, String)>, SqlError> {
    let sql = "SELECT name, value FROM profile_field WHERE user_id = $1 ORDER BY name";
    db.fetch_all(sql, &[Value::from(user_id)]).await?.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}
