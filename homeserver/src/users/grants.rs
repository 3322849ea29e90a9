//! Registration tokens, OpenID tokens and login tokens.

use std::{sync::Arc, time::Duration};

use landbridge_sql::SqlError;
use ruma::{DeviceId, OwnedUserId, UserId};

use crate::{
    clock::Clock,
    devices::{
        DeviceError,
        token::{hash_token, new_token},
    },
    entropy::Entropy,
    store::{
        StoreError,
        grants::{self as table, RegistrationTokenRow},
        local::Local,
    },
};

/// How long an OpenID token counts.
pub const OPENID_LIFETIME: Duration = Duration::from_secs(3600);

/// How long a login token counts.
pub const LOGIN_TOKEN_LIFETIME: Duration = Duration::from_secs(120);

/// The longest registration token, in bytes ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration
pub const MAX_REGISTRATION_TOKEN_BYTES: usize = 64;

/// What an operator may say about a registration token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationToken {
    /// The token itself.
    pub token: String,
    /// How many accounts may be made with it; `None`: any number.
    pub uses_allowed: Option<i64>,
    /// How many were.
    pub completed: i64,
    /// Until when, in milliseconds since 1970; `None`: for ever.
    pub expires_at: Option<i64>,
}

/// What lets people register, and what shows other services who they are.
#[derive(Clone, Debug)]
pub struct Grants {
    local: Local,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Grants {
    pub(crate) fn new(local: Local, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { local, clock, entropy }
    }

    fn now(&self) -> i64 {
        i64::from(self.clock.now().0)
    }

    /// Whether a registration token could be used now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_valid(&self, token: &str) -> Result<bool, SqlError> {
        if !is_token(token) {
            return Ok(false);
        }
        let found = table::one(self.local.db(), token).await?;
        Ok(found.is_some_and(|row| {
            row.uses_allowed.is_none_or(|allowed| row.completed < allowed)
                && row.expires_at.is_none_or(|at| at > self.now())
        }))
    }

    /// Uses a registration token; `false` if it cannot be used (any more).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take(&self, token: &str) -> Result<bool, StoreError> {
        Ok(self.local.write(vec![table::take(token, self.now())]).await?.rows > 0)
    }

    /// Takes a use back: no account came of it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn give_back(&self, token: &str) -> Result<(), StoreError> {
        self.local.write(vec![table::give_back(token)]).await.map(drop)
    }

    /// Makes a registration token; `None` makes one up. `Ok(None)`: it is not well formed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is one.
    pub async fn create(
        &self,
        token: Option<String>,
        uses_allowed: Option<i64>,
        expires_at: Option<i64>,
    ) -> Result<Option<RegistrationToken>, StoreError> {
        let token = token.unwrap_or_else(|| self.entropy.word(16));
        if !is_token(&token) {
            return Ok(None);
        }
        let row = RegistrationTokenRow { token, uses_allowed, completed: 0, expires_at };
        self.local.write(vec![table::insert(&row, self.now())]).await?;
        Ok(Some(shown(row)))
    }

    /// Changes how often and how long a token counts; says whether there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn update(
        &self,
        token: &str,
        uses_allowed: Option<i64>,
        expires_at: Option<i64>,
    ) -> Result<bool, StoreError> {
        Ok(self.local.write(vec![table::update(token, uses_allowed, expires_at)]).await?.rows > 0)
    }

    /// Forgets a token; says whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, token: &str) -> Result<bool, StoreError> {
        Ok(self.local.write(vec![table::delete(token)]).await?.rows > 0)
    }

    /// A thousand tokens at most, the oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(&self) -> Result<Vec<RegistrationToken>, SqlError> {
        Ok(table::all(self.local.db(), 1000).await?.into_iter().map(shown).collect())
    }

    /// A token that shows another service who the user is, for [`OPENID_LIFETIME`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openid(&self, user_id: &UserId) -> Result<String, StoreError> {
        let token = new_token(self.entropy.bytes());
        let (now, until) = self.for_a_while(OPENID_LIFETIME);
        self.local.write(table::insert_openid(&hash_token(&token), user_id.as_str(), until, now)).await?;
        Ok(token)
    }

    /// A token that lets another client of a user in, once, within [`LOGIN_TOKEN_LIFETIME`], as long as the device that got it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login(&self, user_id: &UserId, device_id: &DeviceId) -> Result<String, StoreError> {
        let token = new_token(self.entropy.bytes());
        let (now, until) = self.for_a_while(LOGIN_TOKEN_LIFETIME);
        let (user, device) = (user_id.as_str(), device_id.as_str());
        self.local.write(table::insert_login(&hash_token(&token), user, device, until, now)).await?;
        Ok(token)
    }

    /// Uses a login token up and says whom it lets in; `None`: nobody (any more).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_login(&self, token: &str) -> Result<Option<OwnedUserId>, DeviceError> {
        let hash = hash_token(token);
        let Some(user_id) = table::login(self.local.db(), &hash).await? else { return Ok(None) };
        // Of those who bring it at once one comes first.
        let taken = self.local.write(vec![table::take_login(&hash, self.now())]).await?.rows > 0;
        Ok(user_id.try_into().ok().filter(|_| taken))
    }

    /// Now, and the end of a while that begins now.
    fn for_a_while(&self, while_: Duration) -> (i64, i64) {
        let now = self.now();
        (now, now.saturating_add(i64::try_from(while_.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whom an OpenID token shows.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn openid_user(&self, token: &str) -> Result<Option<OwnedUserId>, SqlError> {
        let found = table::openid(self.local.db(), &hash_token(token)).await?;
        Ok(found.filter(|(_, until)| *until > self.now()).and_then(|(user_id, _)| user_id.try_into().ok()))
    }
}

fn is_token(token: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=MAX_REGISTRATION_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(fits)
}

fn shown(row: RegistrationTokenRow) -> RegistrationToken {
    let RegistrationTokenRow { token, uses_allowed, completed, expires_at } = row;
    RegistrationToken { token, uses_allowed, completed, expires_at }
}
