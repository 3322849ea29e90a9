//! Where calls find a relay ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip

use std::{fmt, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{UserId, api::client::voip::get_turn_server_info::v3 as turn_server};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::{
    clock::Clock,
    http::{ApiConfig, ApiState, auth::Authed, error::ApiResult},
};

/// A relay for calls between people whose networks do not let them reach each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Where it is: `turn:turn.example.org?transport=udp`.
    pub uris: Vec<String>,
    /// The secret shared with it (coturn: `static-auth-secret`), of which each user's password for a while is made.
    pub secret: String,
    /// How long a password counts.
    pub lifetime: Duration,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("uris", &self.uris).field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Turn {
    /// The name and the password of a user at a time in seconds since 1970
    /// (<https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00>).
    fn credentials(&self, user_id: &UserId, now: u64) -> Option<(String, String)> {
        let username = format!("{}:{user_id}", now.saturating_add(self.lifetime.as_secs()));
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes()).ok()?;
        mac.update(username.as_bytes());
        Some((username, STANDARD.encode(mac.finalize().into_bytes())))
    }
}

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<turn_server::Request, _, _, _>(router, turn)
}

/// `GET /_matrix/client/v3/voip/turnServer`; where there is none, that is said by an empty object.
async fn turn(
    State(config): State<Arc<ApiConfig>>,
    State(clock): State<Arc<dyn Clock>>,
    Authed { caller, .. }: Authed<turn_server::Request>,
) -> ApiResult<Json<Value>> {
    let Some(turn) = &config.turn else { return Ok(Json(json!({}))) };
    let now = u64::from(clock.now().0) / 1000;
    let (username, password) = turn.credentials(&caller.user_id, now).ok_or_else(MatrixError::internal)?;
    Ok(Json(json!({
        "username": username,
        "password": password,
        "uris": turn.uris,
        "ttl": turn.lifetime.as_secs(),
    })))
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn the_password_is_what_the_relay_computes_too() {
        let turn = Turn { uris: vec![], secret: "north".to_owned(), lifetime: Duration::from_secs(100) };
        let (username, password) = turn.credentials(user_id!("@alice:localhost"), 1_000).unwrap();
        assert_eq!(username, "1100:@alice:localhost");
        // printf '1100:@alice:localhost' | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(password, "9bGYlzOzW2C/6oji4MvZ9IYBPmo=");
        assert!(!format!("{turn:?}").contains("north"));
    }
}
