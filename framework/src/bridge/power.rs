//! What somebody may do in a room ([spec](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)).

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};
use serde_json::Value as Json;

/// A level. Old rooms write some as text.
pub(crate) fn number(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The level of a user by the content of `m.room.power_levels`.
pub(crate) fn of(levels: &Json, user_id: &str) -> i64 {
    number(&levels["users"][user_id]).or_else(|| number(&levels["users_default"])).unwrap_or(0)
}

/// Whose level is another now: who, the level before, and the level now. Without a content before, those whose level is not the
/// default.
pub(crate) fn changes(before: Option<&Json>, now: &Json) -> Vec<(OwnedUserId, i64, i64)> {
    let nobody = serde_json::json!({ "users_default": now["users_default"] });
    let before = before.unwrap_or(&nobody);
    let named = [before, now].into_iter().filter_map(|levels| levels["users"].as_object());
    let named: BTreeSet<&String> = named.flat_map(|users| users.keys()).collect();
    named
        .into_iter()
        .filter_map(|user_id| {
            let (was, is) = (of(before, user_id), of(now, user_id));
            (was != is).then_some((UserId::parse(user_id).ok()?, was, is))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_a_change() {
        let before = json!({ "users": { "@a:x": 100, "@b:x": "50", "@c:x": 10 } });
        let now = json!({ "users": { "@a:x": 100, "@b:x": 0, "@d:x": 50, "no user": 1 }, "users_default": 0 });
        let found: Vec<_> =
            changes(Some(&before), &now).into_iter().map(|(id, was, is)| (id.to_string(), was, is)).collect();
        let expected = [("@b:x", 50, 0), ("@c:x", 10, 0), ("@d:x", 0, 50)];
        assert_eq!(found, expected.map(|(id, was, is)| (id.to_owned(), was, is)));
        assert_eq!(changes(None, &json!({ "users": { "@a:x": 5, "@b:x": 0 } })).len(), 1);
        assert!(changes(None, &json!("nonsense")).is_empty());
    }
}
