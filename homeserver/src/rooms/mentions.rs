//! Where JSON names events: in the content of events, in what is said beside it, and in the bodies of requests.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

/// Fields whose text is the id of an event, wherever they are.
const FIELDS: [&str; 6] = ["event_id", "redacts", "thread_id", "m.fully_read", "m.read", "m.read.private"];
/// Fields that list ids of events: what is pinned, and the results of a search in groups.
const LISTS: [&str; 2] = ["pinned", "results"];

/// The ids of events that are named in a value: in certain fields, and as the names of fields, as in receipts.
pub(crate) fn mentioned(value: &Value, found: &mut BTreeSet<String>) {
    let mut note = |id: &str| {
        if id.starts_with('$') && !id.contains('\0') {
            found.insert(id.to_owned());
        }
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                note(name);
                match value {
                    Value::String(text) if FIELDS.contains(&name.as_str()) => note(text),
                    Value::Array(ids) if LISTS.contains(&name.as_str()) => {
                        ids.iter().filter_map(Value::as_str).for_each(&mut note);
                    }
                    _ => {}
                }
            }
            fields.values().for_each(|value| mentioned(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| mentioned(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Says other ids in their place; whether there were any to say.
pub(crate) fn replace(value: &mut Value, others: &HashMap<String, String>) -> bool {
    match value {
        Value::Object(fields) => {
            let mut any = false;
            for (name, value) in fields.iter_mut() {
                any |= match value {
                    Value::String(text) if FIELDS.contains(&name.as_str()) => say(text, others),
                    Value::Array(ids) if LISTS.contains(&name.as_str()) => ids.iter_mut().fold(false, |any, id| {
                        any | match id {
                            Value::String(text) => say(text, others),
                            other => replace(other, others),
                        }
                    }),
                    other => replace(other, others),
                };
            }
            if fields.keys().any(|name| others.contains_key(name)) {
                let renamed = std::mem::replace(fields, Map::new()).into_iter();
                fields.extend(renamed.map(|(name, value)| (others.get(&name).cloned().unwrap_or(name), value)));
                any = true;
            }
            any
        }
        Value::Array(values) => values.iter_mut().fold(false, |any, value| replace(value, others) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn say(id: &mut String, others: &HashMap<String, String>) -> bool {
    let Some(other) = others.get(id) else { return false };
    id.clone_from(other);
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_that_names_an_event_is_found_and_nothing_else_is_changed() {
        let mut value = json!({
            "event_id": "$a",
            "redacts": "$b",
            "content": {
                "body": "$a",
                "redacts": "$b",
                "pinned": ["$a", 7, "$c"],
                "m.relates_to": { "event_id": "$a", "m.in_reply_to": { "event_id": "$b" } },
                "list": [{ "event_id": "$a" }, "$a"],
                "results": [{ "event_id": "$a" }, "$a"],
            },
            "$a": { "m.read": { "@x:y": { "thread_id": "$b" } } },
            "m.read": "$a",
        });
        let mut found = BTreeSet::new();
        mentioned(&value, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["$a", "$b", "$c"]);
        let others = HashMap::from([("$a".to_owned(), "$1".to_owned()), ("$b".to_owned(), "$2".to_owned())]);
        assert!(replace(&mut value, &others));
        let expected = json!({
            "event_id": "$1",
            "redacts": "$2",
            "content": {
                "body": "$a",
                "redacts": "$2",
                "pinned": ["$1", 7, "$c"],
                "m.relates_to": { "event_id": "$1", "m.in_reply_to": { "event_id": "$2" } },
                "list": [{ "event_id": "$1" }, "$a"],
                "results": [{ "event_id": "$1" }, "$1"],
            },
            "$1": { "m.read": { "@x:y": { "thread_id": "$2" } } },
            "m.read": "$1",
        });
        assert_eq!(value, expected);
        assert!(!replace(&mut value, &others), "there is nothing left to replace");
    }
}
