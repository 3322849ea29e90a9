//! The tables `state_node`, the nodes of all rooms' state trees by their hash, and `state_step`, what changed from state to state.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use landbridge_sql::{BatchSql, Row, SqlError};

use super::Store;
use crate::rooms::{
    EventNid, KeyIndex, Root,
    state_tree::{Node, NodeId, Nodes, StateStep, replay},
};

pub(super) static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO state_node (hash, data) SELECT {bytes:0}, {bytes:1} FROM {rows} WHERE true ON CONFLICT (hash) DO NOTHING",
    )
});

/// A state that can be made in several ways is made in the shortest: so each is made of one of a smaller depth, down to one whose nodes
/// are stored.
pub(super) static INSERT_STEP: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "INSERT INTO state_step (root, parent, key, event, depth) \
         SELECT {bytes:0}, {bytes:1}, CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) \
         FROM {rows} WHERE true ON CONFLICT (root) DO UPDATE \
         SET parent = excluded.parent, key = excluded.key, event = excluded.event, depth = excluded.depth \
         WHERE excluded.depth < state_step.depth",
    )
});

static READ: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT hash, data FROM state_node WHERE hash IN (SELECT {bytes:0} FROM {rows})"));

static STORED: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT hash FROM state_node WHERE hash IN (SELECT {bytes:0} FROM {rows})"));

static DEPTH: LazyLock<BatchSql> =
    LazyLock::new(|| BatchSql::new("SELECT depth FROM state_step WHERE root IN (SELECT {bytes:0} FROM {rows})"));

/// The changes that lead to a state, from one whose nodes are stored.
static STEPS: LazyLock<BatchSql> = LazyLock::new(|| {
    BatchSql::new(
        "WITH RECURSIVE way (root, parent, key, event, depth) AS (\
         SELECT root, parent, key, event, depth FROM state_step WHERE root IN (SELECT {bytes:0} FROM {rows}) \
         UNION ALL SELECT step.root, step.parent, step.key, step.event, step.depth \
         FROM way JOIN state_step AS step ON step.root = way.parent AND step.depth < way.depth) \
         SELECT root, parent, key, event, depth FROM way ORDER BY depth",
    )
});

/// What is to be stored of new states.
#[derive(Debug, Default)]
pub(crate) struct NewStates {
    pub(crate) steps: Vec<StateStep>,
    /// The nodes of those that are too many changes from one whose nodes are stored.
    pub(crate) nodes: Vec<(NodeId, Arc<Node>)>,
    /// All nodes that are new, to have them at hand.
    pub(crate) made: Vec<(NodeId, Arc<Node>)>,
}

impl NewStates {
    /// Whether there are any.
    pub(crate) fn is_some(&self) -> bool {
        !self.steps.is_empty() || !self.nodes.is_empty()
    }
}

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

impl Store {
    /// How many changes there are between a state and one whose nodes are stored.
    pub(crate) async fn state_depth(&self, root: Root) -> Result<u8, SqlError> {
        match self.db.fetch_rows(&DEPTH, &[[hex(root.as_bytes())]]).await?.first() {
            Some(row) => depth(row, 0),
            None => Ok(0),
        }
    }

    /// Which of these nodes are stored.
    pub(crate) async fn which_are_stored(&self, ids: &[NodeId]) -> Result<HashSet<NodeId>, SqlError> {
        let rows = self.db.fetch_rows(&STORED, &names(ids)).await?;
        rows.iter().map(|row| node_id(row, 0)).collect()
    }

    /// Nodes that are in memory or stored; `None` in the place of each that has to be made again.
    async fn nodes_at_hand(&self, ids: &[NodeId]) -> Result<Vec<Option<Arc<Node>>>, SqlError> {
        let cache = &self.log.nodes;
        let mut found: Vec<Option<Arc<Node>>> = ids.iter().map(|id| cache.get(id)).collect();
        let missing: Vec<NodeId> =
            ids.iter().zip(&found).filter(|(_, node)| node.is_none()).map(|(id, _)| *id).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let mut read = HashMap::new();
        for row in self.db.fetch_rows(&READ, &names(&missing)).await? {
            if let Some(node) = Node::decode(&row.bytes(1)?) {
                let (id, node) = (node_id(&row, 0)?, Arc::new(node));
                cache.insert(id, node.clone());
                read.insert(id, node);
            }
        }
        fill(&mut found, ids, &read);
        Ok(found)
    }

    /// Makes the nodes of a state again that are not stored.
    async fn made_again(&self, root: Root) -> Result<HashMap<NodeId, Arc<Node>>, SqlError> {
        let rows = self.db.fetch_rows(&STEPS, &[[hex(root.as_bytes())]]).await?;
        let steps: Vec<StateStep> = rows.iter().map(step).collect::<Result<_, _>>()?;
        let made = replay(&AtHand(self), &steps).await?.ok_or(SqlError::Refused("the steps to a state are broken"))?;
        for (id, node) in &made {
            self.log.nodes.insert(*id, node.clone());
        }
        Ok(made)
    }
}

impl Nodes for Store {
    type Error = SqlError;

    async fn load(&self, of: &[Root], ids: &[NodeId]) -> Result<Vec<Arc<Node>>, SqlError> {
        let mut found = self.nodes_at_hand(ids).await?;
        for root in of {
            if found.iter().all(Option::is_some) {
                break;
            }
            fill(&mut found, ids, &self.made_again(*root).await?);
        }
        found.into_iter().collect::<Option<_>>().ok_or(MISSING)
    }
}

/// What is answered where a node is neither stored nor can be made again: the database is damaged.
pub(crate) const MISSING: SqlError = SqlError::Refused("a node of a state tree is missing");

/// The nodes that need not be made again.
struct AtHand<'a>(&'a Store);

impl Nodes for AtHand<'_> {
    type Error = SqlError;

    async fn load(&self, _of: &[Root], ids: &[NodeId]) -> Result<Vec<Arc<Node>>, SqlError> {
        self.0.nodes_at_hand(ids).await?.into_iter().collect::<Option<_>>().ok_or(MISSING)
    }
}

fn fill(found: &mut [Option<Arc<Node>>], ids: &[NodeId], nodes: &HashMap<NodeId, Arc<Node>>) {
    for (slot, id) in found.iter_mut().zip(ids).filter(|(slot, _)| slot.is_none()) {
        *slot = nodes.get(id).cloned();
    }
}

fn names(ids: &[NodeId]) -> Vec<[String; 1]> {
    ids.iter().map(|id| [hex(&id.0)]).collect()
}

fn node_id(row: &Row, column: usize) -> Result<NodeId, SqlError> {
    let id = row.bytes(column)?.try_into().map_err(|_| SqlError::Refused("no name of a node"))?;
    Ok(NodeId(id))
}

fn depth(row: &Row, column: usize) -> Result<u8, SqlError> {
    u8::try_from(row.int(column)?).map_err(|_| SqlError::Refused("no depth of a state"))
}

fn step(row: &Row) -> Result<StateStep, SqlError> {
    Ok(StateStep {
        root: node_id(row, 0)?.into(),
        parent: node_id(row, 1)?.into(),
        index: KeyIndex(u32::try_from(row.int(2)?).map_err(|_| SqlError::Refused("no place in a state"))?),
        value: row.opt_int(3)?.map(EventNid),
        depth: depth(row, 4)?,
    })
}
