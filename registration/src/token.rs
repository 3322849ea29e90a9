//! The two secrets of a registration.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// An `as_token` or `hs_token`. Compared in constant time, and never printed by `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A token with 256 bits of the system's randomness, in characters that need no quoting anywhere.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn generate() -> Result<Self, TokenError> {
        let mut entropy = [0; 32];
        SysRng.try_fill_bytes(&mut entropy).map_err(|error| TokenError(error.to_string()))?;
        Ok(Self::from_entropy(&entropy))
    }

    /// A token made of these random bytes. The prefix lets scanners for leaked secrets recognise it.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; 32]) -> Self {
        Self(format!("lbt_{}", URL_SAFE_NO_PAD.encode(entropy)))
    }

    /// Whether a peer gave this token. The time tells nothing about where a wrong one differs.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The secret itself, to be sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl From<&str> for Token {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The system has no randomness to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no randomness from the operating system: {0}")]
pub struct TokenError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_safe_in_a_header_and_in_yaml() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), 47);
        assert!(one.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn a_token_matches_itself_alone() {
        let token = Token::from("secret");
        assert!(token.matches("secret"));
        assert!(!token.matches("secreT") && !token.matches("secret ") && !token.matches(""));
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", Token::from("secret")), "Token(***)");
    }
}
