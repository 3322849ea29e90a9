//! An event's bytes: content hash, signature, reference hash
//! (<https://spec.matrix.org/v1.19/server-server-api/#signing-events>).

use ruma::{
    Int,
    canonical_json::redact_content_in_place,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
    serde::{
        Base64,
        base64::{Standard, UrlSafe},
    },
    signatures::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Draft, Place};

/// An event's bytes, and its reference hash as its id says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) json: String,
    pub(super) hash: String,
}

/// Hashes and signs an event
/// ([spec](https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events)). What is hashed, signed and
/// sent differs in few members, so each is written once. Takes the parsed content, of which the text stays.
pub(super) fn sign(
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
        CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, RoomVersionId, room_id,
        signatures::{hash_and_sign_event, reference_hash},
        user_id,
    };
    use serde_json::Value;

    use super::{super::canonical, *};

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
