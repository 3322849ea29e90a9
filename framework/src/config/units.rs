//! Times and sizes as people write them.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A length of time: a number of seconds, or `90s`, `10m`, `1h30m`, `2d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A size: a number of bytes, or `64KiB`, `50MiB`, `1GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const TIMES: [(&str, u64); 5] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1), ("", 1)];
const SIZES: [(&str, u64); 11] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
];

impl Span {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut seconds = 0_u64;
        while !rest.is_empty() {
            let (amount, unit, tail) = part(rest)?;
            let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit)?;
            // A bare number stands alone: `1h30` could mean two things.
            if unit.is_empty() && (seconds > 0 || !tail.is_empty()) {
                return None;
            }
            seconds = seconds.checked_add(amount.checked_mul(*factor)?)?;
            rest = tail;
        }
        (!text.trim().is_empty()).then(|| Self(Duration::from_secs(seconds)))
    }
}

impl ByteSize {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let (amount, unit, tail) = part(text.trim())?;
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit)?;
        tail.is_empty().then(|| amount.checked_mul(*factor).map(Self))?
    }
}

/// Digits, the letters after them, and the rest.
fn part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (amount, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(letters);
    Some((amount.parse().ok()?, unit, tail.trim_start()))
}

/// Text or a whole number, as text.
struct Written;

impl de::Visitor<'_> for Written {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with a unit")
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Written)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("expected a length of time such as 30s, 10m, 1h30m or 2d"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Written)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("expected a size such as 500KB or 50MiB"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_and_sizes_as_people_write_them() {
        let seconds = |text| Span::parse(text).map(|span| span.0.as_secs());
        for (text, expected) in [
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("2 d", Some(172_800)),
            ("15", Some(15)),
            ("0", Some(0)),
            ("", None),
            ("m", None),
            ("1h30", None),
            ("5y", None),
            ("-5s", None),
            ("1.5h", None),
            ("99999999999999999999s", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
        let bytes = |text| ByteSize::parse(text).map(|size| size.0);
        for (text, expected) in [
            ("1", Some(1)),
            ("64KiB", Some(65_536)),
            ("50 MiB", Some(52_428_800)),
            ("1GB", Some(1_000_000_000)),
            ("x", None),
            ("", None),
            ("5 apples", None),
            ("5MiB5", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }
}
