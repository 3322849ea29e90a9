//! Which identifiers a registration is about.

use regex_automata::{Anchored, Input, meta::Regex};
use ruma::{OwnedServerName, OwnedUserId, RoomAliasId, RoomId, ServerName, UserId};

use crate::{Fault, Faults, Namespace, NamespaceKind, Registration, pattern};

/// What a registration has to do with an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// Nothing.
    None,
    /// It is told about it and may act as it; so may others.
    Shared,
    /// It is told about it, and nobody else may create it.
    Exclusive,
}

impl Match {
    /// Whether the application service is told about it.
    #[must_use]
    pub fn is_interesting(self) -> bool {
        self != Self::None
    }

    /// Whether nobody else may create it.
    #[must_use]
    pub fn is_exclusive(self) -> bool {
        self == Self::Exclusive
    }
}

/// The namespaces of a registration, compiled for one homeserver. Cheap to clone.
///
/// Regular expressions are read as Synapse reads them, because that is what registrations in the world are written for:
/// they are anchored at the start of the identifier and not at its end, and they are case-sensitive. `users` covers local
/// users only, and always the sender, exclusively. If one of several matching namespaces is exclusive, the identifier is
/// (Synapse asks the first that matches).
///
/// Matching takes time linear in the identifier, whatever the expression.
#[derive(Clone, Debug)]
pub struct NamespaceMatcher {
    server_name: OwnedServerName,
    sender: OwnedUserId,
    users: Compiled,
    aliases: Compiled,
    rooms: Compiled,
}

impl NamespaceMatcher {
    /// Compiles the namespaces of a registration for a server.
    ///
    /// # Errors
    /// If a regular expression or the sender is invalid, which [`Registration::from_yaml`] refuses.
    pub fn new(registration: &Registration, server_name: &ServerName) -> Result<Self, Faults> {
        let sender = registration.sender(server_name).map_err(|_| bad_sender())?;
        let compile = |kind| Compiled::new(kind, registration.namespaces.of(kind));
        Ok(Self {
            server_name: server_name.to_owned(),
            sender,
            users: compile(NamespaceKind::Users)?,
            aliases: compile(NamespaceKind::Aliases)?,
            rooms: compile(NamespaceKind::Rooms)?,
        })
    }

    /// The application service's own user.
    #[must_use]
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// What it has to do with a user. Nothing, if the user is of another server, however alike the names are.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Match {
        if user.server_name() != self.server_name {
            Match::None
        } else if user == self.sender {
            Match::Exclusive
        } else {
            self.users.find(user.as_str())
        }
    }

    /// What it has to do with a room alias.
    #[must_use]
    pub fn alias(&self, alias: &RoomAliasId) -> Match {
        self.aliases.find(alias.as_str())
    }

    /// What it has to do with a room id.
    #[must_use]
    pub fn room(&self, room: &RoomId) -> Match {
        self.rooms.find(room.as_str())
    }
}

/// The namespaces of one kind: one automaton for each degree.
#[derive(Clone, Debug)]
struct Compiled {
    exclusive: Option<Regex>,
    shared: Option<Regex>,
}

impl Compiled {
    fn new(kind: NamespaceKind, namespaces: &[Namespace]) -> Result<Self, Faults> {
        let of = |exclusive| {
            let patterns: Vec<&str> =
                namespaces.iter().filter(|n| n.exclusive == exclusive).map(|n| n.regex.as_str()).collect();
            if patterns.is_empty() { Ok(None) } else { pattern::compile(&patterns).map(Some) }
        };
        let compiled = |exclusive| of(exclusive).map_err(|problem| problem.into_faults(kind, namespaces));
        Ok(Self { exclusive: compiled(true)?, shared: compiled(false)? })
    }

    fn find(&self, identifier: &str) -> Match {
        let matches = |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| starts_with(regex, identifier));
        if matches(&self.exclusive) {
            Match::Exclusive
        } else if matches(&self.shared) {
            Match::Shared
        } else {
            Match::None
        }
    }
}

/// Python's `re.match`.
fn starts_with(regex: &Regex, identifier: &str) -> bool {
    regex.is_match(Input::new(identifier).anchored(Anchored::Yes).earliest(true))
}

fn bad_sender() -> Faults {
    Faults(vec![Fault {
        at: None,
        path: "sender_localpart".to_owned(),
        problem: "makes no valid user id".to_owned(),
        fix: "Use lower-case letters, digits and ._=/+-".to_owned(),
    }])
}
