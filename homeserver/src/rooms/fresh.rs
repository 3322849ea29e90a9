//! What a room's task has built and may not be in the database yet.

use std::{collections::HashMap, sync::Arc};

use landbridge_sql::SqlError;
use ruma::{EventId, OwnedEventId};

use super::{
    Event, EventNid, KeyIndex, RoomError, Root,
    core::{Batch, Core},
    state_tree::{self, Change, MAX_DEPTH, Node, NodeId, Nodes, StateStep},
};
use crate::store::{MISSING, Store};

/// Two generations: the old one is dropped when all of it is committed.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    young: FreshHalf,
    old: FreshHalf,
    /// The last write of the old generation.
    mark: u64,
    /// How many states were made.
    states: u64,
}

/// How a state was made.
#[derive(Debug, Clone, Copy)]
struct Made {
    of: Root,
    depth: u8,
    /// Its number among those that were made.
    number: u64,
}

#[derive(Debug, Default)]
struct FreshHalf {
    nodes: HashMap<NodeId, Arc<Node>>,
    states: HashMap<Root, Made>,
    events: HashMap<EventNid, Arc<Event>>,
    by_id: HashMap<OwnedEventId, Arc<Event>>,
}

impl Fresh {
    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.young.nodes.get(&id).or_else(|| self.old.nodes.get(&id)).cloned()
    }

    fn state(&self, root: Root) -> Option<Made> {
        self.young.states.get(&root).or_else(|| self.old.states.get(&root)).copied()
    }

    pub(super) fn event(&self, nid: EventNid) -> Option<Arc<Event>> {
        self.young.events.get(&nid).or_else(|| self.old.events.get(&nid)).cloned()
    }

    pub(super) fn event_by_id(&self, id: &EventId) -> Option<Arc<Event>> {
        self.young.by_id.get(id).or_else(|| self.old.by_id.get(id)).cloned()
    }

    /// All events that may not be committed yet, and some that are, in no order.
    pub(super) fn events(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.young.events.values().chain(self.old.events.values())
    }

    pub(super) fn add_event(&mut self, event: &Arc<Event>) {
        self.young.events.insert(event.nid, event.clone());
        self.young.by_id.insert(event.event_id.clone(), event.clone());
    }

    /// Everything up to write `committed` is durable; `last` is the last that was queued.
    pub(super) fn committed(&mut self, committed: u64, last: u64) {
        if committed >= self.mark {
            self.old = std::mem::take(&mut self.young);
            self.mark = last;
        }
    }

    fn add_state(&mut self, root: Root, of: Root, depth: u8) {
        self.states += 1;
        self.young.states.insert(root, Made { of, depth, number: self.states });
    }

    /// The last committed state on the way to this one. One that came again after a state was made of it was there before.
    fn committed_before(&self, mut root: Root) -> Root {
        let mut last = u64::MAX;
        while let Some(made) = self.state(root).filter(|made| made.number < last) {
            (root, last) = (made.of, made.number);
        }
        root
    }
}

/// Reads nodes that are not stored yet from memory, and all others from the store.
struct FreshNodes<'a> {
    fresh: &'a Fresh,
    store: &'a Store,
}

impl Nodes for FreshNodes<'_> {
    type Error = SqlError;

    async fn load(&self, of: &[Root], ids: &[NodeId]) -> Result<Vec<Arc<Node>>, SqlError> {
        let mut found: Vec<_> = ids.iter().map(|id| self.fresh.node(*id)).collect();
        let missing: Vec<NodeId> =
            ids.iter().zip(&found).filter(|(_, node)| node.is_none()).map(|(id, _)| *id).collect();
        if !missing.is_empty() {
            // What a state has of nodes that are not fresh, the last committed one before it has, too.
            let of: Vec<Root> = of.iter().map(|root| self.fresh.committed_before(*root)).collect();
            let mut stored = self.store.load(&of, &missing).await?.into_iter();
            found.iter_mut().filter(|node| node.is_none()).for_each(|node| *node = stored.next());
        }
        found.into_iter().collect::<Option<_>>().ok_or(MISSING)
    }
}

impl Core {
    /// One entry of any state of this room.
    pub(super) async fn entry(&self, root: Root, index: KeyIndex) -> Result<Option<EventNid>, RoomError> {
        Ok(state_tree::get(&self.nodes(), root, index).await?)
    }

    /// Where two states of this room differ.
    pub(super) async fn difference(&self, old: Root, new: Root) -> Result<Vec<Change>, RoomError> {
        Ok(state_tree::diff(&self.nodes(), old, new).await?)
    }

    /// All entries of a state.
    pub(super) async fn entries(&self, root: Root) -> Result<Vec<(KeyIndex, EventNid)>, RoomError> {
        Ok(state_tree::entries(&self.nodes(), root).await?)
    }

    /// A state after one entry changed. What is to be stored of it joins `batch`: the change alone, or, where too many changes came
    /// before it, its nodes.
    pub(super) async fn with_entry(
        &mut self,
        parent: Root,
        index: KeyIndex,
        value: Option<EventNid>,
        batch: &mut Batch,
    ) -> Result<Root, RoomError> {
        let (root, nodes) = state_tree::set(&self.nodes(), parent, index, value).await?;
        if root == parent || root == Root::EMPTY || self.fresh.state(root).is_some() {
            return Ok(root);
        }
        let depth = self.depth(parent).await? + 1;
        self.fresh.young.nodes.extend(nodes.iter().cloned());
        batch.states.made.extend(nodes);
        if depth < MAX_DEPTH {
            self.fresh.add_state(root, parent, depth);
            batch.states.steps.push(StateStep { root, parent, index, value, depth });
        } else {
            self.fresh.add_state(root, parent, 0);
            batch.states.nodes.extend(self.unsaved(root).await?);
        }
        Ok(root)
    }

    /// How many changes there are between a state and one whose nodes are stored.
    async fn depth(&self, root: Root) -> Result<u8, RoomError> {
        match self.fresh.state(root) {
            Some(made) => Ok(made.depth),
            None => Ok(self.context.store.state_depth(root).await?),
        }
    }

    /// The nodes of a state that are not stored.
    async fn unsaved(&self, root: Root) -> Result<Vec<(NodeId, Arc<Node>)>, RoomError> {
        let (store, nodes) = (&self.context.store, self.nodes());
        let mut unsaved = Vec::new();
        let mut level: Vec<NodeId> = root.node().into_iter().collect();
        while !level.is_empty() {
            let stored = store.which_are_stored(&level).await?;
            level.retain(|id| !stored.contains(id));
            let loaded = nodes.load(&[root], &level).await?;
            let below = loaded.iter().flat_map(|node| node.children().iter().copied()).collect();
            unsaved.extend(std::mem::replace(&mut level, below).into_iter().zip(loaded));
        }
        Ok(unsaved)
    }

    fn nodes(&self) -> FreshNodes<'_> {
        FreshNodes { fresh: &self.fresh, store: &self.context.store }
    }
}
