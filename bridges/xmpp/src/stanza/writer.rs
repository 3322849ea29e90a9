//! Stanzas → bytes. Servers end the whole link on one stanza that they do not like, so none of those leaves here.

use super::{Element, Node};
use crate::jid::Jid;

/// Checks what is sent: characters that XML has, a size that the server takes, a sender of ours.
#[derive(Debug, Clone)]
pub struct Guard {
    domain: Box<str>,
    max_bytes: usize,
}

/// Why a stanza is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than the server takes.
    #[error("{bytes} bytes are more than the {max} that the server takes")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The most the server takes.
        max: usize,
    },
    /// Its sender is none of ours: the server would end the link.
    #[error("a stanza may not come from {0}")]
    ForeignSender(String),
}

impl Guard {
    /// For the component of this domain, and stanzas of at most so many bytes.
    pub fn new(domain: &str, max_bytes: usize) -> Self {
        Self { domain: domain.into(), max_bytes }
    }

    /// The most bytes of a stanza.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// A stanza as bytes. Characters that XML does not have are left out.
    ///
    /// # Errors
    /// [`Refused`] for what would end the link.
    pub fn write(&self, stanza: &Element) -> Result<Vec<u8>, Refused> {
        let from = stanza.get("from").unwrap_or_default();
        if Jid::parse(from).is_none_or(|jid| jid.domain() != &*self.domain) {
            return Err(Refused::ForeignSender(from.to_owned()));
        }
        let mut out = String::with_capacity(512);
        write(stanza, super::ns::COMPONENT, &mut out);
        if out.len() > self.max_bytes {
            return Err(Refused::TooLarge { bytes: out.len(), max: self.max_bytes });
        }
        Ok(out.into_bytes())
    }
}

/// Writes any stanza, whoever sent it: for servers in tests.
#[cfg(test)]
pub(crate) fn write_any(stanza: &Element, out: &mut String) {
    write(stanza, super::ns::COMPONENT, out);
}

/// Writes an element inside another of namespace `parent`.
pub(super) fn write(element: &Element, parent: &str, out: &mut String) {
    out.push('<');
    out.push_str(element.name());
    if element.ns() != parent {
        out.push_str(" xmlns='");
        escape(element.ns(), out);
        out.push('\'');
    }
    for (name, value) in element.attrs() {
        out.push(' ');
        out.push_str(name);
        out.push_str("='");
        escape(value, out);
        out.push('\'');
    }
    if element.nodes().is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for node in element.nodes() {
        match node {
            Node::Element(child) => write(child, element.ns(), out),
            Node::Text(text) => escape(text, out),
        }
    }
    out.push_str("</");
    out.push_str(element.name());
    out.push('>');
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&apos;"),
            // Attributes would be normalised.
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c if is_xml(c) => out.push(c),
            _ => {}
        }
    }
}

/// Whether XML 1.0 has this character.
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_from_elsewhere_never_leaves() {
        let guard = Guard::new("matrix.test", 1000);
        for from in ["", "eve@xmpp.test", "matrix.test.evil", "x@sub.matrix.test"] {
            let stanza = Element::stanza("message", from, "a@xmpp.test", "");
            assert_eq!(guard.write(&stanza), Err(Refused::ForeignSender(from.to_owned())));
        }
        assert!(guard.write(&Element::stanza("message", "a@matrix.test/x", "b@xmpp.test", "")).is_ok());
    }

    #[test]
    fn a_stanza_that_is_too_large_never_leaves() {
        let guard = Guard::new("matrix.test", 1000);
        let stanza = Element::stanza("message", "a@matrix.test", "b@xmpp.test", "").with_text("<".repeat(400));
        assert!(matches!(guard.write(&stanza), Err(Refused::TooLarge { max: 1000, .. })));
    }

    #[test]
    fn what_xml_does_not_have_is_left_out() {
        let text = "a\u{0}b\u{b}c\u{ffff}d\u{fffe}<'&>\"\n";
        let stanza = Element::stanza("message", "a@matrix.test", "b@xmpp.test", "").with_text(text);
        let bytes = Guard::new("matrix.test", 1000).write(&stanza).unwrap();
        assert!(String::from_utf8(bytes).unwrap().ends_with(">abcd&lt;&apos;&amp;&gt;\"&#10;</message>"));
    }
}
