//! Somebody in a room who is none of ours.

use super::presence::{Affiliation, Role};
use crate::{convert::ids::XmppUser, jid::Jid};

/// Somebody in a room who is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Under which name the bridge knows them.
    pub user: XmppUser,
    /// Their nick.
    pub nick: String,
    /// Their real address, where we may see it.
    pub real: Option<Jid>,
    /// What the room calls them, whatever their nick is (XEP-0421).
    pub id: Option<String>,
    /// What they are to the room.
    pub affiliation: Affiliation,
    /// What they may do.
    pub role: Role,
    /// The hash of their picture.
    pub avatar: Option<String>,
}

impl Occupant {
    /// The power that fits them, on Matrix's scale.
    pub fn power(&self) -> i64 {
        power(self.affiliation, self.role)
    }
}

/// The power that fits who is this to a room and may do that, on Matrix's scale.
pub(super) fn power(affiliation: Affiliation, role: Role) -> i64 {
    match (affiliation, role) {
        (Affiliation::Owner, _) => 100,
        (Affiliation::Admin, _) => 75,
        (_, Role::Moderator) => 50,
        (_, Role::Visitor) => -1,
        _ => 0,
    }
}
