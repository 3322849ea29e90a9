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
    OwnedUserId, UserId,
    api::client::uiaa::{AuthData, Password, UserIdentifier},
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    error::{ApiError, ApiResult},
    limits::{Action, Limits},
};
use crate::{
    entropy::Entropy,
    users::{Grants, Users},
};

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
    /// A token that an operator gave out (`m.login.registration_token`).
    RegistrationToken,
    /// Consent to the terms of this server (`m.login.terms`).
    Terms,
}

impl Stage {
    /// The stage's name in requests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::Password => "m.login.password",
            Self::RegistrationToken => "m.login.registration_token",
            Self::Terms => "m.login.terms",
        }
    }
}

/// Terms that have to be agreed to before an account is made
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#terms-of-service-at-registration)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A name for machines, such as `privacy_policy`.
    pub id: String,
    /// Which edition.
    pub version: String,
    /// The language of `name` and of the document, such as `en`.
    pub language: String,
    /// What people call it.
    pub name: String,
    /// Where it can be read.
    pub url: String,
}

/// What a request asks to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Challenge<'a> {
    /// What it is for: what was passed for one thing does not count for another.
    pub(crate) operation: &'static str,
    /// Whose account it is about; `None` where there is none yet.
    pub(crate) user_id: Option<&'a UserId>,
    /// All of these, in any order.
    pub(crate) stages: Vec<Stage>,
}

impl<'a> Challenge<'a> {
    /// The password of a user.
    pub(crate) fn password(operation: &'static str, user_id: &'a UserId) -> Self {
        Self { operation, user_id: Some(user_id), stages: vec![Stage::Password] }
    }
}

/// What was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// The registration token, which is now to be used.
    pub(crate) registration_token: Option<String>,
}

/// One authentication under way.
#[derive(Clone, Debug)]
struct UiaSession {
    begun: Instant,
    operation: &'static str,
    user_id: Option<OwnedUserId>,
    completed: Vec<Stage>,
    passed: Passed,
}

impl UiaSession {
    fn of(challenge: &Challenge<'_>) -> Self {
        Self {
            begun: Instant::now(),
            operation: challenge.operation,
            user_id: challenge.user_id.map(ToOwned::to_owned),
            completed: Vec::new(),
            passed: Passed::default(),
        }
    }

    fn fits(&self, challenge: &Challenge<'_>) -> bool {
        self.operation == challenge.operation && self.user_id.as_deref() == challenge.user_id
    }

    fn complete(&mut self, stage: Stage) {
        if !self.completed.contains(&stage) {
            self.completed.push(stage);
        }
    }
}

/// The authentications under way.
#[derive(Clone, Debug)]
pub(crate) struct Uia {
    sessions: Arc<Mutex<HashMap<String, UiaSession>>>,
    users: Users,
    grants: Grants,
    limits: Limits,
    terms: Arc<[Terms]>,
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

/// An errcode and a sentence, in an answer that has the flows too.
type Refusal = (&'static str, &'static str);

impl Uia {
    /// Checks passwords with `users`, registration tokens with `grants`.
    #[must_use]
    pub(crate) fn new(
        users: Users,
        grants: Grants,
        limits: Limits,
        terms: Arc<[Terms]>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { sessions: Arc::default(), users, grants, limits, terms, entropy }
    }

    /// Lets a request through that has passed all stages. A single stage may be passed without a session.
    ///
    /// # Errors
    /// 401 with the stages; `M_FORBIDDEN` among them if what was given is wrong.
    pub(crate) async fn require(&self, challenge: Challenge<'_>, given: Option<&AuthData>) -> Result<Passed, UiaError> {
        let Some(given) = given else { return Err(self.begin(&challenge, None)) };
        let mut session = match given.session() {
            None => UiaSession::of(&challenge),
            Some(id) => match self.known(id).filter(|session| session.fits(&challenge)) {
                Some(session) => session,
                None => return Err(self.begin(&challenge, Some(("M_UNKNOWN", "Unknown session")))),
            },
        };
        let refusal = self.attempt(&challenge, given, &mut session).await?;
        let is_complete = challenge.stages.iter().all(|stage| session.completed.contains(stage));
        let id = given.session();
        if refusal.is_none() && is_complete {
            if let Some(id) = id {
                self.sessions.lock().remove(id);
            }
            return Ok(session.passed);
        }
        let id = id.map_or_else(|| self.entropy.word(24), str::to_owned);
        let body = self.body(&challenge, &id, &session, refusal);
        self.keep(id, session);
        Err(UiaError::Stages(body))
    }

