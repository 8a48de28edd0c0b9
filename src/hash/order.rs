//! What inputs have in common, and an order that makes neighbours of those which can share a pass.
//!
//! Owns [`Item`], a number that sorts by shape. Lengths are what counts: a pass compresses the same
//! number of blocks, at the same place of their inputs, in each of its lanes. Invariant: shapes
//! sort by whole leaves, then by the blocks of the tail, so that of any run of items the first
//! has the least of both.

use super::LEAVES_MAX;
use super::lanes::{BLOCK_BYTES, LEAF_BYTES};

/// Most inputs that are sorted together. Enough for every shape to fill its lanes, and few
/// enough for what is sorted to stay in a near cache.
pub(super) const WINDOW_INPUTS_MAX: usize = 4096;
/// From this many inputs on, sorting by counting is faster than by comparing.
const COUNTING_INPUTS_MIN: usize = 100;

/// An input of a window: its shape and, in the low bits, its index.
///
/// The shape is the number of whole leaves, then what is left for the last one, by its blocks.
/// An input of at most one leaf has no whole leaves, even if that leaf is full: a leaf that is
/// a root goes its own way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item(u32);

impl Item {
    const INDEX_BITS: u32 = WINDOW_INPUTS_MAX.trailing_zeros();
    /// Tails of 0 bytes, then two for each number of blocks: the last one partial, or full.
    const TAILS: usize = 1 + 2 * (LEAF_BYTES / BLOCK_BYTES);
    const SHAPES: usize = (LEAVES_MAX + 1) * Self::TAILS;

    /// Describes the input with that index in its window.
    pub(super) fn new(index: usize, len: usize) -> Self {
        let whole_leaves = if len <= LEAF_BYTES { 0 } else { len / LEAF_BYTES };
        let tail_len = len - whole_leaves * LEAF_BYTES;
        let tail = match tail_len {
            // The empty input is a leaf of one empty block.
            0 => usize::from(whole_leaves == 0),
            len => 1 + 2 * ((len - 1) / BLOCK_BYTES) + usize::from(len % BLOCK_BYTES == 0),
        };
        let shape = whole_leaves * Self::TAILS + tail;
        // Below 561 << 12: windows and inputs have bounds.
        Self((shape << Self::INDEX_BITS | index) as u32)
    }

    /// The index in the window.
    pub(super) fn index(&self) -> usize {
        self.0 as usize & (WINDOW_INPUTS_MAX - 1)
    }

    /// Equal for inputs whose blocks differ in nothing but bytes, and in the length of a partial
    /// last one.
    pub(super) fn shape(&self) -> usize {
        (self.0 >> Self::INDEX_BITS) as usize
    }

    /// The number of full leaves before the last or, if an input of several ends with one, all.
    pub(super) fn whole_leaves(&self) -> usize {
        self.shape() / Self::TAILS
    }

    /// Whether the input is a single leaf.
    pub(super) fn is_leaf(&self) -> bool {
        self.whole_leaves() == 0
    }

    fn tail(&self) -> usize {
        self.shape() % Self::TAILS
    }

    /// Whether anything follows the whole leaves.
    pub(super) fn has_tail(&self) -> bool {
        self.tail() != 0
    }

    /// The number of blocks of the tail before its last one. There must be a tail.
    pub(super) fn blocks_before_last(&self) -> usize {
        (self.tail() - 1) / 2
    }

    /// Whether the last block of the tail is full.
    pub(super) fn ends_full(&self) -> bool {
        self.has_tail() && self.tail().is_multiple_of(2)
    }
}

/// Sorts the items of a window.
pub(super) fn sort(items: &mut Vec<Item>) {
    if items.len() < COUNTING_INPUTS_MIN {
        items.sort_unstable();
        return;
    }
    let mut starts = [0_u16; Item::SHAPES + 1];
    for item in &*items {
        starts[item.shape() + 1] += 1;
    }
    let mut start = 0;
    for count in &mut starts {
        start += *count;
        *count = start;
    }
    let mut sorted = items.clone();
    for item in &*items {
        let place = &mut starts[item.shape()];
        sorted[usize::from(*place)] = *item;
        *place += 1;
    }
    *items = sorted;
}

#[cfg(test)]
mod tests {
    use super::{Item, WINDOW_INPUTS_MAX, sort};

    #[test]
    fn shapes_say_how_an_input_is_cut() {
        // Length, then whole leaves, blocks before the last, whether that is full.
        for (len, whole_leaves, before_last, ends_full) in [
            (0, 0, 0, false),
            (1, 0, 0, false),
            (63, 0, 0, false),
            (64, 0, 0, true),
            (65, 0, 1, false),
            (1023, 0, 15, false),
            (1024, 0, 15, true),
            (1025, 1, 0, false),
            (2047, 1, 15, false),
            (2049, 2, 0, false),
            (16_383, 15, 15, false),
        ] {
            let item = Item::new(5, len);
            assert_eq!(item.index(), 5);
            assert!(item.has_tail());
            assert_eq!(item.whole_leaves(), whole_leaves, "{len}");
            assert_eq!(item.blocks_before_last(), before_last, "{len}");
            assert_eq!(item.ends_full(), ends_full, "{len}");
        }
        for leaves in 2..=16 {
            let item = Item::new(WINDOW_INPUTS_MAX - 1, leaves * 1024);
            assert_eq!(item.index(), WINDOW_INPUTS_MAX - 1);
            assert_eq!(item.whole_leaves(), leaves);
            assert!(!item.has_tail());
        }
    }

    #[test]
    fn both_ways_of_sorting_agree() {
        for count in [0, 1, 99, 100, 1000, WINDOW_INPUTS_MAX] {
            let items = (0..count).map(|index| Item::new(index, index * 7919 % (16 * 1024 + 1)));
            let mut counted: Vec<Item> = items.collect();
            let mut compared = counted.clone();
            compared.sort_unstable();
            sort(&mut counted);
            assert!(counted == compared, "{count} items");
        }
    }
}
