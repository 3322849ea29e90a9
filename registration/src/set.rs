//! All registrations of a homeserver.

use ruma::{OwnedServerName, RoomAliasId, RoomId, ServerName, UserId};

use crate::{Fault, Faults, Match, NamespaceMatcher, Overlap, Registration, overlap::overlaps};

/// A registration and its compiled namespaces.
#[derive(Clone, Debug)]
pub struct Member {
    /// The registration.
    pub registration: Registration,
    /// Its namespaces.
    pub matcher: NamespaceMatcher,
}

/// The registrations of one homeserver; no two have the same id or the same `as_token`.
#[derive(Clone, Debug)]
pub struct RegistrationSet {
    server_name: OwnedServerName,
    members: Vec<Member>,
}

impl RegistrationSet {
    /// An empty set.
    #[must_use]
    pub fn empty(server_name: &ServerName) -> Self {
        Self { server_name: server_name.to_owned(), members: Vec::new() }
    }

    /// Takes registrations, in this order.
    ///
    /// # Errors
    /// All duplicates, and all namespaces that do not compile.
    pub fn new(registrations: Vec<Registration>, server_name: &ServerName) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        for (index, registration) in registrations.iter().enumerate() {
            duplicates(registration, &mut registrations[..index].iter(), &mut faults);
        }
        let mut set = Self::empty(server_name);
        for registration in registrations {
            match NamespaceMatcher::new(&registration, server_name) {
                Ok(matcher) => set.members.push(Member { registration, matcher }),
                Err(Faults(more)) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(set) } else { Err(Faults(faults)) }
    }

    /// Adds a registration.
    ///
    /// # Errors
    /// If its id or `as_token` is taken, or its namespaces do not compile; then it is not added.
    pub fn add(&mut self, registration: Registration) -> Result<(), Faults> {
        let mut faults = Vec::new();
        duplicates(&registration, &mut self.members.iter().map(|member| &member.registration), &mut faults);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let matcher = NamespaceMatcher::new(&registration, &self.server_name)?;
        self.members.push(Member { registration, matcher });
        Ok(())
    }

    /// Removes a registration, if it is there.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let index = self.members.iter().position(|member| member.registration.id == id)?;
        Some(self.members.remove(index))
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The one with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.registration.id == id)
    }

    /// The one that this `as_token` belongs to. Compares with every one, each in constant time.
    #[must_use]
    pub fn by_as_token(&self, token: &str) -> Option<&Member> {
        self.members.iter().fold(
            None,
            |found, member| {
                if member.registration.as_token.matches(token) { Some(member) } else { found }
            },
        )
    }

    /// Who claims a user alone, if anybody does.
    #[must_use]
    pub fn exclusive_user(&self, user: &UserId) -> Option<&Member> {
        self.exclusive(|matcher| matcher.user(user))
    }

    /// Who claims an alias alone, if anybody does.
    #[must_use]
    pub fn exclusive_alias(&self, alias: &RoomAliasId) -> Option<&Member> {
        self.exclusive(|matcher| matcher.alias(alias))
    }

    /// Who claims a room alone, if anybody does.
    #[must_use]
    pub fn exclusive_room(&self, room: &RoomId) -> Option<&Member> {
        self.exclusive(|matcher| matcher.room(room))
    }

    /// Exclusive claims of two registrations on the same identifiers. Nothing breaks by them at once, but one of the two
    /// bridges will be refused what it believes to be its own.
    #[must_use]
    pub fn overlaps(&self) -> Vec<Overlap> {
        let registrations: Vec<Registration> = self.members.iter().map(|member| member.registration.clone()).collect();
        overlaps(&registrations, Some(&self.server_name))
    }

    fn exclusive(&self, find: impl Fn(&NamespaceMatcher) -> Match) -> Option<&Member> {
        self.members.iter().find(|member| find(&member.matcher).is_exclusive())
    }
}

fn duplicates(registration: &Registration, others: &mut dyn Iterator<Item = &Registration>, faults: &mut Vec<Fault>) {
    for other in others {
        if other.id == registration.id {
            faults.push(duplicate("id", registration, other, "Give each its own id; one may be a stale copy."));
        }
        if other.as_token == registration.as_token {
            faults.push(duplicate("as_token", registration, other, "Give each tokens of its own."));
        }
    }
}

fn duplicate(field: &str, registration: &Registration, other: &Registration, fix: &str) -> Fault {
    let problem = format!("of registration `{}` is also that of registration `{}`", registration.id, other.id);
    Fault { at: None, path: field.to_owned(), problem, fix: fix.to_owned() }
}
