//! Who may give the bot which command.

use ruma::{OwnedUserId, UserId};
use serde::Deserialize;

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Anybody in the room.
    Everybody,
    /// Who has the power to change the room's settings ([spec](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)), and
    /// admins.
    Moderators,
    /// Those whom the configuration names.
    Admins,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Who may do everything.
    pub admins: Vec<OwnedUserId>,
    /// Who may join a room to a remote room, and part them.
    pub plumb: Role,
    /// Who may see how a room and the bridge are.
    pub status: Role,
    /// Who may take back a link to a file.
    pub revoke: Role,
}

impl Default for Permissions {
    fn default() -> Self {
        Self { admins: Vec::new(), plumb: Role::Moderators, status: Role::Everybody, revoke: Role::Admins }
    }
}

impl Permissions {
    /// Whether a user may do everything.
    pub fn is_admin(&self, user_id: &UserId) -> bool {
        self.admins.iter().any(|admin| admin == user_id)
    }
}
