//! Addresses ([RFC 7622](https://www.rfc-editor.org/rfc/rfc7622), and the older preparation of
//! [RFC 6122](https://www.rfc-editor.org/rfc/rfc6122) that servers still use), read leniently.
//!
//! Servers deliver addresses that a strict reader refuses (an emoji as a resource, say), and what is refused is lost. So whatever
//! can be split is an address here; each part is prepared where it can be, and kept as it came where not.

pub mod escape;
mod prep;

use std::fmt;

pub use prep::is_strict_resource;

/// The longest part of an address, in bytes.
pub const MAX_PART: usize = 1023;

/// An address: a server's, an account's (bare), or a session's or occupant's (full). Equal addresses have equal text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    text: Box<str>,
    /// Where the `@` behind the node is.
    at: Option<u16>,
    /// Where the `/` before the resource is.
    slash: Option<u16>,
}

impl Jid {
    /// Reads an address. `None` for what has no domain, or a part that is empty or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (node, domain) = match bare.split_once('@') {
            Some((node, domain)) => (Some(node), domain),
            None => (None, bare),
        };
        let node = node.map(prep::node);
        let domain = prep::domain(domain);
        let resource = resource.map(prep::resource);
        Self::of(node.as_deref(), &domain, resource.as_deref())
    }

    /// Puts prepared parts together.
    fn of(node: Option<&str>, domain: &str, resource: Option<&str>) -> Option<Self> {
        let fits = |part: &str| (1..=MAX_PART).contains(&part.len());
        let broken = |c: char| c.is_control() || matches!(c, '@' | '/' | ' ' | '<' | '>' | '&' | '"' | '\'');
        let labels = !domain.starts_with('.') && !domain.ends_with('.') && !domain.contains("..");
        if !fits(domain) || !labels || domain.contains(broken) || domain.contains('?') {
            return None;
        }
        if !node.is_none_or(|node| fits(node) && !node.contains(char::is_control)) || !resource.is_none_or(fits) {
            return None;
        }
        let mut text = String::with_capacity(domain.len() + 16);
        let mut at = None;
        if let Some(node) = node {
            text.push_str(node);
            at = u16::try_from(text.len()).ok();
            text.push('@');
        }
        text.push_str(domain);
        let mut slash = None;
        if let Some(resource) = resource {
            slash = u16::try_from(text.len()).ok();
            text.push('/');
            text.push_str(resource);
        }
        Some(Self { text: text.into(), at, slash })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`.
    pub fn node(&self) -> Option<&str> {
        self.at.map(|at| &self.text[..usize::from(at)])
    }

    /// The server.
    pub fn domain(&self) -> &str {
        let start = self.at.map_or(0, |at| usize::from(at) + 1);
        &self.text[start..self.slash.map_or(self.text.len(), usize::from)]
    }

    /// The part behind the `/`: of an occupant, the nick.
    pub fn resource(&self) -> Option<&str> {
        self.slash.map(|slash| &self.text[usize::from(slash) + 1..])
    }

    /// The address without its resource.
    pub fn bare(&self) -> Self {
        match self.slash {
            None => self.clone(),
            Some(slash) => Self { text: self.text[..usize::from(slash)].into(), at: self.at, slash: None },
        }
    }

    /// The bare address as text.
    pub fn bare_str(&self) -> &str {
        &self.text[..self.slash.map_or(self.text.len(), usize::from)]
    }

    /// The same address with this resource; `None` for one that is empty or too long.
    pub fn with_resource(&self, resource: &str) -> Option<Self> {
        Self::of(self.node(), self.domain(), Some(&prep::resource(resource)))
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.slash.is_none()
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Option<(Option<String>, String, Option<String>)> {
        let jid = Jid::parse(text)?;
        Some((jid.node().map(str::to_owned), jid.domain().to_owned(), jid.resource().map(str::to_owned)))
    }

    #[test]
    fn addresses_are_split_as_the_rfc_says() {
        let check = |text, node: Option<&str>, domain: &str, resource: Option<&str>| {
            let expected = (node.map(str::to_owned), domain.to_owned(), resource.map(str::to_owned));
            assert_eq!(parts(text), Some(expected), "{text}");
        };
        check("alice@xmpp.test/phone", Some("alice"), "xmpp.test", Some("phone"));
        check("xmpp.test", None, "xmpp.test", None);
        check("xmpp.test/a@b/c", None, "xmpp.test", Some("a@b/c"));
        // Servers fold and prepare silently.
        check("Alice@XMPP.test", Some("alice"), "xmpp.test", None);
        check("straße@xmpp.test", Some("strasse"), "xmpp.test", None);
        check("ÄÖ@xmpp.test", Some("äö"), "xmpp.test", None);
        check("room@muc.test/Bob", Some("room"), "muc.test", Some("Bob"));
        for wrong in ["", "@xmpp.test", "alice@", "alice@xmpp.test/", "/x", "a@b@c", "a@b c", "a@..", "a@b..c", "a@.b"]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
        assert_eq!(parts(&format!("{}@b", "a".repeat(1024))), None);
    }

    #[test]
    fn what_a_strict_reader_refuses_is_an_address_all_the_same() {
        for text in ["x@matrix.test/🫠", "x@matrix.test/\u{202e}evil", "room@muc.test/ə\u{5d0}a", "📦@xmpp.test"] {
            assert_eq!(Jid::parse(text).map(|jid| jid.to_string()).as_deref(), Some(text));
        }
        assert!(!is_strict_resource("🫠 melting"));
        assert!(is_strict_resource("Ann [m]"));
    }

    proptest! {
        #[test]
        fn reading_never_fails_otherwise_than_by_none_and_is_stable(text in ".*") {
            if let Some(jid) = Jid::parse(&text) {
                prop_assert_eq!(Jid::parse(jid.as_str()), Some(jid.clone()));
                prop_assert_eq!(Jid::parse(jid.bare_str()), Some(jid.bare()));
            }
        }
    }
}
