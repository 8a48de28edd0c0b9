//! New values for many keys at once, in one walk.

use std::ops::Range;

use super::node::{Body, Lazy, Leaf};
use super::{Tree, TreeKind};
use crate::base::limits::LEAF_BYTES_CLOSE;
use crate::format::bytes::put_string;
use crate::model::{ObjectError, ObjectSource};

/// A new value for a key that a tree has.
pub struct Update<'a, K: TreeKind> {
    /// The key.
    pub key: &'a [u8],
    /// Its new value.
    pub value: &'a [u8],
    /// What lies beside it now.
    pub side: K::Side,
}

impl<K: TreeKind> Tree<K> {
    /// Gives keys new values. The keys rise; those that the tree does not have are left out, and
    /// their number is returned. Since all keys stay, so do the boundaries of nodes: the values
    /// must be so short that no leaf ends because of its size.
    ///
    /// Copies each node on the way to a key at most once, and none that is not shared. After a
    /// failure some keys have their new values.
    pub fn update(
        &mut self,
        updates: &mut [Update<'_, K>],
        src: &dyn ObjectSource,
    ) -> Result<usize, ObjectError> {
        debug_assert!(updates.is_sorted_by(|a, b| a.key < b.key));
        match &mut self.root {
            _ if updates.is_empty() => Ok(0),
            Some(root) => Ok(update_node(root, updates, src)?.missing),
            None => Ok(updates.len()),
        }
    }

    /// Changes what lies beside a key, which leaves the ids of nodes as they are. Does nothing if
    /// the key is not there.
    pub fn set_side(
        &mut self,
        key: &[u8],
        set: impl FnOnce(&mut K::Side),
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        let Some(mut lazy) = self.root.as_mut() else { return Ok(()) };
        loop {
            lazy.get(src)?;
            match &mut lazy.side_mut().body {
                Body::Leaf(leaf) => {
                    if let Ok(at) = leaf.search(key) {
                        set(&mut leaf.slots[at].side);
                    }
                    return Ok(());
                }
                Body::Inner(inner) => {
                    let at = inner.links.partition_point(|link| link.key.as_bytes() < key);
                    match inner.links.get_mut(at) {
                        Some(link) => lazy = &mut link.child,
                        None => return Ok(()),
                    }
                }
            }
        }
    }
}

/// What an update did to the sums of a link; differences wrap around.
#[derive(Default)]
struct Done {
    weight: u64,
    links: u64,
    missing: usize,
}

fn update_node<K: TreeKind>(
    lazy: &mut Lazy<K>,
    updates: &mut [Update<'_, K>],
    src: &dyn ObjectSource,
) -> Result<Done, ObjectError> {
    lazy.get(src)?;
    match &mut lazy.node_mut().body {
        Body::Leaf(leaf) => Ok(leaf.update(updates)),
        Body::Inner(inner) => {
            let mut done = Done::default();
            let mut rest = updates;
            let mut at = 0;
            while let Some(first) = rest.first() {
                let key = first.key;
                at += inner.links[at..].partition_point(|link| link.key.as_bytes() < key);
                let Some(link) = inner.links.get_mut(at) else {
                    done.missing += rest.len();
                    break;
                };
                let here = rest.partition_point(|update| update.key <= link.key.as_bytes());
                let (now, later) = rest.split_at_mut(here);
                let below = update_node(&mut link.child, now, src)?;
                link.weight = link.weight.wrapping_add(below.weight);
                link.side_links = link.side_links.wrapping_add(below.links);
                done.weight = done.weight.wrapping_add(below.weight);
                done.links = done.links.wrapping_add(below.links);
                done.missing += below.missing;
                rest = later;
            }
            Ok(done)
        }
    }
}

impl<K: TreeKind> Leaf<K> {
    fn update(&mut self, updates: &mut [Update<'_, K>]) -> Done {
        let mut done = Done::default();
        // A value of another length moves what follows: the leaf is written anew from there on.
        let mut moved: Option<Moved> = None;
        let mut at = 0;
        for Update { key, value, side } in updates {
            // Updates of neighbours come one after the other.
            if at >= self.len() || self.key(at) != *key {
                match self.search(key) {
                    Ok(found) => at = found,
                    Err(_) => {
                        done.missing += 1;
                        continue;
                    }
                }
            }
            let range = self.value_range(at);
            let old = &self.bytes[range.clone()];
            done.weight = done.weight.wrapping_add(K::weight(value)).wrapping_sub(K::weight(old));
            let slot = &mut self.slots[at];
            let links = K::links(side).wrapping_sub(K::links(&slot.side));
            done.links = done.links.wrapping_add(links);
            slot.side = std::mem::take(side);
            if moved.is_none() && range.len() == value.len() {
                self.bytes[range].copy_from_slice(value);
            } else {
                let moved = moved.get_or_insert_with(|| Moved::new(self.bytes.len()));
                moved.items.push((at, self.start(at)..range.end));
                put_string(&mut moved.bytes, key);
                put_string(&mut moved.bytes, value);
                moved.ends.push((moved.bytes.len(), value.len()));
            }
            at += 1;
        }
        if let Some(moved) = moved {
            self.write_anew(&moved);
        }
        done
    }

    fn write_anew(&mut self, moved: &Moved) {
        let mut bytes = Vec::with_capacity(self.bytes.len() + moved.bytes.len());
        let (mut copied, mut made, mut next) = (0, 0, 0);
        for ((at, old), (end, value_len)) in moved.items.iter().zip(&moved.ends) {
            self.shift(next..*at, bytes.len().wrapping_sub(copied));
            bytes.extend_from_slice(&self.bytes[copied..old.start]);
            bytes.extend_from_slice(&moved.bytes[made..*end]);
            let slot = &mut self.slots[*at];
            (slot.end, slot.value_len) = (bytes.len() as u32, *value_len as u32);
            (copied, made, next) = (old.end, *end, at + 1);
        }
        self.shift(next..self.len(), bytes.len().wrapping_sub(copied));
        bytes.extend_from_slice(&self.bytes[copied..]);
        self.bytes = bytes;
        debug_assert!(self.bytes.len() < LEAF_BYTES_CLOSE);
    }

    /// Moves the ends of items by so many bytes; differences wrap around.
    fn shift(&mut self, items: Range<usize>, by: usize) {
        // A leaf is smaller than 4 GiB.
        self.slots[items].iter_mut().for_each(|slot| slot.end = slot.end.wrapping_add(by as u32));
    }
}

/// Items that take the place of old ones but are not as long.
struct Moved {
    /// Their indices, and where the old ones are.
    items: Vec<(usize, Range<usize>)>,
    bytes: Vec<u8>,
    /// Where each ends in these bytes, and how long its value is.
    ends: Vec<(usize, usize)>,
}

impl Moved {
    fn new(capacity: usize) -> Self {
        Self { items: Vec::new(), bytes: Vec::with_capacity(capacity), ends: Vec::new() }
    }
}
