//! The table `state_node`: the nodes of all rooms' state trees, named by their hash.

use std::sync::{Arc, LazyLock};

use landbridge_sql::{BatchSql, SqlError};

use super::Store;
use crate::rooms::state_tree::{Node, NodeId, Nodes};

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO state_node (hash, data) SELECT {bytes:0}, {bytes:1} FROM {rows} WHERE true ON CONFLICT (hash) DO NOTHING",
    )
});

static READ: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT hash, data FROM state_node WHERE hash IN (SELECT {bytes:0} FROM {rows})"));

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

impl Nodes for Store {
    type Error = SqlError;

    async fn load(&self, ids: &[NodeId]) -> Result<Vec<Arc<Node>>, SqlError> {
        let cache = &self.log.nodes;
        let mut found: Vec<Option<Arc<Node>>> = ids.iter().map(|id| cache.get(id)).collect();
        let missing: Vec<[String; 1]> =
            ids.iter().zip(&found).filter(|(_, node)| node.is_none()).map(|(id, _)| [hex(&id.0)]).collect();
        if !missing.is_empty() {
            for row in self.db.fetch_rows(&READ, &missing).await? {
                let Ok(hash) = <[u8; 16]>::try_from(row.bytes(0)?) else { continue };
                if let Some(node) = Node::decode(&row.bytes(1)?) {
                    cache.insert(NodeId(hash), Arc::new(node));
                }
            }
            for (slot, id) in found.iter_mut().zip(ids) {
                if slot.is_none() {
                    *slot = cache.get(id);
                }
            }
        }
        found.into_iter().collect::<Option<Vec<_>>>().ok_or(SqlError::Refused("a node of a state tree is missing"))
    }
}
