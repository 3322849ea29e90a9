//! Push rules: the specification's own, and what a user makes of them ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-rules

use axum::{Json, Router, extract::State, routing};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::{
    UserId,
    api::client::push::{
        delete_pushrule::v3 as delete_pushrule, get_pushrule::v3 as get_pushrule,
        get_pushrule_actions::v3 as get_pushrule_actions, get_pushrule_enabled::v3 as get_pushrule_enabled,
        get_pushrules_all::v3 as get_pushrules_all, get_pushrules_global_scope::v3 as get_pushrules_global,
        set_pushrule_actions::v3 as set_pushrule_actions, set_pushrule_enabled::v3 as set_pushrule_enabled,
    },
    api::error::ErrorKind,
    push::{
        Action, InsertPushRuleError, NewConditionalPushRule, NewPatternedPushRule, NewPushRule, NewSimplePushRule,
        PushCondition, RemovePushRuleError, RuleKind, Ruleset,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::empty;
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::{ApiError, ApiResult},
        path::{PathArgs, QueryArgs},
    },
    users::{AccountData, MAX_ACCOUNT_DATA_BYTES},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_pushrules_all::Request, _, _, _>(router, all);
    let router = mount::<get_pushrules_global::Request, _, _, _>(router, global);
    let router = mount::<get_pushrule::Request, _, _, _>(router, one);
    let router = ["r0", "v3"].into_iter().fold(router, |router, version| {
        router.route(&format!("/_matrix/client/{version}/pushrules/global/{{kind}}/{{rule_id}}"), routing::put(put))
    });
    let router = mount::<delete_pushrule::Request, _, _, _>(router, delete);
    let router = mount::<get_pushrule_enabled::Request, _, _, _>(router, enabled);
    let router = mount::<set_pushrule_enabled::Request, _, _, _>(router, put_enabled);
    let router = mount::<get_pushrule_actions::Request, _, _, _>(router, actions);
    mount::<set_pushrule_actions::Request, _, _, _>(router, put_actions)
}

/// How many rules of its own a user has at most.
const MAX_RULES: usize = 1000;

/// The rules of a user: the specification's, with what the user made of them.
pub(crate) async fn ruleset(account_data: &AccountData, user_id: &UserId) -> ApiResult<Ruleset> {
    Ok((*account_data.push_rules(user_id).await?).clone())
}

/// Changes the rules of a user, with whatever else changes them at the same time.
pub(super) async fn change(
    account_data: &AccountData,
    user_id: &UserId,
    change: impl Fn(&mut Ruleset) -> Result<(), MatrixError> + Send + Sync + 'static,
) -> ApiResult<Json<Value>> {
    let change = move |rules: &mut Ruleset| {
        change(rules)?;
        if serde_json::to_string(rules).is_ok_and(|content| content.len() > MAX_ACCOUNT_DATA_BYTES) {
            return Err(ApiError::from(MatrixError::too_large()));
        }
        Ok(())
    };
    account_data.change_push_rules(user_id, change).await?;
    Ok(empty())
}

/// The actions that a client sets. Two that older versions of the specification had mean nothing and are left out, others that nobody knows
/// are refused ([spec](https://spec.matrix.org/v1.19/client-server-api/#actions)).
fn taken(actions: Vec<Action>) -> Result<Vec<Action>, MatrixError> {
    let mut taken = Vec::with_capacity(actions.len());
    for action in actions {
        if matches!(action, Action::Notify | Action::SetTweak(_)) {
            taken.push(action);
            continue;
        }
        let named = serde_json::to_value(&action).unwrap_or_default();
        if !matches!(named.as_str(), Some("dont_notify" | "coalesce")) {
            return Err(MatrixError::invalid_param("There is no such action"));
        }
    }
    Ok(taken)
}

fn no_rule() -> MatrixError {
    MatrixError::not_found("No such push rule")
}

/// `GET /_matrix/client/v3/pushrules/`
async fn all(
    State(account_data): State<AccountData>,
    Authed { caller, .. }: Authed<get_pushrules_all::Request>,
) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "global": ruleset(&account_data, &caller.user_id).await? })))
}

