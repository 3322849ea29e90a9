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

    async fn load(&self, ids: &[NodeId]) -> Result<Vec<Arc<Node>>, Infallible> {
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
