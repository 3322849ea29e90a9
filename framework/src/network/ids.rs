//! Ids: the network's own, a session's, and the key under which one operation is known in every attempt.

pub mod as_text;

use std::{fmt, fmt::Write as _, hash::Hash};

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// An id of the network. Equal things have equal ids, and `decode(encode(x)) == Some(x)`.
pub trait RemoteId:
    Clone + Eq + Ord + Hash + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The text under which the id is stored.
    fn encode(&self) -> String;
    /// Reads what [`RemoteId::encode`] wrote; `None` for anything else.
    fn decode(text: &str) -> Option<Self>;
    /// The encoded form of another id of the same thing, where it has one: a message may be known by one name to those who answer it,
    /// and by another to who corrects it. Found under either.
    fn also(&self) -> Option<String> {
        None
    }
    /// With another id of the same thing, as [`RemoteId::also`] told it.
    #[must_use]
    fn with_also(self, also: Option<String>) -> Self {
        let _ = also;
        self
    }
}

impl RemoteId for String {
    fn encode(&self) -> String {
        self.clone()
    }
    fn decode(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// Names a session: the same over restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SessionId {
    /// The bot's.
    Relay,
    /// The one that stands for, or belongs to, a Matrix user.
    User(OwnedUserId),
    /// The one through which remote users enter Matrix rooms.
    Gateway,
}

impl SessionId {
    /// The Matrix user whose session it is.
    pub fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::User(user_id) => Some(user_id),
            Self::Relay | Self::Gateway => None,
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay => f.write_str("relay"),
            Self::User(user_id) => f.write_str(user_id.as_str()),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

/// The key under which one operation is known in every attempt, also after a restart: 16 bytes of a hash, written as 32 hexadecimal
/// digits, which fit into an IRC label, an XMPP origin id and a Matrix transaction id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

impl IdempotencyKey {
    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = [0; 16];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for IdempotencyKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 32 hexadecimal digits"))
    }
}

/// Writes any text with nothing but `a-z0-9._-/` and `=xx`, as [the spec suggests] for mapping from other networks.
///
/// [the spec suggests]: https://spec.matrix.org/v1.19/appendices/#mapping-from-other-character-sets
pub fn escape_localpart(text: &str) -> String {
    escape(text, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/'))
}

/// As [`escape_localpart`], but leaves what room aliases may hold besides, so that `#irc_#lobby:server` reads well.
pub fn escape_alias(text: &str) -> String {
    escape(text, |byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b':' | b'=' | b'A'..=b'Z'))
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "={byte:02x}");
        }
    }
    out
}

/// Reads what [`escape_localpart`] or [`escape_alias`] wrote; `None` for a broken or needless escape, so that no two texts name one id.
pub fn unescape_localpart(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'=' {
            out.push(byte);
            continue;
        }
        let (high, low) = (bytes.next()?, bytes.next()?);
        if high.is_ascii_uppercase() || low.is_ascii_uppercase() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        out.push(digit(high)? * 16 + digit(low)?);
    }
    let out = String::from_utf8(out).ok()?;
    (escape_localpart(&out) == text || escape_alias(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escapes_are_reversible_and_valid(text in ".*") {
            let localpart = escape_localpart(&text);
            prop_assert!(localpart.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' | b'=')));
            prop_assert_eq!(unescape_localpart(&localpart), Some(text.clone()));
            prop_assert_eq!(unescape_localpart(&escape_alias(&text)), Some(text));
        }

        #[test]
        fn whatever_unescapes_is_the_escape_of_something(text in "[a-z0-9=_A-Z]*") {
            if let Some(plain) = unescape_localpart(&text) {
                prop_assert!(escape_localpart(&plain) == text || escape_alias(&plain) == text);
            }
        }

        #[test]
        fn keys_are_reversible(bytes in any::<[u8; 16]>()) {
            let key = IdempotencyKey(bytes);
            prop_assert_eq!(IdempotencyKey::parse(&key.to_string()), Some(key));
        }
    }
}
