//! Finds every fault of a section, where serde stops at the first.
//!
//! It reads, notes the first fault, mends that place with something harmless, and reads again. What was mended is only there to
//! find the next fault: a section with any is never used.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_path_to_error::{Path, Segment};

/// A fault of a section: the path within it, what is wrong, what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) problem: String,
    pub(super) fix: String,
}

/// The most faults that are looked for in a section.
const MOST: usize = 50;

/// Reads a section.
///
/// # Errors
/// All its faults; at least one.
pub(super) fn section<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    loop {
        let fault = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(section) if found.is_empty() => return Ok(section),
            Ok(_) => return Err(found),
            Err(fault) => fault,
        };
        let fault = Fault::of(fault.path(), &fault.inner().to_string());
        let mended = fault.mend::<T>(&mut value);
        found.push(fault.found);
        if !mended || found.len() >= MOST {
            return Err(found);
        }
    }
}

struct Fault {
    found: Found,
    /// Where, in pieces.
    at: Vec<Step>,
    cure: Cure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

enum Cure {
    Remove,
    Replace,
}

impl Fault {
    fn of(path: &Path, message: &str) -> Self {
        let mut at: Vec<Step> = path.iter().filter_map(step).collect();
        if let Some(name) = quoted(message, "unknown field `") {
            if at.last() != Some(&Step::Key(name.to_owned())) {
                at.push(Step::Key(name.to_owned()));
            }
            let fix = message
                .split_once("expected ")
                .map_or("take it away".to_owned(), |(_, known)| format!("take it away, or write {known}"));
            return Self::new(at, "there is no such key".to_owned(), fix, Cure::Remove);
        }
        if let Some(name) = quoted(message, "missing field `") {
            at.push(Step::Key(name.to_owned()));
            return Self::new(at, "is missing".to_owned(), format!("add `{name}:`"), Cure::Replace);
        }
        let (problem, fix) = explain(message);
        Self::new(at, problem, fix, Cure::Replace)
    }

    fn new(at: Vec<Step>, problem: String, fix: String, cure: Cure) -> Self {
        Self { found: Found { path: written(&at), problem, fix }, at, cure }
    }

    /// Makes the place harmless, so that the next fault can be found. Whether that worked.
    fn mend<T: DeserializeOwned>(&self, value: &mut Value) -> bool {
        match self.cure {
            Cure::Remove => remove(value, &self.at),
            Cure::Replace => {
                let stands_ins = [
                    json!("x"),
                    json!("http://localhost"),
                    json!("127.0.0.1:1"),
                    json!("localhost"),
                    json!("@x:localhost"),
                    json!("!x:localhost"),
                    json!(1),
                    json!(true),
                    json!([]),
                    json!({}),
                    Value::Null,
                ];
                for stand_in in stands_ins {
                    let mut attempt = value.clone();
                    if !set(&mut attempt, &self.at, stand_in) {
                        return false;
                    }
                    if self.is_cured::<T>(&attempt) {
                        *value = attempt;
                        return true;
                    }
                }
                false
            }
        }
    }

    fn is_cured<T: DeserializeOwned>(&self, value: &Value) -> bool {
        match serde_path_to_error::deserialize::<_, T>(value) {
            Ok(_) => true,
            Err(error) => {
                let next = Self::of(error.path(), &error.inner().to_string());
                // A fault elsewhere, or of something within, is progress; one here or above is none.
                !self.at.starts_with(&next.at)
            }
        }
    }
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn written(at: &[Step]) -> String {
    let mut path = String::new();
    for step in at {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => {
                path.push('.');
                path.push_str(key);
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.split('`').next()
}

/// serde's words without the value that was found, which could be a password in the wrong place.
fn explain(message: &str) -> (String, String) {
    let invalid = message.strip_prefix("invalid ").and_then(|rest| rest.split_once(", expected "));
    if let Some((found, expected)) = invalid {
        let kind = found.split_once(": ").map_or(found, |(_, kind)| kind);
        let kind = kind.split([' ', '`']).next().unwrap_or_default();
        let kind = match kind {
            "string" => "text",
            "integer" | "floating" => "a number",
            "boolean" => "true or false",
            "map" => "a map",
            "sequence" => "a list",
            "null" | "unit" => "nothing",
            _ => "something else",
        };
        return (format!("is {kind}"), format!("write {}", plain(expected)));
    }
    if let Some((_, expected)) = message.split_once("expected ")
        && message.starts_with("unknown variant")
    {
        return ("is none of what can be written here".to_owned(), format!("write {expected}"));
    }
    if let Some(expected) = message.strip_prefix("expected ") {
        return ("cannot be read".to_owned(), format!("write {expected}"));
    }
    (message.to_owned(), "see the example for what can be written here".to_owned())
}

/// What serde expects, in words.
fn plain(expected: &str) -> &str {
    match expected {
        "usize" | "u8" | "u16" | "u32" | "u64" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") || expected == "a map" => "a map of keys and values",
        _ => expected,
    }
}

fn remove(value: &mut Value, at: &[Step]) -> bool {
    let Some((last, parents)) = at.split_last() else { return false };
    let Some(parent) = find(value, parents) else { return false };
    match (parent, last) {
        (Value::Object(map), Step::Key(key)) => map.remove(key).is_some(),
        _ => false,
    }
}

fn set(value: &mut Value, at: &[Step], stand_in: Value) -> bool {
    let Some((last, parents)) = at.split_last() else {
        *value = stand_in;
        return true;
    };
    let Some(parent) = find(value, parents) else { return false };
    match (parent, last) {
        (Value::Object(map), Step::Key(key)) => {
            map.insert(key.clone(), stand_in);
            true
        }
        // A section that is not there has nothing in it.
        (parent @ Value::Null, Step::Key(key)) => {
            *parent = Value::Object(Map::from_iter([(key.clone(), stand_in)]));
            true
        }
        (Value::Array(list), Step::Index(index)) => list.get_mut(*index).map(|item| *item = stand_in).is_some(),
        _ => false,
    }
}

fn find<'a>(value: &'a mut Value, at: &[Step]) -> Option<&'a mut Value> {
    at.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(*index),
    })
}
