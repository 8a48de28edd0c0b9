//! Nodes in memory.
//!
//! A leaf keeps its canonical bytes, which are what is hashed and stored, with the ends of its
//! items and what lies beside them. A node above keeps its links typed, because the ids of
//! changed children are known only when they have been hashed; its bytes are made then.
//!
//! Invariants: a node is never empty, keys rise, a link's key is the last key below it, and if a
//! node is stored, so are all nodes below it; and the same of what lies beside them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;

use super::{TreeKind, damaged};
use crate::base::SmallBytes;
use crate::base::limits::{LEAF_BYTES_CLOSE, NODE_ITEMS_MAX};
use crate::format::bytes::Reader;
use crate::format::node::{self as format, HEADER_BYTES, LeafItem, NodeLink, NodeReader};
use crate::format::worktree::{open_side, put_side_header};
use crate::model::{NodeId, ObjectError, ObjectId, ObjectSource};
use crate::worktree::id_cell::IdCell;

/// A node that may still lie in the store.
pub(super) struct Lazy<K: TreeKind> {
    /// Shared, since nodes of many links are copied all the time.
    stored: Option<Arc<Stored>>,
    /// Not the standard library's, whose clones run the code of a first call.
    node: OnceCell<Arc<Node<K>>>,
    /// What the node remembers too: hashing the node above needs the ids of all children, and
    /// would wait for the memory of each.
    id: IdCell,
}

/// Where a node lies in the store.
struct Stored {
    id: NodeId,
    side: Option<ObjectId>,
    /// The height it must have, unless it is the topmost node. It makes descents end, whatever
    /// the store says.
    height: Option<u8>,
}

impl<K: TreeKind> Lazy<K> {
    pub(super) fn stored(id: NodeId, side: Option<ObjectId>) -> Self {
        Self::lying_at(Stored { id, side, height: None })
    }

    fn stored_child(id: NodeId, side: Option<ObjectId>, height: u8) -> Self {
        Self::lying_at(Stored { id, side, height: Some(height) })
    }

    fn lying_at(stored: Stored) -> Self {
        let id = IdCell::of(stored.id.object());
        Self { stored: Some(Arc::new(stored)), node: OnceCell::new(), id }
    }

    pub(super) fn loaded(node: Arc<Node<K>>) -> Self {
        Self { stored: None, node: OnceCell::with_value(node), id: IdCell::default() }
    }

    /// The node, read from the store on the first call.
    pub(super) fn get(&self, src: &dyn ObjectSource) -> Result<&Arc<Node<K>>, ObjectError> {
        if let Some(node) = self.node.get() {
            return Ok(node);
        }
        let Some(stored) = &self.stored else {
            unreachable!("a node is in memory or in the store");
        };
        let Stored { id, side, height } = &**stored;
        let node = Node::load(id, side.as_ref(), src)?;
        if height.is_some_and(|height| height != node.height()) {
            let detail = "a node has another height than its parent says".to_owned();
            return Err(ObjectError::Damaged { id: *id.object(), detail });
        }
        Ok(self.node.get_or_init(|| Arc::new(node)))
    }

    /// The node if it is in memory.
    pub(super) fn peek(&self) -> Option<&Arc<Node<K>>> {
        self.node.get()
    }

    /// The node for a change, copied if it is shared. It must have been loaded.
    pub(super) fn node_mut(&mut self) -> &mut Node<K> {
        self.stored = None;
        self.id = IdCell::default();
        let node = self.node.get_mut().expect("a node is loaded before it is changed");
        let node = Arc::make_mut(node);
        node.marks = Marks::default();
        node
    }

    /// The node for a change of what lies beside it: what is known of the node itself stays. It
    /// must have been loaded.
    pub(super) fn side_mut(&mut self) -> &mut Node<K> {
        self.stored = None;
        let node = self.node.get_mut().expect("a node is loaded before it is changed");
        let (id, id_stored) = (node.marks.id.clone(), node.marks.id_stored.load(Ordering::Acquire));
        let node = Arc::make_mut(node);
        node.marks = Marks { id, id_stored: AtomicBool::new(id_stored), ..Marks::default() };
        node
    }

    pub(super) fn id(&self) -> Option<NodeId> {
        let id = self.id.get().or_else(|| {
            let id = self.node.get()?.marks.id.get()?;
            self.id.set(&id);
            Some(id)
        });
        id.map(NodeId::new)
    }

    /// Tells whether the id is known here already, without a look at the node.
    pub(super) fn has_id(&self) -> bool {
        self.id.is_known()
    }

