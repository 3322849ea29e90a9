//! By which our own occupants and messages are known again after a restart, when nothing else tells whose they were: marks that
//! only we can make.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The key of the marks.
#[derive(Clone)]
pub struct Marks(Box<[u8]>);

impl std::fmt::Debug for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Marks(…)")
    }
}

impl Marks {
    /// From the secret of the component.
    pub fn new(secret: &str) -> Self {
        Self(format!("landbridge-xmpp {secret}").into_bytes().into())
    }

    /// The mark that our occupant of this nick carries in its presence.
    pub fn occupant(&self, room: &str, nick: &str) -> String {
        self.mark(&["occupant", room, nick])
    }

    /// The id of a message: the event it is, which part of it, and the mark.
    pub fn message_id(&self, event_id: &str, part: usize) -> String {
        let mark = self.mark(&["message", event_id, &part.to_string()]);
        format!("{event_id}.{part}.{}", &mark[..16])
    }

    /// Whether a message's id is one that we made.
    pub fn made(&self, id: &str) -> bool {
        let mut parts = id.rsplitn(3, '.');
        let (Some(_), Some(part), Some(event_id)) = (parts.next(), parts.next(), parts.next()) else { return false };
        part.parse().is_ok_and(|part| self.message_id(event_id, part) == id)
    }

    fn mark(&self, texts: &[&str]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return "0".repeat(32) };
        for text in texts {
            mac.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(text.as_bytes());
        }
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_ours_are_known_and_those_of_others_are_not() {
        let marks = Marks::new("s3cret");
        for (event_id, part) in [("$abc:server", 0), ("$with.dots.in.it", 12), ("$", 0)] {
            assert!(marks.made(&marks.message_id(event_id, part)));
        }
        let other = Marks::new("another").message_id("$abc:server", 0);
        for id in [other.as_str(), "", "1", "a.b.c", "$abc:server.0.0123456789abcdef", "$abc:server"] {
            assert!(!marks.made(id), "{id}");
        }
        assert_ne!(marks.occupant("a@b", "c"), marks.occupant("a@bc", ""));
    }
}
