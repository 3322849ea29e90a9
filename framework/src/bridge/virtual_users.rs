//! Virtual users: registered once, and shown under the name they go by.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{MxcUri, OwnedUserId};

use super::{HomeserverError, parts::Parts, stripes::Stripes};
use crate::{
    network::{Network, Profile, RemoteId},
    store::{Change, UserRow},
};

/// How many users are remembered in memory; at the bound all are forgotten, and read again from the store.
const MEMORY: usize = 100_000;

/// All virtual users.
pub(crate) struct VirtualUsers<N: Network> {
    parts: Arc<Parts<N>>,
    known: Mutex<HashMap<N::User, UserRow>>,
    locks: Stripes,
}

impl<N: Network> VirtualUsers<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>) -> Self {
        Self { parts: Arc::clone(parts), known: Mutex::default(), locks: Stripes::default() }
    }

    /// The Matrix id of a remote user.
    pub(crate) fn id(&self, user: &N::User) -> Result<OwnedUserId, HomeserverError> {
        let too_long = || HomeserverError::Refused("the name is too long for a Matrix user".to_owned());
        self.parts.names.user_id(&*self.parts.network, user).ok_or_else(too_long)
    }

    /// Makes sure that a virtual user is registered and goes by this name. Without a name, a new one goes by their id.
    pub(crate) async fn ensure(&self, user: &N::User, name: Option<&str>) -> Result<OwnedUserId, HomeserverError> {
        let id = self.id(user)?;
        if self.is_current(user, name) {
            return Ok(id);
        }
        let _one_at_a_time = self.locks.lock(user).await;
        if self.is_current(user, name) {
            return Ok(id);
        }
        let mut row = self.registered(user).await?;
        let name = name.map(str::to_owned).or_else(|| row.name.is_none().then(|| user.encode()));
        if let Some(name) = name.filter(|name| row.name.as_ref() != Some(name)) {
            match self.parts.homeserver.set_display_name(&id, &name).await {
                Ok(()) => row.name = Some(name),
                Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => return Err(error),
                Err(error) => {
                    tracing::warn!(user.id = %id, %error, "a display name was refused");
                    row.name = Some(name);
                }
            }
            self.remember(user, row).await?;
        }
        Ok(id)
    }

    /// Shows what changed of a profile.
    pub(crate) async fn show(&self, user: &N::User, profile: &Profile) -> Result<(), HomeserverError> {
        match &profile.avatar {
            Some(avatar) => {
                self.ensure(user, profile.name.as_deref()).await?;
                self.picture(user, Some(avatar)).await
            }
            None => self.ensure(user, profile.name.as_deref()).await.map(drop),
        }
    }

    /// Shows a picture, or none any more.
    pub(crate) async fn picture(&self, user: &N::User, avatar: Option<&MxcUri>) -> Result<(), HomeserverError> {
        let id = self.id(user)?;
        let _one_at_a_time = self.locks.lock(user).await;
        let mut row = self.registered(user).await?;
        if row.avatar.as_deref() != avatar.map(MxcUri::as_str) {
            self.parts.homeserver.set_avatar(&id, avatar).await?;
            row.avatar = avatar.map(ToString::to_string);
            self.remember(user, row).await?;
        }
        Ok(())
    }

    /// Whether a remote user is a virtual user already.
    pub(crate) async fn is_known(&self, user: &N::User) -> Result<bool, HomeserverError> {
        if self.known.lock().contains_key(user) {
            return Ok(true);
        }
        let stored = self.parts.store.user(&user.encode()).await;
        Ok(stored.map_err(|error| HomeserverError::Unavailable(error.to_string()))?.is_some())
    }

    fn is_current(&self, user: &N::User, name: Option<&str>) -> bool {
        let known = self.known.lock();
        known.get(user).is_some_and(|row| row.name.is_some() && (name.is_none() || row.name.as_deref() == name))
    }

    /// What is remembered of a user who is registered now.
    async fn registered(&self, user: &N::User) -> Result<UserRow, HomeserverError> {
        let id = self.id(user)?;
        if let Some(row) = self.known.lock().get(user) {
            return Ok(row.clone());
        }
        let stored = self.parts.store.user(&user.encode()).await;
        if let Some(row) = stored.map_err(|error| HomeserverError::Unavailable(error.to_string()))? {
            self.keep(user, row.clone());
            return Ok(row);
        }
        match self.parts.homeserver.register(id.localpart()).await {
            Ok(()) | Err(HomeserverError::InUse) => {}
            Err(error) => return Err(error),
        }
        let row = UserRow { remote: user.encode(), ..UserRow::default() };
        self.keep(user, row.clone());
        Ok(row)
    }

    fn keep(&self, user: &N::User, row: UserRow) {
        let mut known = self.known.lock();
        if known.len() >= MEMORY {
            known.clear();
        }
        known.insert(user.clone(), row);
    }

    /// Remembers without waiting: what is forgotten in a crash is done again, to no effect.
    async fn remember(&self, user: &N::User, row: UserRow) -> Result<(), HomeserverError> {
        self.keep(user, row.clone());
        let change = Change { users: vec![row], ..Change::default() };
        let queued = self.parts.store.enqueue(change).await;
        queued.map(drop).map_err(|error| HomeserverError::Unavailable(error.to_string()))
    }
}
