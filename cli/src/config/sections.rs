//! Reads a YAML map key by key, so that a fault in one section does not hide those of the next.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_yaml::with_deserializer_from_str_with_options;

/// How deep a configuration may be nested. Deeper than this nothing is meant, and each level takes stack.
const MAX_DEPTH: usize = 16;

/// The text of a configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sections<'a>(pub(crate) &'a str);

/// A section that cannot be read: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Line and column, from one.
    pub(crate) at: Option<(u64, u64)>,
    /// Why.
    pub(crate) problem: String,
}

impl Sections<'_> {
    /// The names of all sections.
    pub(crate) fn names(self) -> Result<Vec<String>, Unreadable> {
        let mut names = Vec::new();
        self.walk::<IgnoredAny>(&mut |name| {
            names.push(name.to_owned());
            false
        })?;
        Ok(names)
    }

    /// One section; `None` if it is not there.
    pub(crate) fn read<T: DeserializeOwned>(self, name: &str) -> Result<Option<T>, Unreadable> {
        self.walk(&mut |key| key == name)
    }

    /// The last section that is wanted.
    fn walk<T: DeserializeOwned>(self, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Option<T>, Unreadable> {
        // The default error text shows neighbouring lines, which are passwords.
        let options = serde_yaml::options! {
            with_snippet: false,
            budget: serde_yaml::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH },
        };
        let seed = Walk { wanted, section: PhantomData };
        with_deserializer_from_str_with_options(self.0, options, |deserializer| seed.deserialize(deserializer))
            .map_err(|error| unreadable(&error))
    }
}

fn unreadable(error: &serde_yaml::Error) -> Unreadable {
    let at = error.location().map(|place| (place.line(), place.column()));
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default();
    let end = [" at line ", ", set "].iter().filter_map(|tail| line.find(tail)).min().unwrap_or(line.len());
    Unreadable { at, problem: line[..end].trim_end_matches('.').to_owned() }
}

struct Walk<'a, T> {
    wanted: &'a mut dyn FnMut(&str) -> bool,
    section: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Walk<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Walk<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of sections, such as `homeserver:`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if (self.wanted)(&key) {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "listen: 3\nirc:\n  a: 1\n  b: [x]\n";

    #[test]
    fn each_section_is_read_by_itself() {
        assert_eq!(Sections(TEXT).names().unwrap(), ["listen", "irc"]);
        assert_eq!(Sections(TEXT).read::<u8>("listen"), Ok(Some(3)));
        assert_eq!(Sections(TEXT).read::<u8>("other"), Ok(None));
        let fault = Sections(TEXT).read::<std::collections::BTreeMap<String, u8>>("irc").unwrap_err();
        assert_eq!(fault.at, Some((4, 6)));
    }

    #[test]
    fn an_empty_file_has_no_sections() {
        assert_eq!(Sections("").names().unwrap(), Vec::<String>::new());
        assert!(Sections("- a").names().is_err());
        assert!(Sections(&"[".repeat(100_000)).names().is_err());
    }
}
