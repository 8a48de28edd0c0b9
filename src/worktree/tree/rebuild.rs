//! Edits that move boundaries: nodes are cut again from the edited leaf on, until a cut falls
//! where one was before, and likewise on each height above.

use std::ops::Range;
use std::sync::Arc;

use super::cut::ends_node;
use super::edit::{Path, Sums};
use super::node::{Body, Inner, Lazy, Leaf, Link, Node};
use super::{Tree, TreeKind};
use crate::base::limits::{LEAF_BYTES_CLOSE, NODE_ITEMS_MAX};
use crate::model::{ObjectError, ObjectSource};

/// What to do with a key.
pub(super) enum Change<'a, S> {
    /// Give it this value.
    Set(&'a [u8], S),
    /// Remove it.
    Remove,
}

/// A node above the leaves and the index of the child that the path takes.
type Step<K> = (Arc<Node<K>>, usize);

/// The steps to a leaf, and the leaf.
type PathTo<K> = (Vec<Step<K>>, Arc<Node<K>>);

impl<K: TreeKind> Tree<K> {
    /// Applies a change to a tree that is not empty, with no regard to what it costs.
    ///
    /// A failure leaves the tree as it was.
    pub(super) fn rebuild(
        &mut self,
        key: &[u8],
        change: Change<'_, K::Side>,
        src: &dyn ObjectSource,
    ) -> Result<(), ObjectError> {
        let (steps, leaf) = self.path_to(key, src)?;
        let mut cutter = Cutter::<K, LeafBuilder<K>>::new(0);
        let Body::Leaf(old) = &leaf.body else { unreachable!("a path ends in a leaf") };
        let (at, found) = match old.search(key) {
            Ok(at) => (at, true),
            Err(at) => (at, false),
        };
        cutter.push_items(old, 0..at);
        if let Change::Set(value, side) = change {
            cutter.builder.leaf.insert(cutter.builder.leaf.len(), key, value, side);
            cutter.close_if_ended(key);
        }
        cutter.push_items(old, at + usize::from(found)..old.len());
        let mut consumed = 1;
        // Seldom needed.
        let mut siblings = None;
        while cutter.is_open() {
            let siblings = siblings.get_or_insert_with(|| Siblings::new(&steps, 0));
            let Some(next) = siblings.next(src)? else { break };
            let Body::Leaf(leaf) = &next.body else { unreachable!("siblings have one height") };
            cutter.push_items(leaf, 0..leaf.len());
            consumed += 1;
        }
        let mut nodes = cutter.finish();

        // Nothing else may share the path, which would be copied then.
        drop((siblings, leaf));
        for depth in (0..steps.len()).rev() {
            if stays_one(&steps[depth], consumed, &nodes) {
                let path: Path = steps.into_iter().take(depth + 1).map(|(_, at)| at).collect();
                self.put_nodes(&path, consumed, nodes);
                return Ok(());
            }
            let (parent, at) = &steps[depth];
            let height = parent.height();
            let mut cutter = Cutter::<K, Vec<Link<K>>>::new(height);
            let mut links = parent.links();
            links[..*at].iter().for_each(|link| cutter.push(link.clone()));
            nodes.into_iter().for_each(|node| cutter.push(node.link()));
            // Of the nodes below, `consumed` were replaced: they begin at `at` in this parent and
            // may go on into its siblings.
            let mut skip = at + consumed;
            consumed = 1;
            let mut siblings = None;
            let mut next;
            loop {
                let here = skip.min(links.len());
                links[here..].iter().for_each(|link| cutter.push(link.clone()));
                skip -= here;
                if skip == 0 && !cutter.is_open() {
                    break;
                }
                let siblings =
                    siblings.get_or_insert_with(|| Siblings::new(&steps[..depth], height));
                match siblings.next(src)? {
                    Some(sibling) => next = sibling,
                    None => break,
                }
                links = next.links();
                consumed += 1;
            }
            nodes = cutter.finish();
        }
        self.root = Self::top(nodes, src)?;
        Ok(())
    }

