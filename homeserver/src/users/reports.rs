//! What users report ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#reporting-content

use std::sync::Arc;

use landbridge_sql::SqlError;
use ruma::{EventId, RoomId, UserId};

use crate::{
    clock::Clock,
    store::{
        StoreError,
        local::Local,
        reports::{self, About, ReportRow},
    },
};

/// The longest reason, in bytes; a longer one is cut.
const MAX_REASON: usize = 4096;

/// Keeps reports for those who look after the server.
#[derive(Clone, Debug)]
pub struct Reports {
    local: Local,
    clock: Arc<dyn Clock>,
}

/// What is reported.
#[derive(Clone, Copy, Debug)]
pub enum Reported<'a> {
    /// An event of a room.
    Event(&'a RoomId, &'a EventId),
    /// A room.
    Room(&'a RoomId),
    /// A user.
    User(&'a UserId),
}

impl Reports {
    pub(crate) fn new(local: Local, clock: Arc<dyn Clock>) -> Self {
        Self { local, clock }
    }

    /// Keeps a report.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add(&self, reporter: &UserId, reported: Reported<'_>, reason: &str) -> Result<(), StoreError> {
        let end = (0..=reason.len().min(MAX_REASON)).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        let about = match reported {
            Reported::Event(room_id, event_id) => {
                About { room_id: Some(room_id.as_str()), event_id: Some(event_id.as_str()), user_id: None }
            }
            Reported::Room(room_id) => About { room_id: Some(room_id.as_str()), ..About::default() },
            Reported::User(user_id) => About { user_id: Some(user_id.as_str()), ..About::default() },
        };
        let at = i64::from(self.clock.now().0);
        self.local.write(vec![reports::insert(reporter.as_str(), about, &reason[..end], at)]).await.map(drop)
    }

    /// The reports after one, the oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn page(&self, after: i64, limit: u32) -> Result<Vec<ReportRow>, SqlError> {
        reports::page(self.local.db(), after, i64::from(limit)).await
    }

    /// Forgets a report that was seen to; says whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn settle(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self.local.write(vec![reports::delete(id)]).await?.rows > 0)
    }
}
