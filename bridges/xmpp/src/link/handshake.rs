//! How a component begins ([XEP-0114 §3](https://xmpp.org/extensions/xep-0114.html#proto)).

use sha1::{Digest as _, Sha1};

use crate::stanza::{Element, ns};

/// The beginning of the stream of a component.
pub fn opening(domain: &str) -> String {
    let mut escaped = String::new();
    for c in domain.chars() {
        match c {
            '<' | '>' | '&' | '\'' | '"' => {}
            c => escaped.push(c),
        }
    }
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='{}' xmlns:stream='{}' to='{escaped}'>",
        ns::COMPONENT,
        ns::STREAM
    )
}

/// What proves that the secret is known: the hash of the stream's id and the secret.
pub fn digest(stream_id: &str, secret: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(stream_id.as_bytes());
    hash.update(secret.as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why the server ended the stream ([RFC 6120 §4.9](https://www.rfc-editor.org/rfc/rfc6120#section-4.9)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFault {
    /// The condition's name.
    pub condition: String,
    /// In words, where there are any.
    pub text: Option<String>,
}

impl StreamFault {
    /// Reads a stream error; `None` for any other stanza.
    pub fn of(stanza: &Element) -> Option<Self> {
        if !stanza.is("error", ns::STREAM) {
            return None;
        }
        let condition = stanza.children().find(|child| child.name() != "text");
        let text = stanza.children().find(|child| child.name() == "text").map(Element::text);
        Some(Self {
            condition: condition.map_or_else(|| "undefined-condition".to_owned(), |c| c.name().to_owned()),
            text,
        })
    }

    /// Whether another connection has our place.
    pub fn is_conflict(&self) -> bool {
        self.condition == "conflict"
    }
}

impl std::fmt::Display for StreamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{} ({text})", self.condition),
            None => f.write_str(&self.condition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the document.
    #[test]
    fn the_digest_is_that_of_the_document() {
        assert_eq!(digest("3BF96D32", "secret"), {
            let hash = Sha1::digest(b"3BF96D32secret");
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        assert_eq!(digest("", "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn a_domain_cannot_break_out_of_the_opening() {
        assert!(!opening("x'><evil/>").contains("<evil"));
    }
}
