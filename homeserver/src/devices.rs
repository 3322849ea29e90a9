//! Devices of users: access tokens, encryption keys, messages between devices.

mod backlog;
mod backups;
mod dehydrated;
mod keys;
pub(crate) mod signatures;
mod to_device;
pub(crate) mod token;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use landbridge_sql::{Row, SqlError};
use parking_lot::RwLock;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

pub(crate) use self::keys::SignedKey;
use self::token::{TokenHash, hash_token, new_device_id, new_token};
pub use self::{
    backlog::{MAX_WAITING, MAX_WAITING_BYTES},
    backups::{Backup, BackupSession, Backups, MAX_BACKUP_KEYS, MAX_BACKUPS, Which},
    dehydrated::NewDehydrated,
    keys::{Keys, MAX_FALLBACK_KEYS, MAX_KEYS_PER_UPLOAD, MAX_ONE_TIME_KEYS},
    to_device::{
        MAX_TO_DEVICE_BYTES, MAX_TO_DEVICE_RECIPIENTS, MAX_TO_DEVICE_TOTAL, Message, TO_DEVICE_PER_SYNC, ToDevice,
    },
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    store::{
        StoreError,
        devices::{self as table, DeviceRow, TokenRow},
        local::{Local, first_number},
        statement::Statement,
    },
};

/// How many devices a user has at most. Who logs in on one more is logged out on the one that was not seen for longest; an application
/// service, which makes devices without a login, makes no more.
pub const MAX_DEVICES: i64 = 500;

/// The longest id of a device, in bytes.
pub const MAX_DEVICE_ID_BYTES: usize = 255;

/// The longest name that its owner gives a device, in bytes.
pub const MAX_DEVICE_NAME_BYTES: usize = 1024;

/// How old the time may be at which a device was last seen, in milliseconds, before it is noted anew.
const SEEN_EVERY: i64 = 5 * 60 * 1000;

/// How many tokens are kept in memory with whom they belong to; at the bound all are forgotten and learnt again.
const KNOWN_TOKENS: usize = 50_000;

/// The devices of this server's users, and their access tokens.
#[derive(Clone)]
pub struct Devices {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: RwLock<Known>,
}

/// Sessions read from the store.
#[derive(Default)]
struct Known {
    sessions: HashMap<TokenHash, Remembered>,
    /// Grows with each session that ends: what was read before that must not be remembered after it.
    endings: u64,
}

struct Remembered {
    session: Session,
    /// When it was last noted that the device was seen.
    seen: AtomicI64,
}

/// Whom an access token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device of the user.
    pub device_id: OwnedDeviceId,
    /// Until when the token counts, in milliseconds since 1970; `None`: until it is ended.
    pub expires_at: Option<i64>,
    /// Whether the user is a guest.
    pub guest: bool,
    /// How often the token was refreshed.
    generation: i64,
}

/// What an access token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A session.
    Session(Session),
    /// A session that goes on with a refresh token.
    Expired,
    /// Nothing.
    Nothing,
}

/// How a user enters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// The device, known or new; `None` makes up a new one.
    pub device_id: Option<&'a DeviceId>,
    /// What to call it.
    pub display_name: Option<&'a str>,
    /// How long the access token counts before it has to be refreshed; `None`: for ever.
    pub lifetime: Option<Duration>,
    /// Whether the user is a guest.
    pub guest: bool,
}

/// What a login or a refresh gives.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// What the next one is got with, if this one expires.
    pub refresh: Option<String>,
}

/// A device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub device_id: OwnedDeviceId,
    /// What its owner calls it.
    pub display_name: Option<String>,
    /// When its owner last used it, in milliseconds since 1970, some minutes out of date; `None` for those of application services.
    pub last_seen_ts: Option<i64>,
}

impl Devices {
    pub(crate) fn new(local: Local, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { inner: Arc::new(Inner { local, clock, entropy, known: RwLock::default() }) }
    }

