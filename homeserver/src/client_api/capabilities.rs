//! What users may do here ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#capabilities-negotiation

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::mount;
use ruma::api::client::discovery::get_capabilities::v3 as get_capabilities;
use serde_json::{Map, Value, json};

use super::login_tokens::can_make;
use crate::{
    admin::{Operator, Role},
    http::{ApiState, auth::Authed, error::ApiResult},
    rooms::{DEFAULT_ROOM_VERSION, SUPPORTED_ROOM_VERSIONS},
    users::Users,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<get_capabilities::Request, _, _, _>(router, capabilities)
}

/// `GET /_matrix/client/v3/capabilities`
async fn capabilities(
    State(users): State<Users>,
    State(operator): State<Operator>,
    Authed { caller, .. }: Authed<get_capabilities::Request>,
) -> ApiResult<Json<Value>> {
    let available: Map<String, Value> =
        SUPPORTED_ROOM_VERSIONS.iter().map(|version| (version.to_string(), "stable".into())).collect();
    let mut capabilities = json!({
        "m.change_password": { "enabled": true },
        "m.room_versions": { "default": DEFAULT_ROOM_VERSION.as_str(), "available": available },
        "m.set_displayname": { "enabled": true },
        "m.set_avatar_url": { "enabled": true },
        "m.3pid_changes": { "enabled": false },
        "m.get_login_token": { "enabled": can_make(&users, &caller).await? },
        "m.profile_fields": { "enabled": true },
    });
    if operator.role_of(&caller).await?.is_some_and(|role| role >= Role::Moderator) {
        capabilities["m.account_moderation"] = json!({ "lock": true, "suspend": true });
    }
    Ok(Json(json!({ "capabilities": capabilities })))
}
