//! Room state as a persistent, content-addressed radix tree.
//!
//! A room numbers its `(type, state_key)` pairs densely; a state maps those numbers to events. It is a tree of fan-out 64 whose
//! nodes never change and are named by their hash, so a whole state is one [`Root`]. Equal states have equal roots, whatever
//! order they were built in; states that differ a little share all nodes but the few on the way to the difference; and two states
//! are compared by skipping what is equal.
//!
//! What is stored of most states is not their nodes but the change that made each of another ([`StateStep`]): up to [`MAX_DEPTH`] of them lie
//! between a state and one whose nodes are all stored. So a state in which one thing changed costs some 50 bytes, and its nodes are
//! made again when they are asked for and not at hand.
//!
//! *Invariant:* a node holds at least one entry, and the root of a tree of several levels holds more than its first slot: there is
//! exactly one tree per state.

mod slots;
mod steps;

use std::{fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

use self::slots::Slots;
pub(crate) use self::steps::{MAX_DEPTH, StateStep, replay};
use super::{EventNid, KeyIndex};

const BITS: u32 = 6;
const FANOUT: usize = 1 << BITS;
/// Levels that a 32-bit index can need.
const MAX_LEVEL: u8 = 5;

/// The name of a node: the first half of the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) [u8; 16]);

/// The name of a whole state. [`Root::EMPTY`] is the state without entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Root([u8; 16]);

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", crate::store::hex(&self.0))
    }
}

impl Root {
    /// The state without entries.
    pub const EMPTY: Self = Self([0; 16]);

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn node(self) -> Option<NodeId> {
        (self != Self::EMPTY).then_some(NodeId(self.0))
    }
}

impl From<NodeId> for Root {
    fn from(id: NodeId) -> Self {
        Self(id.0)
    }
}

/// A node: a leaf of events, or a level of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf(Slots<EventNid>),
    /// The level is that of the node itself, from 1.
    Inner(u8, Slots<NodeId>),
}

impl Node {
    /// A node of a level, with nothing in it.
    fn empty(level: u8) -> Self {
        match level {
            0 => Self::Leaf(Slots::default()),
            level => Self::Inner(level, Slots::default()),
        }
    }

    fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner(level, _) => *level,
        }
    }

    fn taken(&self) -> u64 {
        match self {
            Self::Leaf(slots) => slots.taken(),
            Self::Inner(_, slots) => slots.taken(),
        }
    }

    fn is_empty(&self) -> bool {
        self.taken() == 0
    }

    fn get(&self, slot: u8) -> Option<Entry> {
        match self {
            Self::Leaf(slots) => slots.get(slot).map(Entry::Event),
            Self::Inner(_, slots) => slots.get(slot).map(Entry::Node),
        }
    }

    /// The nodes right below it.
    pub(crate) fn children(&self) -> &[NodeId] {
        match self {
            Self::Leaf(_) => &[],
            Self::Inner(_, slots) => slots.values(),
        }
    }

    /// How many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Leaf(slots) => size_of_val(slots.values()),
                Self::Inner(_, slots) => size_of_val(slots.values()),
            }
    }

    /// The bytes: level, the slots that are taken as 64 bits, then each slot (a leaf's as varints, a level's as hashes).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + 16 * FANOUT);
        out.push(self.level());
        out.extend(self.taken().to_be_bytes());
        match self {
            Self::Leaf(slots) => slots.values().iter().for_each(|nid| put_varint(&mut out, nid.0.unsigned_abs())),
            Self::Inner(_, slots) => slots.values().iter().for_each(|id| out.extend(id.0)),
        }
        out
    }

    /// The inverse of [`Node::encode`]; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&level, rest) = bytes.split_first()?;
        let (taken, mut rest) = rest.split_at_checked(8)?;
        let taken = u64::from_be_bytes(taken.try_into().ok()?);
        let node = if level == 0 {
            Self::Leaf(Slots::read(taken, || Some(EventNid(i64::try_from(take_varint(&mut rest)?).ok()?)))?)
        } else {
            let slots = Slots::read(taken, || {
                let (id, tail) = rest.split_at_checked(16)?;
                rest = tail;
                Some(NodeId(id.try_into().ok()?))
            });
            Self::Inner(level, slots?)
        };
        (rest.is_empty() && level <= MAX_LEVEL).then_some(node)
    }

    fn id(&self) -> NodeId {
        let digest = Sha256::digest(self.encode());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        NodeId(id)
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Where nodes are read from.
pub(crate) trait Nodes {
    type Error;

    /// The nodes of these names, in the same order, each of one of these states. A node that is missing is an error.
    async fn load(&self, of: &[Root], ids: &[NodeId]) -> Result<Vec<Arc<Node>>, Self::Error>;
}

/// The slot of an index at a level.
fn slot(index: u32, level: u8) -> u8 {
    let shifted = index.checked_shr(BITS * u32::from(level)).unwrap_or(0);
    shifted.to_le_bytes()[0] & (FANOUT - 1).to_le_bytes()[0]
}

/// The level that a tree needs to hold an index.
fn level_for(index: u32) -> u8 {
    (0..MAX_LEVEL).find(|level| index >> (BITS * (u32::from(*level) + 1)) == 0).unwrap_or(MAX_LEVEL)
}

async fn load_one<N: Nodes>(nodes: &N, of: Root, id: NodeId) -> Result<Option<Arc<Node>>, N::Error> {
    Ok(nodes.load(&[of], &[id]).await?.pop())
}

/// The event at an index.
pub(crate) async fn get<N: Nodes>(nodes: &N, root: Root, index: KeyIndex) -> Result<Option<EventNid>, N::Error> {
    let Some(mut id) = root.node() else { return Ok(None) };
    let mut top = true;
    loop {
        let Some(node) = load_one(nodes, root, id).await? else { return Ok(None) };
        if top && level_for(index.0) > node.level() {
            return Ok(None);
        }
        top = false;
        match node.get(slot(index.0, node.level())) {
            Some(Entry::Event(nid)) => return Ok(Some(nid)),
            Some(Entry::Node(child)) => id = child,
            None => return Ok(None),
        }
    }
}

/// A state after one entry was set (`Some`) or removed (`None`), and the nodes that are new in it.
pub(crate) async fn set<N: Nodes>(
    nodes: &N,
    root: Root,
    index: KeyIndex,
    value: Option<EventNid>,
) -> Result<(Root, Vec<(NodeId, Arc<Node>)>), N::Error> {
    let mut made = Vec::new();
    let old = match root.node() {
        Some(id) => load_one(nodes, root, id).await?.map(|node| (id, node)),
        None => None,
    };
    let needed = level_for(index.0);
    // The tree grows at its root, until it can hold the index. A removal of what it cannot hold changes nothing.
    let (mut top, level) = match old {
        None => (None, needed),
        Some((_, node)) if node.level() < needed && value.is_none() => return Ok((root, made)),
        Some((id, node)) => (Some((id, node.clone())), needed.max(node.level())),
    };
    if let Some((id, node)) = &mut top {
        while node.level() < level {
            let parent = Arc::new(Node::Inner(node.level() + 1, Slots::default().with(0, Some(*id))));
            *id = parent.id();
            *node = parent.clone();
            made.push((*id, parent));
        }
    }
    let grown = made.clone();
    made.pop();
    // Down to the leaf, remembering the way; then up again, renaming.
    let mut way: Vec<Arc<Node>> = Vec::new();
    let mut here = top.map(|(_, node)| node);
    for level in (0..=level).rev() {
        let node = here.take().unwrap_or_else(|| Arc::new(Node::empty(level)));
        if let Some(Entry::Node(child)) = node.get(slot(index.0, level)) {
            here = match grown.iter().find(|(id, _)| *id == child) {
                Some((_, node)) => Some(node.clone()),
                None => load_one(nodes, root, child).await?,
            };
        }
        way.push(node);
    }
    let mut child: Option<NodeId> = None;
    let mut kept: Option<Arc<Node>> = None;
    for (height, node) in way.into_iter().rev().enumerate() {
        let slot = slot(index.0, u8::try_from(height).unwrap_or(MAX_LEVEL));
        let node = Arc::new(match &*node {
            Node::Leaf(slots) => Node::Leaf(slots.with(slot, value)),
            Node::Inner(level, slots) => Node::Inner(*level, slots.with(slot, child)),
        });
        child = (!node.is_empty()).then(|| node.id());
        made.extend(child.map(|id| (id, node.clone())));
        kept = Some(node);
    }
    let Some(mut id) = child else { return Ok((Root::EMPTY, Vec::new())) };
    // A root with nothing but its first slot is one level too high.
    while let Some(Entry::Node(only)) = kept.as_ref().filter(|node| node.taken() == 1).and_then(|node| node.get(0)) {
        made.retain(|(made, _)| *made != id);
        id = only;
        kept = match made.iter().find(|(made, _)| *made == only) {
            Some((_, node)) => Some(node.clone()),
            None => load_one(nodes, root, only).await?,
        };
    }
    Ok((id.into(), made))
}

/// All entries, by index.
pub(crate) async fn entries<N: Nodes>(nodes: &N, root: Root) -> Result<Vec<(KeyIndex, EventNid)>, N::Error> {
    let changes = diff(nodes, Root::EMPTY, root).await?;
    Ok(changes.into_iter().filter_map(|change| Some((change.index, change.new?))).collect())
}

/// One index at which two states differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) index: KeyIndex,
    pub(crate) old: Option<EventNid>,
    pub(crate) new: Option<EventNid>,
}

