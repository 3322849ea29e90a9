//! YAML as a tree that knows where everything stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_yaml::Spanned;

use crate::{Fault, Position};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Option<Position>,
    pub(crate) value: Value,
}

/// A value. Numbers are only told apart from text: what they mean is decided by whoever reads them.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool,
    Number,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Value {
    /// What to call it in a sentence.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// How deep a file may be nested; a registration has four levels. Each takes some 40 kB of stack in an unoptimised build.
const MAX_DEPTH: usize = 16;

/// How many values may be copies by alias, so that a small file does not become a large one.
const MAX_COPIES: usize = 20_000;

fn options() -> serde_yaml::Options {
    // The default error text shows neighbouring lines, which are tokens.
    serde_yaml::options! {
        with_snippet: false,
        budget: serde_yaml::budget! { max_depth: MAX_DEPTH, max_events: 2_000_000, flow_nesting_limit: MAX_DEPTH },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_COPIES },
    }
}

/// Reads text into any type; the first fault ends it.
pub(crate) fn parse<T: de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_yaml::from_str_with_options(text, options()).map_err(|error| fault(&error))
}

/// Writes text that YAML 1.1 and YAML 1.2 readers read alike.
pub(crate) fn print<T: serde::Serialize>(value: &T) -> Result<String, String> {
    let options = serde_yaml::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
    serde_yaml::to_string_with_options(value, options).map_err(|error| error.to_string())
}

fn fault(error: &serde_yaml::Error) -> Fault {
    let at = error.location().map(|place| Position { line: place.line(), column: place.column() });
    let message = error.to_string();
    let problem = without_advice(message.lines().next().unwrap_or_default());
    Fault {
        at,
        path: String::new(),
        problem: format!("not valid YAML: {problem}"),
        fix: "Correct it; indent with spaces, and put text with special characters between single quotes.".to_owned(),
    }
}

/// The place is told apart, and how to set the reader's options is not for the reader of this.
fn without_advice(message: &str) -> &str {
    let end = [" at line ", ", set "].iter().filter_map(|tail| message.find(tail)).min();
    message[..end.unwrap_or(message.len())].trim_end_matches('.')
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let place = spanned.defined;
        let at = (place.line() > 0).then(|| Position { line: place.line(), column: place.column() });
        Ok(Self { at, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}
