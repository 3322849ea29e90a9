use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::Arc,
};

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Memory {
    nodes: RefCell<HashMap<NodeId, Arc<Node>>>,
    reads: Cell<usize>,
}

impl Nodes for Memory {
    type Error = Infallible;

    async fn load(&self, _of: &[Root], ids: &[NodeId]) -> Result<Vec<Arc<Node>>, Infallible> {
        self.reads.set(self.reads.get() + ids.len());
        let nodes = self.nodes.borrow();
        // What is stored are bytes.
        Ok(ids.iter().map(|id| Arc::new(Node::decode(&nodes[id].encode()).unwrap())).collect())
    }
}

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = Result<T, Infallible>>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(Ok(value)) => value,
        std::task::Poll::Pending => panic!("memory does not wait"),
    }
}

impl Memory {
    fn set(&self, root: Root, index: u32, value: Option<i64>) -> Root {
        let (root, made) = now(set(self, root, KeyIndex(index), value.map(EventNid)));
        for (id, node) in made {
            assert_eq!(node.id(), id);
            assert!(!node.is_empty());
            self.nodes.borrow_mut().insert(id, node);
        }
        root
    }

    fn build(&self, map: &BTreeMap<u32, i64>) -> Root {
        map.iter().fold(Root::EMPTY, |root, (index, value)| self.set(root, *index, Some(*value)))
    }
}

/// Whether a state has a node.
fn reaches(memory: &Memory, root: Root, id: NodeId) -> bool {
    let mut wanted: Vec<NodeId> = root.node().into_iter().collect();
    while let Some(next) = wanted.pop() {
        if next == id {
            return true;
        }
        wanted.extend(memory.nodes.borrow()[&next].children());
    }
    false
}

/// Small indices, those at the borders of levels, and any.
fn index() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 0..200u32,
        2 => prop::sample::select(vec![63, 64, 4095, 4096, 262_143, 262_144, 16_777_216, u32::MAX]),
        1 => any::<u32>(),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(u32, Option<i64>)>> {
    prop::collection::vec((index(), prop::option::weighted(0.7, 1..1_000_000i64)), 0..80)
}

fn apply(map: &mut BTreeMap<u32, i64>, index: u32, value: Option<i64>) {
    match value {
        Some(value) => drop(map.insert(index, value)),
        None => drop(map.remove(&index)),
    }
}

proptest! {
    #[test]
    fn a_tree_is_a_map(changes in changes(), asked in prop::collection::vec(index(), 20)) {
        let memory = Memory::default();
        let mut map = BTreeMap::new();
        let mut root = Root::EMPTY;
        for (index, value) in changes {
            root = memory.set(root, index, value);
            apply(&mut map, index, value);
        }
        let entries: BTreeMap<u32, i64> =
            now(entries(&memory, root)).into_iter().map(|(index, nid)| (index.0, nid.0)).collect();
        prop_assert_eq!(&entries, &map);
        for index in asked.into_iter().chain(map.keys().copied()) {
            let found = now(get(&memory, root, KeyIndex(index))).map(|nid| nid.0);
            prop_assert_eq!(found, map.get(&index).copied());
        }
        // The same state has the same name, however it came to be.
        prop_assert_eq!(memory.build(&map), root);
    }

    #[test]
    fn a_comparison_finds_what_differs_and_nothing_else(one in changes(), other in changes()) {
        let memory = Memory::default();
        let mut before = BTreeMap::new();
        one.into_iter().for_each(|(index, value)| apply(&mut before, index, value));
        let mut after = before.clone();
        other.into_iter().for_each(|(index, value)| apply(&mut after, index, value));
        let found = now(diff(&memory, memory.build(&before), memory.build(&after)));
        let expected: Vec<Change> = before.keys().chain(after.keys()).copied()
            .collect::<std::collections::BTreeSet<_>>().into_iter()
            .filter(|index| before.get(index) != after.get(index))
            .map(|index| Change {
                index: KeyIndex(index),
                old: before.get(&index).copied().map(EventNid),
                new: after.get(&index).copied().map(EventNid),
            })
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn bytes_that_are_no_node_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Some(node) = Node::decode(&bytes) {
            // Varints have more than one spelling; what is read must still be what is written.
            prop_assert_eq!(Node::decode(&node.encode()), Some(node));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_state_is_the_same_from_what_changed_as_from_its_nodes(changes in prop::collection::vec((index(), 1..1000i64), 1..150)) {
        let (whole, stored) = (Memory::default(), Memory::default());
        let mut steps: HashMap<Root, StateStep> = HashMap::new();
        let (mut parent, mut depth, mut roots) = (Root::EMPTY, 0, Vec::new());
        for (index, value) in changes {
            let root = whole.set(parent, index, Some(value));
            // A state that came up before is known.
            if root == parent || steps.contains_key(&root) {
                (parent, depth) = (root, steps.get(&root).map_or(0, |step| step.depth));
                continue;
            }
            depth += 1;
            let step = StateStep { root, parent, index: KeyIndex(index), value: Some(EventNid(value)), depth };
            if depth == MAX_DEPTH {
                depth = 0;
                let mut wanted: Vec<NodeId> = root.node().into_iter().collect();
                while let Some(id) = wanted.pop() {
                    let node = whole.nodes.borrow()[&id].clone();
                    wanted.extend(node.children());
                    stored.nodes.borrow_mut().insert(id, node);
                }
            } else {
                steps.insert(root, step);
            }
            parent = root;
            roots.push(root);
        }
        for root in roots {
            let mut way = Vec::new();
            let mut end = root;
            while let Some(step) = steps.get(&end).filter(|step| way.first().is_none_or(|last: &StateStep| step.depth < last.depth)) {
                way.insert(0, *step);
                end = step.parent;
            }
            let made = now(replay(&stored, &way)).unwrap();
            let both = Memory::default();
            both.nodes.borrow_mut().extend(stored.nodes.borrow().clone());
            both.nodes.borrow_mut().extend(made.clone());
            prop_assert_eq!(now(entries(&both, root)), now(entries(&whole, root)));
            // Of what was made on the way nothing is kept that the state does not have.
            prop_assert!(made.keys().all(|id| reaches(&both, root, *id)));
            // A way that leads elsewhere is refused.
            if way.len() > 2 {
                way.swap_remove(0);
                prop_assert!(now(replay(&whole, &way)).is_none());
            }
        }
    }
}

#[test]
fn a_change_in_a_large_state_costs_three_nodes() {
    let memory = Memory::default();
    let map: BTreeMap<u32, i64> = (0..10_000).map(|index| (index, i64::from(index) + 1)).collect();
    let root = memory.build(&map);
    let before = memory.nodes.borrow().len();
    let (changed, made) = now(set(&memory, root, KeyIndex(5_000), Some(EventNid(77))));
    assert_eq!(made.len(), 3);
    assert!(made.iter().all(|(_, node)| node.encode().len() < 1100));
    for (id, node) in made {
        memory.nodes.borrow_mut().insert(id, node);
    }
    memory.reads.set(0);
    assert_eq!(now(diff(&memory, root, changed)).len(), 1);
    assert!(memory.reads.get() <= 10, "reads what differs, not what exists: {}", memory.reads.get());
    // Setting it back gives the same name, and nothing new.
    assert_eq!(memory.set(changed, 5_000, Some(5_001)), root);
    assert_eq!(memory.nodes.borrow().len(), before + 3);
}
