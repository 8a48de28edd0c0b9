//! Which blocks share a pass.
//!
//! Owns the two ways to fill lanes with leaves: whole leaves, of several inputs side by side or
//! of one in a row, and tails, the last leaves, which have any length. A pass can only start
//! from the beginning of a leaf, because it has one initial value for all lanes: so it takes the
//! blocks that the tails of a group have in common, and what is left of each is compressed by
//! itself. Groups are chosen by cost (see [`Lanes::cost`]), not by equality, so that a few inputs
//! of many shapes still share most of their blocks.

use std::ops::Range;

use super::Digest;
use super::lanes::{BLOCK_BYTES, COST_ALONE, LANES_MAX, LEAF_BYTES, Lanes, Place};
use super::order::Item;
use super::parents::Tree;

/// Hashes all whole leaves of inputs of several leaves into their trees, of which there are as
/// many. Items come sorted.
pub(super) fn hash_whole(lanes: Lanes, items: &[Item], inputs: &[&[u8]], trees: &mut [Tree]) {
    // From the end, so that a group with too few members is that of the shortest inputs, which
    // lose least by it.
    let groups = items.rchunks(lanes.degree()).zip(trees.rchunks_mut(lanes.degree()));
    for (items, trees) in groups {
        let in_row_cost = |leaves: usize| {
            let (full, rest) = (leaves / lanes.degree(), leaves % lanes.degree());
            full * lanes.cost(lanes.degree()) + if rest == 0 { 0 } else { lanes.cost(rest) }
        };
        // Sorted: the first has the fewest.
        let common = items[0].whole_leaves();
        let in_rows: usize = items.iter().map(|item| in_row_cost(item.whole_leaves())).sum();
        let after: usize = items.iter().map(|i| in_row_cost(i.whole_leaves() - common)).sum();
        let side_by_side = common * lanes.cost(items.len()) + after;
        let start = if side_by_side < in_rows { common } else { 0 };
        for counter in 0..start {
            hash_side_by_side(lanes, items, inputs, counter, trees);
        }
        for (item, tree) in items.iter().zip(trees) {
            hash_in_row(lanes, inputs[item.index()], start..item.whole_leaves(), tree);
        }
    }
}

fn hash_side_by_side(
    lanes: Lanes,
    items: &[Item],
    inputs: &[&[u8]],
    counter: usize,
    trees: &mut [Tree],
) {
    let mut leaves = [&[0; LEAF_BYTES]; LANES_MAX];
    for (leaf, item) in leaves.iter_mut().zip(items) {
        *leaf = whole_leaf(inputs[item.index()], counter);
    }
    let mut out = [Digest::default(); LANES_MAX];
    lanes.leaves_side_by_side(&leaves[..items.len()], counter, &mut out);
    for (tree, value) in trees.iter_mut().zip(&out) {
        tree.values[counter] = *value;
    }
}

fn hash_in_row(lanes: Lanes, input: &[u8], counters: Range<usize>, tree: &mut Tree) {
    for start in counters.clone().step_by(lanes.degree()) {
        let count = lanes.degree().min(counters.end - start);
        let mut leaves = [&[0; LEAF_BYTES]; LANES_MAX];
        for (leaf, counter) in leaves[..count].iter_mut().zip(start..) {
            *leaf = whole_leaf(input, counter);
        }
        let mut out = [Digest::default(); LANES_MAX];
        lanes.leaves_in_a_row(&leaves[..count], start, &mut out);
        tree.values[start..start + count].copy_from_slice(&out[..count]);
    }
}

fn whole_leaf(input: &[u8], counter: usize) -> &[u8; LEAF_BYTES] {
    let leaf = input[counter * LEAF_BYTES..].first_chunk();
    leaf.expect("an item counts the whole leaves of its input")
}

