//! The tables `device_keys`, `one_time_key`, `fallback_key`, `cross_signing_key`, `device_list`, `key_count`,
//! `to_device` and `to_device_txn`.

use landbridge_sql::{Db, SqlError, Tx, Value};

use super::{
    lately::Topic,
    statement::{Cell, Statement, statement},
};

pub(crate) fn put_device_keys(user_id: &str, device_id: &str, body: &str) -> Statement {
    statement!(
        "INSERT INTO device_keys (user_id, device_id, body) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, device_id) DO UPDATE SET body = excluded.body",
        user_id,
        device_id,
        body
    )
}

/// Notes that something about a user's devices changed, for `device_lists.changed`.
pub(crate) fn changed(user_id: &str) -> Statement {
    statement!(
        "INSERT INTO device_list (user_id, pos) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET pos = excluded.pos",
        user_id,
        Cell::Position
    )
    .about(Topic::DeviceLists, None)
}

/// Notes that the number of one-time keys of a device changed, or whether its fallback keys are used.
pub(crate) fn count_changed(user_id: &str, device_id: &str) -> Statement {
    statement!(
        "INSERT INTO key_count (user_id, device_id, pos) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, device_id) DO UPDATE SET pos = excluded.pos",
        user_id,
        device_id,
        Cell::Position
    )
    .about(Topic::KeyCounts, Some(0))
}

