//! Where the homeserver reaches the application service.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// The `url` of a registration: `http` or `https`, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// Takes a URL after checking it.
    ///
    /// # Errors
    /// If requests cannot be sent there: not a URL, neither `http` nor `https`, or with user, password, query or
    /// fragment.
    pub fn parse(text: impl Into<String>) -> Result<Self, ServiceUrlError> {
        let text = text.into();
        let url = Url::parse(&text).map_err(|error| ServiceUrlError::NotAUrl(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ServiceUrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ServiceUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ServiceUrlError::Query);
        }
        Ok(Self(text))
    }

    /// The URL as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL without slashes at its end, so that a path can follow.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl TryFrom<String> for ServiceUrl {
    type Error = ServiceUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<ServiceUrl> for String {
    fn from(url: ServiceUrl) -> Self {
        url.0
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why requests cannot be sent to a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceUrlError {
    /// It does not parse.
    #[error("not a URL ({0})")]
    NotAUrl(String),
    /// Another scheme than `http` and `https`.
    #[error("has the scheme `{0}`, not http or https")]
    Scheme(String),
    /// User or password; the `hs_token` is what authenticates the homeserver.
    #[error("holds a user name or password")]
    Credentials,
    /// Paths are appended, so nothing may follow the path.
    #[error("has a query or a fragment")]
    Query,
}
