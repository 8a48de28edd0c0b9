//! The tree against a plain map, and its shape against one built from scratch.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

use super::{Hasher, Table, Tree, Update};
use crate::base::limits::TREE_HEIGHT_MAX;
use crate::model::{NodeId, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource};

/// Objects in memory, with a count of reads.
#[derive(Default)]
struct Objects {
    map: Mutex<BTreeMap<ObjectId, Arc<[u8]>>>,
    reads: AtomicU64,
}

impl ObjectSource for Objects {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.map.lock().get(id).cloned().ok_or(ObjectError::Missing(*id))
    }
}

impl ObjectSink for Objects {
    fn put(&self, _: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
        self.map.lock().insert(*id, bytes.into());
        Ok(())
    }
}

fn store(tree: &Tree<Table>, objects: &Objects) -> Option<NodeId> {
    let mut hasher = Hasher::default();
    hasher.hash(&[tree]);
    hasher.store(&[tree], objects).unwrap();
    tree.id().expect("a stored tree has an id")
}

fn build(items: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>, objects: &Objects) -> Tree<Table> {
    let mut tree = Tree::new();
    for (key, value) in items {
        tree.insert(&key, &value, (), objects).unwrap();
    }
    tree
}

fn items(tree: &Tree<Table>, src: &Objects) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut items = Vec::new();
    tree.scan(0, src, &mut |item| {
        items.push((item.key.to_vec(), item.value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    items
}

/// Keys from a small space, so that removals hit, in the numbers that make several heights.
fn edits() -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
    vec((0..600u16, proptest::option::weighted(0.7, any::<u8>())), 0..1500)
}

fn key(number: u16) -> Vec<u8> {
    format!("key{number}").into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn edits_equal_a_map_and_the_shape_depends_on_the_content_alone(edits in edits()) {
        let objects = Objects::default();
        let mut tree = Tree::<Table>::new();
        let mut map = BTreeMap::new();
        for (at, (number, value)) in edits.iter().enumerate() {
            let (key, before) = (key(*number), tree.clone());
            match value {
                Some(value) => {
                    let value = vec![*value; usize::from(*value) % 40];
                    let there = tree.insert(&key, &value, (), &objects).unwrap();
                    assert_eq!(there, map.insert(key, value).is_some());
                }
                None => {
                    let there = tree.remove(&key, &objects).unwrap();
                    assert_eq!(there, map.remove(&key).is_some());
                }
            }
            // A stored tree in the middle makes later edits load nodes.
            if at % 400 == 399 {
                let id = store(&tree, &objects);
                tree = Tree::stored(id, None);
            }
            drop(before);
        }
        let expected: Vec<_> = map.clone().into_iter().collect();
        assert_eq!(items(&tree, &objects), expected);
        assert_eq!(tree.len(&objects).unwrap(), map.len() as u64);
        let scratch = build(map.clone(), &objects);
        assert_eq!(store(&tree, &objects), store(&scratch, &objects));
        let backwards = build(map.into_iter().rev(), &objects);
        assert_eq!(store(&tree, &objects), store(&backwards, &objects));
    }

    #[test]
    fn many_updates_at_once_are_what_they_are_one_by_one(
        updates in vec((0..400u16, 0..40u8), 0..300),
        reopened in any::<bool>(),
    ) {
        let objects = Objects::default();
        let mut tree = build((0..300).map(|n| (key(n), vec![1; 20])), &objects);
        if reopened {
            tree = Tree::stored(store(&tree, &objects), None);
        }
        let (before, old_items) = (tree.clone(), items(&tree, &objects));
        let values: BTreeMap<Vec<u8>, Vec<u8>> =
            updates.iter().map(|(n, len)| (key(*n), vec![*len; usize::from(*len)])).collect();
        let mut one_by_one = tree.clone();
        let mut missing = 0;
        for (key, value) in &values {
            if tree.find(key, &objects).unwrap().is_none() {
                missing += 1;
            } else {
                one_by_one.insert(key, value, (), &objects).unwrap();
            }
        }
        let updates = values.iter().map(|(key, value)| Update { key, value, side: () });
        let mut updates: Vec<Update<'_, Table>> = updates.collect();
        assert_eq!(tree.update(&mut updates, &objects).unwrap(), missing);
        assert_eq!(items(&tree, &objects), items(&one_by_one, &objects));
        assert_eq!(store(&tree, &objects), store(&one_by_one, &objects));
        assert_eq!(items(&before, &objects), old_items);
    }

    #[test]
    fn a_clone_keeps_what_it_had(edits in edits()) {
        let objects = Objects::default();
        let mut tree = build((0..300).map(|n| (key(n), vec![1])), &objects);
        let (before, expected) = (tree.clone(), items(&tree, &objects));
        for (number, value) in edits {
            match value {
                Some(value) => tree.insert(&key(number), &[value], (), &objects).unwrap(),
                None => tree.remove(&key(number), &objects).unwrap(),
            };
        }
        assert_eq!(items(&before, &objects), expected);
    }

    #[test]
    fn lookups_agree_with_a_map(numbers in vec(0..2000u16, 1..400), probe in 0..2000u16) {
        let objects = Objects::default();
        let number_key = |n: u16| n.to_be_bytes().to_vec();
        let tree = build(numbers.iter().map(|n| (number_key(*n), vec![])), &objects);
        let map: BTreeMap<_, _> = numbers.iter().map(|n| (number_key(*n), ())).collect();
        let probe = number_key(probe);
        let floor = tree.floor(&probe, &objects).unwrap().map(|item| item.key.to_vec());
        assert_eq!(floor.as_ref(), map.range(..=probe.clone()).next_back().map(|(k, ())| k));
        let found = tree.find(&probe, &objects).unwrap().is_some();
        assert_eq!(found, map.contains_key(&probe));
        let mut next = None;
        tree.scan_from(&probe, &objects, &mut |item| {
            next = Some(item.key.to_vec());
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(next.as_ref(), map.range(probe..).next().map(|(k, ())| k));
    }
}

#[test]
fn one_change_among_a_hundred_thousand_hashes_a_path() {
    let objects = Objects::default();
    let items = (0..100_000u32).map(|n| (format!("f{n}").into_bytes(), vec![7; 60]));
    let mut tree = build(items, &objects);
    store(&tree, &objects);
    tree.insert(b"f50000", &[8; 60], (), &objects).unwrap();
    let mut hasher = Hasher::default();
    hasher.hash(&[&tree]);
    let nodes = hasher.counts.nodes;
    assert!((3..=7).contains(&nodes), "{:?}", hasher.counts);
    hasher.hash(&[&tree]);
    assert_eq!(hasher.counts.nodes, nodes, "nothing changed, nothing is hashed");
}

#[test]
fn a_lookup_in_a_stored_tree_reads_a_path() {
    let objects = Objects::default();
    let items = (0..100_000u32).map(|n| (format!("f{n}").into_bytes(), vec![7; 60]));
    let id = store(&build(items, &objects), &objects);
    let tree = Tree::<Table>::stored(id, None);
    assert!(tree.find(b"f77777", &objects).unwrap().is_some());
    let reads = objects.reads.load(Ordering::Relaxed);
    assert!((3..=7).contains(&reads), "{reads}");
    assert!(tree.find(b"f77777", &objects).unwrap().is_some());
    assert_eq!(objects.reads.load(Ordering::Relaxed), reads, "nodes are read once");
}

#[test]
fn a_name_whose_hash_is_zero_makes_the_highest_tree() {
    let objects = Objects::default();
    // The shortest input that FNV-1a hashes to zero, which ends a node of every height.
    let evil = b"\xd5\x6b\xb9\x53\x42\x87\x08\x36".to_vec();
    assert!(super::cut::ends_node(&evil, TREE_HEIGHT_MAX as u8 - 1));
    let keys = [b"a".to_vec(), evil, b"\xff".to_vec()];
    let mut tree = build(keys.clone().map(|key| (key, vec![1])), &objects);
    for _ in 0..2 {
        tree = Tree::stored(store(&tree, &objects), None);
        assert_eq!(items(&tree, &objects), keys.clone().map(|key| (key, vec![1])));
        tree.insert(&keys[2], &[1], (), &objects).unwrap();
    }
}

#[test]
fn a_sink_that_fails_loses_nothing() {
    struct Full;
    impl ObjectSink for Full {
        fn put(&self, _: ObjectKind, id: &ObjectId, _: &[u8]) -> Result<(), ObjectError> {
            Err(ObjectError::Missing(*id))
        }
    }
    let objects = Objects::default();
    let tree = build((0..500).map(|n| (key(n), vec![1])), &objects);
    let mut hasher = Hasher::default();
    hasher.hash(&[&tree]);
    assert!(hasher.store(&[&tree], &Full).is_err());
    let id = store(&tree, &objects);
    assert_eq!(items(&Tree::stored(id, None), &objects).len(), 500);
}

#[test]
fn large_values_end_a_leaf_early() {
    let objects = Objects::default();
    let mut tree = build((0..20).map(|n| (key(n), vec![n as u8; 300_000])), &objects);
    tree.insert(&key(3), &[], (), &objects).unwrap();
    tree.remove(&key(5), &objects).unwrap();
    let id = store(&tree, &objects);
    let largest = objects.map.lock().values().map(|bytes| bytes.len()).max();
    assert!(largest.unwrap() < 1_400_000);
    assert_eq!(items(&Tree::stored(id, None), &objects).len(), 19);
}

/// Lets so many objects be read, and then no more.
struct Few<'a>(&'a Objects, AtomicU64);

impl ObjectSource for Few<'_> {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        left.map_err(|_| ObjectError::Missing(*id)).and_then(|_| self.0.get(id))
    }
}

#[test]
fn an_edit_is_taken_back_without_the_store_also_when_the_next_one_has_failed() {
    let (mut failed, mut moved) = (0, 0);
    for count in [1, 2, 3, 7, 40, 500] {
        let objects = Objects::default();
        let id = store(&build((0..count).map(|n| (key(n), vec![1])), &objects), &objects);
        for step in 0..400_u16 {
            let (from, to) = (key(step * 7 % count), key(1000 + step));
            for reads in 0..20 {
                let mut tree = Tree::stored(id, None);
                tree.insert(&to, &[2], (), &objects).unwrap();
                let few = Few(&objects, AtomicU64::new(reads));
                if tree.remove(&from, &few).is_ok() {
                    moved += 1;
                    break;
                }
                failed += 1;
                let none = Few(&objects, AtomicU64::new(0));
                assert!(tree.remove(&to, &none).unwrap(), "{count} items, step {step}");
                assert_eq!(store(&tree, &objects), id, "{count} items, step {step}");
            }
        }
    }
    assert_eq!(moved, 6 * 400);
    assert!(failed > 400, "{failed} failures are too few to show anything");
}
