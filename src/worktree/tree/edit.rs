//! Edits that move no boundary, which are nearly all. They work on the path to one leaf, in place
//! where it is not shared. What would move a boundary goes to `rebuild`.

use std::ops::Range;

use smallvec::SmallVec;

use super::cut::ends_node;
use super::node::{Body, Lazy, Leaf, Link, Node, Slot};
use super::rebuild::Change;
use super::{Tree, TreeKind};
use crate::base::SmallBytes;
use crate::base::limits::{LEAF_BYTES_CLOSE, NODE_ITEMS_MAX};
use crate::format::bytes::put_string;
use crate::model::{ObjectError, ObjectSource};

/// The way from the topmost node to an item: the index in each node.
pub(super) type Path = SmallVec<[usize; 8]>;

/// Where a key is or belongs.
struct Place {
    path: Path,
    found: bool,
    /// The leaf is the last of the whole tree.
    last_leaf: bool,
    /// The item is the last of its leaf, or belongs behind it.
    at_end: bool,
    leaf_len: usize,
    leaf_bytes: usize,
    leaf_ends_by_key: bool,
}

impl<K: TreeKind> Tree<K> {
    /// Sets the value of a key and what lies beside it; returns whether the key was there.
    ///
    /// A failure leaves the tree as it was. To take the edit back before any other one needs nothing
    /// of the store, so it cannot fail.
    pub fn insert(
        &mut self,
        key: &[u8],
        value: &[u8],
        side: K::Side,
        src: &dyn ObjectSource,
    ) -> Result<bool, ObjectError> {
        let Some(place) = self.locate(key, src)? else {
            let mut leaf = Leaf::empty();
            leaf.insert(0, key, value, side);
            self.root = Some(Lazy::loaded(Node::new(Body::Leaf(leaf)).into()));
            return Ok(false);
        };
        if place.takes(key, value.len()) {
            self.edit_leaf(&place.path, |leaf, at| {
                if place.found {
                    leaf.replace(at, key, value, side);
                } else {
                    leaf.insert(at, key, value, side);
                }
            });
        } else {
            self.rebuild(key, Change::Set(value, side), src)?;
        }
        Ok(place.found)
    }

    /// Removes a key; returns whether it was there.
    ///
    /// A failure leaves the tree as it was.
    pub fn remove(&mut self, key: &[u8], src: &dyn ObjectSource) -> Result<bool, ObjectError> {
        let Some(place) = self.locate(key, src)?.filter(|place| place.found) else {
            return Ok(false);
        };
        if place.loses(key) {
            self.edit_leaf(&place.path, |leaf, at| leaf.remove(at));
        } else {
            self.rebuild(key, Change::Remove, src)?;
        }
        Ok(true)
    }

    fn locate(&self, key: &[u8], src: &dyn ObjectSource) -> Result<Option<Place>, ObjectError> {
        let Some(mut lazy) = self.root.as_ref() else { return Ok(None) };
        let mut path = Path::new();
        let mut last_leaf = true;
        loop {
            match &lazy.get(src)?.body {
                Body::Inner(inner) => {
                    let at = inner.links.partition_point(|link| link.key.as_bytes() < key);
                    let at = at.min(inner.links.len() - 1);
                    last_leaf &= at == inner.links.len() - 1;
                    path.push(at);
                    lazy = &inner.links[at].child;
                }
                Body::Leaf(leaf) => {
                    let (at, found) = match leaf.search(key) {
                        Ok(at) => (at, true),
                        Err(at) => (at, false),
                    };
                    path.push(at);
                    return Ok(Some(Place {
                        path,
                        found,
                        last_leaf,
                        at_end: at + usize::from(found) == leaf.len(),
                        leaf_len: leaf.len(),
                        leaf_bytes: leaf.bytes.len(),
                        leaf_ends_by_key: ends_node(leaf.key(leaf.len() - 1), 0),
                    }));
                }
            }
        }
    }

    /// Edits the leaf at the end of a path whose nodes are all loaded, and brings the links above
    /// it up to date.
    fn edit_leaf(&mut self, path: &[usize], edit: impl FnOnce(&mut Leaf<K>, usize)) {
        fn descend<K: TreeKind>(
            node: &mut Node<K>,
            path: &[usize],
            edit: impl FnOnce(&mut Leaf<K>, usize),
        ) -> (Sums, Option<SmallBytes>) {
            match &mut node.body {
                Body::Leaf(leaf) => {
                    let before = Sums::of(leaf);
                    let last = leaf.key(leaf.len() - 1);
                    let hit_last = path[0] + 1 >= leaf.len();
                    let last = hit_last.then(|| SmallBytes::new(last));
                    edit(leaf, path[0]);
                    let now = leaf.key(leaf.len() - 1);
                    let moved = last.filter(|last| last.as_bytes() != now);
                    (Sums::of(leaf).since(before), moved.map(|_| SmallBytes::new(now)))
                }
                Body::Inner(inner) => {
                    let is_last = path[0] + 1 == inner.links.len();
                    let link = &mut inner.links[path[0]];
                    let (sums, key) = descend(link.child.node_mut(), &path[1..], edit);
                    sums.add_to(link);
                    if let Some(key) = &key {
                        link.key = key.clone();
                    }
                    (sums, key.filter(|_| is_last))
                }
            }
        }
        let root = self.root.as_mut().expect("a path leads through nodes");
        descend(root.node_mut(), path, edit);
    }
}

