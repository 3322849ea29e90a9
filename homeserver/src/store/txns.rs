//! The table `txn`: the answers to repeated requests.

use std::sync::LazyLock;

use landbridge_sql::{BatchSql, SqlError, Value};
use ruma::{RoomId, UserId};
use sha2::{Digest as _, Sha256};

use super::Store;
use crate::rooms::{EventNid, Txn};

/// What names a request, hashed: sender, device, room, kind and transaction id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    BatchSql::new("INSERT INTO txn (key, event) SELECT {bytes:0}, CAST(value->>1 AS BIGINT) FROM {rows} WHERE true")
});

impl Store {
    /// The event that a request made, if it was answered before.
    pub(crate) async fn txn(&self, key: &TxnKey) -> Result<Option<EventNid>, SqlError> {
        let row = self.db.fetch_optional("SELECT event FROM txn WHERE key = $1", &[Value::from(&key.0[..])]).await?;
        row.map(|row| Ok(EventNid(row.int(0)?))).transpose()
    }
}
