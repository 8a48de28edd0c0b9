//! The way of a batch: sorted, then leaf by leaf and tree by tree.
//!
//! Owns the bounds of the scratch space, and sends each input one of three ways: alone, as a
//! single leaf that is its own root, or as a tree.

use super::lanes::{LEAF_BYTES, Lanes, Place};
use super::order::{Item, WINDOW_INPUTS_MAX, sort};
use super::parents::{Tree, join};
use super::{BATCH_INPUT_BYTES_MAX, Digest, hash, leaves};

/// Most inputs of several leaves whose trees are held at a time. With more, no pass would be
/// noticeably fuller.
const TREES_MAX: usize = 64;

/// Hashes the inputs into the digests, of which there are as many.
pub(super) fn hash_all(lanes: Lanes, inputs: &[&[u8]], digests: &mut [Digest]) {
    debug_assert_eq!(inputs.len(), digests.len());
    let mut order = Vec::with_capacity(inputs.len().min(WINDOW_INPUTS_MAX));
    let mut trees = Vec::new();
    let windows = inputs.chunks(WINDOW_INPUTS_MAX).zip(digests.chunks_mut(WINDOW_INPUTS_MAX));
    for (inputs, digests) in windows {
        order.clear();
        for (index, input) in inputs.iter().enumerate() {
            // Whole leaves that leave no lane empty: nothing to gain from company.
            let fills_lanes_alone = input.len().is_multiple_of(lanes.degree() * LEAF_BYTES);
            if input.len() <= BATCH_INPUT_BYTES_MAX && !fills_lanes_alone {
                order.push(Item::new(index, input.len()));
            } else {
                digests[index] = hash(input);
            }
        }
        sort(&mut order);
        let (of_one_leaf, of_several) = order.split_at(order.partition_point(Item::is_leaf));
        hash_leaves(lanes, inputs, of_one_leaf, digests);
        for items in of_several.chunks(TREES_MAX) {
            trees.resize(trees.len().max(items.len()), Tree::default());
            hash_trees(lanes, inputs, items, &mut trees[..items.len()], digests);
        }
    }
}

/// Hashes inputs that are one leaf each, hence roots.
fn hash_leaves(lanes: Lanes, inputs: &[&[u8]], items: &[Item], digests: &mut [Digest]) {
    let place = Place { counter: 0, root: true };
    let tails = |at: usize| inputs[items[at].index()];
    leaves::hash_tails(lanes, items, tails, place, |at, digest| {
        digests[items[at].index()] = digest;
    });
}

/// Hashes inputs of several leaves each, in as many trees.
fn hash_trees(
    lanes: Lanes,
    inputs: &[&[u8]],
    items: &[Item],
    trees: &mut [Tree],
    digests: &mut [Digest],
) {
    for (tree, item) in trees.iter_mut().zip(items) {
        tree.width = item.whole_leaves() + usize::from(item.has_tail());
    }
    leaves::hash_whole(lanes, items, inputs, trees);
    let mut start = 0;
    for alike in items.chunk_by(|a, b| a.whole_leaves() == b.whole_leaves()) {
        let end = start + alike.len();
        start += alike.partition_point(|item| !item.has_tail());
        let counter = alike[0].whole_leaves();
        let (items, trees) = (&items[start..end], &mut trees[start..end]);
        let tails = |at: usize| &inputs[items[at].index()][counter * LEAF_BYTES..];
        leaves::hash_tails(lanes, items, tails, Place { counter, root: false }, |at, value| {
            trees[at].values[counter] = value;
        });
        start = end;
    }
    join(lanes, trees);
    for (tree, item) in trees.iter().zip(items) {
        digests[item.index()] = tree.values[0];
    }
}
