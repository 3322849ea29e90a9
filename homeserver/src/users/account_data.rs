//! What clients keep on the server for themselves: account data and filters ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#client-config

use std::sync::Arc;

use landbridge_sql::{Row, SqlError};
use ruma::{RoomId, UserId};
use sha2::{Digest as _, Sha256};

use super::settings::{IGNORED_USERS, INVITE_PERMISSION, PUSH_RULES, Settings};
use crate::{
    store::{
        KeepError, StoreError,
        accounts::{self, AccountDataRow},
        lately::Topic,
        local::{Local, first_number},
    },
    stream::Position,
};

/// The largest account data event, in bytes.
pub const MAX_ACCOUNT_DATA_BYTES: usize = 256 * 1024;

/// How many events of account data a user has at most, those for rooms among them.
pub const MAX_ACCOUNT_DATA: i64 = 20_000;

/// How many bytes the contents of a user's account data have together at most.
pub const MAX_ACCOUNT_DATA_TOTAL: i64 = 16 * 1024 * 1024;

/// The largest filter, in bytes.
pub const MAX_FILTER_BYTES: usize = 64 * 1024;

/// How many filters a user has at most; the same filter is kept once.
pub const MAX_FILTERS: i64 = 1_000;

/// How far a user has read a room; there is one for each.
const FULLY_READ: &str = "m.fully_read";

/// One event of account data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The room it is for, empty where it is for the user.
    pub room_id: String,
    /// Its type.
    pub kind: String,
    /// Its content, as it was stored.
    pub content: String,
}

/// Account data and filters of the users of this server.
#[derive(Clone, Debug)]
pub struct AccountData {
    local: Local,
    pub(super) settings: Arc<Settings>,
}

impl AccountData {
    pub(crate) fn new(local: Local) -> Self {
        Self { local, settings: Arc::default() }
    }

    /// Stores one event, for one room or, without one, for the user.
    ///
    /// # Errors
    /// When the store fails, and where the user has too much of it.
    pub async fn put(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        kind: &str,
        content: &str,
    ) -> Result<(), KeepError> {
        // It moves with every message that is read, and is never larger than it was.
        if kind == FULLY_READ && self.read(user_id, room_id, kind).await?.is_some() {
            let room_id = room_id.map_or("", RoomId::as_str);
            self.local.write(vec![accounts::put_account_data(user_id.as_str(), room_id, kind, content)]).await?;
            return Ok(());
        }
        let content = content.to_owned();
        self.change(user_id, room_id, kind, move |_| Ok::<_, KeepError>(Some(content.clone()))).await
    }

    /// Makes something else of what is stored as one event: `change` gets its content, or `None`, and gives the new content, or `None`
    /// where it stays. What others change at the same time is changed before or after, never lost.
    ///
    /// # Errors
    /// What `change` refuses with, and when the store fails.
    pub(crate) async fn change<E>(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        kind: &str,
        change: impl Fn(Option<String>) -> Result<Option<String>, E> + Send + Sync + 'static,
    ) -> Result<(), E>
    where
        E: From<StoreError> + From<SqlError> + From<KeepError> + Send + 'static,
    {
        let (user, room, name) = (user_id.to_string(), room_id.map_or("", RoomId::as_str).to_owned(), kind.to_owned());
        let reads = vec![
            accounts::ask_other_account_data(&user, &room, &name),
            accounts::ask_account_data(&user, &room, &name),
        ];
        let decide = move |found: &[Vec<Row>]| {
            let stored = found.get(1).and_then(|rows| rows.first()).map(|row| row.text(0)).transpose()?;
            let new = change(stored)?;
            if let (Some(new), Some(others)) = (&new, found.first().and_then(|rows| rows.first())) {
                fits(others.int(0)?, others.int(1)?, new)?;
            }
            Ok((new.map(|new| accounts::put_account_data(&user, &room, &name, &new)).into_iter().collect(), ()))
        };
        self.local.change::<(), E>(reads, decide).await?;
        self.was_put(user_id, room_id.map_or("", RoomId::as_str), kind);
        Ok(())
    }

    fn was_put(&self, user_id: &UserId, room_id: &str, kind: &str) {
        if room_id.is_empty() && matches!(kind, IGNORED_USERS | PUSH_RULES | INVITE_PERMISSION) {
            self.settings.changed(user_id);
        }
    }

    /// The content of one event, as it was stored.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        kind: &str,
    ) -> Result<Option<String>, SqlError> {
        let room_id = room_id.map_or("", RoomId::as_str);
        accounts::account_data(self.local.db(), user_id.as_str(), room_id, kind).await
    }

    /// What a user stored with `after < position <= until`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn between(&self, user_id: &UserId, after: i64, until: i64) -> Result<Vec<StoredEvent>, SqlError> {
        if !self.local.may_have(Topic::AccountData, user_id.as_str(), Position(after)) {
            return Ok(Vec::new());
        }
        let rows = accounts::account_data_between(self.local.db(), user_id.as_str(), after, until).await?;
        let event = |row: AccountDataRow| StoredEvent { room_id: row.room_id, kind: row.kind, content: row.content };
        Ok(rows.into_iter().map(event).collect())
    }

    /// Stores a filter and gives its id: the same filter has the same id.
    ///
    /// # Errors
    /// When the store fails, and where the user has too many.
    pub async fn put_filter(&self, user_id: &UserId, body: &str) -> Result<String, KeepError> {
        let digest = Sha256::digest(body.as_bytes());
        let filter_id: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let reads = vec![accounts::ask_other_filters(user_id.as_str(), &filter_id)];
        let (user, body) = (user_id.to_string(), body.to_owned());
        let put = move |found: &[Vec<Row>]| {
            if first_number(found)? >= MAX_FILTERS {
                return Err(KeepError::TooMany("There are too many filters"));
            }
            Ok((vec![accounts::put_filter(&user, &filter_id, &body)], filter_id.clone()))
        };
        self.local.change_quietly(reads, put).await
    }

    /// A stored filter.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn filter(&self, user_id: &UserId, filter_id: &str) -> Result<Option<String>, SqlError> {
        accounts::filter(self.local.db(), user_id.as_str(), filter_id).await
    }
}

/// Whether a content has its place beside so many others.
fn fits(others: i64, bytes: i64, content: &str) -> Result<(), KeepError> {
    let more = i64::try_from(content.len()).unwrap_or(i64::MAX);
    if others >= MAX_ACCOUNT_DATA || bytes.saturating_add(more) > MAX_ACCOUNT_DATA_TOTAL {
        return Err(KeepError::TooMany("There is too much account data"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_data_has_a_bound_in_number_and_in_bytes() {
        assert!(fits(MAX_ACCOUNT_DATA - 1, MAX_ACCOUNT_DATA_TOTAL - 2, "{}").is_ok());
        assert!(fits(MAX_ACCOUNT_DATA, 0, "{}").is_err());
        assert!(fits(0, MAX_ACCOUNT_DATA_TOTAL - 1, "{}").is_err());
    }
}
