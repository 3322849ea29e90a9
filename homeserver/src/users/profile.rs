//! What people see of a user.

/// A user's profile. Empty strings count as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The display name.
    pub displayname: Option<String>,
    /// The avatar, an `mxc://` URI.
    pub avatar_url: Option<String>,
}
