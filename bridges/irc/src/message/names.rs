//! Names that stand as one word in a line: nicks and channels.

use std::fmt;

use crate::message::IrcText;

/// Why a word cannot be a nick or a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(&'static str);

/// Longest name taken from anybody, in bytes. No server comes near it; a line has 512.
const MAX_NAME: usize = 400;

/// A channel's name as the server writes it: a prefix of `CHANTYPES`, and no space, comma, bell or line break.
///
/// Whether the prefix is one that this server knows is [`Isupport::is_channel`](crate::isupport::Isupport::is_channel)'s
/// question. Two spellings may be one channel: compare under the server's
/// [`Casemapping`](crate::casemapping::Casemapping).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Box<str>);

/// A nick as the server writes it: one word that no line takes for anything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nick(Box<str>);

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Everybody in a channel.
    Channel(Channel),
    /// One person.
    Nick(Nick),
}

impl Channel {
    /// Takes a channel's name.
    ///
    /// # Errors
    /// Refuses what could not be sent as one parameter, and what begins with a letter or digit.
    pub fn new(name: &str) -> Result<Self, BadName> {
        check(name)?;
        if name.starts_with(|c: char| c.is_alphanumeric()) {
            return Err(BadName("a channel begins with a sign such as #"));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Nick {
    /// Takes a nick.
    ///
    /// # Errors
    /// Refuses what could not be sent as one parameter, and what could be read as a mask, a channel or a source.
    pub fn new(nick: &str) -> Result<Self, BadName> {
        check(nick)?;
        if nick.contains(['!', '@', '*', '?']) || nick.starts_with(['#', '&', '+', '~', '%', '$', '=']) {
            return Err(BadName("a nick holds none of !@*? and begins with none of #&+~%$="));
        }
        Ok(Self(nick.into()))
    }

    /// The nick.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// The channel, if it is one.
    pub fn channel(&self) -> Option<&Channel> {
        match self {
            Self::Channel(channel) => Some(channel),
            Self::Nick(_) => None,
        }
    }

    /// The name of either.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Channel(channel) => channel.as_str(),
            Self::Nick(nick) => nick.as_str(),
        }
    }
}

fn check(name: &str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName("the name is empty"));
    }
    if name.len() > MAX_NAME {
        return Err(BadName("the name is too long for a line"));
    }
    if name.starts_with(':') {
        return Err(BadName("a name does not begin with a colon"));
    }
    if name.contains([' ', ',', '\u{7}']) || IrcText::new(name).is_err() {
        return Err(BadName("a name holds no space, comma, bell, line break or NUL"));
    }
    Ok(())
}

macro_rules! text_like {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}
text_like!(Channel, Nick, Target);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_read_as_something_else_are_refused() {
        for bad in ["", "#a b", "#a,b", "#a\rb", "#a\nQUIT", "#\0", ":#a", "plain", &format!("#{}", "x".repeat(500))] {
            assert!(Channel::new(bad).is_err(), "{bad:?}");
        }
        for good in ["#a", "##c", "&local", "+modeless", "!ABCDEsafe", "#ünïcode", "#"] {
            assert!(Channel::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "a!b", "a@b", "*", "a,b", ":a", "#a", "$$*", "a\r\nQUIT"] {
            assert!(Nick::new(bad).is_err(), "{bad:?}");
        }
        for good in ["alice", "[a]\\`^{}|-_", "café", "Guest123", "9lives"] {
            assert!(Nick::new(good).is_ok(), "{good:?}");
        }
    }
}
