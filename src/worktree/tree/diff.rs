//! What differs between two trees.
//!
//! Two cursors go through the trees side by side, in the order of keys. A cursor stands either
//! before a node that it has not opened or on an item. Where both stand before nodes that are
//! the same by pointer or by id, both go past them, whatever is below; otherwise the higher node
//! is opened, or both where they are equally high. Since the shape of a tree depends on its keys
//! alone, two trees fall back into step at the first boundary that they share behind a
//! difference, so each difference costs at most a path of nodes in each tree.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::node::{Body, Inner, Lazy, Leaf};
use super::{Tree, TreeKind};
use crate::model::{ObjectError, ObjectId, ObjectSource};

/// An item that two trees do not have in common; at least one of them has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value in the first tree, if the key is there.
    pub old: Option<&'a [u8]>,
    /// The value in the second tree, if the key is there.
    pub new: Option<&'a [u8]>,
}

impl<K: TreeKind> Tree<K> {
    /// Calls `visit` with the items that were added, removed or changed in value from this tree
    /// to `other`, in the order of keys, until it breaks. What lies beside items is not compared.
    ///
    /// Reads a path of nodes for each difference, and nothing that the trees share. When a read
    /// fails, `visit` may have been called already. Nodes whose keys do not rise from one to the
    /// next are refused as damaged, so that no damage makes a small store look endless.
    pub fn diff(
        &self,
        other: &Self,
        src: &dyn ObjectSource,
        visit: &mut dyn FnMut(Difference<'_>) -> ControlFlow<()>,
    ) -> Result<(), ObjectError> {
        if self.is_same(other) {
            return Ok(());
        }
        let (mut a, mut b) = (Cursor::new(self, src)?, Cursor::new(other, src)?);
        loop {
            let order = match (&a.at, &b.at) {
                (At::Before(x), At::Before(y)) => {
                    if x.child.is_same(y.child) {
                        a.advance();
                        b.advance();
                        continue;
                    }
                    let order = x.height.cmp(&y.height);
                    if order.is_ge() {
                        a.open(src)?;
                    }
                    if order.is_le() {
                        b.open(src)?;
                    }
                    continue;
                }
                (At::Before(_), _) => {
                    a.open(src)?;
                    continue;
                }
                (_, At::Before(_)) => {
                    b.open(src)?;
                    continue;
                }
                (At::Item(x, i), At::Item(y, j)) => x.key(*i).cmp(y.key(*j)),
                (At::Item(..), At::End) => Ordering::Less,
                (At::End, At::Item(..)) => Ordering::Greater,
                (At::End, At::End) => return Ok(()),
            };
            let old = a.item().filter(|_| order.is_le());
            let new = b.item().filter(|_| order.is_ge());
            if old != new
                && let Some((key, _)) = old.or(new)
            {
                let value = |(_, value)| value;
                if visit(Difference { key, old: old.map(value), new: new.map(value) }).is_break() {
                    return Ok(());
                }
            }
            if order.is_le() {
                a.advance();
            }
            if order.is_ge() {
                b.advance();
            }
        }
    }
}

/// A place in a tree, moving to the right.
struct Cursor<'a, K: TreeKind> {
    /// The opened nodes above the place, the highest first, each with the index of the child that
    /// the place is in.
    above: Vec<(&'a Inner<K>, usize)>,
    at: At<'a, K>,
    /// The last key of what lies to the left of the node that the place is in or before.
    passed: Option<&'a [u8]>,
}

enum At<'a, K: TreeKind> {
    Before(Unopened<'a, K>),
    Item(&'a Leaf<K>, usize),
    End,
}

struct Unopened<'a, K: TreeKind> {
    child: &'a Lazy<K>,
    height: u8,
    /// The last key below, as the parent says; the topmost node has no parent.
    last_key: Option<&'a [u8]>,
}

impl<'a, K: TreeKind> Cursor<'a, K> {
    /// The place before everything. The topmost node is loaded, since nothing else tells its
    /// height.
    fn new(tree: &'a Tree<K>, src: &dyn ObjectSource) -> Result<Self, ObjectError> {
        let at = match &tree.root {
            None => At::End,
            Some(child) => {
                let height = child.get(src)?.height();
                At::Before(Unopened { child, height, last_key: None })
            }
        };
        Ok(Self { above: Vec::new(), at, passed: None })
    }

    fn item(&self) -> Option<(&'a [u8], &'a [u8])> {
        match self.at {
            At::Item(leaf, at) => Some((leaf.key(at), leaf.value(at))),
            _ => None,
        }
    }

    /// Goes into the node that the place is before.
    fn open(&mut self, src: &dyn ObjectSource) -> Result<(), ObjectError> {
        let At::Before(unopened) = &self.at else { return Ok(()) };
        let child = unopened.child;
        match &child.get(src)?.body {
            Body::Leaf(leaf) => {
                if self.passed.is_some_and(|passed| passed >= leaf.key(0)) {
                    let id = child.id().map(|id| *id.object());
                    let id = id.unwrap_or(ObjectId::from_bytes([0; ObjectId::BYTES]));
                    let detail = "its keys do not follow those of the node before".to_owned();
                    return Err(ObjectError::Damaged { id, detail });
                }
                self.at = At::Item(leaf, 0);
            }
            Body::Inner(inner) => {
                self.above.push((inner, 0));
                self.at = before(inner, 0);
            }
        }
        Ok(())
    }

    /// Goes past the item or the unopened node.
    fn advance(&mut self) {
        match &self.at {
            At::Item(leaf, at) if at + 1 < leaf.len() => {
                self.at = At::Item(leaf, at + 1);
                return;
            }
            At::Item(leaf, at) => self.passed = Some(leaf.key(*at)),
            At::Before(unopened) => self.passed = unopened.last_key,
            At::End => return,
        }
        while let Some((inner, at)) = self.above.pop() {
            if at + 1 < inner.links.len() {
                self.above.push((inner, at + 1));
                self.at = before(inner, at + 1);
                return;
            }
        }
        self.at = At::End;
    }
}

fn before<K: TreeKind>(inner: &Inner<K>, at: usize) -> At<'_, K> {
    let link = &inner.links[at];
    At::Before(Unopened {
        child: &link.child,
        height: inner.height.saturating_sub(1),
        last_key: Some(link.key.as_bytes()),
    })
}
