//! Who may do what of an operator's work.

use std::{io, path::Path, sync::Arc};

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use landbridge_axum_ruma::{MatrixError, bearer_token};
use landbridge_registration::Token;

use crate::{
    entropy::Entropy,
    http::{
        auth::{Auth, Caller, unknown_token},
        error::{ApiError, ApiResult},
    },
    users::{Standing, Users},
};

/// The file in the data directory that holds the operator token, readable by its owner alone.
pub const OPERATOR_TOKEN_FILE: &str = "operator-token";

/// What a user may do of an operator's work. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Auditor,
    /// Suspend and lock users, hide and delete files, close rooms.
    Moderator,
    /// Everything.
    Admin,
}

impl Role {
    /// The role's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Auditor, Self::Moderator, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct AdminCaller {
    /// A user id, or `operator`.
    pub(super) who: String,
    role: Role,
}

impl AdminCaller {
    /// Refuses those whose role is less.
    ///
    /// # Errors
    /// `M_FORBIDDEN`.
    pub(super) fn must_be(&self, role: Role) -> ApiResult<()> {
        if self.role >= role {
            return Ok(());
        }
        Err(MatrixError::forbidden(format!("This takes the role {}", role.as_str())).into())
    }

    /// As [`Self::must_be`], for what changes something, which is logged.
    ///
    /// # Errors
    /// `M_FORBIDDEN`.
    pub(super) fn does(&self, role: Role, what: &'static str, whom: &str) -> ApiResult<()> {
        self.must_be(role)?;
        tracing::info!(by = self.who, what, whom, "an operator acts");
        Ok(())
    }
}

/// Knows who operates this server.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    token: Arc<Token>,
    users: Users,
}

/// The operator token cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("the operator token cannot be kept in {path}: {source}")]
pub struct OperatorError {
    path: std::path::PathBuf,
    source: io::Error,
}

impl Operator {
    /// Reads the operator token, or makes it.
    pub(crate) fn open(folder: &Path, users: Users, entropy: &dyn Entropy) -> Result<Self, OperatorError> {
        let path = folder.join(OPERATOR_TOKEN_FILE);
        let token = read_or_make(&path, entropy).map_err(|source| OperatorError { path, source })?;
        Ok(Self { token: Arc::new(Token::from(token.as_str())), users })
    }

    /// What somebody may do of an operator's work; `None`: nothing. Who acts for an application service does none of it, nor does who is
    /// suspended.
    pub(crate) async fn role_of(&self, caller: &Caller) -> ApiResult<Option<Role>> {
        if caller.appservice.is_some() || self.users.standing(&caller.user_id) != Standing::Good {
            return Ok(None);
        }
        let account = self.users.details(&caller.user_id).await?;
        Ok(account.and_then(|account| Role::parse(account.role.as_deref()?)))
    }
}

fn read_or_make(path: &Path, entropy: &dyn Entropy) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = entropy.word(43);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, format!("{token}\n").as_bytes())?;
    file.sync_all()?;
    Ok(token)
}

impl<S: Send + Sync> FromRequestParts<S> for AdminCaller
where
    Auth: FromRef<S>,
    Operator: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let operator = Operator::from_ref(state);
        let token = bearer_token(&head.headers, &head.uri)?.ok_or_else(MatrixError::missing_token)?;
        if operator.token.matches(&token) {
            return Ok(Self { who: "operator".to_owned(), role: Role::Admin });
        }
        let auth = Auth::from_ref(state);
        let caller = auth.caller(&head.headers, &head.uri).await?.ok_or_else(unknown_token)?;
        auth.check_deed(&caller, &head.method, head.uri.path())?;
        let role =
            operator.role_of(&caller).await?.ok_or_else(|| MatrixError::forbidden("You do not operate this server"))?;
        Ok(Self { who: caller.user_id.to_string(), role })
    }
}
