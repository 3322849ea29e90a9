//! States that are stored as what changed.

use std::{collections::HashMap, sync::Arc};

use super::{Node, NodeId, Nodes, Root, set};
use crate::rooms::{EventNid, KeyIndex};

/// How many changes may lie between a state and one whose nodes are stored. More cost less space and more time to read.
pub(crate) const MAX_DEPTH: u8 = 64;

/// One change that made a state of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateStep {
    pub(crate) root: Root,
    pub(crate) parent: Root,
    pub(crate) index: KeyIndex,
    pub(crate) value: Option<EventNid>,
    /// How many changes there are to a state whose nodes are stored, this one among them; 1 at least.
    pub(crate) depth: u8,
}

/// The nodes of the last of these states that are not stored; `stored` reads those that are. The first step follows on a state that is
/// stored, each other on the one before it. `None` where they do not.
pub(crate) async fn replay<N: Nodes>(
    stored: &N,
    steps: &[StateStep],
) -> Result<Option<HashMap<NodeId, Arc<Node>>>, N::Error> {
    let mut nodes = Replay { stored, made: HashMap::new() };
    let mut end = None;
    for step in steps {
        if end.is_some_and(|end| end != step.parent) {
            return Ok(None);
        }
        let (root, made) = set(&nodes, step.parent, step.index, step.value).await?;
        if root != step.root {
            return Ok(None);
        }
        nodes.made.extend(made);
        end = Some(root);
    }
    // The states on the way had nodes of their own.
    let mut wanted: Vec<NodeId> = end.and_then(Root::node).into_iter().collect();
    let mut kept = HashMap::new();
    while let Some(id) = wanted.pop() {
        if let Some(node) = nodes.made.remove(&id) {
            wanted.extend(node.children());
            kept.insert(id, node);
        }
    }
    Ok(Some(kept))
}

struct Replay<'a, N> {
    stored: &'a N,
    made: HashMap<NodeId, Arc<Node>>,
}

impl<N: Nodes> Nodes for Replay<'_, N> {
    type Error = N::Error;

    async fn load(&self, of: &[Root], ids: &[NodeId]) -> Result<Vec<Arc<Node>>, N::Error> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            match self.made.get(id) {
                Some(node) => found.push(node.clone()),
                None => found.extend(self.stored.load(of, std::slice::from_ref(id)).await?),
            }
        }
        Ok(found)
    }
}