/// Hashes the tails of items, all at the same place, and gives each chaining value (digest if a
/// root) with the position of its item. Items come sorted, and all have tails.
pub(super) fn hash_tails<'a>(
    lanes: Lanes,
    items: &[Item],
    tail: impl Fn(usize) -> &'a [u8],
    place: Place,
    mut give: impl FnMut(usize, Digest),
) {
    let mut start = 0;
    while start < items.len() {
        let group = Group::choose(lanes, &items[start..]);
        let mut tails: [&[u8]; LANES_MAX] = [&[]; LANES_MAX];
        for (into, at) in tails[..group.count].iter_mut().zip(start..) {
            *into = tail(at);
        }
        let tails = &tails[..group.count];
        let mut out = [Digest::default(); LANES_MAX];
        if group.common > 0 {
            lanes.first_blocks(tails, group.common, group.whole, place, &mut out);
        }
        for ((tail, value), at) in tails.iter().zip(&out).zip(start..) {
            let digest = if group.whole {
                *value
            } else {
                let done = (group.common > 0).then_some(value);
                lanes.finish_leaf(done, &tail[group.common * BLOCK_BYTES..], place)
            };
            give(at, digest);
        }
        start += group.count;
    }
}

/// How many of the next tails are hashed together.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    count: usize,
    /// Blocks that one pass takes of each.
    common: usize,
    /// Whether these are all, so that the pass gives the results.
    whole: bool,
}

impl Group {
    /// Chooses the group with the lowest cost for each block that it gets done.
    fn choose(lanes: Lanes, items: &[Item]) -> Self {
        let first = items[0];
        if let Some(last) = items.get(lanes.degree() - 1)
            && last.shape() == first.shape()
        {
            return Self::of(&items[..lanes.degree()]);
        }
        let mut best = Self { count: 1, common: 0, whole: false };
        let (mut best_cost, mut best_work) = (COST_ALONE, 1);
        let mut work = 0;
        for (at, item) in items.iter().take(lanes.degree()).enumerate() {
            work += item.blocks_before_last() + 1;
            let count = at + 1;
            // A group that is no power of two pads its pass: worthwhile for want of more only.
            if count.is_power_of_two() || count == items.len() {
                let group = Self::of(&items[..count]);
                let apart = work - count * group.common;
                let cost = group.common * lanes.cost(count) + apart * COST_ALONE;
                if cost * best_work < best_cost * work {
                    (best, best_cost, best_work) = (group, cost, work);
                }
            }
        }
        best
    }

    fn of(items: &[Item]) -> Self {
        // Sorted: the first has the fewest blocks, and equal ends mean that all are equal.
        let (first, last) = (items[0], items[items.len() - 1]);
        let whole = first.ends_full() && first.shape() == last.shape();
        let common = first.blocks_before_last() + usize::from(whole);
        Self { count: items.len(), common, whole }
    }
}

#[cfg(test)]
mod tests {
    use super::Group;
    use crate::hash::lanes::Lanes;
    use crate::hash::order::{Item, sort};

    fn chosen(lanes: Lanes, lens: &[usize]) -> Group {
        let mut items: Vec<Item> =
            lens.iter().zip(0..).map(|(&len, at)| Item::new(at, len)).collect();
        sort(&mut items);
        Group::choose(lanes, &items)
    }

    #[test]
    fn equal_tails_fill_the_lanes() {
        for lanes in Lanes::all().into_iter().filter(|lanes| lanes.degree() > 1) {
            let count = lanes.degree();
            let whole = Group { count, common: 16, whole: true };
            assert_eq!(chosen(lanes, &[1024; 40]), whole);
            let partial = Group { count, common: 15, whole: false };
            assert_eq!(chosen(lanes, &[1000; 40]), partial);
        }
    }

    #[test]
    fn few_tails_share_what_they_have_in_common() {
        for lanes in Lanes::all().into_iter().filter(|lanes| lanes.degree() > 2) {
            let group = Group { count: 3, common: 14, whole: false };
            assert_eq!(chosen(lanes, &[1000, 900, 960]), group);
        }
    }

    #[test]
    fn a_tail_unlike_the_others_goes_alone() {
        for lanes in Lanes::all().into_iter().filter(|lanes| lanes.degree() > 1) {
            let alone = Group { count: 1, common: 0, whole: false };
            assert_eq!(chosen(lanes, &[1000, 40, 1000, 1000]), alone);
            assert_eq!(chosen(lanes, &[1000]), alone);
        }
    }
}