    /// Puts nodes in place of some of the last node of a path, whose last key stays what it is.
    fn put_nodes(&mut self, path: &[usize], replaced: usize, nodes: Vec<Arc<Node<K>>>) {
        fn descend<K: TreeKind>(
            node: &mut Node<K>,
            path: &[usize],
            replaced: usize,
            nodes: Vec<Arc<Node<K>>>,
        ) -> Sums {
            let Body::Inner(inner) = &mut node.body else {
                unreachable!("nodes lie in nodes above the leaves");
            };
            if let [at] = *path {
                let sums = |links: &[Link<K>]| links.iter().map(Sums::of_link).sum::<Sums>();
                let range = at..at + replaced;
                let (before, count) = (sums(&inner.links[range.clone()]), nodes.len());
                inner.links.splice(range, nodes.into_iter().map(Node::link));
                return sums(&inner.links[at..at + count]).since(before);
            }
            let link = &mut inner.links[path[0]];
            let sums = descend(link.child.node_mut(), &path[1..], replaced, nodes);
            sums.add_to(link);
            sums
        }
        let root = self.root.as_mut().expect("a path leads through nodes");
        descend(root.node_mut(), path, replaced, nodes);
    }

    fn path_to(&self, key: &[u8], src: &dyn ObjectSource) -> Result<PathTo<K>, ObjectError> {
        let mut steps = Vec::new();
        let mut node = self.root.as_ref().expect("the tree is not empty").get(src)?.clone();
        while let Body::Inner(inner) = &node.body {
            let at = inner.links.partition_point(|link| link.key.as_bytes() < key);
            let at = at.min(inner.links.len() - 1);
            let child = inner.links[at].child.get(src)?.clone();
            steps.push((std::mem::replace(&mut node, child), at));
        }
        Ok((steps, node))
    }

    /// Makes nodes of one height into a tree: more above them as long as there are several, or
    /// none where a node has but one child.
    fn top(
        mut nodes: Vec<Arc<Node<K>>>,
        src: &dyn ObjectSource,
    ) -> Result<Option<Lazy<K>>, ObjectError> {
        while nodes.len() > 1 {
            let mut cutter = Cutter::<K, Vec<Link<K>>>::new(nodes[0].height() + 1);
            nodes.into_iter().for_each(|node| cutter.push(node.link()));
            nodes = cutter.finish();
        }
        let Some(node) = nodes.pop() else { return Ok(None) };
        let mut top = Lazy::loaded(node);
        loop {
            let only = match &top.get(src)?.body {
                Body::Inner(inner) if inner.links.len() == 1 => inner.links[0].child.clone(),
                _ => return Ok(Some(top)),
            };
            top = only;
        }
    }
}

impl<K: TreeKind> Node<K> {
    fn last_key(&self) -> &[u8] {
        match &self.body {
            Body::Leaf(leaf) => leaf.key(leaf.len() - 1),
            Body::Inner(inner) => inner.links[inner.links.len() - 1].key.as_bytes(),
        }
    }

    fn links(&self) -> &[Link<K>] {
        match &self.body {
            Body::Inner(inner) => &inner.links,
            Body::Leaf(_) => &[],
        }
    }
}

/// Tells whether a node ends where it does when these nodes are put in place of so many, and
/// nowhere before.
fn stays_one<K: TreeKind>(step: &Step<K>, replaced: usize, nodes: &[Arc<Node<K>>]) -> bool {
    let (parent, at) = step;
    let links = parent.links();
    let height = parent.height();
    let Some(behind) = links.len().checked_sub(at + replaced) else { return false };
    let len = links.len() - replaced + nodes.len();
    // One that has, or had, as many as can be may end for that alone, and the topmost one goes when
    // one link is left.
    if links.len() >= NODE_ITEMS_MAX || !(2..NODE_ITEMS_MAX).contains(&len) {
        return false;
    }
    let Some((last, others)) = nodes.split_last() else { return behind > 0 };
    let ends_elsewhere = match behind {
        0 => last.last_key() != links[links.len() - 1].key.as_bytes(),
        _ => ends_node(last.last_key(), height),
    };
    !ends_elsewhere && !others.iter().any(|node| ends_node(node.last_key(), height))
}

