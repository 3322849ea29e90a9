//! The body of a transaction ([spec]), built once and then frozen
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#put_matrixappv1transactionstxnid

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedUserId;
use serde::Serialize;
use serde_json::value::RawValue;

/// By user, then by device.
pub(super) type ByDevice<T> = BTreeMap<String, BTreeMap<String, T>>;

/// What one transaction carries.
#[derive(Debug, Default)]
pub(super) struct TransactionBody {
    pub(super) events: Vec<Box<RawValue>>,
    pub(super) ephemeral: Vec<Box<RawValue>>,
    pub(super) to_device: Vec<Box<RawValue>>,
    pub(super) device_lists: DeviceLists,
    /// How many one-time keys are left, by algorithm.
    pub(super) key_counts: ByDevice<BTreeMap<String, u32>>,
    /// Of which algorithms there are fallback keys that nobody used.
    pub(super) fallback: ByDevice<Vec<String>>,
}

/// Users whose devices are to be looked at anew, and those that are none of the service's business any more.
#[derive(Debug, Default, Serialize)]
pub(super) struct DeviceLists {
    pub(super) changed: BTreeSet<OwnedUserId>,
    pub(super) left: BTreeSet<OwnedUserId>,
}

impl DeviceLists {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

/// What has an unstable name goes under both: much software reads only the old ones. One of them was in use in two spellings.
#[derive(Serialize)]
struct Wire<'a> {
    events: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ephemeral: &'a [Box<RawValue>],
    #[serde(rename = "de.sorunome.msc2409.ephemeral", skip_serializing_if = "<[_]>::is_empty")]
    unstable_ephemeral: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    to_device: &'a [Box<RawValue>],
    #[serde(rename = "de.sorunome.msc2409.to_device", skip_serializing_if = "<[_]>::is_empty")]
    unstable_to_device: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "Option::is_none")]
    device_lists: Option<&'a DeviceLists>,
    #[serde(rename = "org.matrix.msc3202.device_lists", skip_serializing_if = "Option::is_none")]
    unstable_device_lists: Option<&'a DeviceLists>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_one_time_keys_count: Option<&'a ByDevice<BTreeMap<String, u32>>>,
    #[serde(rename = "org.matrix.msc3202.device_one_time_keys_count", skip_serializing_if = "Option::is_none")]
    unstable_keys_count: Option<&'a ByDevice<BTreeMap<String, u32>>>,
    #[serde(rename = "org.matrix.msc3202.device_one_time_key_counts", skip_serializing_if = "Option::is_none")]
    unstable_key_counts: Option<&'a ByDevice<BTreeMap<String, u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_unused_fallback_key_types: Option<&'a ByDevice<Vec<String>>>,
    #[serde(rename = "org.matrix.msc3202.device_unused_fallback_key_types", skip_serializing_if = "Option::is_none")]
    unstable_fallback: Option<&'a ByDevice<Vec<String>>>,
}

impl TransactionBody {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.ephemeral.is_empty()
            && self.to_device.is_empty()
            && self.device_lists.is_empty()
            && self.key_counts.is_empty()
    }

    /// The bytes that are sent, and sent again.
    pub(super) fn freeze(&self) -> Result<Vec<u8>, serde_json::Error> {
        let device_lists = (!self.device_lists.is_empty()).then_some(&self.device_lists);
        let counts = (!self.key_counts.is_empty()).then_some(&self.key_counts);
        let fallback = (!self.key_counts.is_empty()).then_some(&self.fallback);
        serde_json::to_vec(&Wire {
            events: &self.events,
            ephemeral: &self.ephemeral,
            unstable_ephemeral: &self.ephemeral,
            to_device: &self.to_device,
            unstable_to_device: &self.to_device,
            device_lists,
            unstable_device_lists: device_lists,
            device_one_time_keys_count: counts,
            unstable_keys_count: counts,
            unstable_key_counts: counts,
            device_unused_fallback_key_types: fallback,
            unstable_fallback: fallback,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;

    #[test]
    fn ephemeral_events_go_under_both_names() {
        let typing = to_raw_value(&json!({ "type": "m.typing" })).unwrap();
        let body = TransactionBody { ephemeral: vec![typing], ..TransactionBody::default() };
        let text = String::from_utf8(body.freeze().unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"events":[],"ephemeral":[{"type":"m.typing"}],"de.sorunome.msc2409.ephemeral":[{"type":"m.typing"}]}"#
        );
        assert_eq!(TransactionBody::default().freeze().unwrap(), br#"{"events":[]}"#);
    }

    #[test]
    fn key_counts_go_under_every_name_in_use() {
        let counts = BTreeMap::from([("D".to_owned(), BTreeMap::from([("signed_curve25519".to_owned(), 3)]))]);
        let key_counts = BTreeMap::from([("@a:b.example".to_owned(), counts)]);
        let body = TransactionBody { key_counts, ..TransactionBody::default() };
        let sent: serde_json::Value = serde_json::from_slice(&body.freeze().unwrap()).unwrap();
        let expected = json!({ "@a:b.example": { "D": { "signed_curve25519": 3 } } });
        assert_eq!(sent["device_one_time_keys_count"], expected);
        assert_eq!(sent["org.matrix.msc3202.device_one_time_keys_count"], expected);
        assert_eq!(sent["org.matrix.msc3202.device_one_time_key_counts"], expected);
    }
}
