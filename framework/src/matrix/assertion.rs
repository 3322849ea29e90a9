//! As whom a request is made ([identity assertion]).
//!
//! [identity assertion]: https://spec.matrix.org/v1.19/application-service-api/#identity-assertion

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

/// As whom a request is made: the bot (the registration's `sender_localpart`) unless a user is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assertion {
    /// The virtual user; none for the bot.
    pub user_id: Option<OwnedUserId>,
    /// The device of theirs, where the homeserver knows it. With one, Synapse remembers transaction ids for a day.
    pub device_id: Option<OwnedDeviceId>,
}

impl Assertion {
    /// The bot.
    pub const BOT: Self = Self { user_id: None, device_id: None };

    /// A virtual user.
    pub fn user(user_id: &UserId) -> Self {
        Self { user_id: Some(user_id.to_owned()), device_id: None }
    }

    /// A device of that user.
    #[must_use]
    pub fn with_device(mut self, device_id: &DeviceId) -> Self {
        self.device_id = Some(device_id.to_owned());
        self
    }
}

impl From<&UserId> for Assertion {
    fn from(user_id: &UserId) -> Self {
        Self::user(user_id)
    }
}
