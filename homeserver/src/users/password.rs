//! Passwords: argon2id, checked in the same time whether the user exists or not.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};

/// The longest password taken, in bytes; a longer one is refused before any work is done.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// Hashes and checks passwords on the blocking pool.
///
/// Two run at once at most: each takes about 19 MiB, so a flood of logins waits instead of eating the memory.
#[derive(Clone)]
pub struct Passwords {
    /// The hash of a password nobody has: checked for unknown users, so that both answers take the same time.
    nobody: Arc<str>,
    slots: Arc<tokio::sync::Semaphore>,
}

/// A password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct PasswordError;

impl Passwords {
    /// Makes the service. `salt` is any fresh randomness: it salts the hash that unknown users are checked against.
    ///
    /// # Errors
    /// When argon2 refuses its own default parameters.
    pub fn new(salt: [u8; 16]) -> Result<Self, PasswordError> {
        let nobody = hash(&salt, salt)?;
        Ok(Self { nobody: nobody.into(), slots: Arc::new(tokio::sync::Semaphore::new(2)) })
    }

    /// The PHC string (`$argon2id$…`) of a password, salted with `salt`.
    ///
    /// # Errors
    /// When hashing fails; the message never holds the password.
    pub async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, PasswordError> {
        let password = password.to_owned();
        self.run(move || hash(password.as_bytes(), salt)).await?
    }

    /// Whether `password` is the one `stored` was made from. `None` (no such user) takes as long and answers `false`.
    ///
    /// # Errors
    /// When the blocking pool is gone.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, PasswordError> {
        let known = stored.is_some() && password.len() <= MAX_PASSWORD_BYTES;
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        let password: String = if password.len() <= MAX_PASSWORD_BYTES { password.to_owned() } else { String::new() };
        let fits = self.run(move || verify(password.as_bytes(), &stored)).await?;
        Ok(fits && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let _slot = self.slots.acquire().await.map_err(|_| PasswordError)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError)
    }
}

fn hash(password: &[u8], salt: [u8; 16]) -> Result<String, PasswordError> {
    Argon2::default().hash_password_with_salt(password, &salt).map(|phc| phc.to_string()).map_err(|_| PasswordError)
}

fn verify(password: &[u8], stored: &str) -> bool {
    Argon2::default().verify_password(password, stored).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_opens_and_no_other() {
        let passwords = Passwords::new([1; 16]).unwrap();
        let stored = passwords.hash("wonderland", [2; 16]).await.unwrap();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(passwords.verify("wonderland", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("Wonderland", Some(&stored)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = Passwords::new([1; 16]).unwrap();
        assert!(!passwords.verify("anything", None).await.unwrap());
        // Not even the bytes the dummy hash was made from open it.
        assert!(!passwords.verify("\u{1}", None).await.unwrap());
    }

    #[tokio::test]
    async fn an_endless_password_is_refused() {
        let passwords = Passwords::new([1; 16]).unwrap();
        let stored = passwords.hash("", [2; 16]).await.unwrap();
        assert!(!passwords.verify(&"x".repeat(MAX_PASSWORD_BYTES + 1), Some(&stored)).await.unwrap());
    }
}
