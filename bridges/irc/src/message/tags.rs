//! Message tags: `@key=value;key2;+client-only=value`.

use std::fmt;

/// Milliseconds since 1970 by the server's clock ([server-time]).
///
/// [server-time]: https://ircv3.net/specs/extensions/server-time
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTime(pub i64);

impl ServerTime {
    /// Reads `2012-06-30T23:59:58.419Z`; `None` for anything that is no such time.
    pub fn parse(text: &str) -> Option<Self> {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }
}

/// Most tags read from one line; what a server sends beyond is passed over.
const MAX_TAGS: usize = 256;

/// The tags of one line, values unescaped, in the order they came. The last of a repeated key counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<(Box<str>, Box<str>)>);

impl Tags {
    /// Reads the part between `@` and the space. A tag without value and one with an empty value are the same.
    pub(super) fn parse(raw: &str) -> Self {
        let mut tags = Self::default();
        for tag in raw.split(';').take(MAX_TAGS) {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            if !key.is_empty() {
                tags.insert(key, &unescape(value));
            }
        }
        tags
    }

    /// The value of a tag; the empty string for one without value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }

    /// Adds a tag or replaces its value. A key that cannot be written (empty, or with `;`, `=`, a space or a
    /// control character in it) is left out.
    pub fn insert(&mut self, key: &str, value: &str) {
        if key.is_empty() || key.bytes().any(|byte| matches!(byte, b';' | b'=' | b' ' | b'@' | 0..=31)) {
            return;
        }
        match self.0.iter_mut().find(|(name, _)| &**name == key) {
            Some(tag) => tag.1 = value.into(),
            None => self.0.push((key.into(), value.into())),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Key and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Bytes on the wire with the `@` and the space; 0 without tags.
    pub(super) fn encoded_len(&self) -> usize {
        if self.is_empty() { 0 } else { self.to_string().len() + 2 }
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            f.write_str(key)?;
            if !value.is_empty() {
                write!(f, "={}", escape(value))?;
            }
        }
        Ok(())
    }
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            ';' => escaped.push_str("\\:"),
            ' ' => escaped.push_str("\\s"),
            '\\' => escaped.push_str("\\\\"),
            '\r' => escaped.push_str("\\r"),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some(':') => plain.push(';'),
            Some('s') => plain.push(' '),
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unescaped_as_the_specification_says() {
        let table = [
            ("a=b\\:c", "b;c"),
            ("a=b\\sc", "b c"),
            ("a=\\\\\\r\\n", "\\\r\n"),
            ("a=b\\", "b"),
            ("a=b\\xc", "bxc"),
            ("a", ""),
            ("a=", ""),
            ("a=1;a=2", "2"),
            ("a=x=y", "x=y"),
        ];
        for (raw, value) in table {
            assert_eq!(Tags::parse(raw).get("a"), Some(value), "{raw}");
        }
    }

    #[test]
    fn empty_and_keyless_tags_are_passed_over() {
        let tags = Tags::parse(";;=x;b=1;");
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("b", "1")]);
    }

    #[test]
    fn server_time_is_milliseconds() {
        assert_eq!(ServerTime::parse("1970-01-01T00:00:01.500Z"), Some(ServerTime(1500)));
        assert_eq!(ServerTime::parse("2026-11-21T12:00:00.000Z").map(|at| at.0 % 1000), Some(0));
        assert_eq!(ServerTime::parse("yesterday"), None);
        assert_eq!(ServerTime::parse("9999999-01-01T00:00:00Z"), None);
    }
}