impl Place {
    /// Tells whether the key can be set to a value of so many bytes here, and no boundary moves.
    fn takes(&self, key: &[u8], value_len: usize) -> bool {
        // A bound of what the item adds: the two lengths take at most five bytes each.
        let bytes = self.leaf_bytes + key.len() + value_len + 10;
        bytes < LEAF_BYTES_CLOSE
            && (self.found
                || !ends_node(key, 0)
                    && self.leaf_len < NODE_ITEMS_MAX
                    && (!self.at_end || self.last_leaf && !self.leaf_ends_by_key))
    }

    /// Tells whether the key, which is here, can be removed, and no boundary moves.
    fn loses(&self, key: &[u8]) -> bool {
        let capped = self.leaf_len >= NODE_ITEMS_MAX || self.leaf_bytes >= LEAF_BYTES_CLOSE;
        self.leaf_len > 1
            && !ends_node(key, 0)
            && (!self.at_end || self.last_leaf)
            && (!capped || self.leaf_ends_by_key)
    }
}

/// What a link says of the items below it; differences wrap around.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    count: u64,
    weight: u64,
    links: u64,
}

impl Sums {
    fn of<K: TreeKind>(leaf: &Leaf<K>) -> Self {
        Self { count: leaf.len() as u64, weight: leaf.weight(), links: leaf.links() }
    }

    pub(super) fn of_link<K: TreeKind>(link: &Link<K>) -> Self {
        Self { count: link.count, weight: link.weight, links: link.side_links }
    }

    pub(super) fn add_to<K: TreeKind>(self, link: &mut Link<K>) {
        link.count = link.count.wrapping_add(self.count);
        link.weight = link.weight.wrapping_add(self.weight);
        link.side_links = link.side_links.wrapping_add(self.links);
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            count: self.count.wrapping_sub(before.count),
            weight: self.weight.wrapping_sub(before.weight),
            links: self.links.wrapping_sub(before.links),
        }
    }
}

impl std::iter::Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, next| Self {
            count: sum.count.wrapping_add(next.count),
            weight: sum.weight.wrapping_add(next.weight),
            links: sum.links.wrapping_add(next.links),
        })
    }
}

impl<K: TreeKind> Leaf<K> {
    /// Puts an item before the one at this index.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], value: &[u8], side: K::Side) {
        let start = self.start(at);
        let old_len = self.bytes.len();
        put_string(&mut self.bytes, key);
        put_string(&mut self.bytes, value);
        let added = self.bytes.len() - old_len;
        self.bytes[start..].rotate_right(added);
        self.slots.insert(at, Slot::new(start, value.len(), side));
        // A leaf is smaller than 4 GiB.
        self.slots[at..].iter_mut().for_each(|slot| slot.end += added as u32);
    }

    /// Puts items of another leaf behind the last one.
    pub(super) fn append(&mut self, from: &Self, items: Range<usize>) {
        let (from_start, start) = (from.start(items.start), self.bytes.len());
        self.bytes.extend_from_slice(&from.bytes[from_start..from.end(items.end - 1)]);
        self.slots.extend(from.slots[items].iter().map(|slot| {
            let end = slot.end as usize - from_start + start;
            Slot::new(end, slot.value_len as usize, slot.side.clone())
        }));
    }

    /// Removes the item at this index.
    pub(super) fn remove(&mut self, at: usize) {
        let (start, end) = (self.start(at), self.end(at));
        self.bytes.drain(start..end);
        self.slots.remove(at);
        let removed = (end - start) as u32;
        self.slots[at..].iter_mut().for_each(|slot| slot.end -= removed);
    }

    /// Replaces the value of the item at this index, in place where the length stays.
    fn replace(&mut self, at: usize, key: &[u8], value: &[u8], side: K::Side) {
        let range = self.value_range(at);
        if range.len() == value.len() {
            self.bytes[range].copy_from_slice(value);
            self.slots[at].side = side;
        } else {
            self.remove(at);
            self.insert(at, key, value, side);
        }
    }
}
