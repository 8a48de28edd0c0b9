//! One SIMD pass: up to [`Lanes::degree`] equally long runs of blocks compressed side by side.
//!
//! Owns the compression function's flags and initial value (section 2 of the BLAKE3 paper), the
//! processor's lanes and their cost; it is the only user of `blake3::platform`. That module is
//! public but undocumented, which is why the version of blake3 is exact. Invariant: what a lane
//! gives does not depend on the other lanes.

use blake3::IncrementCounter;
use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};

use super::Digest;

/// Length of what one compression takes.
pub(super) const BLOCK_BYTES: usize = 64;
/// Length of a leaf: of each but the last one of an input.
pub(super) const LEAF_BYTES: usize = 1024;
/// Blocks of a whole leaf.
const LEAF_BLOCKS: usize = LEAF_BYTES / BLOCK_BYTES;
/// Most lanes that any processor has.
pub(super) const LANES_MAX: usize = 16;
/// The cost of one compression by itself, the unit of [`Lanes::cost`].
pub(super) const COST_ALONE: usize = 16;

const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;

/// What the lanes of a pass give, in their order. Those beyond the inputs mean nothing.
pub(super) type LaneDigests = [Digest; LANES_MAX];

/// Where a leaf stands in its input.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The number of leaves before it.
    pub(super) counter: usize,
    /// Whether it is all of its input.
    pub(super) root: bool,
}

impl Place {
    fn end_flags(self) -> u8 {
        CHUNK_END | if self.root { ROOT } else { 0 }
    }
}

/// The SIMD lanes of a processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    platform: Platform,
    degree: usize,
    /// By the logarithm of the number of lanes.
    costs: &'static [usize],
}

impl Lanes {
    /// The lanes of the processor that runs this.
    pub(super) fn detect() -> Self {
        let platform = Platform::detect();
        Self::with_degree(platform, platform.simd_degree())
    }

    fn with_degree(platform: Platform, degree: usize) -> Self {
        // Measured with AVX2 and SSE4.1; those of AVX-512 follow from measured passes of 1, 15
        // and 16 lanes. With every set, two passes cost more than one of the next width, so that
        // padding up to a power of two always pays (`padding_pays` holds this).
        let costs: &[usize] = match degree {
            16.. => &[COST_ALONE, 17, 19, 23, 39],
            8.. => &[COST_ALONE, 17, 20, 26],
            4.. => &[COST_ALONE, 20, 25],
            _ => &[COST_ALONE],
        };
        Self { platform, degree: 1 << (costs.len() - 1), costs }
    }

    /// How many inputs one pass can take: a power of two, at most [`LANES_MAX`].
    pub(super) fn degree(&self) -> usize {
        self.degree
    }

    /// What a pass over `lanes` inputs costs for each block, at most [`Lanes::degree`] of them.
    pub(super) fn cost(&self, lanes: usize) -> usize {
        self.costs[lanes.next_power_of_two().trailing_zeros() as usize]
    }

    /// Chaining values of whole leaves, none of them a root: the first has the given counter,
    /// and the others the same.
    pub(super) fn leaves_side_by_side(
        &self,
        leaves: &[&[u8; LEAF_BYTES]],
        counter: usize,
        out: &mut LaneDigests,
    ) {
        let flags = Flags { each: 0, start: CHUNK_START, end: CHUNK_END };
        self.pass(leaves, counter, IncrementCounter::No, flags, out);
    }

    /// Chaining values of consecutive leaves of one input, the first with the given counter.
    pub(super) fn leaves_in_a_row(
        &self,
        leaves: &[&[u8; LEAF_BYTES]],
        counter: usize,
        out: &mut LaneDigests,
    ) {
        let flags = Flags { each: 0, start: CHUNK_START, end: CHUNK_END };
        self.pass(leaves, counter, IncrementCounter::Yes, flags, out);
    }

    /// Chaining values (digests if `root`) of parents, each given as those of its two children.
    pub(super) fn parents(
        &self,
        children: &[&[u8; BLOCK_BYTES]],
        root: bool,
        out: &mut LaneDigests,
    ) {
        let flags = Flags { each: PARENT | if root { ROOT } else { 0 }, start: 0, end: 0 };
        self.pass(children, 0, IncrementCounter::No, flags, out);
    }

    /// Chaining values after the first `blocks` blocks (1 to 16) of each leaf; with `whole`, the
    /// leaves end there.
    ///
    /// Panics if a leaf is shorter.
    pub(super) fn first_blocks(
        &self,
        leaves: &[&[u8]],
        blocks: usize,
        whole: bool,
        place: Place,
        out: &mut LaneDigests,
    ) {
        let end = if whole { place.end_flags() } else { 0 };
        let flags = Flags { each: 0, start: CHUNK_START, end };
        FIRST_BLOCKS[blocks - 1](self, leaves, place.counter, flags, out);
    }

    fn first_blocks_of<const BYTES: usize>(
        &self,
        leaves: &[&[u8]],
        counter: usize,
        flags: Flags,
        out: &mut LaneDigests,
    ) {
        let mut starts = [&[0; BYTES]; LANES_MAX];
        for (start, leaf) in starts.iter_mut().zip(leaves) {
            *start = leaf.first_chunk().expect("each leaf has the blocks that are asked for");
        }
        self.pass(&starts[..leaves.len()], counter, IncrementCounter::No, flags, out);
    }