/// Devices whose keys were uploaded or claimed with `after < pos <= until`.
pub(crate) async fn counts_between(db: &Db, after: i64, until: i64) -> Result<Vec<(String, String)>, SqlError> {
    let sql = "SELECT user_id, device_id FROM key_count WHERE pos > $1 AND pos <= $2 ORDER BY user_id, device_id";
    let rows = db.fetch_all(sql, &[Value::from(after), Value::from(until)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

/// A key uploaded twice stays as it was: it may have been claimed by its first bytes.
pub(crate) fn put_one_time_key(user_id: &str, device_id: &str, key_id: &str, body: &str) -> Statement {
    let algorithm = key_id.split_once(':').map_or(key_id, |(algorithm, _)| algorithm);
    statement!(
        "INSERT INTO one_time_key (user_id, device_id, algorithm, key_id, body, pos) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (user_id, device_id, key_id) DO NOTHING",
        user_id,
        device_id,
        algorithm,
        key_id,
        body,
        Cell::Position
    )
}

/// Asks how many one-time keys of a device nobody has taken.
pub(crate) fn ask_one_time_keys(user_id: &str, device_id: &str) -> Statement {
    statement!("SELECT COUNT(*) FROM one_time_key WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}

/// Asks how many fallback keys a device has.
pub(crate) fn ask_fallback_keys(user_id: &str, device_id: &str) -> Statement {
    statement!("SELECT COUNT(*) FROM fallback_key WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}

pub(crate) fn put_fallback_key(user_id: &str, device_id: &str, key_id: &str, body: &str) -> Statement {
    let algorithm = key_id.split_once(':').map_or(key_id, |(algorithm, _)| algorithm);
    statement!(
        "INSERT INTO fallback_key (user_id, device_id, algorithm, key_id, body, used) VALUES ($1, $2, $3, $4, $5, 0) \
         ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, body = excluded.body, used = 0",
        user_id,
        device_id,
        algorithm,
        key_id,
        body
    )
}

pub(crate) fn put_cross_signing_key(user_id: &str, kind: &str, body: &str) -> Statement {
    statement!(
        "INSERT INTO cross_signing_key (user_id, kind, body) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, kind) DO UPDATE SET body = excluded.body",
        user_id,
        kind,
        body
    )
}

const CROSS_SIGNING_KEYS: &str = "SELECT kind, body FROM cross_signing_key WHERE user_id = $1";

/// The cross-signing keys of a user: kind (`master`, `self_signing`, `user_signing`) and JSON.
pub(crate) async fn cross_signing_keys(db: &Db, user_id: &str) -> Result<Vec<(String, String)>, SqlError> {
    pairs(db, CROSS_SIGNING_KEYS, user_id).await
}

/// Asks for the same; for [`super::local::Local::change`].
pub(crate) fn ask_cross_signing_keys(user_id: &str) -> Statement {
    statement!(CROSS_SIGNING_KEYS, user_id)
}

/// Asks for the cross-signing key of one kind.
pub(crate) fn ask_cross_signing_key(user_id: &str, kind: &str) -> Statement {
    statement!("SELECT body FROM cross_signing_key WHERE user_id = $1 AND kind = $2", user_id, kind)
}

/// Asks for the keys of one device.
pub(crate) fn ask_device_keys(user_id: &str, device_id: &str) -> Statement {
    statement!("SELECT body FROM device_keys WHERE user_id = $1 AND device_id = $2", user_id, device_id)
}

/// The device keys of a user: device id and JSON.
pub(crate) async fn device_keys(db: &Db, user_id: &str) -> Result<Vec<(String, String)>, SqlError> {
    pairs(db, "SELECT device_id, body FROM device_keys WHERE user_id = $1 ORDER BY device_id", user_id).await
}

async fn pairs(db: &Db, sql: &'static str, user_id: &str) -> Result<Vec<(String, String)>, SqlError> {
    let rows = db.fetch_all(sql, &[Value::from(user_id)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

/// Unclaimed one-time keys of a device by algorithm.
pub(crate) async fn one_time_key_counts(
    db: &Db,
    user_id: &str,
    device_id: &str,
) -> Result<Vec<(String, i64)>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT algorithm, COUNT(*) FROM one_time_key WHERE user_id = $1 AND device_id = $2 GROUP BY algorithm",
            &[Value::from(user_id), Value::from(device_id)],
        )
        .await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
}

/// Algorithms of a device's fallback keys that nobody has claimed yet.
pub(crate) async fn unused_fallback_keys(db: &Db, user_id: &str, device_id: &str) -> Result<Vec<String>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT algorithm FROM fallback_key WHERE user_id = $1 AND device_id = $2 AND used = 0",
            &[Value::from(user_id), Value::from(device_id)],
        )
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Takes one key of a device: the one-time key that was uploaded first, which is then gone, or else the fallback key.
pub(crate) async fn claim(
    tx: &mut Tx<'_>,
    user_id: &str,
    device_id: &str,
    algorithm: &str,
    position: i64,
) -> Result<Option<(String, String)>, SqlError> {
    let whose = [Value::from(user_id), Value::from(device_id), Value::from(algorithm)];
    let one_time = tx
        .fetch_optional(
            "DELETE FROM one_time_key WHERE user_id = $1 AND device_id = $2 AND key_id = \
             (SELECT key_id FROM one_time_key WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 \
             ORDER BY pos, key_id LIMIT 1) \
             RETURNING key_id, body",
            &whose,
        )
        .await?;
    let row = match one_time {
        Some(row) => Some(row),
        None => {
            tx.fetch_optional(
                "UPDATE fallback_key SET used = 1 WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 \
                 RETURNING key_id, body",
                &whose,
            )
            .await?
        }
    };
    let Some(row) = row else { return Ok(None) };
    let noted = count_changed(user_id, device_id);
    tx.execute_step(noted.step(position)).await?;
    Ok(Some((row.text(0)?, row.text(1)?)))
}

/// Users whose devices changed with `after < pos <= until`.
pub(crate) async fn changed_between(db: &Db, after: i64, until: i64) -> Result<Vec<String>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT user_id FROM device_list WHERE pos > $1 AND pos <= $2",
            &[Value::from(after), Value::from(until)],
        )
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Queues a message for one device, and for the application service whose user it belongs to.
pub(crate) fn put_to_device(
    (user_id, device_id): (&str, &str),
    number: i64,
    body: &str,
    appservice_id: Option<&str>,
) -> Statement {
    statement!(
        "INSERT INTO to_device (pos, number, user_id, device_id, body, appservice_id) VALUES ($1, $2, $3, $4, $5, $6)",
        Cell::Position,
        number,
        user_id,
        device_id,
        body,
        appservice_id
    )
    .about(Topic::ToDevice, Some(2))
}

/// Remembers a request; [`super::StoreError::Conflict`] when it was made before.
pub(crate) fn put_txn(key: &[u8], now: i64) -> Statement {
    statement!("INSERT INTO to_device_txn (txn_key, seen_at) VALUES ($1, $2)", key.to_vec(), now)
}

/// Forgets requests made before a time.
pub(crate) fn forget_txns(before: i64) -> Statement {
    statement!("DELETE FROM to_device_txn WHERE seen_at < $1", before)
}

/// A message that waits for an application service.
#[derive(Clone, Debug)]
pub(crate) struct ServiceMessage {
    pub(crate) pos: i64,
    pub(crate) number: i64,
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    pub(crate) body: String,
}

/// The messages after a position and number that wait for an application service, the oldest first.
pub(crate) async fn to_device_of_service(
    db: &Db,
    id: &str,
    after: (i64, i64),
    limit: i64,
) -> Result<Vec<ServiceMessage>, SqlError> {
    let sql = "SELECT pos, number, user_id, device_id, body FROM to_device WHERE appservice_id = $1 \
               AND (pos > $2 OR (pos = $2 AND number > $3)) ORDER BY pos, number LIMIT $4";
    let values = [Value::from(id), Value::from(after.0), Value::from(after.1), Value::from(limit)];
    let rows = db.fetch_all(sql, &values).await?;
    rows.iter()
        .map(|row| {
            Ok(ServiceMessage {
                pos: row.int(0)?,
                number: row.int(1)?,
                user_id: row.text(2)?,
                device_id: row.text(3)?,
                body: row.text(4)?,
            })
        })
        .collect()
}

/// Forgets what an application service has taken: all up to one message.
pub(crate) fn delete_of_service(id: &str, pos: i64, number: i64) -> Statement {
    statement!(
        "DELETE FROM to_device WHERE appservice_id = $1 AND (pos < $2 OR (pos = $2 AND number <= $3))",
        id,
        pos,
        number
    )
}

/// The messages of a device with `after < pos <= until`, oldest first, with their positions. Where there are more than `limit`, they
/// end behind the position of the last within it: what shares a position comes together.
pub(crate) async fn to_device_between(
    db: &Db,
    user_id: &str,
    device_id: &str,
    after: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<(i64, String)>, SqlError> {
    let rows = db
        .fetch_all(
            "SELECT pos, body FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos > $3 AND pos <= COALESCE((\
             SELECT pos FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos > $3 AND pos <= $4 \
             ORDER BY pos, number LIMIT 1 OFFSET $5), $4) ORDER BY pos, number",
            &[
                Value::from(user_id),
                Value::from(device_id),
                Value::from(after),
                Value::from(until),
                Value::from(limit - 1),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((row.int(0)?, row.text(1)?))).collect()
}

/// Forgets what a device has seen.
pub(crate) fn delete_to_device(user_id: &str, device_id: &str, until: i64) -> Statement {
    statement!("DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos <= $3", user_id, device_id, until)
}

/// The first device after another for which messages wait that no application service takes.
pub(crate) async fn waited_for_after(
    db: &Db,
    user_id: &str,
    device_id: &str,
) -> Result<Option<(String, String)>, SqlError> {
    let sql = "SELECT user_id, device_id FROM to_device WHERE (user_id, device_id) > ($1, $2) AND appservice_id IS NULL \
               ORDER BY user_id, device_id LIMIT 1";
    let row = db.fetch_optional(sql, &[Value::from(user_id), Value::from(device_id)]).await?;
    row.map(|row| Ok((row.text(0)?, row.text(1)?))).transpose()
}

/// The newest message of a device that is beyond a bound of messages and of bytes, by position and number. Those of application services
/// do not count.
pub(crate) async fn to_device_beyond(
    db: &Db,
    user_id: &str,
    device_id: &str,
    (messages, bytes): (i64, i64),
) -> Result<Option<(i64, i64)>, SqlError> {
    let sql = "SELECT pos, number FROM (SELECT pos, number, ROW_NUMBER() OVER newest AS nth, \
               SUM(octet_length(body)) OVER newest AS total FROM to_device \
               WHERE user_id = $1 AND device_id = $2 AND appservice_id IS NULL \
               WINDOW newest AS (ORDER BY pos DESC, number DESC)) AS waiting \
               WHERE nth > $3 OR total > $4 ORDER BY pos DESC, number DESC LIMIT 1";
    let values = [Value::from(user_id), Value::from(device_id), Value::from(messages), Value::from(bytes)];
    let row = db.fetch_optional(sql, &values).await?;
    row.map(|row| Ok((row.int(0)?, row.int(1)?))).transpose()
}

/// The message of a device that so many messages end with, the oldest first; `None`: there are not so many. Those of application
/// services do not count.
pub(crate) async fn to_device_nth(
    db: &Db,
    user_id: &str,
    device_id: &str,
    count: i64,
) -> Result<Option<(i64, i64)>, SqlError> {
    let sql = "SELECT pos, number FROM to_device WHERE user_id = $1 AND device_id = $2 AND appservice_id IS NULL \
               ORDER BY pos, number LIMIT 1 OFFSET $3";
    let row = db.fetch_optional(sql, &[Value::from(user_id), Value::from(device_id), Value::from(count - 1)]).await?;
    row.map(|row| Ok((row.int(0)?, row.int(1)?))).transpose()
}

/// Forgets the messages of a device up to one of them. Those of application services stay.
pub(crate) fn drop_to_device(user_id: &str, device_id: &str, until: (i64, i64)) -> Statement {
    statement!(
        "DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND appservice_id IS NULL \
         AND (pos, number) <= ($3, $4)",
        user_id,
        device_id,
        until.0,
        until.1
    )
}
