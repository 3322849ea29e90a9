//! Who a line is from: `nick!user@host`, or the name of a server.

use std::fmt;

/// The origin of a line. A server has a name alone, as has a user whose host the server keeps back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The nick, or the server's name.
    pub name: String,
    /// The user name (ident), with its `~` if it was not verified.
    pub user: Option<String>,
    /// The host name, address or cloak.
    pub host: Option<String>,
}

impl Source {
    /// Reads what stands between the colon and the space; `None` if there is no name in it.
    pub fn parse(raw: &str) -> Option<Self> {
        let (rest, host) = match raw.split_once('@') {
            Some((rest, host)) => (rest, Some(host)),
            None => (raw, None),
        };
        let (name, user) = match rest.split_once('!') {
            Some((name, user)) => (name, Some(user)),
            None => (rest, None),
        };
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            host: host.filter(|host| !host.is_empty()).map(str::to_owned),
        })
    }

    /// Whether this is a server and not a person: a name with a dot in it, and nothing more.
    pub fn is_server(&self) -> bool {
        self.user.is_none() && self.host.is_none() && self.name.contains('.')
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(user) = &self.user {
            write!(f, "!{user}")?;
        }
        if let Some(host) = &self.host {
            write!(f, "@{host}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_source_is_read() {
        let table = [
            ("alice!~al@host.example", ("alice", Some("~al"), Some("host.example"))),
            ("irc.example", ("irc.example", None, None)),
            ("alice@host", ("alice", None, Some("host"))),
            ("alice!user", ("alice", Some("user"), None)),
            ("alice!@", ("alice", None, None)),
            ("a!u!v@h@i", ("a", Some("u!v"), Some("h@i"))),
        ];
        for (raw, (name, user, host)) in table {
            let source = Source::parse(raw).unwrap();
            assert_eq!((&*source.name, source.user.as_deref(), source.host.as_deref()), (name, user, host), "{raw}");
        }
        assert_eq!(Source::parse("!user@host"), None);
    }

    #[test]
    fn a_server_is_told_from_a_person() {
        assert!(Source::parse("irc.example").unwrap().is_server());
        assert!(!Source::parse("al.ice!u@h").unwrap().is_server());
        assert!(!Source::parse("alice").unwrap().is_server());
    }
}
