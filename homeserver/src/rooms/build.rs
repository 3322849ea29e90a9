//! Making an event real: canonical JSON, its id, and the limits on its size; `signed` hashes and signs
//! (<https://spec.matrix.org/v1.19/client-server-api/#size-limits>).

mod signed;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedUserId, RoomId, events::TimelineEventType, room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

use self::signed::{Signed, sign};
use super::{Context, EventTxn, RoomError, event::Parsed};

/// The greatest size of an event in canonical JSON with its signatures, in bytes.
const MAX_PDU: usize = 65_535;
/// The greatest size of an id, a type or a state key, in bytes.
const MAX_ID: usize = 255;
/// The greatest number of events that one can follow.
pub(super) const MAX_PREV_EVENTS: usize = 20;

/// An event that is asked for.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) kind: TimelineEventType,
    pub(super) state_key: Option<String>,
    pub(super) sender: OwnedUserId,
    pub(super) content: CanonicalJsonObject,
    /// `content` in canonical JSON.
    pub(super) raw: Box<RawValue>,
    pub(super) redacts: Option<OwnedEventId>,
    pub(super) ts: MilliSecondsSinceUnixEpoch,
    pub(super) txn: Option<EventTxn>,
    /// Whether it notifies nobody.
    pub(super) quiet: bool,
}

impl Draft {
    pub(super) fn new(
        kind: &str,
        state_key: Option<&str>,
        sender: &ruma::UserId,
        content: CanonicalJsonObject,
        ts: MilliSecondsSinceUnixEpoch,
    ) -> Result<Self, RoomError> {
        let raw = serde_json::value::to_raw_value(&content).map_err(|error| RoomError::BadJson(error.to_string()))?;
        for (name, text) in [("type", Some(kind)), ("state_key", state_key), ("sender", Some(sender.as_str()))] {
            if text.is_some_and(|text| text.len() > MAX_ID) {
                return Err(RoomError::TooLarge(format!("{name} is longer than {MAX_ID} bytes")));
            }
        }
        Ok(Self {
            kind: TimelineEventType::from(kind),
            state_key: state_key.map(str::to_owned),
            sender: sender.to_owned(),
            content,
            raw,
            redacts: None,
            ts,
            txn: None,
            quiet: false,
        })
    }
}

/// Reads a client's content as canonical JSON.
pub(super) fn canonical(content: &RawValue) -> Result<CanonicalJsonObject, RoomError> {
    if content.get().len() > MAX_PDU {
        return Err(RoomError::TooLarge(format!("the content is longer than {MAX_PDU} bytes")));
    }
    match serde_json::from_str(content.get()) {
        Ok(CanonicalJsonValue::Object(object)) => Ok(object),
        Ok(_) => Err(RoomError::BadJson("the content is not an object".into())),
        Err(error) => Err(RoomError::BadJson(format!("the content is not canonical JSON: {error}"))),
    }
}

/// Where an event stands in its room.
pub(super) struct Place<'a> {
    /// `None` for the create event of a room whose id follows from it.
    pub(super) room_id: Option<&'a RoomId>,
    pub(super) prev: Vec<OwnedEventId>,
    pub(super) auth: Vec<OwnedEventId>,
    pub(super) depth: i64,
}

/// An event with its bytes and its id.
pub(super) struct Built {
    pub(super) json: Box<str>,
    pub(super) event_id: OwnedEventId,
    pub(super) room_id: OwnedRoomId,
    pub(super) parsed: Parsed,
    pub(super) txn: Option<EventTxn>,
    pub(super) quiet: bool,
}

/// Hashes, signs and names an event.
pub(super) fn build(
    context: &Context,
    rules: &RoomVersionRules,
    mut draft: Draft,
    place: Place<'_>,
) -> Result<Built, RoomError> {
    let server = (context.server_name.as_str(), context.key.pair());
    let Signed { json, hash } = sign(server, rules, &mut draft, &place).map_err(internal)?;
    if json.len() > MAX_PDU {
        return Err(RoomError::TooLarge(format!("{} bytes, of {MAX_PDU} at most", json.len())));
    }
    let event_id = EventId::new_v2_or_v3(&hash).map_err(internal)?;
    let room_id = match place.room_id {
        Some(room_id) => room_id.to_owned(),
        None => RoomId::new_v2(&hash).map_err(internal)?,
    };
    let parsed = Parsed {
        room_id: place.room_id.map(ToOwned::to_owned),
        sender: draft.sender,
        origin_server_ts: draft.ts,
        kind: draft.kind,
        state_key: draft.state_key,
        content: draft.raw,
        prev_events: place.prev,
        auth_events: place.auth,
        redacts: draft.redacts,
        depth: place.depth,
    };
    Ok(Built { json: json.into_boxed_str(), event_id, room_id, parsed, txn: draft.txn, quiet: draft.quiet })
}

fn internal(error: impl std::fmt::Display) -> RoomError {
    RoomError::Internal(error.to_string())
}