/// The nodes of one height to the right of a path.
struct Siblings<K: TreeKind> {
    steps: Vec<Step<K>>,
    height: u8,
}

impl<K: TreeKind> Siblings<K> {
    fn new(steps: &[Step<K>], height: u8) -> Self {
        Self { steps: steps.to_vec(), height }
    }

    fn next(&mut self, src: &dyn ObjectSource) -> Result<Option<Arc<Node<K>>>, ObjectError> {
        while let Some((node, at)) = self.steps.pop() {
            let Some(link) = node.links().get(at + 1) else { continue };
            let mut child = link.child.get(src)?.clone();
            self.steps.push((node, at + 1));
            while child.height() > self.height {
                let first = child.links()[0].child.get(src)?.clone();
                self.steps.push((std::mem::replace(&mut child, first), 0));
            }
            return Ok(Some(child));
        }
        Ok(None)
    }
}

/// A node being filled.
trait Builder<K: TreeKind>: Default {
    fn is_empty(&self) -> bool;
    fn is_full(&self) -> bool;
    fn build(self, height: u8) -> Node<K>;
}

struct LeafBuilder<K: TreeKind> {
    leaf: Leaf<K>,
}

impl<K: TreeKind> Default for LeafBuilder<K> {
    fn default() -> Self {
        Self { leaf: Leaf::empty() }
    }
}

impl<K: TreeKind> Builder<K> for LeafBuilder<K> {
    fn is_empty(&self) -> bool {
        self.leaf.len() == 0
    }

    fn is_full(&self) -> bool {
        self.leaf.is_full()
    }

    fn build(self, _: u8) -> Node<K> {
        Node::new(Body::Leaf(self.leaf))
    }
}

impl<K: TreeKind> Builder<K> for Vec<Link<K>> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn is_full(&self) -> bool {
        self.len() >= NODE_ITEMS_MAX
    }

    fn build(self, height: u8) -> Node<K> {
        Node::new(Body::Inner(Inner { height, links: self }))
    }
}

/// Cuts a sequence of items or links into nodes of one height.
struct Cutter<K: TreeKind, B: Builder<K>> {
    height: u8,
    builder: B,
    done: Vec<Arc<Node<K>>>,
}

impl<K: TreeKind, B: Builder<K>> Cutter<K, B> {
    fn new(height: u8) -> Self {
        Self { height, builder: B::default(), done: Vec::new() }
    }

    /// Tells whether the last node has not ended yet.
    fn is_open(&self) -> bool {
        !self.builder.is_empty()
    }

    /// Ends the node if the key that came last, or its size, says so.
    fn close_if_ended(&mut self, key: &[u8]) {
        if self.builder.is_full() || ends_node(key, self.height) {
            self.close();
        }
    }

    fn close(&mut self) {
        let builder = std::mem::take(&mut self.builder);
        self.done.push(Arc::new(builder.build(self.height)));
    }

    fn finish(mut self) -> Vec<Arc<Node<K>>> {
        if self.is_open() {
            self.close();
        }
        self.done
    }
}

impl<K: TreeKind> Cutter<K, LeafBuilder<K>> {
    /// Takes items over from a leaf, of which the last one alone can end a node by its key.
    fn push_items(&mut self, from: &Leaf<K>, mut items: Range<usize>) {
        while !items.is_empty() {
            let leaf = &mut self.builder.leaf;
            let taken = items.start..items.end.min(items.start + NODE_ITEMS_MAX - leaf.len());
            let bytes = from.end(taken.end - 1) - from.start(taken.start);
            // Large values are rare: they are looked at one by one.
            let taken = match leaf.bytes.len() + bytes < LEAF_BYTES_CLOSE {
                true => taken,
                false => items.start..items.start + 1,
            };
            items.start = taken.end;
            leaf.append(from, taken);
            self.close_if_ended(from.key(items.start - 1));
        }
    }
}

impl<K: TreeKind> Cutter<K, Vec<Link<K>>> {
    fn push(&mut self, link: Link<K>) {
        let key = link.key.clone();
        self.builder.push(link);
        self.close_if_ended(key.as_bytes());
    }
}
