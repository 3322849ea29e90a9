//! The table `event_name`: what application services call events that they named themselves.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use landbridge_sql::{BatchSql, Db, SqlError, Value};
use ruma::OwnedEventId;

use super::statement::{Statement, statement};
use crate::rooms::RoomNid;

/// A row: application service, name, event, room, number.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str, i64, i64);

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO event_name (appservice_id, name, event_id, room, number) \
         SELECT value->>0, value->>1, value->>2, CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (appservice_id, name) DO NOTHING",
    )
});

static BY_NAME: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "SELECT name, event_id, room FROM event_name \
         WHERE (appservice_id, name) IN (SELECT value->>0, value->>1 FROM {rows})",
    )
});

static BY_EVENT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "SELECT event_id, name FROM event_name \
         WHERE (appservice_id, event_id) IN (SELECT value->>0, value->>1 FROM {rows}) ORDER BY number",
    )
});

/// A name that an application service gives to an event.
#[derive(Clone, Debug)]
pub(crate) struct EventName {
    pub(crate) appservice: String,
    pub(crate) name: String,
    pub(crate) event_id: OwnedEventId,
    /// Orders the names of one event.
    pub(crate) number: i64,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) event_id: OwnedEventId,
    pub(crate) room: RoomNid,
}

const BAD: SqlError = SqlError::Refused("an event's name cannot be read");

/// Whether any application service, or this one, has named events.
pub(crate) async fn is_any(db: &Db, appservice: Option<&str>) -> Result<bool, SqlError> {
    let of_all = "SELECT 1 FROM event_name WHERE CAST($1 AS TEXT) IS NULL LIMIT 1";
    let of_one = "SELECT 1 FROM event_name WHERE appservice_id = $1 LIMIT 1";
    let sql = if appservice.is_some() { of_one } else { of_all };
    Ok(db.fetch_optional(sql, &[Value::from(appservice)]).await?.is_some())
}

/// What names of one application service mean; those that are none are left out.
pub(crate) async fn by_name(
    db: &Db,
    appservice: &str,
    names: &BTreeSet<String>,
) -> Result<HashMap<String, Named>, SqlError> {
    let asked: Vec<(&str, &str)> = names.iter().map(|name| (appservice, name.as_str())).collect();
    let rows = db.fetch_rows(&BY_NAME, &asked).await?;
    let named = rows.iter().map(|row| {
        let named = Named { event_id: row.text(1)?.try_into().map_err(|_| BAD)?, room: RoomNid(row.int(2)?) };
        Ok((row.text(0)?, named))
    });
    named.collect()
}

/// What an application service calls events; those that it did not name are left out.
pub(crate) async fn by_event(
    db: &Db,
    appservice: &str,
    events: &BTreeSet<String>,
) -> Result<HashMap<String, String>, SqlError> {
    let asked: Vec<(&str, &str)> = events.iter().map(|event| (appservice, event.as_str())).collect();
    let rows = db.fetch_rows(&BY_EVENT, &asked).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

/// Forgets the names of a service that is gone for good.
pub(super) fn forget(appservice: &str) -> Statement {
    statement!("DELETE FROM event_name WHERE appservice_id = $1", appservice)
}
