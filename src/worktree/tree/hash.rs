//! Hashing: what changed since it was last stored is hashed and handed to a sink, lowest nodes
//! first, many at a time.

use std::sync::atomic::Ordering;

use super::node::{Body, Node};
use super::{Tree, TreeKind};
use crate::model::{NodeId, ObjectError, ObjectId, ObjectKind, ObjectSink};

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

/// Hashes the changed nodes of trees. It keeps its buffers, so that a commit allocates little.
#[derive(Default)]
pub struct Hasher {
    arena: Vec<u8>,
    ends: Vec<usize>,
    digests: Vec<[u8; 32]>,
    /// What has been hashed so far.
    pub counts: HashCounts,
}

impl Hasher {
    /// Brings the ids of these trees up to date and hands what is new to the sink.
    ///
    /// The trees are hashed together, so that small nodes fill the lanes of a batch. On failure
    /// what was not handed over is still known to be new.
    pub fn store<K: TreeKind>(
        &mut self,
        trees: &[&Tree<K>],
        sink: &dyn ObjectSink,
    ) -> Result<(), ObjectError> {
        let mut heights: Vec<Vec<&Node<K>>> = Vec::new();
        for tree in trees {
            if let Some(node) = tree.root.as_ref().and_then(|root| root.peek()) {
                collect(node, &mut heights);
            }
        }
        for nodes in &heights {
            self.store_nodes(nodes, sink)?;
            if K::STORES_SIDES {
                self.store_sides(nodes, sink)?;
            }
        }
        Ok(())
    }

    fn store_nodes<K: TreeKind>(
        &mut self,
        nodes: &[&Node<K>],
        sink: &dyn ObjectSink,
    ) -> Result<(), ObjectError> {
        self.arena.clear();
        self.ends.clear();
        for node in nodes {
            if let Body::Inner(inner) = &node.body {
                Node::encode_inner(inner, &mut self.arena);
            }
            self.ends.push(self.arena.len());
        }
        let inputs = nodes.iter().zip(slices(&self.arena, &self.ends));
        let inputs: Vec<&[u8]> = inputs
            .map(|(node, inner)| match &node.body {
                Body::Leaf(leaf) => leaf.bytes.as_slice(),
                Body::Inner(_) => inner,
            })
            .collect();
        crate::hash::hash_batch(&inputs, &mut self.digests);
        for ((node, bytes), digest) in nodes.iter().zip(&inputs).zip(&self.digests) {
            self.counts.nodes += 1;
            self.counts.node_bytes += bytes.len() as u64;
            let id = ObjectId::from_bytes(*digest);
            sink.put(ObjectKind::Node, &id, bytes)?;
            node.marks.id.get_or_init(|| NodeId::new(id));
            node.marks.id_stored.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn store_sides<K: TreeKind>(
        &mut self,
        nodes: &[&Node<K>],
        sink: &dyn ObjectSink,
    ) -> Result<(), ObjectError> {
        self.arena.clear();
        self.ends.clear();
        for node in nodes {
            node.encode_side(&mut self.arena);
            self.ends.push(self.arena.len());
        }
        let inputs: Vec<&[u8]> = slices(&self.arena, &self.ends).collect();
        crate::hash::hash_batch(&inputs, &mut self.digests);
        for ((node, bytes), digest) in nodes.iter().zip(&inputs).zip(&self.digests) {
            self.counts.sides += 1;
            self.counts.side_bytes += bytes.len() as u64;
            let id = ObjectId::from_bytes(*digest);
            sink.put(ObjectKind::Side, &id, bytes)?;
            node.marks.side.get_or_init(|| id);
            node.marks.side_stored.store(true, Ordering::Release);
        }
        Ok(())
    }
}

fn slices<'a>(arena: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    ends.iter().scan(0, |start, end| Some(&arena[std::mem::replace(start, *end)..*end]))
}

/// Gathers the nodes that are not stored, by height. Below a stored node all is stored.
fn collect<'a, K: TreeKind>(node: &'a Node<K>, heights: &mut Vec<Vec<&'a Node<K>>>) {
    if node.marks.is_stored::<K>() {
        return;
    }
    if let Body::Inner(inner) = &node.body {
        inner.links.iter().filter_map(|link| link.child.peek()).for_each(|c| collect(c, heights));
    }
    let height = usize::from(node.height());
    if heights.len() <= height {
        heights.resize_with(height + 1, Vec::new);
    }
    heights[height].push(node);
}
