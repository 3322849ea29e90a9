//! Signatures on keys: the server checks what it can, so that a client's mistake does not spread ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#cross-signing

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, SigningKeyAlgorithm, UserId,
    serde::Base64,
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use serde_json::{Map, Value, json};

/// The one public key of a cross-signing key object: its id (`ed25519:…`) and the key.
pub(crate) fn public_key(object: &Value) -> Option<(&str, &str)> {
    let mut keys = object["keys"].as_object()?.iter();
    let (id, key) = keys.next()?;
    if keys.next().is_some() {
        return None;
    }
    Some((id, key.as_str()?))
}

/// Whether `object` carries a signature of `by` under `key_id`, made with `key`.
pub(crate) fn is_signed(object: &Value, by: &UserId, key_id: &str, key: &str) -> bool {
    let verified = || -> Option<()> {
        let signature = object["signatures"][by.as_str()][key_id].as_str()?;
        let signature = Base64::<ruma::serde::base64::Standard>::parse(signature).ok()?;
        let key = Base64::<ruma::serde::base64::Standard>::parse(key).ok()?;
        let canonical: CanonicalJsonValue = object.clone().try_into().ok()?;
        let CanonicalJsonValue::Object(canonical) = canonical else { return None };
        let canonical: CanonicalJsonObject = canonical;
        let bytes = to_canonical_json_string_for_signing(&canonical).ok()?;
        let algorithm = SigningKeyAlgorithm::Ed25519;
        verify_canonical_json_bytes(&algorithm, key.as_bytes(), signature.as_bytes(), bytes.as_bytes()).ok()
    };
    key_id.starts_with("ed25519:") && verified().is_some()
}

/// Adds signatures of a user to those that an object has.
pub(crate) fn add_signatures(object: &mut Value, by: &UserId, new: &Map<String, Value>) {
    let Some(object) = object.as_object_mut() else { return };
    let Some(all) = object.entry("signatures").or_insert_with(|| json!({})).as_object_mut() else { return };
    if let Some(of_signer) = all.entry(by.as_str()).or_insert_with(|| json!({})).as_object_mut() {
        of_signer.extend(new.clone());
    }
}

#[cfg(test)]
mod tests {
    use ruma::{serde::Base64, signatures::Ed25519KeyPair, user_id};

    use super::*;

    #[test]
    fn a_signature_counts_for_its_object_and_its_key_alone() {
        let pair = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "K".to_owned()).unwrap();
        let key = Base64::<ruma::serde::base64::Standard>::new(pair.public_key().to_vec()).encode();
        let object = json!({ "user_id": "@a:b.example", "keys": { "ed25519:x": "x" }, "signatures": {} });
        let mut object: CanonicalJsonObject = serde_json::from_value(object).unwrap();
        ruma::signatures::sign_json("@a:b.example", &pair, &mut object).unwrap();
        let mut object: Value = serde_json::to_value(object).unwrap();
        let alice = user_id!("@a:b.example");
        assert!(is_signed(&object, alice, "ed25519:K", &key));
        object["unsigned"] = json!({ "name": "what is not signed may change" });
        assert!(is_signed(&object, alice, "ed25519:K", &key));
        assert!(!is_signed(&object, user_id!("@c:b.example"), "ed25519:K", &key));
        assert!(!is_signed(&object, alice, "ed25519:L", &key));
        object["user_id"] = json!("@c:b.example");
        assert!(!is_signed(&object, alice, "ed25519:K", &key));
        assert!(!is_signed(
            &json!({ "signatures": { "@a:b.example": { "ed25519:K": "?" } } }),
            alice,
            "ed25519:K",
            "?"
        ));
    }

    #[test]
    fn a_cross_signing_key_is_one_key() {
        assert_eq!(public_key(&json!({ "keys": { "ed25519:a": "a" } })), Some(("ed25519:a", "a")));
        assert_eq!(public_key(&json!({ "keys": { "ed25519:a": "a", "ed25519:b": "b" } })), None);
        assert_eq!(public_key(&json!({ "keys": {} })), None);
    }
}