    /// Tries the stage that the request has something for.
    async fn attempt(
        &self,
        challenge: &Challenge<'_>,
        given: &AuthData,
        session: &mut UiaSession,
    ) -> Result<Option<Refusal>, UiaError> {
        let (stage, refusal) = match given {
            AuthData::Dummy(_) => (Stage::Dummy, None),
            AuthData::Terms(_) => (Stage::Terms, None),
            AuthData::Password(password) if challenge.stages.contains(&Stage::Password) => {
                let right = self.is_password(challenge.user_id, password).await?;
                (Stage::Password, (!right).then_some(("M_FORBIDDEN", "Wrong password")))
            }
            AuthData::RegistrationToken(given) => {
                let valid = self.grants.is_valid(&given.token).await?;
                if valid {
                    session.passed.registration_token = Some(given.token.clone());
                }
                (Stage::RegistrationToken, (!valid).then_some(("M_FORBIDDEN", "The token cannot be used")))
            }
            // It only asks whether what was passed elsewhere is enough.
            AuthData::FallbackAcknowledgement(_) => return Ok(None),
            _ => return Ok(Some(("M_UNRECOGNIZED", "Not one of the stages"))),
        };
        if !challenge.stages.contains(&stage) {
            return Ok(Some(("M_UNRECOGNIZED", "Not one of the stages")));
        }
        if refusal.is_none() {
            session.complete(stage);
        }
        Ok(refusal)
    }

    async fn is_password(&self, user_id: Option<&UserId>, given: &Password) -> Result<bool, UiaError> {
        let Some(user_id) = user_id.filter(|user_id| names(&given.identifier, user_id)) else { return Ok(false) };
        self.limits.check(Action::WrongPassword, user_id)?;
        let right = self.users.check_password(user_id, &given.password).await?;
        if !right {
            self.limits.take_for(Action::WrongPassword, user_id)?;
        }
        Ok(right)
    }

    /// Passes a stage from the page that stands in for clients that do not know it; says whether there is such a session.
    pub(crate) fn pass(&self, session: &str, stage: Stage, registration_token: Option<String>) -> bool {
        let mut sessions = self.sessions.lock();
        let Some(session) = sessions.get_mut(session).filter(|session| session.begun.elapsed() < PATIENCE) else {
            return false;
        };
        if registration_token.is_some() {
            session.passed.registration_token = registration_token;
        }
        session.complete(stage);
        true
    }

    /// The terms of this server.
    pub(crate) fn terms(&self) -> &[Terms] {
        &self.terms
    }

    fn begin(&self, challenge: &Challenge<'_>, refusal: Option<Refusal>) -> UiaError {
        let (id, session) = (self.entropy.word(24), UiaSession::of(challenge));
        let body = self.body(challenge, &id, &session, refusal);
        self.keep(id, session);
        UiaError::Stages(body)
    }

    fn body(&self, challenge: &Challenge<'_>, id: &str, session: &UiaSession, refusal: Option<Refusal>) -> Value {
        let names = |stages: &[Stage]| stages.iter().map(|stage| stage.name()).collect::<Vec<_>>();
        let mut params = Map::new();
        if challenge.stages.contains(&Stage::Terms) {
            params.insert(Stage::Terms.name().to_owned(), json!({ "policies": self.policies() }));
        }
        let mut body = json!({
            "flows": [{ "stages": names(&challenge.stages) }],
            "params": params,
            "session": id,
            "completed": names(&session.completed),
        });
        if let (Some((errcode, message)), Some(body)) = (refusal, body.as_object_mut()) {
            body.insert("errcode".to_owned(), errcode.into());
            body.insert("error".to_owned(), message.into());
        }
        body
    }

    fn policies(&self) -> Map<String, Value> {
        let policy = |terms: &Terms| {
            let document = json!({ "name": terms.name, "url": terms.url });
            (terms.id.clone(), json!({ "version": terms.version, terms.language.clone(): document }))
        };
        self.terms.iter().map(policy).collect()
    }

    fn keep(&self, id: String, session: UiaSession) {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, session| session.begun.elapsed() < PATIENCE);
        }
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.begun).map(|(id, _)| id.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(id, session);
    }

    fn known(&self, id: &str) -> Option<UiaSession> {
        self.sessions.lock().get(id).filter(|session| session.begun.elapsed() < PATIENCE).cloned()
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
