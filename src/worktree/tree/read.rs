//! Looking things up.

use std::ops::ControlFlow;

use super::node::{Body, Lazy, Link, Node};
use super::{Tree, TreeKind};
use crate::model::{ObjectError, ObjectSource};

/// An item of a tree.
pub struct Item<'a, K: TreeKind> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// What lies beside it.
    pub side: &'a K::Side,
}

impl<K: TreeKind> Tree<K> {
    /// Finds the item with this key. Reads at most one node a level.
    pub fn find(
        &self,
        key: &[u8],
        src: &dyn ObjectSource,
    ) -> Result<Option<Item<'_, K>>, ObjectError> {
        let Some(mut lazy) = self.root.as_ref() else { return Ok(None) };
        loop {
            match &lazy.get(src)?.body {
                Body::Leaf(leaf) => return Ok(leaf.search(key).ok().map(|at| leaf.item_at(at))),
                Body::Inner(inner) => {
                    let at = inner.links.partition_point(|link| link.key.as_bytes() < key);
                    match inner.links.get(at) {
                        Some(link) => lazy = &link.child,
                        None => return Ok(None),
                    }
                }
            }
        }
    }

    /// Finds the last item whose key is at most this one.
    pub fn floor(
        &self,
        key: &[u8],
        src: &dyn ObjectSource,
    ) -> Result<Option<Item<'_, K>>, ObjectError> {
        let Some(mut lazy) = self.root.as_ref() else { return Ok(None) };
        let mut left: Option<&Lazy<K>> = None;
        loop {
            match &lazy.get(src)?.body {
                Body::Leaf(leaf) => {
                    let at = match leaf.search(key) {
                        Ok(at) => at,
                        Err(0) => break,
                        Err(at) => at - 1,
                    };
                    return Ok(Some(leaf.item_at(at)));
                }
                Body::Inner(inner) => {
                    let at = inner.links.partition_point(|link| link.key.as_bytes() < key);
                    let at = at.min(inner.links.len() - 1);
                    if at > 0 {
                        left = Some(&inner.links[at - 1].child);
                    }
                    lazy = &inner.links[at].child;
                }
            }
        }
        // The key is below everything in its leaf: the item is the last one to the left of it.
        let Some(mut lazy) = left else { return Ok(None) };
        loop {
            match &lazy.get(src)?.body {
                Body::Leaf(leaf) => return Ok(Some(leaf.item_at(leaf.len() - 1))),
                Body::Inner(inner) => lazy = &inner.links[inner.links.len() - 1].child,
            }
        }
    }

    /// Calls `visit` with the items from the one at this index on, in the order of keys, until it
    /// breaks.
    pub fn scan(
        &self,
        from: u64,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Item<'_, K>) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        let Some(root) = &self.root else { return Ok(()) };
        let mut skip = from;
        scan_node(root.get(src)?, &mut |count| skip_whole(&mut skip, count), src, visit).map(drop)
    }

    /// Calls `visit` with the items whose keys are at least this one, in the order of keys, until
    /// it breaks.
    pub fn scan_from(
        &self,
        key: &[u8],
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Item<'_, K>) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        let Some(root) = &self.root else { return Ok(()) };
        scan_node_from(root.get(src)?, key, Of::All, src, visit).map(drop)
    }

    /// Counts the items, reading at most the topmost node.
    pub fn len(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        self.sum(src, |leaf| leaf.0, |link| link.0)
    }

    /// Adds up the weights of the items, reading at most the topmost node.
    pub fn weight(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        self.sum(src, |leaf| leaf.1, |link| link.1)
    }

    /// Adds up the links of the items, reading at most the topmost node.
    pub fn links(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        self.sum(src, |leaf| leaf.2, |link| link.2)
    }

    fn sum(
        &self,
        src: &dyn ObjectSource,
        of_leaf: fn((u64, u64, u64)) -> u64,
        of_link: fn((u64, u64, u64)) -> u64,
    ) -> Result<u64, ObjectError> {
        let Some(root) = &self.root else { return Ok(0) };
        Ok(match &root.get(src)?.body {
            Body::Leaf(leaf) => of_leaf((leaf.len() as u64, leaf.weight(), leaf.links())),
            Body::Inner(inner) => {
                inner.links.iter().map(|l| of_link((l.count, l.weight, l.side_links))).sum()
            }
        })
    }

    /// Calls `visit` with the items that have links at or below them and whose keys are at least
    /// this one, without looking at others, until it breaks.
    pub fn scan_linked(
        &self,
        key: &[u8],
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Item<'_, K>) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        let Some(root) = &self.root else { return Ok(()) };
        scan_node_from(root.get(src)?, key, Of::Links, src, visit).map(drop)
    }
}

fn skip_whole(skip: &mut u64, count: u64) -> bool {
    let whole = count <= *skip;
    if whole {
        *skip -= count;
    }
    whole
}

fn scan_node<K: TreeKind>(
    node: &Node<K>,
    skip: &mut dyn FnMut(u64) -> bool,
    src: &dyn ObjectSource,
    visit: &mut dyn FnMut(Item<'_, K>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ObjectError> {
    match &node.body {
        Body::Leaf(leaf) => {
            for at in 0..leaf.len() {
                if !skip(1) && visit(leaf.item_at(at)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Body::Inner(inner) => {
            for link in &inner.links {
                if !skip(link.count)
                    && scan_node(link.child.get(src)?, skip, src, visit)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Which items a scan is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    /// Those with links at or below them.
    Links,
}

fn scan_node_from<K: TreeKind>(
    node: &Node<K>,
    key: &[u8],
    of: Of,
    src: &dyn ObjectSource,
    visit: &mut dyn FnMut(Item<'_, K>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ObjectError> {
    match &node.body {
        Body::Leaf(leaf) => {
            let from = leaf.search(key).unwrap_or_else(|at| at);
            let is_asked = |at: &usize| of == Of::All || K::links(leaf.side(*at)) > 0;
            for at in (from..leaf.len()).filter(is_asked) {
                if visit(leaf.item_at(at)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Body::Inner(inner) => {
            let from = inner.links.partition_point(|link| link.key.as_bytes() < key);
            let is_asked = |link: &&Link<K>| of == Of::All || link.side_links > 0;
            for link in inner.links[from..].iter().filter(is_asked) {
                if scan_node_from(link.child.get(src)?, key, of, src, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

impl<K: TreeKind> super::node::Leaf<K> {
    fn item_at(&self, at: usize) -> Item<'_, K> {
        Item { key: self.key(at), value: self.value(at), side: self.side(at) }
    }
}
