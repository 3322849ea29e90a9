//! Making an event real: canonical JSON, content hash, signature, reference hash, and the limits on their size
//! (<https://spec.matrix.org/v1.19/client-server-api/#size-limits>).

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, Int, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedUserId, RoomId,
    canonical_json::redact_content_in_place,
    events::TimelineEventType,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
    serde::{
        Base64,
        base64::{Standard, UrlSafe},
    },
    signatures::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{json, value::RawValue};
use sha2::{Digest as _, Sha256};

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
    Ok(Built { json: json.into_boxed_str(), event_id, room_id, parsed, txn: draft.txn })
}

fn internal(error: impl std::fmt::Display) -> RoomError {
    RoomError::Internal(error.to_string())
}

/// An event's bytes, and its reference hash as its id says it.
#[derive(Debug, PartialEq, Eq)]
struct Signed {
    json: String,
    hash: String,
}

/// Hashes and signs an event
/// ([spec](https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events)). What is hashed, signed and
/// sent differs in few members, so each is written once. Takes the parsed content, of which the text stays.
fn sign(
    (server, key): (&str, &Ed25519KeyPair),
    rules: &RoomVersionRules,
    draft: &mut Draft,
    place: &Place<'_>,
) -> Result<Signed, serde_json::Error> {
    let members = Members::of(rules, draft, place)?;
    let content = draft.raw.get();
    let hash = Sha256::digest(members.written(content, true, None, None));
    let hashes = format!(r#"{{"sha256":"{}"}}"#, Base64::<Standard, _>::new(&hash[..]));
    // What a redaction leaves is signed, and names the event.
    let mut kept = std::mem::take(&mut draft.content);
    redact_content_in_place(&mut kept, &rules.redaction, draft.kind.to_string());
    let kept = members.written(&serde_json::to_string(&kept)?, false, Some(&hashes), None);
    let signature = key.sign(kept.as_bytes());
    let signatures = json!({ server: { signature.id(): signature.base64() } }).to_string();
    let hash = Sha256::digest(&kept);
    Ok(Signed {
        json: members.written(content, true, Some(&hashes), Some(&signatures)),
        hash: match rules.event_id_format {
            EventIdFormatVersion::V1 | EventIdFormatVersion::V2 => Base64::<Standard, _>::new(&hash[..]).encode(),
            _ => Base64::<UrlSafe, _>::new(&hash[..]).encode(),
        },
    })
}

/// The members of an event but those that differ, in canonical JSON.
struct Members {
    auth_events: String,
    depth: i64,
    ts: i64,
    prev_events: String,
    redacts: Option<String>,
    room_id: Option<String>,
    sender: String,
    state_key: Option<String>,
    kind: String,
}

impl Members {
    fn of(rules: &RoomVersionRules, draft: &Draft, place: &Place<'_>) -> Result<Self, serde_json::Error> {
        let text = |text: &str| serde_json::to_string(text);
        let number = |number: i64| i64::from(Int::new_saturating(number));
        let redacts = draft.redacts.as_ref().filter(|_| !rules.redaction.content_field_redacts);
        Ok(Self {
            auth_events: serde_json::to_string(&place.auth)?,
            depth: number(place.depth),
            ts: number(i64::from(draft.ts.0)),
            prev_events: serde_json::to_string(&place.prev)?,
            redacts: redacts.map(|redacts| text(redacts.as_str())).transpose()?,
            room_id: place.room_id.map(|room_id| text(room_id.as_str())).transpose()?,
            sender: text(draft.sender.as_str())?,
            state_key: draft.state_key.as_deref().map(text).transpose()?,
            kind: text(&draft.kind.to_string())?,
        })
    }

    /// The event in canonical JSON: its members in the order of their names. No redaction leaves `redacts`.
    fn written(&self, content: &str, with_redacts: bool, hashes: Option<&str>, signatures: Option<&str>) -> String {
        let (depth, ts) = (self.depth.to_string(), self.ts.to_string());
        let members = [
            ("auth_events", Some(self.auth_events.as_str())),
            ("content", Some(content)),
            ("depth", Some(&depth)),
            ("hashes", hashes),
            ("origin_server_ts", Some(&ts)),
            ("prev_events", Some(&self.prev_events)),
            ("redacts", self.redacts.as_deref().filter(|_| with_redacts)),
            ("room_id", self.room_id.as_deref()),
            ("sender", Some(&self.sender)),
            ("signatures", signatures),
            ("state_key", self.state_key.as_deref()),
            ("type", Some(&self.kind)),
        ];
        let length: usize =
            members.iter().filter_map(|(name, value)| Some(name.len() + value.as_ref()?.len() + 4)).sum();
        let mut out = String::with_capacity(length + 1);
        for (name, value) in members {
            let Some(value) = value else { continue };
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::{
        RoomVersionId, room_id,
        signatures::{hash_and_sign_event, reference_hash},
        user_id,
    };
    use serde_json::Value;

    use super::*;

    /// The same by the library, which hashes and signs any object.
    fn by_the_library(
        (server, key): (&str, &Ed25519KeyPair),
        rules: &RoomVersionRules,
        draft: &Draft,
        place: &Place<'_>,
    ) -> Signed {
        let mut event = json!({
            "auth_events": place.auth,
            "content": draft.content,
            "depth": place.depth,
            "origin_server_ts": draft.ts,
            "prev_events": place.prev,
            "sender": draft.sender,
            "type": draft.kind.to_string(),
        });
        let mut add = |name: &str, value: Option<&str>| value.map(|value| event[name] = Value::from(value));
        add("room_id", place.room_id.map(RoomId::as_str));
        add("state_key", draft.state_key.as_deref());
        let redacts = draft.redacts.as_deref().filter(|_| !rules.redaction.content_field_redacts);
        add("redacts", redacts.map(EventId::as_str));
        let CanonicalJsonValue::Object(mut object) = event.try_into().unwrap() else { unreachable!() };
        hash_and_sign_event(server, key, &mut object, &rules.redaction).unwrap();
        let hash = reference_hash(&object, rules).unwrap();
        Signed { json: serde_json::to_string(&object).unwrap(), hash }
    }

    fn drafts() -> impl Strategy<Value = (Draft, bool)> {
        const KINDS: &[&str] = &[
            "m.room.message",
            "m.room.member",
            "m.room.create",
            "m.room.join_rules",
            "m.room.power_levels",
            "m.room.history_visibility",
            "m.room.aliases",
            "m.room.redaction",
            "odd \"type\"\u{7}",
        ];
        const KEYS: &[&str] =
            &["membership", "creator", "join_rule", "ban", "aliases", "redacts", "history_visibility", "a\u{1f600}\n"];
        let value = prop_oneof![
            ".{0,8}".prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(json!({ "b": [], "a": {} }))
        ];
        let content = prop::collection::btree_map(prop::sample::select(KEYS), value, 0..4);
        (prop::sample::select(KINDS), prop::option::of(".{0,6}"), content, any::<bool>(), any::<bool>()).prop_map(
            |(kind, state_key, content, redacts, in_room)| {
                let raw = serde_json::value::to_raw_value(&content).unwrap();
                let sender = user_id!("@a:b.example");
                let ts = MilliSecondsSinceUnixEpoch(1_700_000_000_000_u64.try_into().unwrap());
                let content = canonical(&raw).unwrap();
                let mut draft = Draft::new(kind, state_key.as_deref(), sender, content, ts).unwrap();
                draft.redacts = redacts.then(|| OwnedEventId::try_from("$redacted").unwrap());
                (draft, in_room)
            },
        )
    }

    proptest! {
        #[test]
        fn events_are_hashed_and_signed_as_the_library_does((mut draft, in_room) in drafts()) {
            let key = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".to_owned()).unwrap();
            let server = ("b.example", &key);
            for version in [RoomVersionId::V1, RoomVersionId::V3, RoomVersionId::V6, RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12] {
                let rules = version.rules().unwrap();
                let ids = |ids: &[&str]| ids.iter().map(|id| OwnedEventId::try_from(*id).unwrap()).collect();
                let place = Place {
                    room_id: in_room.then_some(room_id!("!r:b.example")),
                    prev: ids(&["$prev"]),
                    auth: ids(&["$create", "$power"]),
                    depth: 7,
                };
                let expected = by_the_library(server, &rules, &draft, &place);
                let content = draft.content.clone();
                prop_assert_eq!(sign(server, &rules, &mut draft, &place).unwrap(), expected);
                draft.content = content;
            }
        }
    }
}