    pub(super) fn side_id(&self) -> Option<ObjectId> {
        match (&self.stored, self.node.get()) {
            (Some(stored), _) => stored.side,
            (None, Some(node)) => node.marks.side.get(),
            (None, None) => None,
        }
    }

    pub(super) fn is_same_by_pointer(&self, other: &Self) -> bool {
        match (self.node.get(), other.node.get()) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_same_by_pointer(other) || self.id().is_some_and(|id| Some(id) == other.id())
    }
}

impl<K: TreeKind> Clone for Lazy<K> {
    fn clone(&self) -> Self {
        Self { stored: self.stored.clone(), node: self.node.clone(), id: self.id.clone() }
    }
}

/// What is known of a node that does not change any more.
#[derive(Default)]
pub(super) struct Marks {
    pub(super) id: IdCell,
    pub(super) id_stored: AtomicBool,
    pub(super) side: IdCell,
    pub(super) side_stored: AtomicBool,
}

/// A node.
pub(super) struct Node<K: TreeKind> {
    pub(super) body: Body<K>,
    pub(super) marks: Marks,
}

pub(super) enum Body<K: TreeKind> {
    Leaf(Leaf<K>),
    Inner(Inner<K>),
}

pub(super) struct Leaf<K: TreeKind> {
    pub(super) bytes: Vec<u8>,
    pub(super) slots: Vec<Slot<K::Side>>,
}

/// Where an item of a leaf is in its bytes, which are fewer than 4 GiB, and what lies beside it.
#[derive(Clone)]
pub(super) struct Slot<S> {
    pub(super) end: u32,
    pub(super) value_len: u32,
    pub(super) side: S,
}

pub(super) struct Inner<K: TreeKind> {
    pub(super) height: u8,
    pub(super) links: Vec<Link<K>>,
}

pub(super) struct Link<K: TreeKind> {
    pub(super) key: SmallBytes,
    pub(super) count: u64,
    pub(super) weight: u64,
    pub(super) side_links: u64,
    pub(super) child: Lazy<K>,
}

impl<K: TreeKind> Clone for Link<K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), child: self.child.clone(), ..*self }
    }
}

impl<K: TreeKind> Clone for Node<K> {
    fn clone(&self) -> Self {
        // A copy is made to be changed, so what is known of the original does not hold for it.
        let body = match &self.body {
            Body::Leaf(Leaf { bytes, slots }) => {
                // Room for one more item, since a copied leaf is about to be edited.
                let mut copy = Vec::with_capacity(bytes.len() + 128);
                copy.extend_from_slice(bytes);
                Body::Leaf(Leaf { bytes: copy, slots: slots.clone() })
            }
            Body::Inner(Inner { height, links }) => {
                Body::Inner(Inner { height: *height, links: links.clone() })
            }
        };
        Self { body, marks: Marks::default() }
    }
}

impl<K: TreeKind> Node<K> {
    pub(super) fn new(body: Body<K>) -> Self {
        Self { body, marks: Marks::default() }
    }

    pub(super) fn height(&self) -> u8 {
        match &self.body {
            Body::Leaf(_) => 0,
            Body::Inner(inner) => inner.height,
        }
    }

    /// The link that a parent has to this node.
    pub(super) fn link(self: Arc<Self>) -> Link<K> {
        let (key, count, weight, side_links) = match &self.body {
            Body::Leaf(leaf) => {
                let last = leaf.len() - 1;
                (SmallBytes::new(leaf.key(last)), leaf.len() as u64, leaf.weight(), leaf.links())
            }
            Body::Inner(inner) => {
                let sum = |of: fn(&Link<K>) -> u64| inner.links.iter().map(of).sum();
                let last = &inner.links[inner.links.len() - 1];
                (last.key.clone(), sum(|l| l.count), sum(|l| l.weight), sum(|l| l.side_links))
            }
        };
        Link { key, count, weight, side_links, child: Lazy::loaded(self) }
    }

