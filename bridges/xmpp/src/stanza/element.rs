//! What stanzas are made of: the tree of [`minidom`], and what XMPP asks of it.
//!
//! Elements are written by [`Guard`](super::Guard) alone: the tree's own writer asserts that everything in it is XML.

pub use minidom::{Element, Node};
use rxml::{Namespace, NcName};

use super::ns;

/// What a bridge asks of an element, and how it makes one.
///
/// Attributes are those without a namespace, and `xml:lang`; the reader leaves out the others, and the writer would.
pub trait ElementExt: Sized {
    /// A stanza: its type may be empty for the usual one.
    fn stanza(name: &'static str, from: &str, to: &str, kind: &str) -> Self;

    /// A form ([XEP-0004](https://xmpp.org/extensions/xep-0004.html)) without fields yet; `kind` is `submit`, say.
    fn form(kind: &'static str) -> Self;

    /// With one more field of a form, of one value.
    #[must_use]
    fn field(self, name: &str, value: &str) -> Self;

    /// Sets an attribute. A name that XML does not have sets nothing.
    fn set(&mut self, name: &'static str, value: impl Into<String>);

    /// With an attribute.
    #[must_use]
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// With an attribute, where there is a value.
    #[must_use]
    fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a child.
    #[must_use]
    fn child(self, child: Element) -> Self;

    /// With a child, where there is one.
    #[must_use]
    fn child_some(self, child: Option<Element>) -> Self {
        match child {
            Some(child) => self.child(child),
            None => self,
        }
    }

    /// With children.
    #[must_use]
    fn with_children(self, children: impl IntoIterator<Item = Element>) -> Self {
        children.into_iter().fold(self, Self::child)
    }

    /// With text.
    #[must_use]
    fn with_text(self, text: impl Into<String>) -> Self;

    /// All children of this name and namespace.
    fn find_all<'a>(&'a self, name: &'a str, ns: &'a str) -> impl Iterator<Item = &'a Element>;

    /// The first child of this name, in the element's own namespace.
    fn own(&self, name: &str) -> Option<&Element>;

    /// The text of the first child of this name, in the element's own namespace.
    fn own_text(&self, name: &str) -> Option<String> {
        self.own(name).map(Element::text)
    }

    /// Who sent it, where it is a stanza.
    fn from(&self) -> Option<crate::jid::Jid>;

    /// To whom it was sent, where it is a stanza.
    fn to(&self) -> Option<crate::jid::Jid>;

    /// The type of a stanza; the default of messages is `normal`, of presences none.
    fn kind(&self) -> &str;
}

impl ElementExt for Element {
    fn stanza(name: &'static str, from: &str, to: &str, kind: &str) -> Self {
        let stanza = Self::bare(name, ns::COMPONENT).with("from", from).with("to", to);
        if kind.is_empty() { stanza } else { stanza.with("type", kind) }
    }

    fn form(kind: &'static str) -> Self {
        Self::bare("x", ns::DATA).with("type", kind)
    }

    fn field(self, name: &str, value: &str) -> Self {
        let value = Self::bare("value", ns::DATA).with_text(value);
        self.child(Self::bare("field", ns::DATA).with("var", name).child(value))
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        if let Ok(name) = NcName::try_from(name) {
            self.attrs_mut().insert(Namespace::NONE, name, value.into());
        }
    }

    fn child(mut self, child: Element) -> Self {
        self.append_child(child);
        self
    }

    fn with_text(mut self, text: impl Into<String>) -> Self {
        self.append_text(text);
        self
    }

    fn find_all<'a>(&'a self, name: &'a str, ns: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children().filter(move |child| child.is(name, ns))
    }

    fn own(&self, name: &str) -> Option<&Element> {
        self.get_child(name, self.ns().as_str())
    }

    fn from(&self) -> Option<crate::jid::Jid> {
        crate::jid::Jid::parse(self.attr("from")?)
    }

    fn to(&self) -> Option<crate::jid::Jid> {
        crate::jid::Jid::parse(self.attr("to")?)
    }

    fn kind(&self) -> &str {
        self.attr("type").unwrap_or_default()
    }
}
