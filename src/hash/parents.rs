//! From the chaining values of an input's leaves to its digest.
//!
//! Owns the shape of the tree (section 2.1 of the BLAKE3 paper: the left subtree of every parent
//! is the largest complete one that leaves something for the right). Joining neighbours level by
//! level, with the odd one at the end carried up as it is, gives that shape. The parents of a
//! level need neither counter nor position, so those of all inputs share passes.

use super::lanes::{BLOCK_BYTES, LANES_MAX, Lanes};
use super::{Digest, LEAVES_MAX};

/// One level of an input's tree: at first that of its leaves.
#[derive(Clone, Copy, Default)]
pub(super) struct Tree {
    /// Chaining values, of which the first `width` count.
    pub(super) values: [Digest; LEAVES_MAX],
    /// Width of the level.
    pub(super) width: usize,
}

/// Joins the leaves of each tree, at least two, up to the root: the first value becomes the
/// digest.
pub(super) fn join(lanes: Lanes, trees: &mut [Tree]) {
    let mut pass = Pass::new(lanes);
    let mut widest = trees.iter().map(|tree| tree.width).max().unwrap_or(0);
    while widest > 2 {
        for at in 0..trees.len() {
            let width = trees[at].width;
            if width == 2 {
                continue;
            }
            for pair in 0..width / 2 {
                pass.push(trees, false, at, pair);
            }
            if width % 2 == 1 {
                // Its parents' level has no other value there, and what was there has been read.
                trees[at].values[width / 2] = trees[at].values[width - 1];
            }
            trees[at].width = width.div_ceil(2);
        }
        pass.run(trees, false);
        widest = widest.div_ceil(2);
    }
    for at in 0..trees.len() {
        pass.push(trees, true, at, 0);
    }
    pass.run(trees, true);
}

/// Parents that wait to be hashed side by side.
struct Pass {
    lanes: Lanes,
    waiting: usize,
    /// Copies of the children, so that a level can be written over the one below it.
    children: [[u8; BLOCK_BYTES]; LANES_MAX],
    /// Tree and position of each parent.
    targets: [(usize, usize); LANES_MAX],
}

impl Pass {
    fn new(lanes: Lanes) -> Self {
        Self {
            lanes,
            waiting: 0,
            children: [[0; BLOCK_BYTES]; LANES_MAX],
            targets: [(0, 0); LANES_MAX],
        }
    }

    /// Adds the parent of the pair at that position of a tree's level.
    fn push(&mut self, trees: &mut [Tree], root: bool, at: usize, pair: usize) {
        let children = trees[at].values[2 * pair..2 * pair + 2].as_flattened();
        self.children[self.waiting].copy_from_slice(children);
        self.targets[self.waiting] = (at, pair);
        self.waiting += 1;
        if self.waiting == self.lanes.degree() {
            self.run(trees, root);
        }
    }

    /// Hashes what waits. A parent lies at or before its children, and all that come before it
    /// in its tree have been read.
    fn run(&mut self, trees: &mut [Tree], root: bool) {
        let mut out = [Digest::default(); LANES_MAX];
        let children = self.children.each_ref();
        self.lanes.parents(&children[..self.waiting], root, &mut out);
        for (&(at, pair), digest) in self.targets[..self.waiting].iter().zip(&out) {
            trees[at].values[pair] = *digest;
        }
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Tree, join};
    use crate::hash::lanes::{LEAF_BYTES, Lanes, Place};
    use crate::hash::{LEAVES_MAX, hash};

    fn tree(lanes: Lanes, input: &[u8]) -> Tree {
        let mut tree = Tree { width: input.len().div_ceil(LEAF_BYTES), ..Tree::default() };
        for (counter, leaf) in input.chunks(LEAF_BYTES).enumerate() {
            tree.values[counter] = lanes.finish_leaf(None, leaf, Place { counter, root: false });
        }
        tree
    }

    #[test]
    fn trees_of_every_width_join_beside_each_other() {
        let bytes: Vec<u8> = (0..LEAVES_MAX * LEAF_BYTES).map(|at| (at * at / 5) as u8).collect();
        let widths = (2..=LEAVES_MAX).chain((2..=LEAVES_MAX).rev());
        let inputs: Vec<&[u8]> =
            widths.zip(0..).map(|(width, from)| &bytes[from..width * LEAF_BYTES]).collect();
        for lanes in Lanes::all() {
            let mut trees: Vec<Tree> = inputs.iter().map(|input| tree(lanes, input)).collect();
            join(lanes, &mut trees);
            for (input, tree) in inputs.iter().zip(trees) {
                assert_eq!(tree.values[0], hash(input), "{} bytes, {lanes:?}", input.len());
            }
        }
    }

    #[test]
    fn nothing_joins_to_nothing() {
        join(Lanes::detect(), &mut []);
    }
}
