//! Profiles of virtual users.

use ruma::{
    MxcUri, UserId,
    api::client::{
        presence::set_presence,
        profile::{get_display_name, get_profile, set_avatar_url, set_display_name},
    },
    presence::PresenceState,
};

use super::{Assertion, Client, ClientError, client::Repeat, rooms::found};
use crate::network::{Presence, Profile};

impl Client {
    /// What a user shows of themselves; empty for one that is not known.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn profile(&self, user_id: &UserId) -> Result<Profile, ClientError> {
        let request = get_profile::v3::Request::new(user_id.to_owned());
        let Some(response) = found(self.send(&Assertion::BOT, request, Repeat::Safe).await)? else {
            return Ok(Profile::default());
        };
        let text = |name: &str| response.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
        Ok(Profile { name: text("displayname").map(str::to_owned), avatar: text("avatar_url").map(Into::into) })
    }

    /// Whether a user has a profile ([spec]), which everybody has whom the homeserver knows. Of a user of another server the answer is as
    /// that server gave it, or did not.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuserid
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Forbidden`] where we are not told.
    #[expect(deprecated, reason = "the successor needs a homeserver of v1.16; this one works everywhere")]
    pub async fn has_profile(&self, user_id: &UserId) -> Result<bool, ClientError> {
        let whole = get_profile::v3::Request::new(user_id.to_owned());
        if found(self.send(&Assertion::BOT, whole, Repeat::Safe).await)?.is_some() {
            return Ok(true);
        }
        // Synapse answers so of those, too, who have neither name nor picture. When asked for the name alone, it tells them apart.
        let name = get_display_name::v3::Request::new(user_id.to_owned());
        Ok(found(self.send(&Assertion::BOT, name, Repeat::Safe).await)?.is_some())
    }

    /// Gives one of our users a display name, or takes it away.
    ///
    /// # Errors
    /// [`ClientError`]
    #[expect(deprecated, reason = "the successor needs a homeserver of v1.16; this one works everywhere")]
    pub async fn set_display_name(&self, user_id: &UserId, name: Option<&str>) -> Result<(), ClientError> {
        let request = set_display_name::v3::Request::new(user_id.to_owned(), name.map(str::to_owned));
        self.send(&Assertion::user(user_id), request, Repeat::Safe).await.map(drop)
    }

    /// Says how one of our users is.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn set_presence(
        &self,
        user_id: &UserId,
        presence: Presence,
        status: Option<&str>,
    ) -> Result<(), ClientError> {
        let state = match presence {
            Presence::Online => PresenceState::Online,
            Presence::Unavailable => PresenceState::Unavailable,
            Presence::Offline => PresenceState::Offline,
        };
        let mut request = set_presence::v3::Request::new(user_id.to_owned(), state);
        request.status_msg = status.map(str::to_owned);
        self.send(&Assertion::user(user_id), request, Repeat::Safe).await.map(drop)
    }

    /// Gives one of our users a picture, or takes it away.
    ///
    /// # Errors
    /// [`ClientError`]
    #[expect(deprecated, reason = "the successor needs a homeserver of v1.16; this one works everywhere")]
    pub async fn set_avatar(&self, user_id: &UserId, avatar: Option<&MxcUri>) -> Result<(), ClientError> {
        let request = set_avatar_url::v3::Request::new(user_id.to_owned(), avatar.map(ToOwned::to_owned));
        self.send(&Assertion::user(user_id), request, Repeat::Safe).await.map(drop)
    }
}