    /// The chaining value (digest if a root) of a leaf of at most [`LEAF_BYTES`] of which `done`
    /// gives the chaining value after some blocks, `rest` the bytes that follow them. There must
    /// be such bytes, unless the input is empty.
    pub(super) fn finish_leaf(&self, done: Option<&Digest>, rest: &[u8], place: Place) -> Digest {
        let counter = place.counter as u64;
        let mut flags = if done.is_none() { CHUNK_START } else { 0 };
        let mut cv = done.map_or(IV, words_from_le_bytes_32);
        let mut rest = rest;
        while let Some((block, after)) = rest.split_first_chunk()
            && !after.is_empty()
        {
            self.platform.compress_in_place(&mut cv, block, BLOCK_BYTES as u8, counter, flags);
            flags = 0;
            rest = after;
        }
        let mut block = [0; BLOCK_BYTES];
        block[..rest.len()].copy_from_slice(rest);
        // The loop leaves at most a block.
        let len = rest.len() as u8;
        self.platform.compress_in_place(&mut cv, &block, len, counter, flags | place.end_flags());
        le_bytes_from_words_32(&cv)
    }

    fn pass<const BYTES: usize>(
        &self,
        inputs: &[&[u8; BYTES]],
        counter: usize,
        increment: IncrementCounter,
        flags: Flags,
        out: &mut LaneDigests,
    ) {
        let Some(&last) = inputs.last() else { return };
        let width = inputs.len().next_power_of_two();
        let mut padded = [last; LANES_MAX];
        padded[..inputs.len()].copy_from_slice(inputs);
        self.platform.hash_many(
            &padded[..width],
            &IV,
            counter as u64,
            increment,
            flags.each,
            flags.start,
            flags.end,
            out.as_flattened_mut(),
        );
    }
}

/// Flags of the blocks of a pass: of each, and in addition of the first and the last one.
#[derive(Clone, Copy)]
struct Flags {
    each: u8,
    start: u8,
    end: u8,
}

type FirstBlocks = fn(&Lanes, &[&[u8]], usize, Flags, &mut LaneDigests);

/// By the number of blocks, less one: `hash_many` wants it at compile time.
const FIRST_BLOCKS: [FirstBlocks; LEAF_BLOCKS] = [
    Lanes::first_blocks_of::<{ BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 2 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 3 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 4 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 5 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 6 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 7 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 8 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 9 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 10 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 11 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 12 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 13 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 14 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 15 * BLOCK_BYTES }>,
    Lanes::first_blocks_of::<{ 16 * BLOCK_BYTES }>,
];

#[cfg(test)]
impl Lanes {
    /// The lanes of every instruction set that this processor has and that can be chosen, and
    /// the most lanes that there are, which a narrower processor takes in turns.
    pub(super) fn all() -> Vec<Self> {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let chosen = [Platform::avx2(), Platform::sse41(), Platform::sse2()];
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        let chosen: [Option<Platform>; 0] = [];
        let always = [Platform::detect(), Platform::portable()];
        let platforms = chosen.into_iter().flatten().chain(always);
        let own = platforms.map(|platform| Self::with_degree(platform, platform.simd_degree()));
        own.chain([Self::with_degree(Platform::detect(), LANES_MAX)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES_MAX, LEAF_BYTES, Lanes, Place};
    use crate::hash::{Digest, hash};

    const ALL_OF_IT: Place = Place { counter: 0, root: true };

    #[test]
    fn padding_pays() {
        for lanes in Lanes::all() {
            let width_max = lanes.degree();
            for count in 1..=width_max {
                // What `hash_many` would do by itself: the widest passes that fit.
                let mut unpadded = 0;
                let mut left = count;
                while left > 0 {
                    let width = 1 << left.ilog2();
                    unpadded += lanes.cost(width);
                    left -= width;
                }
                assert!(lanes.cost(count) <= unpadded, "{count} of {lanes:?}");
            }
        }
    }

    #[test]
    fn a_leaf_may_be_cut_after_any_block() {
        let leaf: Vec<u8> = (0..LEAF_BYTES).map(|at| (at * at / 7) as u8).collect();
        for lanes in Lanes::all() {
            for len in [0, 1, 63, 64, 65, 128, 700, 1023, 1024] {
                let leaf = &leaf[..len];
                assert_eq!(lanes.finish_leaf(None, leaf, ALL_OF_IT), hash(leaf));
                for blocks in 1..len.div_ceil(64) {
                    let mut out = [Digest::default(); LANES_MAX];
                    lanes.first_blocks(&[leaf], blocks, false, ALL_OF_IT, &mut out);
                    let digest = lanes.finish_leaf(Some(&out[0]), &leaf[blocks * 64..], ALL_OF_IT);
                    assert_eq!(digest, hash(leaf), "{len} bytes after {blocks} blocks");
                }
            }
        }
    }

    #[test]
    fn whole_blocks_need_no_finish() {
        let leaf = [9; LEAF_BYTES];
        for lanes in Lanes::all() {
            for blocks in 1..=16 {
                let leaf = &leaf[..blocks * 64];
                let inputs = vec![leaf; lanes.degree()];
                let mut out = [Digest::default(); LANES_MAX];
                lanes.first_blocks(&inputs, blocks, true, ALL_OF_IT, &mut out);
                assert_eq!(out[..inputs.len()], vec![hash(leaf); inputs.len()]);
            }
        }
    }
}
