//! Passwords: argon2id, checked in the same time whether the user exists or not.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, CustomizedPasswordHasher, Params, PasswordHash, PasswordVerifier as _, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, Salt},
    },
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
    let made = Argon2id.hash_password_customized(password, &salt, None, None, Params::default());
    made.map(|phc| phc.to_string()).map_err(|_| PasswordError)
}

fn verify(password: &[u8], stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|stored| Argon2id.verify_password(password, &stored).is_ok())
}

/// How many blocks of memory are asked for at least; no more than are needed are ever touched.
///
/// Memory of up to 32 MiB the C library's allocator keeps for later, in each of its arenas: eight passwords left 150 MB behind.
/// What is larger it gives back at once.
const BLOCKS: usize = 33 * 1024 * 1024 / Block::SIZE;

/// Argon2 in memory that is given back.
struct Argon2id;

impl CustomizedPasswordHasher<PasswordHash> for Argon2id {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let mut memory = Vec::with_capacity(params.block_count().max(BLOCKS));
        memory.resize(params.block_count(), Block::new());
        let mut output = vec![0; params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
        let shown = ParamsString::try_from(&params)?;
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(password, salt, &mut output, memory)?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: shown,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(&output)?),
        })
    }
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

    #[test]
    fn the_hash_is_that_of_everybody_else() {
        use argon2::PasswordHasher as _;

        let theirs = Argon2::default().hash_password_with_salt(b"wonderland", &[3; 16]).unwrap().to_string();
        assert_eq!(hash(b"wonderland", [3; 16]).unwrap(), theirs);
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
