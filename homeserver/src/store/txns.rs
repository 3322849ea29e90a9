//! The table `txn`: the answers to repeated requests.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use landbridge_sql::{BatchSql, SqlError, Value};
use ruma::{RoomId, UserId};
use sha2::{Digest as _, Sha256};

use super::Store;
use crate::rooms::{EventNid, Txn};

/// What names a request, hashed: sender, device, room, kind and transaction id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TxnKey([u8; 16]);

impl TxnKey {
    pub(crate) fn new(sender: &UserId, room_id: &RoomId, kind: &str, txn: &Txn) -> Self {
        let mut hash = Sha256::new();
        for part in [sender.as_str(), &txn.device, room_id.as_str(), kind, &txn.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(key)
    }

    pub(crate) fn hex(&self) -> String {
        super::nodes::hex(&self.0)
    }
}

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO txn (key, event) SELECT {bytes:0}, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true ON CONFLICT DO NOTHING",
    )
});

/// Which keys may be in the table: a Bloom filter, so that a request that was never made is not looked for.
///
/// It errs on the side of looking: until all keys are read, and more often when there are more of them than it was made for.
#[derive(Debug)]
pub(super) struct TxnFilter {
    words: Box<[AtomicU64]>,
    complete: AtomicBool,
}

/// Keys that a filter is made for at least; 16 bits each.
const FILTERED: usize = 1 << 20;

impl TxnFilter {
    /// A filter for as many keys as there are now, four times over.
    pub(super) fn new(keys: usize) -> Self {
        let bits = keys.saturating_mul(4).max(FILTERED).next_power_of_two().saturating_mul(16);
        Self { words: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(), complete: AtomicBool::new(false) }
    }

    /// The words and bits that stand for a key. A key is a hash already: its parts are as good as other hashes of it.
    fn places(&self, key: &TxnKey) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let parts =
            key.0.chunks_exact(4).map(|part| part.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)));
        let spread =
            u64::from_be_bytes([key.0[15], key.0[3], key.0[12], key.0[0], key.0[9], key.0[6], key.0[5], key.0[10]]);
        let bits = self.words.len() as u64 * 64;
        parts.filter_map(move |part| {
            let place = (part ^ spread.rotate_left(u32::try_from(part & 63).unwrap_or(0))) % bits;
            Some((self.words.get(usize::try_from(place / 64).ok()?)?, 1 << (place % 64)))
        })
    }

    pub(super) fn insert(&self, key: &TxnKey) {
        for (word, bit) in self.places(key) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn may_hold(&self, key: &TxnKey) -> bool {
        !self.complete.load(Ordering::Acquire)
            || self.places(key).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }
}

impl Store {
    /// Reads all keys into the filter.
    pub(super) async fn fill_txn_filter(&self) -> Result<(), SqlError> {
        const PAGE: i64 = 10_000;
        let mut last = Vec::new();
        loop {
            let sql = "SELECT key FROM txn WHERE key > $1 ORDER BY key LIMIT $2";
            let rows = self.db.fetch_all(sql, &[Value::from(&last), Value::from(PAGE)]).await?;
            for row in &rows {
                last = row.bytes(0)?;
                if let Ok(key) = last.as_slice().try_into() {
                    self.log.txns.insert(&TxnKey(key));
                }
            }
            if rows.is_empty() {
                break;
            }
        }
        self.log.txns.complete.store(true, Ordering::Release);
        Ok(())
    }

    /// The event that a request made, if it was answered before.
    pub(crate) async fn txn(&self, key: &TxnKey) -> Result<Option<EventNid>, SqlError> {
        if let Some(nid) = self.log.unindexed.txn(key) {
            return Ok(Some(nid));
        }
        if !self.log.txns.may_hold(key) {
            return Ok(None);
        }
        let row = self.db.fetch_optional("SELECT event FROM txn WHERE key = $1", &[Value::from(&key.0[..])]).await?;
        row.map(|row| Ok(EventNid(row.int(0)?))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_misses_nothing_and_seldom_errs() {
        let filter = TxnFilter::new(0);
        filter.complete.store(true, Ordering::Release);
        let (user, room) = (ruma::user_id!("@a:b.example"), ruma::room_id!("!r:b.example"));
        let key = |n: usize| TxnKey::new(user, room, "m.room.message", &Txn { device: "D".into(), id: n.to_string() });
        (0..20_000).for_each(|n| filter.insert(&key(n)));
        assert!((0..20_000).all(|n| filter.may_hold(&key(n))));
        let wrong = (20_000..40_000).filter(|n| filter.may_hold(&key(*n))).count();
        assert!(wrong < 20, "{wrong} of 20,000");
    }
}
