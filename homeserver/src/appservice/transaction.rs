//! The body of a transaction ([spec]), built once and then frozen
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#put_matrixappv1transactionstxnid

use serde::Serialize;
use serde_json::value::RawValue;

/// What one transaction carries.
#[derive(Debug, Default)]
pub(super) struct TransactionBody {
    pub(super) events: Vec<Box<RawValue>>,
    pub(super) ephemeral: Vec<Box<RawValue>>,
}

/// Ephemeral events go under both names: the stable one, and the one much software still reads alone.
#[derive(Serialize)]
struct Wire<'a> {
    events: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ephemeral: &'a [Box<RawValue>],
    #[serde(rename = "de.sorunome.msc2409.ephemeral", skip_serializing_if = "<[_]>::is_empty")]
    unstable_ephemeral: &'a [Box<RawValue>],
}

impl TransactionBody {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.ephemeral.is_empty()
    }

    /// The bytes that are sent, and sent again.
    pub(super) fn freeze(&self) -> Result<Vec<u8>, serde_json::Error> {
        let wire = Wire { events: &self.events, ephemeral: &self.ephemeral, unstable_ephemeral: &self.ephemeral };
        serde_json::to_vec(&wire)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn ephemeral_events_go_under_both_names() {
        let typing = to_raw_value(&serde_json::json!({ "type": "m.typing" })).unwrap();
        let body = TransactionBody { events: vec![], ephemeral: vec![typing] };
        let text = String::from_utf8(body.freeze().unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"events":[],"ephemeral":[{"type":"m.typing"}],"de.sorunome.msc2409.ephemeral":[{"type":"m.typing"}]}"#
        );
        assert_eq!(TransactionBody::default().freeze().unwrap(), br#"{"events":[]}"#);
    }
}
