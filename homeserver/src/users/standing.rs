//! What accounts may do: operators suspend and lock them ([suspension], [locking])
//!
//! [suspension]: https://spec.matrix.org/v1.19/client-server-api/#account-suspension
//! [locking]: https://spec.matrix.org/v1.19/client-server-api/#account-locking

use landbridge_sql::SqlError;
use ruma::{OwnedUserId, UserId};

use super::Users;
use crate::store::{StoreError, accounts};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything.
    Good,
    /// Read, leave, and take back what it said.
    Suspended,
    /// Nothing.
    Locked,
}

/// What an operator took from an account. The one does not end the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// It may only read, leave, and take back what it said.
    pub suspended: bool,
    /// It may do nothing.
    pub locked: bool,
}

impl Users {
    /// Reads who may not do everything; once, before anybody is answered.
    pub(crate) async fn load(&self) -> Result<(), SqlError> {
        for (user_id, locked, suspended) in accounts::restricted(self.inner.local.db()).await? {
            let Ok(user_id) = OwnedUserId::try_from(user_id) else { continue };
            self.inner.restricted.write().insert(user_id, Restrictions { suspended, locked });
        }
        Ok(())
    }

    /// What an account may do now.
    #[must_use]
    pub fn standing(&self, user_id: &UserId) -> Standing {
        match self.restrictions(user_id) {
            Restrictions { locked: true, .. } => Standing::Locked,
            Restrictions { suspended: true, .. } => Standing::Suspended,
            Restrictions { .. } => Standing::Good,
        }
    }

    /// What an operator took from an account.
    #[must_use]
    pub fn restrictions(&self, user_id: &UserId) -> Restrictions {
        self.inner.restricted.read().get(user_id).copied().unwrap_or_default()
    }

    /// Makes an account this and nothing else.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_standing(&self, user_id: &UserId, standing: Standing) -> Result<(), StoreError> {
        let restrictions =
            Restrictions { suspended: standing == Standing::Suspended, locked: standing == Standing::Locked };
        let at = |taken: bool| taken.then(|| self.now());
        let statements = vec![
            accounts::set_locked(user_id.as_str(), at(restrictions.locked)),
            accounts::set_suspended(user_id.as_str(), at(restrictions.suspended)),
        ];
        self.inner.local.write(statements).await?;
        self.restrict(user_id, |known| *known = restrictions);
        Ok(())
    }

    /// Suspends an account, or ends that.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_suspended(&self, user_id: &UserId, suspended: bool) -> Result<(), StoreError> {
        let at = suspended.then(|| self.now());
        self.inner.local.write(vec![accounts::set_suspended(user_id.as_str(), at)]).await?;
        self.restrict(user_id, |restrictions| restrictions.suspended = suspended);
        Ok(())
    }

    /// Locks an account, or ends that.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_locked(&self, user_id: &UserId, locked: bool) -> Result<(), StoreError> {
        let at = locked.then(|| self.now());
        self.inner.local.write(vec![accounts::set_locked(user_id.as_str(), at)]).await?;
        self.restrict(user_id, |restrictions| restrictions.locked = locked);
        Ok(())
    }

    fn restrict(&self, user_id: &UserId, change: impl FnOnce(&mut Restrictions)) {
        let mut restricted = self.inner.restricted.write();
        let restrictions = restricted.entry(user_id.to_owned()).or_default();
        change(restrictions);
        if *restrictions == Restrictions::default() {
            restricted.remove(user_id);
        }
    }
}