    fn load(
        id: &NodeId,
        side: Option<&ObjectId>,
        src: &dyn ObjectSource,
    ) -> Result<Self, ObjectError> {
        let bytes = src.get(id.object())?;
        let side_bytes = side.map(|side| src.get(side)).transpose()?;
        let in_node = |e| damaged(id.object(), e);
        let in_side = |e| damaged(side.unwrap_or(id.object()), e);
        let mut reader = NodeReader::open(&bytes).map_err(in_node)?;
        let height = reader.height();
        let mut sides =
            side_bytes.as_deref().map(|b| open_side(b, height)).transpose().map_err(in_side)?;
        let body = if height == 0 {
            let mut leaf = Leaf { bytes: bytes.to_vec(), slots: Vec::new() };
            while let Some(LeafItem { value, end, .. }) = reader.next_item().map_err(in_node)? {
                let side = sides.as_mut().map(|r| K::read_side(r)).transpose().map_err(in_side)?;
                leaf.slots.push(Slot::new(end, value.len(), side.unwrap_or_default()));
            }
            Body::Leaf(leaf)
        } else {
            let mut links = Vec::new();
            while let Some((key, link)) = reader.next_link().map_err(in_node)? {
                let beside = sides.as_mut().map(read_side_link).transpose().map_err(in_side)?;
                let (side, side_links) = beside.unzip();
                links.push(Link {
                    key: SmallBytes::new(key),
                    count: link.count,
                    weight: link.weight,
                    side_links: side_links.unwrap_or_default(),
                    child: Lazy::stored_child(link.child, side, height - 1),
                });
            }
            Body::Inner(Inner { height, links })
        };
        if let Some(sides) = sides {
            sides.finish().map_err(in_side)?;
        }
        let marks = Marks {
            id: IdCell::of(id.object()),
            id_stored: AtomicBool::new(true),
            side: side.map_or_else(IdCell::default, IdCell::of),
            side_stored: AtomicBool::new(side.is_some()),
        };
        Ok(Self { body, marks })
    }

    /// Writes the canonical bytes of a node above the leaves, whose children have their ids.
    pub(super) fn encode_inner(inner: &Inner<K>, out: &mut Vec<u8>) {
        format::put_header(out, inner.height);
        for Link { key, count, weight, child, .. } in &inner.links {
            let child = child.id().expect("children are hashed before their parent");
            let link = NodeLink { child, count: *count, weight: *weight };
            format::put_link(out, key.as_bytes(), &link);
        }
    }

    /// Writes what lies beside the node; the sides of its children have their ids.
    pub(super) fn encode_side(&self, out: &mut Vec<u8>) {
        put_side_header(out, self.height());
        match &self.body {
            Body::Leaf(leaf) => leaf.slots.iter().for_each(|slot| K::put_side(&slot.side, out)),
            Body::Inner(inner) => {
                for link in &inner.links {
                    let side = link.child.side_id().expect("sides are hashed before their parent");
                    out.extend_from_slice(side.as_bytes());
                    crate::format::bytes::put_varint(out, link.side_links);
                }
            }
        }
    }
}

fn read_side_link(
    reader: &mut Reader<'_>,
) -> Result<(ObjectId, u64), crate::format::bytes::FormatError> {
    Ok((reader.id()?, reader.varint()?))
}

impl<K: TreeKind> Leaf<K> {
    pub(super) fn empty() -> Self {
        let mut bytes = Vec::with_capacity(512);
        format::put_header(&mut bytes, 0);
        Self { bytes, slots: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn start(&self, at: usize) -> usize {
        match at {
            0 => HEADER_BYTES,
            _ => self.end(at - 1),
        }
    }

    pub(super) fn end(&self, at: usize) -> usize {
        self.slots[at].end as usize
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        first_string(&self.bytes[self.start(at)..self.end(at)])
    }

    pub(super) fn value_range(&self, at: usize) -> Range<usize> {
        let Slot { end, value_len, .. } = &self.slots[at];
        (end - value_len) as usize..*end as usize
    }

    pub(super) fn value(&self, at: usize) -> &[u8] {
        &self.bytes[self.value_range(at)]
    }

    pub(super) fn side(&self, at: usize) -> &K::Side {
        &self.slots[at].side
    }

    /// Where the key is, or where it belongs.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub(super) fn weight(&self) -> u64 {
        (0..self.len()).map(|at| K::weight(self.value(at))).sum()
    }

    pub(super) fn links(&self) -> u64 {
        self.slots.iter().map(|slot| K::links(&slot.side)).sum()
    }

    /// Tells whether the node ends here whatever its last key is.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= NODE_ITEMS_MAX || self.bytes.len() >= LEAF_BYTES_CLOSE
    }
}

impl<S> Slot<S> {
    pub(super) fn new(end: usize, value_len: usize, side: S) -> Self {
        Self { end: end as u32, value_len: value_len as u32, side }
    }
}

/// The first string in bytes that were checked when they were loaded or made.
fn first_string(bytes: &[u8]) -> &[u8] {
    // Nearly all keys are short.
    if bytes[0] < 0x80 {
        return &bytes[1..1 + usize::from(bytes[0])];
    }
    let mut len = 0;
    let mut shift = 0;
    for (at, byte) in bytes.iter().enumerate() {
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return &bytes[at + 1..at + 1 + len];
        }
        shift += 7;
    }
    unreachable!("a checked string has a length")
}
