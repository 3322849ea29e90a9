//! Stanzas → bytes. Servers end the whole link on one stanza that they do not like, so none of those leaves here.

use rxml::{Namespace, NcNameStr};

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
    /// An element in it is called what XML has no way to write.
    #[error("an element cannot be called {name:?} in the namespace {ns:?}")]
    NoName {
        /// Its name.
        name: String,
        /// Its namespace.
        ns: String,
    },
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
        let from = stanza.attr("from").unwrap_or_default();
        if Jid::parse(from).is_none_or(|jid| jid.domain() != &*self.domain) {
            return Err(Refused::ForeignSender(from.to_owned()));
        }
        let mut out = String::with_capacity(512);
        write(stanza, super::ns::COMPONENT, &mut out)?;
        if out.len() > self.max_bytes {
            return Err(Refused::TooLarge { bytes: out.len(), max: self.max_bytes });
        }
        Ok(out.into_bytes())
    }
}

/// Writes any stanza, whoever sent it: for servers in tests.
#[cfg(test)]
pub(crate) fn write_any(stanza: &Element, out: &mut String) {
    write(stanza, super::ns::COMPONENT, out).unwrap();
}

/// Writes an element inside another of namespace `parent`.
fn write(element: &Element, parent: &str, out: &mut String) -> Result<(), Refused> {
    let name = element.name();
    let ns = (!element.has_ns(parent)).then(|| element.ns());
    if NcNameStr::from_str(name).is_err() || ns.as_deref().is_some_and(is_reserved) {
        return Err(Refused::NoName { name: name.to_owned(), ns: element.ns() });
    }
    out.push('<');
    out.push_str(name);
    if let Some(ns) = &ns {
        attribute("xmlns", ns, out);
    }
    for ((ns, name), value) in element.attrs() {
        if ns.is_none() && name != "xmlns" {
            attribute(name, value, out);
        } else if ns == Namespace::xml() && name == "lang" {
            attribute("xml:lang", value, out);
        }
    }
    if element.nodes().len() == 0 {
        out.push_str("/>");
        return Ok(());
    }
    out.push('>');
    for node in element.nodes() {
        match node {
            Node::Element(child) => write(child, ns.as_deref().unwrap_or(parent), out)?,
            Node::Text(text) => escape(text, out),
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
    Ok(())
}

/// Namespaces that nothing may be declared to be in.
fn is_reserved(ns: &str) -> bool {
    ns == rxml::XMLNS_XML || ns == rxml::XMLNS_XMLNS
}

fn attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("='");
    escape(value, out);
    out.push('\'');
}

/// Most of a text is written as it is, many characters at once.
fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((plain, odd)) = rest.bytes().position(may_be_odd).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(plain);
        let mut chars = odd.chars();
        match chars.next() {
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('&') => out.push_str("&amp;"),
            Some('\'') => out.push_str("&apos;"),
            // Attributes would be normalised.
            Some('\n') => out.push_str("&#10;"),
            Some('\r') => out.push_str("&#13;"),
            Some('\t') => out.push_str("&#9;"),
            Some(c) if is_xml(c) => out.push(c),
            _ => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Whether a character that begins with this byte may be one that is not written as it is.
fn may_be_odd(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'&' | b'\'' | ..b' ' | 0xef)
}

/// Whether XML 1.0 has this character.
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::ElementExt as _;

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
