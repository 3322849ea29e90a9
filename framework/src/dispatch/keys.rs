//! Keys that are the same in every attempt, also after a restart.

use sha2::{Digest as _, Sha256};

use crate::network::IdempotencyKey;

/// A key made of what never changes: the bridge, who says it, where, what it comes from, and which part of that it is. The virtual
/// user is in it, because Synapse tells the transactions of an application service's users apart by nothing else.
pub(super) fn key(parts: &[&str]) -> IdempotencyKey {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("a", "bc") and ("ab", "c") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    IdempotencyKey(key)
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(key(&["a", "bc"]), key(&["ab", "c"]));
        assert_eq!(key(&["a", "bc"]), key(&["a", "bc"]));
    }
}