/// `GET /_matrix/client/v3/pushrules/global/`
async fn global(
    State(account_data): State<AccountData>,
    Authed { caller, .. }: Authed<get_pushrules_global::Request>,
) -> ApiResult<Json<Ruleset>> {
    Ok(Json(ruleset(&account_data, &caller.user_id).await?))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn one(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_pushrule::Request>,
) -> ApiResult<Json<Value>> {
    let rules = ruleset(&account_data, &caller.user_id).await?;
    let rules = serde_json::to_value(&rules).map_err(|_| MatrixError::internal())?;
    let of_kind = rules[body.kind.as_str()].as_array();
    let rule = of_kind.and_then(|rules| rules.iter().find(|rule| rule["rule_id"] == body.rule_id.as_str()));
    Ok(Json(rule.cloned().ok_or_else(no_rule)?))
}

/// Where a rule goes among the others.
#[derive(Deserialize)]
struct Place {
    before: Option<String>,
    after: Option<String>,
}

/// Read by hand: ruma asks for conditions, which the specification does not.
#[derive(Deserialize)]
struct NewRule {
    actions: Vec<Action>,
    #[serde(default)]
    conditions: Option<Vec<PushCondition>>,
    pattern: Option<String>,
}

impl NewRule {
    fn named(mut self, kind: &RuleKind, id: String) -> ApiResult<NewPushRule> {
        self.actions = taken(self.actions)?;
        let invalid = |message: &str| MatrixError::invalid_param(message.to_owned());
        let conditional = |conditions: Option<_>, actions| {
            NewConditionalPushRule::new(id.clone(), conditions.unwrap_or_default(), actions)
        };
        Ok(match kind {
            RuleKind::Override => NewPushRule::Override(conditional(self.conditions, self.actions)),
            RuleKind::Underride => NewPushRule::Underride(conditional(self.conditions, self.actions)),
            RuleKind::Content => {
                let missing = || MatrixError::bad_json("A content rule has a pattern");
                NewPushRule::Content(NewPatternedPushRule::new(id, self.pattern.ok_or_else(missing)?, self.actions))
            }
            RuleKind::Room => {
                let room_id = id.try_into().map_err(|_| invalid("The rule's id is no room id"))?;
                NewPushRule::Room(NewSimplePushRule::new(room_id, self.actions))
            }
            RuleKind::Sender => {
                let user_id = id.try_into().map_err(|_| invalid("The rule's id is no user id"))?;
                NewPushRule::Sender(NewSimplePushRule::new(user_id, self.actions))
            }
            _ => return Err(invalid("There is no such kind of rule").into()),
        })
    }
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn put(
    State(account_data): State<AccountData>,
    caller: Caller,
    PathArgs((kind, rule_id)): PathArgs<(RuleKind, String)>,
    QueryArgs(place): QueryArgs<Place>,
    JsonBody(rule): JsonBody<NewRule>,
) -> ApiResult<Json<Value>> {
    let rule = rule.named(&kind, rule_id)?;
    if rule.rule_id().is_empty() || rule.rule_id().len() > 255 {
        return Err(MatrixError::invalid_param("The rule's id is empty or too long").into());
    }
    let insert = move |rules: &mut Ruleset| {
        let (after, before) = (place.after.as_deref(), place.before.as_deref());
        rules.insert(rule.clone(), after, before).map_err(|error| match error {
            InsertPushRuleError::UnknownRuleId | InsertPushRuleError::BeforeHigherThanAfter => {
                MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, error.to_string())
            }
            _ => MatrixError::invalid_param(error.to_string()),
        })?;
        if rules.iter().filter(|rule| !rule.is_server_default()).count() > MAX_RULES {
            return Err(MatrixError::invalid_param("There are too many rules"));
        }
        Ok(())
    };
    change(&account_data, &caller.user_id, insert).await
}

/// `DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn delete(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<delete_pushrule::Request>,
) -> ApiResult<Json<Value>> {
    let remove = move |rules: &mut Ruleset| {
        rules.remove(body.kind.clone(), &body.rule_id).map_err(|error| match error {
            RemovePushRuleError::ServerDefault => MatrixError::invalid_param("The specification's rules stay"),
            _ => no_rule(),
        })
    };
    change(&account_data, &caller.user_id, remove).await
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
async fn enabled(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_pushrule_enabled::Request>,
) -> ApiResult<Json<Value>> {
    let rules = ruleset(&account_data, &caller.user_id).await?;
    let rule = rules.get(body.kind, &body.rule_id).ok_or_else(no_rule)?;
    Ok(Json(json!({ "enabled": rule.enabled() })))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
async fn put_enabled(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<set_pushrule_enabled::Request>,
) -> ApiResult<Json<Value>> {
    let set = move |rules: &mut Ruleset| {
        rules.set_enabled(body.kind.clone(), &body.rule_id, body.enabled).map_err(|_| no_rule())
    };
    change(&account_data, &caller.user_id, set).await
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
async fn actions(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_pushrule_actions::Request>,
) -> ApiResult<Json<Value>> {
    let rules = ruleset(&account_data, &caller.user_id).await?;
    let rule = rules.get(body.kind, &body.rule_id).ok_or_else(no_rule)?;
    Ok(Json(json!({ "actions": rule.actions() })))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
async fn put_actions(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<set_pushrule_actions::Request>,
) -> ApiResult<Json<Value>> {
    let actions = taken(body.actions)?;
    let set = move |rules: &mut Ruleset| {
        rules.set_actions(body.kind.clone(), &body.rule_id, actions.clone()).map_err(|_| no_rule())
    };
    change(&account_data, &caller.user_id, set).await
}
