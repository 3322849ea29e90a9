//! The account data that the server itself heeds: whom a user ignores, its push rules, and whether it takes invitations. Read once, kept until it changes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use landbridge_sql::SqlError;
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId, push::Ruleset};
use serde_json::{Value, json};

use super::AccountData;
use crate::store::{KeepError, StoreError, cache::Cache};

pub(super) const IGNORED_USERS: &str = "m.ignored_user_list";
pub(super) const PUSH_RULES: &str = "m.push_rules";
pub(super) const INVITE_PERMISSION: &str = "m.invite_permission_config";

/// Of how many users settings are kept in memory; at the bound all are forgotten and read again.
const KEPT: usize = 20_000;

/// How many sets of push rules are kept in memory. One takes some kilobytes, and hardly anybody has rules of their own.
const RULES: usize = 128;

/// What was read lately.
#[derive(Debug)]
pub(super) struct Settings {
    kept: Mutex<Kept>,
    rules: Cache<OwnedUserId, Arc<Ruleset>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { kept: Mutex::default(), rules: Cache::new(RULES) }
    }
}

#[derive(Debug, Default)]
struct Kept {
    users: HashMap<OwnedUserId, OfUser>,
    /// Grows with each change: what was read before one must not be kept after it.
    changes: u64,
}

#[derive(Clone, Debug, Default)]
struct OfUser {
    ignored: Option<Arc<BTreeSet<OwnedUserId>>>,
    /// Whether the user's push rules are the specification's.
    default_rules: bool,
    takes_no_invitations: Option<bool>,
}

impl Settings {
    pub(super) fn changed(&self, user_id: &UserId) {
        let mut kept = self.kept.lock();
        kept.changes += 1;
        kept.users.remove(user_id);
        self.rules.remove(user_id);
    }

    fn of(&self, user_id: &UserId) -> (OfUser, u64) {
        let kept = self.kept.lock();
        (kept.users.get(user_id).cloned().unwrap_or_default(), kept.changes)
    }

    fn keep(&self, user_id: &UserId, changes: u64, set: impl FnOnce(&mut OfUser)) {
        let mut kept = self.kept.lock();
        if kept.changes != changes {
            return;
        }
        if kept.users.len() >= KEPT {
            kept.users.clear();
        }
        set(kept.users.entry(user_id.to_owned()).or_default());
    }

    /// Keeps push rules that were read after `changes`, and notes whether they are the specification's.
    fn keep_rules(&self, user_id: &UserId, changes: u64, default_rules: bool, rules: &Arc<Ruleset>) {
        self.keep(user_id, changes, |settings| {
            settings.default_rules = default_rules;
            // Under the lock: a change takes out what is kept here after it is counted.
            self.rules.insert(user_id.to_owned(), rules.clone());
        });
    }
}

impl AccountData {
    /// Whom a user ignores ([spec](https://spec.matrix.org/v1.19/client-server-api/#mignored_user_list)).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ignored(&self, user_id: &UserId) -> Result<Arc<BTreeSet<OwnedUserId>>, SqlError> {
        let (known, changes) = self.settings.of(user_id);
        if let Some(ignored) = known.ignored {
            return Ok(ignored);
        }
        let stored = self.read(user_id, None, IGNORED_USERS).await?;
        let ignored = Arc::new(stored.as_deref().map(|content| ignored(content, user_id)).unwrap_or_default());
        self.settings.keep(user_id, changes, |settings| settings.ignored = Some(ignored.clone()));
        Ok(ignored)
    }

    /// Whether a user wants no invitations at all ([spec](https://spec.matrix.org/v1.19/client-server-api/#invite-permission)).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn takes_no_invitations(&self, user_id: &UserId) -> Result<bool, SqlError> {
        let (known, changes) = self.settings.of(user_id);
        if let Some(takes_none) = known.takes_no_invitations {
            return Ok(takes_none);
        }
        let stored = self.read(user_id, None, INVITE_PERMISSION).await?;
        let stored: Value = stored.and_then(|stored| serde_json::from_str(&stored).ok()).unwrap_or_default();
        let takes_none = stored["default_action"] == "block";
        self.settings.keep(user_id, changes, |settings| settings.takes_no_invitations = Some(takes_none));
        Ok(takes_none)
    }

    /// The push rules of a user: the specification's, with what the user made of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn push_rules(&self, user_id: &UserId) -> Result<Arc<Ruleset>, SqlError> {
        if let Some(rules) = self.settings.rules.get(user_id) {
            return Ok(rules);
        }
        let (known, changes) = self.settings.of(user_id);
        let stored = if known.default_rules { None } else { self.read(user_id, None, PUSH_RULES).await? };
        let default_rules = stored.is_none();
        let rules = Arc::new(match stored {
            Some(stored) => stored_rules(&stored, user_id),
            None => Ruleset::server_default(user_id),
        });
        self.settings.keep_rules(user_id, changes, default_rules, &rules);
        Ok(rules)
    }

    /// Changes the push rules of a user; what others change at the same time is changed before or after, never lost.
    ///
    /// # Errors
    /// What `change` refuses with, and when the store fails.
    pub(crate) async fn change_push_rules<E>(
        &self,
        user_id: &UserId,
        change: impl Fn(&mut Ruleset) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<(), E>
    where
        E: From<StoreError> + From<SqlError> + From<KeepError> + Send + 'static,
    {
        let user = user_id.to_owned();
        let change = move |stored: Option<String>| {
            let mut rules = match stored {
                Some(stored) => stored_rules(&stored, &user),
                None => Ruleset::server_default(&user),
            };
            change(&mut rules)?;
            Ok(Some(json!({ "global": rules }).to_string()))
        };
        self.change(user_id, None, PUSH_RULES, change).await
    }
}

fn stored_rules(stored: &str, user_id: &UserId) -> Ruleset {
    let global = serde_json::from_str::<Value>(stored).ok();
    let global = global.and_then(|mut stored| serde_json::from_value::<Ruleset>(stored["global"].take()).ok());
    let Some(mut rules) = global else { return Ruleset::server_default(user_id) };
    // What was stored under an older version of the specification learns the rules that came since.
    rules.update_with_server_default(Ruleset::server_default(user_id));
    rules
}

fn ignored(content: &str, user_id: &UserId) -> BTreeSet<OwnedUserId> {
    let content: Value = serde_json::from_str(content).unwrap_or_default();
    let users = content.get("ignored_users").and_then(Value::as_object);
    let users = users.into_iter().flatten().filter_map(|(user, _)| UserId::parse(user.as_str()).ok());
    // Nobody can ignore themselves.
    users.filter(|user| user != user_id).collect()
}
