//! Namespaces, as in the file ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#registration

use std::fmt;

use ruma::ServerName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::registration::null_as_default;

/// The three lists of namespaces. An absent list is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Which local users.
    #[serde(default, deserialize_with = "null_as_default")]
    pub users: Vec<Namespace>,
    /// Which room aliases.
    #[serde(default, deserialize_with = "null_as_default")]
    pub aliases: Vec<Namespace>,
    /// Which room ids.
    #[serde(default, deserialize_with = "null_as_default")]
    pub rooms: Vec<Namespace>,
    /// Every list that has no name here, kept as it is.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

impl Namespaces {
    /// The namespaces of one kind.
    #[must_use]
    pub fn of(&self, kind: NamespaceKind) -> &[Namespace] {
        match kind {
            NamespaceKind::Users => &self.users,
            NamespaceKind::Aliases => &self.aliases,
            NamespaceKind::Rooms => &self.rooms,
        }
    }
}

/// A set of identifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// Whether nobody else may create users or aliases in it.
    pub exclusive: bool,
    /// What an identifier starts with. See [`NamespaceMatcher`](crate::NamespaceMatcher) for how it is read.
    pub regex: String,
    /// Every field that has no name here, such as the old `group_id`.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

impl Namespace {
    /// A namespace with this regular expression.
    pub fn new(exclusive: bool, regex: impl Into<String>) -> Self {
        Self { exclusive, regex: regex.into(), extra: serde_json::Map::new() }
    }

    /// Exclusively all users of a server whose localpart starts with `prefix`.
    #[must_use]
    pub fn users_with_prefix(prefix: &str, server_name: &ServerName) -> Self {
        Self::with_prefix('@', prefix, server_name)
    }

    /// Exclusively all aliases of a server whose localpart starts with `prefix`.
    #[must_use]
    pub fn aliases_with_prefix(prefix: &str, server_name: &ServerName) -> Self {
        Self::with_prefix('#', prefix, server_name)
    }

    /// Exclusively all users whose localpart starts with `prefix`, for a server whose name is not known.
    #[must_use]
    pub fn any_users_with_prefix(prefix: &str) -> Self {
        Self::new(true, format!("^@{}.*", regex_syntax::escape(prefix)))
    }

    /// Exclusively all aliases whose localpart starts with `prefix`, of any server.
    #[must_use]
    pub fn any_aliases_with_prefix(prefix: &str) -> Self {
        Self::new(true, format!("^#{}.*", regex_syntax::escape(prefix)))
    }

    fn with_prefix(sigil: char, prefix: &str, server_name: &ServerName) -> Self {
        let (prefix, server) = (regex_syntax::escape(prefix), regex_syntax::escape(server_name.as_str()));
        Self::new(true, format!("^{sigil}{prefix}.*:{server}$"))
    }
}

/// What the identifiers of a namespace are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceKind {
    /// User ids, `@localpart:server`.
    Users,
    /// Room aliases, `#localpart:server`.
    Aliases,
    /// Room ids, `!opaque` or `!opaque:server`.
    Rooms,
}

impl NamespaceKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Users, Self::Aliases, Self::Rooms];

    /// The key in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Aliases => "aliases",
            Self::Rooms => "rooms",
        }
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
