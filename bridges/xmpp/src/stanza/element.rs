//! A small tree of XML.

use std::borrow::Cow;

/// One element. Attributes have no namespaces but `xml:lang`; comments do not occur in XMPP.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Element {
    name: Cow<'static, str>,
    ns: Cow<'static, str>,
    attrs: Vec<(Cow<'static, str>, String)>,
    nodes: Vec<Node>,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Another element.
    Element(Element),
    /// Text.
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(name: impl Into<Cow<'static, str>>, ns: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ns: ns.into(), attrs: Vec::new(), nodes: Vec::new() }
    }

    /// A stanza: its type may be empty for the usual one.
    pub fn stanza(name: &'static str, from: &str, to: &str, kind: &str) -> Self {
        let stanza = Self::new(name, super::ns::COMPONENT).attr("from", from).attr("to", to);
        if kind.is_empty() { stanza } else { stanza.attr("type", kind) }
    }

    /// With an attribute.
    #[must_use]
    pub fn attr(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// With an attribute, where there is a value.
    #[must_use]
    pub fn attr_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// With a child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }

    /// With a child, where there is one.
    #[must_use]
    pub fn child_some(self, child: Option<Self>) -> Self {
        match child {
            Some(child) => self.child(child),
            None => self,
        }
    }

    /// With children.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// With text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text.into());
        self
    }

    /// A form ([XEP-0004](https://xmpp.org/extensions/xep-0004.html)) without fields yet; `kind` is `submit`, say.
    pub fn form(kind: &'static str) -> Self {
        Self::new("x", super::ns::DATA).attr("type", kind)
    }

    /// With one more field, of one value.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        let value = Self::new("value", super::ns::DATA).with_text(value);
        self.child(Self::new("field", super::ns::DATA).attr("var", name).child(value))
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.attrs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.attrs.push((name, value)),
        }
    }

    /// Adds a child behind the others.
    pub fn push(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    /// Adds text behind what is there.
    pub fn push_text(&mut self, text: String) {
        match self.nodes.last_mut() {
            Some(Node::Text(before)) => before.push_str(&text),
            _ => self.nodes.push(Node::Text(text)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// An attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All attributes.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attrs.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Whether this is its name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// What it holds.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The elements in it.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of this name and namespace.
    pub fn find(&self, name: &str, ns: &str) -> Option<&Self> {
        self.children().find(|child| child.is(name, ns))
    }

    /// All children of this name and namespace.
    pub fn find_all<'a>(&'a self, name: &'a str, ns: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children().filter(move |child| child.is(name, ns))
    }

    /// The first child of this name, in the element's own namespace.
    pub fn own(&self, name: &str) -> Option<&Self> {
        self.children().find(|child| child.name == name && child.ns == self.ns)
    }

    /// The text directly in it.
    pub fn text(&self) -> String {
        let texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// The text of the first child of this name, in the element's own namespace.
    pub fn own_text(&self, name: &str) -> Option<String> {
        self.own(name).map(Self::text)
    }

    /// Who sent it, where it is a stanza.
    pub fn from(&self) -> Option<crate::jid::Jid> {
        crate::jid::Jid::parse(self.get("from")?)
    }

    /// To whom it was sent, where it is a stanza.
    pub fn to(&self) -> Option<crate::jid::Jid> {
        crate::jid::Jid::parse(self.get("to")?)
    }

    /// The type of a stanza; the default of messages is `normal`, of presences none.
    pub fn kind(&self) -> &str {
        self.get("type").unwrap_or_default()
    }
}
