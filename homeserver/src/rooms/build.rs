//! Making an event real: canonical JSON, content hash, signature, reference hash, and the limits on their size
//! (<https://spec.matrix.org/v1.19/client-server-api/#size-limits>).

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, Int, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedUserId, RoomId,
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    signatures::{hash_and_sign_event, reference_hash},
};
use serde_json::value::RawValue;

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
}

/// Hashes, signs and names an event.
pub(super) fn build(
    context: &Context,
    rules: &RoomVersionRules,
    draft: Draft,
    place: Place<'_>,
) -> Result<Built, RoomError> {
    let ids = |ids: &[OwnedEventId]| {
        CanonicalJsonValue::Array(ids.iter().map(|id| CanonicalJsonValue::String(id.to_string())).collect())
    };
    let text = |text: &str| CanonicalJsonValue::String(text.to_owned());
    let number = |number: i64| CanonicalJsonValue::Integer(Int::new_saturating(number));
    let Draft { kind, state_key, sender, content, raw, redacts, ts, txn } = draft;
    let mut object = CanonicalJsonObject::from([
        ("auth_events".to_owned(), ids(&place.auth)),
        ("content".to_owned(), CanonicalJsonValue::Object(content)),
        ("depth".to_owned(), number(place.depth)),
        ("origin_server_ts".to_owned(), number(i64::from(ts.0))),
        ("prev_events".to_owned(), ids(&place.prev)),
        ("sender".to_owned(), text(sender.as_str())),
        ("type".to_owned(), text(&kind.to_string())),
    ]);
    if let Some(room_id) = place.room_id {
        object.insert("room_id".to_owned(), text(room_id.as_str()));
    }
    if let Some(state_key) = &state_key {
        object.insert("state_key".to_owned(), text(state_key));
    }
    if let Some(redacts) = redacts.as_ref().filter(|_| !rules.redaction.content_field_redacts) {
        object.insert("redacts".to_owned(), text(redacts.as_str()));
    }
    let too_large = |error: &dyn std::fmt::Display| RoomError::TooLarge(error.to_string());
    hash_and_sign_event(context.server_name.as_str(), context.key.pair(), &mut object, &rules.redaction)
        .map_err(|error| too_large(&error))?;
    let json = serde_json::to_string(&object).map_err(|error| RoomError::Internal(error.to_string()))?;
    if json.len() > MAX_PDU {
        return Err(RoomError::TooLarge(format!("{} bytes, of {MAX_PDU} at most", json.len())));
    }
    let hash = reference_hash(&object, rules).map_err(|error| too_large(&error))?;
    let event_id = EventId::new_v2_or_v3(&hash).map_err(|error| RoomError::Internal(error.to_string()))?;
    let room_id = match place.room_id {
        Some(room_id) => room_id.to_owned(),
        None => RoomId::new_v2(&hash).map_err(|error| RoomError::Internal(error.to_string()))?,
    };
    let parsed = Parsed {
        room_id: place.room_id.map(ToOwned::to_owned),
        sender,
        origin_server_ts: ts,
        kind,
        state_key,
        content: raw,
        prev_events: place.prev,
        auth_events: place.auth,
        redacts,
        depth: place.depth,
    };
    Ok(Built { json: json.into_boxed_str(), event_id, room_id, parsed, txn })
}
