//! YAML as a JSON value, with the place of everything in it.

use std::{collections::HashMap, fmt};

use landbridge_registration::Position;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_yaml::Spanned;

use super::Sections;

/// How deep a file may be nested. Deeper than this nothing is meant, and each level takes stack.
const MAX_DEPTH: usize = 32;

/// A file, read.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Its sections, in order.
    pub(super) value: Value,
    places: HashMap<String, Position>,
}

/// Why a file is no YAML.
#[derive(Debug)]
pub(super) struct NotYaml {
    pub(super) at: Option<Position>,
    pub(super) problem: String,
}

impl Tree {
    pub(super) fn read(text: &str) -> Result<Self, NotYaml> {
        // The default error text shows neighbouring lines, which are passwords.
        let options = serde_yaml::options! {
            with_snippet: false,
            budget: serde_yaml::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH },
        };
        let node: Node = serde_yaml::from_str_with_options(text, options).map_err(|error| not_yaml(&error))?;
        let mut tree = Self::default();
        tree.value = tree.take(node, "");
        Ok(tree)
    }

    /// Adds the sections that are not there.
    pub(super) fn complete(&mut self, known: &Sections) {
        if self.value.is_null() {
            self.value = Value::Object(Map::new());
        }
        let Value::Object(sections) = &mut self.value else { return };
        for (name, section) in known {
            let there = sections.entry(name).or_insert(Value::Null);
            if there.is_null() {
                there.clone_from(section);
            }
        }
    }

    /// Where something stands; or, if it does not, where that stands in which it should.
    pub(super) fn place(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn take(&mut self, node: Node, path: &str) -> Value {
        if let Some(at) = node.at {
            self.places.insert(path.to_owned(), at);
        }
        match node.value {
            Yaml::Scalar(value) => value,
            Yaml::List(nodes) => {
                let items = nodes.into_iter().enumerate();
                items.map(|(index, node)| self.take(node, &format!("{path}[{index}]"))).collect()
            }
            Yaml::Map(entries) => {
                let mut map = Map::new();
                for (key, node) in entries {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let value = self.take(node, &path);
                    map.insert(key, value);
                }
                Value::Object(map)
            }
        }
    }
}

fn not_yaml(error: &serde_yaml::Error) -> NotYaml {
    let at = error.location().map(|place| Position { line: place.line(), column: place.column() });
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default();
    let end = line.find(" at line ").unwrap_or(line.len());
    NotYaml { at, problem: format!("is not valid YAML: {}", &line[..end]) }
}

struct Node {
    at: Option<Position>,
    value: Yaml,
}

enum Yaml {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        let place = spanned.defined;
        let at = (place.line() > 0).then(|| Position { line: place.line(), column: place.column() });
        Ok(Self { at, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Number(value.into())))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Yaml, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number without end"))?;
        Ok(Yaml::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element()? {
            list.push(node);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Yaml::Map(map))
    }
}
