//! Access tokens: random, and kept only as a hash, so that a stolen database opens no account.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// What is stored of an access token.
pub(crate) type TokenHash = [u8; 32];

/// A fresh access token from 32 random bytes. The prefix lets secret scanners find leaked ones.
#[must_use]
pub(crate) fn new_token(random: [u8; 32]) -> String {
    format!("lbt_{}", URL_SAFE_NO_PAD.encode(random))
}

/// The hash under which a token is stored. Tokens hold 256 random bits, so a plain hash is enough.
#[must_use]
pub(crate) fn hash_token(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A device id of ten capital letters.
#[must_use]
pub(crate) fn new_device_id(random: [u8; 10]) -> String {
    random.iter().map(|byte| char::from(b'A' + byte % 26)).collect()
}
