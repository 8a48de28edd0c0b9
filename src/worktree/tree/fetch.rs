//! Waiting for memory once for many.
//!
//! What a commit of many files needs lies all over the memory, each piece found through the one
//! before. Taken file by file, every step waits for its own piece. A pass that does nothing but
//! look, one step of many files at a time, has the processor wait for all the pieces together: a
//! commit of a thousand files in as many directories takes a tenth less. Nothing is changed or
//! loaded here, and nothing but time depends on it.

use std::hint::black_box;

use super::node::{Body, Node};
use super::{Tree, TreeKind};

/// The length of a cache line. Where lines are longer, some are looked at twice.
const LINE_BYTES: usize = 64;

/// Brings what updates of these keys will need into the caches, as far as it is in memory.
pub(in crate::worktree) fn fetch<'a, K: TreeKind + 'a>(
    wanted: impl Iterator<Item = (&'a Tree<K>, &'a [u8])>,
) {
    let roots = wanted.filter_map(|(tree, key)| Some((&**tree.root.as_ref()?.peek()?, key)));
    let mut nodes: Vec<(&Node<K>, &[u8])> = roots.collect();
    while !nodes.is_empty() {
        for (node, _) in &nodes {
            black_box(node.height());
        }
        for (node, _) in &nodes {
            node.touch();
        }
        nodes.retain_mut(|(node, key)| {
            let Body::Inner(inner) = &node.body else { return false };
            let at = inner.links.partition_point(|link| link.key.as_bytes() < *key);
            let child = inner.links.get(at).and_then(|link| link.child.peek());
            child.is_some_and(|child| {
                *node = child;
                true
            })
        });
    }
}

impl<K: TreeKind> Node<K> {
    /// Looks at every cache line that an update reads or copies.
    fn touch(&self) {
        match &self.body {
            Body::Leaf(leaf) => {
                for byte in leaf.bytes.iter().step_by(LINE_BYTES) {
                    black_box(*byte);
                }
                for slot in &leaf.slots {
                    black_box(slot.end);
                }
            }
            Body::Inner(inner) => {
                for link in &inner.links {
                    black_box(link.count);
                    black_box(link.child.has_id());
                }
            }
        }
    }
}
