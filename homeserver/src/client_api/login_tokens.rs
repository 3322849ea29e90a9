//! Letting another client in by one that is in already ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#token-based-user-login

use axum::{Json, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::api::{client::session::get_login_token::v1 as get_login_token, error::ErrorKind};
use serde_json::{Value, json};

use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        limits::{Action, Limits},
        uia::{Challenge, Uia, UiaError},
    },
    users::{Grants, LOGIN_TOKEN_LIFETIME, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<get_login_token::Request, _, _, _>(router, make)
}

/// Whether a caller can make login tokens: one who can show that it is they who ask
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#mget_login_token-capability)).
pub(super) async fn can_make(users: &Users, caller: &Caller) -> ApiResult<bool> {
    Ok(caller.appservice.is_none() && users.has_password(&caller.user_id).await?)
}

/// `POST /_matrix/client/v1/login/get_token` ([spec]). The password is asked for each time.
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
async fn make(
    State(users): State<Users>,
    State(grants): State<Grants>,
    State(limits): State<Limits>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<get_login_token::Request>,
) -> Result<Json<Value>, UiaError> {
    if !can_make(&users, &caller).await? {
        let message = "Only who has a password can let other clients in";
        return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message).into());
    }
    // Nobody is asked for a password in vain.
    limits.check(Action::LoginToken, &caller.user_id)?;
    uia.require(Challenge::password("login token", &caller.user_id), body.auth.as_ref()).await?;
    limits.take_for(Action::LoginToken, &caller.user_id)?;
    let token = grants.login(&caller.user_id, caller.device()?).await?;
    let lifetime = u64::try_from(LOGIN_TOKEN_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(json!({ "login_token": token, "expires_in_ms": lifetime })))
}
