//! The people and virtual users of this server: accounts, passwords, profiles, account data, filters.

mod account_data;
mod grants;
mod password;
mod profile;
mod reports;
mod settings;
mod standing;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use landbridge_sql::SqlError;
use parking_lot::RwLock;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

pub use self::{
    account_data::{
        AccountData, MAX_ACCOUNT_DATA, MAX_ACCOUNT_DATA_BYTES, MAX_ACCOUNT_DATA_TOTAL, MAX_FILTER_BYTES, MAX_FILTERS,
        StoredEvent,
    },
    grants::{Grants, LOGIN_TOKEN_LIFETIME, MAX_REGISTRATION_TOKEN_BYTES, OPENID_LIFETIME, RegistrationToken},
    password::{MAX_PASSWORD_BYTES, PasswordError, Passwords},
    profile::Profile,
    reports::{Reported, Reports},
    standing::{Restrictions, Standing},
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    store::{
        StoreError,
        accounts::{self, AccountDetails},
        local::Local,
    },
};

/// How many known user ids are kept in memory; at the bound all are forgotten and learnt again.
const KNOWN_USERS: usize = 100_000;

/// The accounts of this server.
#[derive(Clone)]
pub struct Users {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    passwords: Passwords,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    server_name: OwnedServerName,
    /// Users whose accounts are open.
    known: RwLock<Known>,
    /// Users that may not do everything: few, so that all are kept.
    restricted: RwLock<HashMap<OwnedUserId, Restrictions>>,
}

/// Users that are known to exist and to be open, of which there are most.
#[derive(Default)]
struct Known {
    open: HashSet<OwnedUserId>,
    /// How many accounts were closed since the start: what was read before one of these must not be kept after it.
    closings: u64,
}

/// What an operator sees of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub user_id: OwnedUserId,
    /// The application service that owns it.
    pub appservice_id: Option<String>,
    /// In milliseconds since 1970.
    pub created_at: i64,
    /// Whether it was closed.
    pub deactivated: bool,
    /// What the user may do of an operator's work.
    pub role: Option<String>,
    /// What the user is called.
    pub displayname: Option<String>,
}

fn account(row: AccountDetails) -> Option<Account> {
    Some(Account {
        user_id: row.user_id.try_into().ok()?,
        appservice_id: row.appservice_id,
        created_at: row.created_at,
        deactivated: row.deactivated_at.is_some(),
        role: row.role,
        displayname: row.displayname,
    })
}

