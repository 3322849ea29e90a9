//! What the bridge says of a message: in words, or in a word for programs.

use ruma::{OwnedEventId, RoomId};
use serde_json::{Value as Json, json};

use super::{
    from_remote::Saying,
    keys::key,
    outcome::{StatusForm, Told},
};
use crate::{
    network::{Direction, Network},
    store::OutboxRow,
};

/// The type of the event that says what became of a message.
pub(super) const STATUS: &str = "com.beeper.message_send_status";

/// What is said about which message, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// Names the bridge in keys.
    pub(super) bridge: &'a str,
    /// The lane in which it is said.
    pub(super) lane: &'a str,
    /// The Matrix room.
    pub(super) room_id: &'a RoomId,
    /// The message.
    pub(super) event_id: &'a str,
    /// When it was heard.
    pub(super) at: i64,
}

/// The row by which the bridge says something, once; in answer to an event, where there is one.
pub(crate) fn answer<N: Network>(
    bridge: &str,
    lane: String,
    room_id: &RoomId,
    event_id: Option<&str>,
    text: String,
    at: i64,
) -> Result<OutboxRow, serde_json::Error> {
    let to = event_id.and_then(|id| OwnedEventId::try_from(id).ok());
    let idem = key(&[bridge, "answer", room_id.as_str(), event_id.unwrap_or_default(), &text]).to_string();
    row::<N>(lane, room_id, idem, &Saying::Answer { to, text }, at)
}

/// The rows by which a message's sender hears that it did not cross.
pub(super) fn failed<N: Network>(
    form: StatusForm,
    about: About<'_>,
    told: Told,
) -> Result<Vec<OutboxRow>, serde_json::Error> {
    let Told { text, reason, retriable } = told;
    let About { bridge, lane, room_id, event_id, at } = about;
    let mut rows = Vec::new();
    if form.has_events() {
        let status = if retriable { "FAIL_RETRIABLE" } else { "FAIL_PERMANENT" };
        rows.push(status_row::<N>(about, status, json!({ "reason": reason, "message": text }))?);
    }
    if form.has_notices() {
        rows.push(answer::<N>(bridge, lane.to_owned(), room_id, Some(event_id), text, at)?);
    }
    Ok(rows)
}

/// The rows by which a message's sender hears that it has not crossed yet, but is kept.
pub(super) fn kept<N: Network>(
    form: StatusForm,
    about: About<'_>,
    told: Told,
) -> Result<Vec<OutboxRow>, serde_json::Error> {
    let About { bridge, lane, room_id, event_id, at } = about;
    let mut rows = Vec::new();
    if form.has_events() {
        rows.push(status_row::<N>(about, "PENDING", json!({ "reason": told.reason, "message": told.text }))?);
    }
    if form.has_notices() {
        rows.push(answer::<N>(bridge, lane.to_owned(), room_id, Some(event_id), told.text, at)?);
    }
    Ok(rows)
}

/// The row by which a message's sender hears that it crossed, if they want to.
pub(super) fn crossed<N: Network>(form: StatusForm, about: About<'_>) -> Result<Option<OutboxRow>, serde_json::Error> {
    form.has_events().then(|| status_row::<N>(about, "SUCCESS", json!({}))).transpose()
}

fn status_row<N: Network>(about: About<'_>, status: &str, mut content: Json) -> Result<OutboxRow, serde_json::Error> {
    let About { bridge, lane, room_id, event_id, at } = about;
    content["network"] = N::INFO.id.into();
    content["status"] = status.into();
    content["m.relates_to"] = json!({ "rel_type": "m.reference", "event_id": event_id });
    let idem = key(&[bridge, "status", room_id.as_str(), event_id, status]).to_string();
    row::<N>(lane.to_owned(), room_id, idem, &Saying::Status(content), at)
}

fn row<N: Network>(
    lane: String,
    room_id: &RoomId,
    idem: String,
    saying: &Saying<N::User, N::Message>,
    at: i64,
) -> Result<OutboxRow, serde_json::Error> {
    Ok(OutboxRow {
        seq: 0,
        lane,
        direction: Direction::ToMatrix,
        session: String::new(),
        idem,
        room_id: room_id.to_string(),
        op: serde_json::to_string(saying)?,
        source: None,
        memory: None,
        claimed: false,
        attempts: 0,
        last_error: None,
        at,
        fresh: false,
    })
}
