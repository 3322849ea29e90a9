//! User-interactive authentication ([spec]): a request is refused with the stages to pass, and repeated with them passed
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use landbridge_axum_ruma::MatrixError;
use parking_lot::Mutex;
use ruma::{
    UserId,
    api::client::uiaa::{AuthData, UserIdentifier},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::error::{ApiError, ApiResult};
use crate::{entropy::Entropy, users::Users};

/// How many authentications may be under way; at the bound the oldest is forgotten and its client begins anew.
const MAX_SESSIONS: usize = 10_000;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What has to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing but the will to go on (`m.login.dummy`).
    Dummy,
    /// The user's password (`m.login.password`).
    Password,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::Password => "m.login.password",
        }
    }
}

/// The authentications under way.
#[derive(Clone, Debug)]
pub(crate) struct Uia {
    sessions: Arc<Mutex<HashMap<String, Instant>>>,
    users: Users,
    entropy: Arc<dyn Entropy>,
}

/// A refusal: with stages to pass, or for good.
#[derive(Debug)]
pub(crate) enum UiaError {
    /// 401 with the flows.
    Stages(Value),
    /// Anything else.
    Api(ApiError),
}

impl IntoResponse for UiaError {
    fn into_response(self) -> Response {
        match self {
            Self::Stages(body) => (StatusCode::UNAUTHORIZED, Json(body)).into_response(),
            Self::Api(error) => error.into_response(),
        }
    }
}

impl<E: Into<ApiError>> From<E> for UiaError {
    fn from(error: E) -> Self {
        Self::Api(error.into())
    }
}

impl Uia {
    /// Checks passwords with `users`.
    #[must_use]
    pub(crate) fn new(users: Users, entropy: Arc<dyn Entropy>) -> Self {
        Self { sessions: Arc::default(), users, entropy }
    }

    /// Lets a request through that has passed `stage`. `user_id` is whose password it must be.
    ///
    /// # Errors
    /// 401 with the stages; `M_FORBIDDEN` among them if the password is wrong.
    pub(crate) async fn require(
        &self,
        stage: Stage,
        user_id: Option<&UserId>,
        given: Option<&AuthData>,
    ) -> Result<(), UiaError> {
        let Some(given) = given else { return Err(UiaError::Stages(self.stages(stage, None, None))) };
        let session = given.session();
        if let Some(session) = session
            && !self.is_known(session)
        {
            return Err(UiaError::Stages(self.stages(stage, None, Some(("M_UNKNOWN", "Unknown session")))));
        }
        let passed = match (stage, given) {
            (Stage::Dummy, AuthData::Dummy(_)) => true,
            (Stage::Password, AuthData::Password(password)) => match user_id {
                Some(user_id) if names(&password.identifier, user_id) => {
                    self.users.check_password(user_id, &password.password).await.map_err(ApiError::from)?
                }
                _ => false,
            },
            _ => {
                return Err(UiaError::Stages(self.stages(stage, session, None)));
            }
        };
        if !passed {
            let wrong = Some(("M_FORBIDDEN", "Wrong password"));
            return Err(UiaError::Stages(self.stages(stage, session, wrong)));
        }
        if let Some(session) = session {
            self.sessions.lock().remove(session);
        }
        Ok(())
    }

    fn stages(&self, stage: Stage, session: Option<&str>, error: Option<(&str, &str)>) -> Value {
        let session = session.map_or_else(|| self.begin(), str::to_owned);
        let mut body = json!({
            "flows": [{ "stages": [stage.name()] }],
            "params": {},
            "session": session,
            "completed": [],
        });
        if let (Some((errcode, message)), Some(body)) = (error, body.as_object_mut()) {
            body.insert("errcode".to_owned(), errcode.into());
            body.insert("error".to_owned(), message.into());
        }
        body
    }

    fn begin(&self) -> String {
        let session = self.entropy.word(24);
        let now = Instant::now();
        let mut sessions = self.sessions.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, begun| now.duration_since(*begun) < PATIENCE);
        }
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, begun)| **begun).map(|(session, _)| session.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(session.clone(), now);
        session
    }

    fn is_known(&self, session: &str) -> bool {
        self.sessions.lock().get(session).is_some_and(|begun| begun.elapsed() < PATIENCE)
    }
}

/// Whether an identifier names this user, by the whole id or by its localpart.
fn names(identifier: &UserIdentifier, user_id: &UserId) -> bool {
    match localpart_or_id(identifier) {
        Ok(name) => name == user_id.as_str() || name == user_id.localpart(),
        Err(_) => false,
    }
}

/// The `user` of an `m.id.user` identifier.
///
/// # Errors
/// `M_UNKNOWN` for any other kind: this server knows neither e-mail addresses nor telephone numbers.
pub(crate) fn localpart_or_id(identifier: &UserIdentifier) -> ApiResult<String> {
    let value = serde_json::to_value(identifier).unwrap_or_default();
    match (value["type"].as_str(), value["user"].as_str()) {
        (Some("m.id.user"), Some(user)) => Ok(user.to_owned()),
        _ => {
            let kind = ruma::api::error::ErrorKind::Unknown;
            Err(MatrixError::new(StatusCode::BAD_REQUEST, kind, "Only m.id.user identifies users here").into())
        }
    }
}
