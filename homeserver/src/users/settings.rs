//! The account data that the server itself heeds: whom a user ignores, and its push rules. Read once, kept until it changes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use landbridge_sql::SqlError;
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId, push::Ruleset};
use serde_json::Value;

use super::AccountData;

pub(super) const IGNORED_USERS: &str = "m.ignored_user_list";
pub(super) const PUSH_RULES: &str = "m.push_rules";

/// Of how many users settings are kept in memory; at the bound all are forgotten and read again.
const KEPT: usize = 20_000;

/// What was read lately.
#[derive(Debug, Default)]
pub(super) struct Settings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    users: HashMap<OwnedUserId, OfUser>,
    /// Grows with each change: what was read before one must not be kept after it.
    changes: u64,
}

#[derive(Clone, Debug, Default)]
struct OfUser {
    ignored: Option<Arc<BTreeSet<OwnedUserId>>>,
    rules: Option<Arc<Ruleset>>,
}

impl Settings {
    pub(super) fn changed(&self, user_id: &UserId) {
        let mut kept = self.0.lock();
        kept.changes += 1;
        kept.users.remove(user_id);
    }

    fn of(&self, user_id: &UserId) -> (OfUser, u64) {
        let kept = self.0.lock();
        (kept.users.get(user_id).cloned().unwrap_or_default(), kept.changes)
    }

    fn keep(&self, user_id: &UserId, changes: u64, set: impl FnOnce(&mut OfUser)) {
        let mut kept = self.0.lock();
        if kept.changes != changes {
            return;
        }
        if kept.users.len() >= KEPT {
            kept.users.clear();
        }
        set(kept.users.entry(user_id.to_owned()).or_default());
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

    /// The push rules of a user: the specification's, with what the user made of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn push_rules(&self, user_id: &UserId) -> Result<Arc<Ruleset>, SqlError> {
        let (known, changes) = self.settings.of(user_id);
        if let Some(rules) = known.rules {
            return Ok(rules);
        }
        let stored = self.read(user_id, None, PUSH_RULES).await?;
        let global = stored
            .and_then(|stored| serde_json::from_str::<Value>(&stored).ok())
            .and_then(|mut stored| serde_json::from_value::<Ruleset>(stored["global"].take()).ok());
        let mut rules = global.unwrap_or_else(|| Ruleset::server_default(user_id));
        // What was stored under an older version of the specification learns the rules that came since.
        rules.update_with_server_default(Ruleset::server_default(user_id));
        let rules = Arc::new(rules);
        self.settings.keep(user_id, changes, |settings| settings.rules = Some(rules.clone()));
        Ok(rules)
    }
}

fn ignored(content: &str, user_id: &UserId) -> BTreeSet<OwnedUserId> {
    let content: Value = serde_json::from_str(content).unwrap_or_default();
    let users = content.get("ignored_users").and_then(Value::as_object);
    let users = users.into_iter().flatten().filter_map(|(user, _)| UserId::parse(user.as_str()).ok());
    // Nobody can ignore themselves.
    users.filter(|user| user != user_id).collect()
}