/// The indices at which two states differ, in order. Nodes that both share are not read.
pub(crate) async fn diff<N: Nodes>(nodes: &N, old: Root, new: Root) -> Result<Vec<Change>, N::Error> {
    let mut changes = Vec::new();
    if old == new {
        return Ok(changes);
    }
    // Pairs of nodes at the same place that are not the same, one level of the trees at a time.
    let mut pairs: Vec<(u32, Option<NodeId>, Option<NodeId>)> = vec![(0, old.node(), new.node())];
    let mut level = levels(nodes, &[old, new], &pairs).await?;
    while !pairs.is_empty() {
        let loaded = load_pairs(nodes, &[old, new], &pairs).await?;
        let mut below = Vec::new();
        for ((base, old_id, new_id), (old, new)) in pairs.into_iter().zip(loaded) {
            // A tree that is lower than the other hangs below the other's first slot.
            let old_side = side(old_id, old.as_deref(), level);
            let new_side = side(new_id, new.as_deref(), level);
            for slot in 0..64u8 {
                let place = base | u32::from(slot).checked_shl(BITS * u32::from(level)).unwrap_or(0);
                match (old_side.get(slot), new_side.get(slot)) {
                    (a, b) if a == b => {}
                    (a, b) if level == 0 => changes.push(Change {
                        index: KeyIndex(place),
                        old: a.and_then(Entry::event),
                        new: b.and_then(Entry::event),
                    }),
                    (a, b) => below.push((place, a.and_then(Entry::node), b.and_then(Entry::node))),
                }
            }
        }
        pairs = below;
        level = level.saturating_sub(1);
    }
    changes.sort_by_key(|change| change.index);
    Ok(changes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Event(EventNid),
    Node(NodeId),
}

impl Entry {
    fn event(self) -> Option<EventNid> {
        match self {
            Self::Event(nid) => Some(nid),
            Self::Node(_) => None,
        }
    }

    fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(id),
            Self::Event(_) => None,
        }
    }
}

/// One side of a comparison: the slots of a node, seen from a level that may be above it.
enum Side<'a> {
    None,
    Below(NodeId),
    Node(&'a Node),
}

impl Side<'_> {
    fn get(&self, slot: u8) -> Option<Entry> {
        match self {
            Self::None => None,
            Self::Below(id) => (slot == 0).then_some(Entry::Node(*id)),
            Self::Node(node) => node.get(slot),
        }
    }
}

fn side(id: Option<NodeId>, node: Option<&Node>, level: u8) -> Side<'_> {
    match (id, node) {
        (Some(id), Some(node)) if node.level() < level => Side::Below(id),
        (_, Some(node)) => Side::Node(node),
        _ => Side::None,
    }
}

/// The level of the higher of two roots.
async fn levels<N: Nodes>(
    nodes: &N,
    of: &[Root],
    pairs: &[(u32, Option<NodeId>, Option<NodeId>)],
) -> Result<u8, N::Error> {
    let loaded = load_pairs(nodes, of, pairs).await?;
    let level = |node: &Option<Arc<Node>>| node.as_ref().map_or(0, |node| node.level());
    Ok(loaded.iter().map(|(old, new)| level(old).max(level(new))).max().unwrap_or(0))
}

type Pair = (Option<Arc<Node>>, Option<Arc<Node>>);

async fn load_pairs<N: Nodes>(
    nodes: &N,
    of: &[Root],
    pairs: &[(u32, Option<NodeId>, Option<NodeId>)],
) -> Result<Vec<Pair>, N::Error> {
    let ids: Vec<NodeId> = pairs.iter().flat_map(|(_, old, new)| [*old, *new]).flatten().collect();
    let mut loaded = nodes.load(of, &ids).await?.into_iter();
    let mut next = |id: &Option<NodeId>| id.as_ref().and_then(|_| loaded.next());
    Ok(pairs.iter().map(|(_, old, new)| (next(old), next(new))).collect())
}

#[cfg(test)]
mod tests;
