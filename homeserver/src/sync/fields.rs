//! The fields of events that a client wants ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter

use landbridge_axum_ruma::MatrixError;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::http::error::ApiError;

/// How many fields are heeded; further ones are passed over.
const MAX_FIELDS: usize = 256;

/// The wanted fields, each as the way to it; `None`: all.
pub(crate) struct EventFields(Option<Vec<Vec<String>>>);

impl EventFields {
    /// Reads fields like `content.body`. A backslash before a dot or a backslash takes its meaning away.
    pub(crate) fn new(fields: Option<&[String]>) -> Self {
        Self(fields.map(|fields| fields.iter().take(MAX_FIELDS).map(|field| split(field)).collect()))
    }

    /// Leaves only the wanted fields of events.
    pub(crate) fn select_all(&self, events: Vec<Box<RawValue>>) -> Result<Vec<Box<RawValue>>, ApiError> {
        let Some(fields) = &self.0 else { return Ok(events) };
        let select = |event: Box<RawValue>| {
            let event: Value = serde_json::from_str(event.get()).map_err(|_| MatrixError::internal())?;
            let mut selected = Map::new();
            for field in fields {
                copy(&event, &mut selected, field);
            }
            Ok(to_raw_value(&selected).map_err(|_| MatrixError::internal())?)
        };
        events.into_iter().map(select).collect()
    }
}

fn split(field: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = field.chars().peekable();
    while let Some(character) = characters.next() {
        let next = match character {
            '.' => {
                parts.push(String::new());
                continue;
            }
            '\\' => characters.next_if(|next| matches!(next, '.' | '\\')).unwrap_or('\\'),
            other => other,
        };
        if let Some(last) = parts.last_mut() {
            last.push(next);
        }
    }
    parts
}

fn copy(from: &Value, to: &mut Map<String, Value>, path: &[String]) {
    let [first, rest @ ..] = path else { return };
    let Some(value) = from.get(first) else { return };
    if rest.is_empty() {
        to.insert(first.clone(), value.clone());
        return;
    }
    let mut inner = match to.get(first) {
        Some(Value::Object(inner)) => inner.clone(),
        _ => Map::new(),
    };
    copy(value, &mut inner, rest);
    if !inner.is_empty() {
        to.insert(first.clone(), inner.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dots_lead_into_objects_unless_they_are_escaped() {
        for (field, parts) in [
            ("content.body", vec!["content", "body"]),
            (r"content.m\.relates_to", vec!["content", "m.relates_to"]),
            (r"a\\.b", vec![r"a\", "b"]),
            (r"a\b", vec![r"a\b"]),
            ("", vec![""]),
        ] {
            assert_eq!(split(field), parts, "{field}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_left() {
        let event = to_raw_value(&json!({ "type": "x", "content": { "body": "b", "m.a": { "k": 1 } }, "sender": "s" }));
        let fields = ["type", "content.body", r"content.m\.a.k", "content.none", "nothing.there"].map(str::to_owned);
        let selected = EventFields::new(Some(&fields)).select_all(vec![event.unwrap()]).unwrap();
        let selected: Value = serde_json::from_str(selected[0].get()).unwrap();
        assert_eq!(selected, json!({ "type": "x", "content": { "body": "b", "m.a": { "k": 1 } } }));
    }
}