    /// Logs a user in on a device, new or known, and gives the session and its tokens. The device's older tokens end. Where the user has
    /// too many devices, those go that were not seen for longest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn log_in(&self, user_id: &UserId, entry: Entry<'_>) -> Result<(Session, Tokens), DeviceError> {
        let device_id: OwnedDeviceId = match entry.device_id {
            Some(id) if !id.as_str().is_empty() => id.to_owned(),
            _ => new_device_id(self.inner.entropy.bytes()).into(),
        };
        let at = self.now();
        let (user, device) = (user_id.as_str(), device_id.as_str());
        let row = self.token_row(user, device, 0, entry.lifetime);
        let (tokens, inserts) = self.new_tokens(&row);
        let mut statements = vec![table::upsert(user, device, entry.display_name, at), table::seen(user, device, at)];
        statements.extend(table::drop_tokens(user, device));
        statements.extend(inserts);
        self.inner.local.write(statements).await?;
        self.forget(|session| session.user_id == *user_id && session.device_id == device_id);
        let mut superfluous = table::superfluous(self.inner.local.db(), user, MAX_DEVICES).await?;
        superfluous.retain(|superfluous| superfluous != device);
        for superfluous in superfluous {
            self.delete(user_id, superfluous.as_str().into()).await?;
        }
        let (expires_at, guest) = (row.expires_at, entry.guest);
        let session = Session { user_id: user_id.to_owned(), device_id, expires_at, guest, generation: 0 };
        Ok((session, tokens))
    }

    /// Gives new tokens for a refresh token; `None` if it opens nothing. The old ones end when one of the new is used first, so
    /// that an answer that is lost locks nobody out ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens
    ///
    /// # Errors
    /// When the store fails.
    pub async fn refresh(&self, refresh_token: &str, lifetime: Duration) -> Result<Option<Tokens>, DeviceError> {
        let Some(old) = table::by_refresh(self.inner.local.db(), &hash_token(refresh_token)).await? else {
            return Ok(None);
        };
        let row = self.token_row(&old.user_id, &old.device_id, old.generation + 1, Some(lifetime));
        let (tokens, inserts) = self.new_tokens(&row);
        let mut statements = table::drop_older(&old.user_id, &old.device_id, old.generation);
        statements.extend(table::drop_newer(&old.user_id, &old.device_id, old.generation));
        statements.extend(inserts);
        self.inner.local.write(statements).await?;
        self.forget(|session| {
            session.user_id == old.user_id.as_str()
                && session.device_id == old.device_id.as_str()
                && session.generation != old.generation
        });
        Ok(Some(tokens))
    }

    fn now(&self) -> i64 {
        i64::from(self.inner.clock.now().0)
    }

    fn token_row(&self, user: &str, device: &str, generation: i64, lifetime: Option<Duration>) -> TokenRow {
        let millis = |lifetime: Duration| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let expires_at = lifetime.map(|lifetime| self.now().saturating_add(millis(lifetime)));
        TokenRow { user_id: user.to_owned(), device_id: device.to_owned(), generation, expires_at }
    }

    /// An access token, and a refresh token if it expires, with what stores them.
    fn new_tokens(&self, row: &TokenRow) -> (Tokens, Vec<Statement>) {
        let access = new_token(self.inner.entropy.bytes());
        let refresh = row.expires_at.map(|_| new_token(self.inner.entropy.bytes()));
        let mut inserts = vec![table::insert_token(&hash_token(&access), row)];
        inserts.extend(refresh.as_ref().map(|refresh| table::insert_refresh(&hash_token(refresh), row)));
        (Tokens { access, refresh }, inserts)
    }

    /// Makes a device without a token, as application services do; says whether it is new.
    ///
    /// # Errors
    /// When the store fails, and where the user has too many devices.
    pub async fn create(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        display_name: Option<&str>,
    ) -> Result<bool, DeviceError> {
        let known = self.exists(user_id, device_id).await?;
        let at = i64::from(self.inner.clock.now().0);
        let (user, device) = (user_id.as_str(), device_id.as_str());
        let (reads, statement) = (vec![table::ask_others(user, device)], table::upsert(user, device, display_name, at));
        let put = move |found: &[Vec<Row>]| {
            if first_number(found)? >= MAX_DEVICES {
                return Err(DeviceError::TooMany("There are too many devices"));
            }
            Ok((vec![statement.clone()], ()))
        };
        self.inner.local.change_quietly(reads, put).await?;
        Ok(!known)
    }

    /// The session an access token opens.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn by_token(&self, token: &str) -> Result<Opened, DeviceError> {
        let hash = hash_token(token);
        let now = self.now();
        let (endings, known) = {
            let known = self.inner.known.read();
            let found = known.sessions.get(&hash).map(|found| (found.session.clone(), found.is_seen_anew(now)));
            (known.endings, found)
        };
        if let Some((session, is_seen_anew)) = known {
            let opened = self.opened(session);
            if is_seen_anew {
                self.saw(&opened, now).await;
            }
            return Ok(opened);
        }
        let found = table::by_token(self.inner.local.db(), &hash).await?;
        let Some((row, guest, seen)) = found else { return Ok(Opened::Nothing) };
        let Ok(user_id) = OwnedUserId::try_from(row.user_id) else { return Ok(Opened::Nothing) };
        let session = Session {
            user_id,
            device_id: row.device_id.into(),
            expires_at: row.expires_at,
            guest,
            generation: row.generation,
        };
        // What is older is noted anew now.
        let seen = seen.filter(|seen| now - seen < SEEN_EVERY);
        let noted = seen.unwrap_or(now);
        if session.generation > 0 {
            self.first_used(&session).await?;
            // One session may have ended: that which this one replaces.
            self.remember(hash, &session, endings + 1, noted);
        } else {
            self.remember(hash, &session, endings, noted);
        }
        let opened = self.opened(session);
        if seen.is_none() {
            self.saw(&opened, now).await;
        }
        Ok(opened)
    }

    /// Notes when a session's device was seen. Where that fails, what was asked for is answered all the same.
    async fn saw(&self, opened: &Opened, now: i64) {
        let Opened::Session(session) = opened else { return };
        let seen = table::seen(session.user_id.as_str(), session.device_id.as_str(), now);
        if let Err(error) = self.inner.local.write(vec![seen]).await {
            tracing::debug!(%error, "it was not noted that a device was seen");
        }
    }

    /// A refreshed token is used: those before it end.
    async fn first_used(&self, session: &Session) -> Result<(), DeviceError> {
        let (user, device) = (session.user_id.as_str(), session.device_id.as_str());
        self.inner.local.write(table::drop_older(user, device, session.generation)).await?;
        self.forget(|known| {
            known.user_id == session.user_id
                && known.device_id == session.device_id
                && known.generation < session.generation
        });
        Ok(())
    }

    fn remember(&self, hash: TokenHash, session: &Session, endings: u64, seen: i64) {
        let mut known = self.inner.known.write();
        if known.endings == endings {
            if known.sessions.len() >= KNOWN_TOKENS {
                known.sessions.clear();
            }
            known.sessions.insert(hash, Remembered { session: session.clone(), seen: AtomicI64::new(seen) });
        }
    }

    fn opened(&self, session: Session) -> Opened {
        match session.expires_at {
            Some(at) if at <= self.now() => Opened::Expired,
            _ => Opened::Session(session),
        }
    }

    /// Whether the user has this device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn exists(&self, user_id: &UserId, device_id: &DeviceId) -> Result<bool, SqlError> {
        Ok(self.one(user_id, device_id).await?.is_some())
    }

    /// One device of a user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn one(&self, user_id: &UserId, device_id: &DeviceId) -> Result<Option<Device>, SqlError> {
        Ok(table::one(self.inner.local.db(), user_id.as_str(), device_id.as_str()).await?.map(device))
    }

    /// All devices of a user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_user(&self, user_id: &UserId) -> Result<Vec<Device>, SqlError> {
        let rows = table::of_user(self.inner.local.db(), user_id.as_str()).await?;
        Ok(rows.into_iter().map(device).collect())
    }

    /// Renames a device; says whether there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rename(&self, user_id: &UserId, device_id: &DeviceId, name: &str) -> Result<bool, StoreError> {
        let done = self.inner.local.write(vec![table::rename(user_id.as_str(), device_id.as_str(), name)]).await?;
        Ok(done.rows > 0)
    }

    /// Forgets a device and ends its token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, user_id: &UserId, device_id: &DeviceId) -> Result<(), StoreError> {
        self.inner.local.write(table::delete(user_id.as_str(), device_id.as_str())).await?;
        self.forget(|session| session.user_id == *user_id && session.device_id == *device_id);
        Ok(())
    }

    /// Forgets all devices of a user but one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_all(&self, user_id: &UserId, but: Option<&DeviceId>) -> Result<(), DeviceError> {
        for device in self.of_user(user_id).await? {
            if Some(&*device.device_id) != but {
                self.delete(user_id, &device.device_id).await?;
            }
        }
        Ok(())
    }

    fn forget(&self, which: impl Fn(&Session) -> bool) {
        let mut known = self.inner.known.write();
        known.endings += 1;
        known.sessions.retain(|_, remembered| !which(&remembered.session));
    }
}

impl Remembered {
    /// Whether it is time to note again that the device was seen; one of those who ask at once is told so.
    fn is_seen_anew(&self, now: i64) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        now - seen >= SEEN_EVERY && self.seen.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Why a device could not be made or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] SqlError),
    /// The store failed.
    #[error(transparent)]
    Write(#[from] StoreError),
    /// The user keeps as much already as one may; the text says what.
    #[error("{0}")]
    TooMany(&'static str),
}

fn device(row: DeviceRow) -> Device {
    Device { device_id: row.device_id.into(), display_name: row.display_name, last_seen_ts: row.last_seen_ts }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}
