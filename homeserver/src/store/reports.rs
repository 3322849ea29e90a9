//! The table `report`.

use super::statement::{Statement, statement};

/// What a report is about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    pub(crate) room_id: Option<&'a str>,
    pub(crate) event_id: Option<&'a str>,
    pub(crate) user_id: Option<&'a str>,
}

pub(crate) fn insert(reporter: &str, about: About<'_>, reason: &str, at: i64) -> Statement {
    statement!(
        "INSERT INTO report (reporter, room_id, event_id, user_id, reason, reported_at) VALUES ($1, $2, $3, $4, $5, $6)",
        reporter,
        about.room_id,
        about.event_id,
        about.user_id,
        reason,
        at
    )
}
