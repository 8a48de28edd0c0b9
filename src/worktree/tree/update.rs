//! New values for many keys at once, in one walk.

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
                        set(&mut leaf.sides[at]);
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
        // A value of another length moves what follows: the whole leaf is written anew, from the
        // first such value on.
        let mut moved: Option<Moved> = None;
        let mut at = 0;
        for Update { key, value, side } in updates {
            match self.search_from(at, key) {
                Ok(found) => at = found,
                Err(_) => {
                    done.missing += 1;
                    continue;
                }
            }
            let old = self.value(at);
            let same_len = old.len() == value.len();
            done.weight = done.weight.wrapping_add(K::weight(value)).wrapping_sub(K::weight(old));
            let links = K::links(side).wrapping_sub(K::links(&self.sides[at]));
            done.links = done.links.wrapping_add(links);
            self.sides[at] = std::mem::take(side);
            if moved.is_none() && same_len {
                let end = self.ends[at] as usize;
                self.bytes[end - value.len()..end].copy_from_slice(value);
            } else {
                let moved = moved.get_or_insert_with(|| Moved::after(&self.bytes, self.start(at)));
                moved.copy_to(&self.bytes, self.start(at));
                put_string(&mut moved.bytes, key);
                put_string(&mut moved.bytes, value);
                moved.copied = self.ends[at] as usize;
                moved.lens.push((at, moved.bytes.len()));
            }
        }
        if let Some(mut moved) = moved {
            moved.copy_to(&self.bytes, self.bytes.len());
            self.settle(moved);
        }
        done
    }

    fn search_from(&self, from: usize, key: &[u8]) -> Result<usize, usize> {
        // Updates of neighbours come one after the other.
        match (from < self.len()).then(|| self.key(from).cmp(key)) {
            Some(std::cmp::Ordering::Equal) => Ok(from),
            _ if from + 1 < self.len() && self.key(from + 1) == key => Ok(from + 1),
            _ => self.search(key),
        }
    }

    /// Takes the bytes that were written anew, and moves the ends of the items accordingly.
    fn settle(&mut self, moved: Moved) {
        let mut added = 0_usize;
        let mut changes = moved.lens.into_iter().peekable();
        for at in 0..self.ends.len() {
            let old_end = self.ends[at] as usize;
            if let Some((_, end)) = changes.next_if(|(changed, _)| *changed == at) {
                added = end.wrapping_sub(old_end);
            }
            // A leaf is smaller than 4 GiB.
            self.ends[at] = old_end.wrapping_add(added) as u32;
        }
        self.bytes = moved.bytes;
        debug_assert!(self.bytes.len() < LEAF_BYTES_CLOSE);
    }
}

/// The bytes of a leaf whose items change their lengths, as far as they are written.
struct Moved {
    bytes: Vec<u8>,
    /// How many of the old bytes were dealt with.
    copied: usize,
    /// Items of other lengths, and where they end now.
    lens: Vec<(usize, usize)>,
}

impl Moved {
    fn after(old: &[u8], copied: usize) -> Self {
        let mut bytes = Vec::with_capacity(old.len() * 2 + 128);
        bytes.extend_from_slice(&old[..copied]);
        Self { bytes, copied, lens: Vec::new() }
    }

    fn copy_to(&mut self, old: &[u8], end: usize) {
        self.bytes.extend_from_slice(&old[self.copied..end]);
        self.copied = end;
    }
}
