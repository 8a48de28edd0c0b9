//! Hashing and storing: what changed is hashed lowest nodes first, many at a time; what the store
//! does not have is handed to a sink in the same order.

use std::sync::atomic::Ordering;

use super::node::{Body, Lazy, Node};
use super::{Directory, Tree, TreeKind};
use crate::hash::{Digest, hash_batch_on};
use crate::model::{ObjectError, ObjectId, ObjectKind, ObjectSink};

/// What hashing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashCounts {
    /// Nodes hashed.
    pub nodes: u64,
    /// Their bytes.
    pub node_bytes: u64,
    /// Sides hashed.
    pub sides: u64,
    /// Their bytes.
    pub side_bytes: u64,
}

/// Hashes and stores the changed nodes of trees. It keeps its buffers, so that a commit allocates
/// little.
pub struct Hasher {
    arena: Arena,
    digests: Vec<Digest>,
    threads_max: usize,
    /// What has been hashed so far.
    pub counts: HashCounts,
}

/// Encoded nodes or sides, one after the other.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Hasher {
    /// Makes one that uses so many threads at most, where there is enough to do for several.
    pub fn new(threads_max: usize) -> Self {
        let (arena, digests, counts) = Default::default();
        Self { arena, digests, threads_max, counts }
    }

    /// Hashes contents that are no nodes.
    pub(in crate::worktree) fn hash_contents(&mut self, contents: &[&[u8]]) -> &[Digest] {
        hash_batch_on(self.threads_max, contents, &mut self.digests);
        &self.digests
    }

    /// Brings the ids of these trees up to date. They are hashed together, so that small nodes
    /// fill the lanes of a batch.
    pub fn hash<K: TreeKind>(&mut self, trees: &[&Tree<K>]) {
        let is_hashed = |lazy: &Lazy<K>| lazy.has_id();
        for nodes in changed(trees, is_hashed, |node| !node.marks.id.is_known()) {
            let inputs = self.arena.encode_nodes(&nodes);
            hash_batch_on(self.threads_max, &inputs, &mut self.digests);
            self.counts.nodes += inputs.len() as u64;
            self.counts.node_bytes += inputs.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
            for (node, digest) in nodes.iter().zip(&self.digests) {
                node.marks.id.set(&ObjectId::from_bytes(*digest));
            }
        }
    }

    /// Hands the nodes of these trees that are not stored, which must have been hashed, to the
    /// sink. On failure what was not handed over is still known to be new.
    pub fn store<K: TreeKind>(
        &mut self,
        trees: &[&Tree<K>],
        sink: &dyn ObjectSink,
    ) -> Result<(), ObjectError> {
        let is_new = |node: &Node<K>| !node.marks.id_stored.load(Ordering::Acquire);
        for nodes in changed(trees, |_| false, is_new) {
            for (node, bytes) in nodes.iter().zip(self.arena.encode_nodes(&nodes)) {
                let id = node.marks.id.get().expect("nodes are hashed before they are stored");
                sink.put(ObjectKind::Node, &id, bytes)?;
                node.marks.id_stored.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Hashes what lies beside the nodes of these trees and hands it to the sink, as far as that
    /// has not been done. On failure what was not handed over is still known to be new.
    pub fn store_sides(
        &mut self,
        trees: &[&Tree<Directory>],
        sink: &dyn ObjectSink,
    ) -> Result<(), ObjectError> {
        let is_new = |node: &Node<Directory>| !node.marks.side_stored.load(Ordering::Acquire);
        for nodes in changed(trees, |_| false, is_new) {
            self.arena.encode(&nodes, Node::encode_side);
            let inputs: Vec<&[u8]> = self.arena.slices().collect();
            hash_batch_on(self.threads_max, &inputs, &mut self.digests);
            for ((node, bytes), digest) in nodes.iter().zip(&inputs).zip(&self.digests) {
                self.counts.sides += 1;
                self.counts.side_bytes += bytes.len() as u64;
                let id = ObjectId::from_bytes(*digest);
                sink.put(ObjectKind::Side, &id, bytes)?;
                node.marks.side.set(&id);
                node.marks.side_stored.store(true, Ordering::Release);
            }
        }
        Ok(())
    }
}

impl Arena {
    fn encode<K: TreeKind>(&mut self, nodes: &[&Node<K>], encode: impl Fn(&Node<K>, &mut Vec<u8>)) {
        self.bytes.clear();
        self.ends.clear();
        for node in nodes {
            encode(node, &mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    /// The canonical bytes of nodes: those of the leaves lie there, the others are encoded.
    fn encode_nodes<'a, K: TreeKind>(&'a mut self, nodes: &[&'a Node<K>]) -> Vec<&'a [u8]> {
        self.encode(nodes, |node, out| {
            if let Body::Inner(inner) = &node.body {
                Node::encode_inner(inner, out);
            }
        });
        let bytes = nodes.iter().zip(self.slices()).map(|(node, inner)| match &node.body {
            Body::Leaf(leaf) => leaf.bytes.as_slice(),
            Body::Inner(_) => inner,
        });
        bytes.collect()
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

impl Default for Hasher {
    /// One that may use all processors.
    fn default() -> Self {
        Self::new(rayon::current_num_threads())
    }
}

/// The changed nodes of trees, by height. Below a node that did not change nothing did;
/// `is_unchanged` may tell so without a look at the node.
///
/// Goes down all trees at once, and looks at many nodes before it does anything with one: each
/// lies somewhere else, and so they are waited for together.
fn changed<'a, K: TreeKind>(
    trees: &[&'a Tree<K>],
    is_unchanged: impl Fn(&Lazy<K>) -> bool,
    is_changed: impl Fn(&Node<K>) -> bool,
) -> Vec<Vec<&'a Node<K>>> {
    let look = |lazy: &'a Lazy<K>| match is_unchanged(lazy) {
        true => None,
        false => lazy.peek().map(|node| &**node),
    };
    let mut heights: Vec<Vec<&Node<K>>> = Vec::new();
    let mut nodes: Vec<&Node<K>> =
        trees.iter().filter_map(|tree| look(tree.root.as_ref()?)).collect();
    while !nodes.is_empty() {
        nodes.retain(|node| is_changed(node));
        let mut below = Vec::new();
        for node in &nodes {
            let height = usize::from(node.height());
            if heights.len() <= height {
                heights.resize_with(height + 1, Vec::new);
            }
            heights[height].push(node);
            if let Body::Inner(inner) = &node.body {
                below.extend(inner.links.iter().filter_map(|link| look(&link.child)));
            }
        }
        nodes = below;
    }
    heights
}