/// Why a user was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// There is one of this name.
    #[error("the user id is taken")]
    InUse,
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// Why an account could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] SqlError),
    /// The store failed.
    #[error(transparent)]
    Write(#[from] StoreError),
    /// A password could not be hashed or checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Users {
    pub(crate) fn new(
        local: Local,
        server_name: &ServerName,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, PasswordError> {
        let passwords = Passwords::new(entropy.bytes())?;
        let inner = Inner {
            local,
            passwords,
            clock,
            entropy,
            server_name: server_name.to_owned(),
            known: RwLock::default(),
            restricted: RwLock::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a user with a password. Without one only an application service can act as the user.
    ///
    /// # Errors
    /// [`CreateUserError::InUse`] if the name is taken, whatever became of its owner.
    pub async fn create(
        &self,
        user_id: &UserId,
        password: Option<&str>,
        appservice: Option<&str>,
    ) -> Result<(), CreateUserError> {
        let hash = match password {
            Some(password) => Some(self.inner.passwords.hash(password, self.inner.entropy.bytes()).await?),
            None => None,
        };
        let at = i64::from(self.inner.clock.now().0);
        let insert = accounts::insert(user_id.as_str(), hash.as_deref(), appservice, at);
        let closings = self.inner.known.read().closings;
        match self.inner.local.write(vec![insert]).await {
            Ok(_) => {
                self.remember(user_id, closings);
                Ok(())
            }
            Err(StoreError::Conflict) => Err(CreateUserError::InUse),
            Err(error) => Err(CreateUserError::Store(error)),
        }
    }

    /// Makes a guest.
    ///
    /// # Errors
    /// [`CreateUserError::InUse`] if the name is taken.
    pub async fn create_guest(&self, user_id: &UserId) -> Result<(), CreateUserError> {
        match self.inner.local.write(vec![accounts::insert_guest(user_id.as_str(), self.now())]).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict) => Err(CreateUserError::InUse),
            Err(error) => Err(CreateUserError::Store(error)),
        }
    }

    /// Makes a user of a guest, who keeps the name and all else; says whether there was such a guest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn upgrade_guest(&self, user_id: &UserId, password: &str) -> Result<bool, CreateUserError> {
        let hash = self.inner.passwords.hash(password, self.inner.entropy.bytes()).await?;
        let upgraded = self.inner.local.write(vec![accounts::upgrade_guest(user_id.as_str(), &hash)]).await;
        Ok(upgraded.map_err(CreateUserError::Store)?.rows > 0)
    }

    /// Those of some users who are guests.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn guests_of(&self, users: &[OwnedUserId]) -> Result<Vec<OwnedUserId>, SqlError> {
        let users: Vec<[&str; 1]> = users.iter().map(|user| [user.as_str()]).collect();
        let found = accounts::guests(self.inner.local.db(), &users).await?;
        Ok(found.into_iter().filter_map(|user| user.try_into().ok()).collect())
    }

    /// Those who had themselves erased.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn erased(&self) -> Result<Vec<OwnedUserId>, SqlError> {
        let found = accounts::erased(self.inner.local.db()).await?;
        Ok(found.into_iter().filter_map(|user| user.try_into().ok()).collect())
    }

    /// Those whose account is closed, and who are in rooms or have devices all the same.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn half_closed(&self) -> Result<Vec<OwnedUserId>, SqlError> {
        let found = accounts::half_closed(self.inner.local.db()).await?;
        Ok(found.into_iter().filter_map(|user| user.try_into().ok()).collect())
    }

    /// Whether somebody can log in as this user with a password.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_password(&self, user_id: &UserId) -> Result<bool, SqlError> {
        let account = accounts::read(self.inner.local.db(), user_id.as_str()).await?;
        Ok(account.is_some_and(|account| account.password_hash.is_some()))
    }

    /// Whether a user of this server exists. Users of other servers are not known here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn exists(&self, user_id: &UserId) -> Result<bool, SqlError> {
        Ok(self.open_or_closed(user_id).await?.is_some())
    }

    /// Whether the user exists, and its account was closed. Mostly answered from memory: for what is asked with every request.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn is_closed(&self, user_id: &UserId) -> Result<bool, SqlError> {
        Ok(self.open_or_closed(user_id).await? == Some(false))
    }

    /// Whether the account of a user of this server is open; `None` if there is no such user.
    async fn open_or_closed(&self, user_id: &UserId) -> Result<Option<bool>, SqlError> {
        let closings = {
            let known = self.inner.known.read();
            if known.open.contains(user_id) {
                return Ok(Some(true));
            }
            known.closings
        };
        if user_id.server_name() != self.inner.server_name {
            return Ok(None);
        }
        let account = accounts::read(self.inner.local.db(), user_id.as_str()).await?;
        let open = account.map(|account| !account.deactivated);
        if open == Some(true) {
            self.remember(user_id, closings);
        }
        Ok(open)
    }

    /// Keeps that an account is open, which was so when this many had been closed.
    fn remember(&self, user_id: &UserId, closings: u64) {
        let mut known = self.inner.known.write();
        if known.closings != closings {
            return;
        }
        if known.open.len() >= KNOWN_USERS {
            known.open.clear();
        }
        known.open.insert(user_id.to_owned());
    }

    /// Whether this is the password of this user. Takes as long for a user that does not exist, and answers `false`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn check_password(&self, user_id: &UserId, password: &str) -> Result<bool, AccountError> {
        let account = accounts::read(self.inner.local.db(), user_id.as_str()).await?;
        let stored = account.filter(|account| !account.deactivated).and_then(|account| account.password_hash);
        Ok(self.inner.passwords.verify(password, stored.as_deref()).await?)
    }

    /// Whether the user was deactivated.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_deactivated(&self, user_id: &UserId) -> Result<bool, SqlError> {
        Ok(accounts::read(self.inner.local.db(), user_id.as_str()).await?.is_some_and(|account| account.deactivated))
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_password(&self, user_id: &UserId, password: &str) -> Result<(), AccountError> {
        let hash = self.inner.passwords.hash(password, self.inner.entropy.bytes()).await?;
        self.inner.local.write(vec![accounts::set_password(user_id.as_str(), &hash)]).await?;
        Ok(())
    }

    /// Closes an account for good; its name stays taken. With `erase` its profile and what it stored here are forgotten too.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn deactivate(&self, user_id: &UserId, erase: bool) -> Result<(), AccountError> {
        let at = self.now();
        let mut statements = vec![accounts::deactivate(user_id.as_str(), at)];
        if erase {
            statements.extend(accounts::erase(user_id.as_str(), at));
        }
        self.inner.local.write(statements).await?;
        let mut known = self.inner.known.write();
        known.closings += 1;
        known.open.remove(user_id);
        Ok(())
    }

    fn now(&self) -> i64 {
        i64::from(self.inner.clock.now().0)
    }

    /// What an operator sees of an account; `None` if there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn details(&self, user_id: &UserId) -> Result<Option<Account>, SqlError> {
        Ok(accounts::details(self.inner.local.db(), user_id.as_str()).await?.and_then(account))
    }

    /// Accounts after one, by id, whose id contains `search`; those of application services if `services`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page(&self, after: &str, search: &str, services: bool, limit: u32) -> Result<Vec<Account>, SqlError> {
        let search = search.to_lowercase();
        let rows = accounts::page(self.inner.local.db(), after, &search, services, i64::from(limit)).await?;
        Ok(rows.into_iter().filter_map(account).collect())
    }

    /// Says what a user may do of an operator's work, by the name of a role.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_role(&self, user_id: &UserId, role: Option<&str>) -> Result<(), StoreError> {
        self.inner.local.write(vec![accounts::set_role(user_id.as_str(), role)]).await.map(drop)
    }

    /// The database, for reading.
    pub(crate) fn db(&self) -> &landbridge_sql::Db {
        self.inner.local.db()
    }

    /// The profile of a user of this server; `None` if there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn profile(&self, user_id: &UserId) -> Result<Option<Profile>, SqlError> {
        accounts::profile(self.inner.local.db(), user_id.as_str()).await
    }

    /// Sets or unsets the display name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_displayname(&self, user_id: &UserId, value: Option<&str>) -> Result<(), StoreError> {
        self.inner.local.write(vec![accounts::set_displayname(user_id.as_str(), value)]).await.map(drop)
    }

    /// Sets or unsets the avatar.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_avatar_url(&self, user_id: &UserId, value: Option<&str>) -> Result<(), StoreError> {
        self.inner.local.write(vec![accounts::set_avatar_url(user_id.as_str(), value)]).await.map(drop)
    }

    /// Users whose id or name contains `term`; those of application services are left out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn search(&self, term: &str, limit: u32) -> Result<Vec<(String, Profile)>, SqlError> {
        accounts::search(self.inner.local.db(), &term.to_lowercase(), i64::from(limit)).await
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}
