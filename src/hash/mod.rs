//! Layer 1: BLAKE3, one input at a time and many in a SIMD batch.
//!
//! Owns the way from bytes to digests. What an id is and what it names is the model's business:
//! this module returns plain [`Digest`]s. Invariant: the digest of an input is that of
//! `blake3::hash`, whatever is hashed beside it and on whatever processor.
//!
//! The algorithm is that of the paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn: "BLAKE3, one
//! function, fast everywhere"). An input is cut into *leaves* of 1024 bytes (the paper's chunks,
//! a word that elsewhere in this crate means a piece of a file's content); a leaf is a chain of
//! up to 16 compressions of 64-byte *blocks*; *parents* join the leaves' chaining values in
//! pairs, up to the root. A plain hash is parallel over the leaves of one input, hence not at all
//! for one below 2 KB, which most files and all small tree nodes are. A batch is parallel over
//! inputs:
//!
//! | file | owns |
//! |---|---|
//! | `batch` | the way of a batch through the others |
//! | `order` | which inputs are alike |
//! | `leaves` | which blocks share a pass |
//! | `parents` | from chaining values to the root |
//! | `lanes` | one pass: the only code that knows `blake3::platform` |

mod batch;
mod lanes;
mod leaves;
mod order;
mod parents;

use lanes::{LEAF_BYTES, Lanes};

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// Longest input that is hashed beside others. A longer one fills the widest SIMD registers by
/// itself.
pub const BATCH_INPUT_BYTES_MAX: usize = LEAVES_MAX * LEAF_BYTES;

/// Least bytes that another thread is woken for. On two virtual processors, one of them asleep, 8
/// MiB on both take four fifths of the time on one, 2 MiB more than that, and 1 MiB half as much
/// again; with both awake the gain is nearly twofold from 4 MiB on.
pub const PART_BYTES_MIN: usize = 4 * 1024 * 1024;

/// Most leaves of an input that is hashed beside others.
const LEAVES_MAX: usize = 16;

/// Hashes one input.
pub fn hash(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// Hashes many inputs at once: replaces what `digests` holds by one digest for each input, in
/// the order of the inputs.
///
/// Runs on the calling thread. Inputs of like lengths share the most work. Besides `digests` it
/// allocates less than 100 KiB, however many inputs there are.
pub fn hash_batch(inputs: &[&[u8]], digests: &mut Vec<Digest>) {
    digests.clear();
    let lanes = Lanes::detect();
    if inputs.len() < 2 || lanes.degree() == 1 {
        digests.extend(inputs.iter().map(|input| hash(input)));
    } else {
        digests.resize(inputs.len(), Digest::default());
        batch::hash_all(lanes, inputs, digests);
    }
}

/// Does what [`hash_batch`] does, on as many threads of the common pool as pay and `threads_max`
/// allows: each gets at least [`PART_BYTES_MIN`].
pub fn hash_batch_on(threads_max: usize, inputs: &[&[u8]], digests: &mut Vec<Digest>) {
    // Counting is quick beside hashing, but not for a few inputs.
    let bytes: usize = match inputs {
        [] | [_] => 0,
        inputs => inputs.iter().map(|input| input.len()).sum(),
    };
    let parts = threads_max.min(bytes / PART_BYTES_MIN);
    if parts < 2 {
        return hash_batch(inputs, digests);
    }
    digests.clear();
    digests.resize(inputs.len(), Digest::default());
    hash_parts(Lanes::detect(), parts, inputs, digests);
}

fn hash_parts(lanes: Lanes, parts: usize, inputs: &[&[u8]], digests: &mut [Digest]) {
    if parts < 2 || inputs.len() < 2 {
        return batch::hash_all(lanes, inputs, digests);
    }
    let first = parts / 2;
    let (inputs, inputs_rest) = inputs.split_at(inputs.len() * first / parts);
    let (digests, digests_rest) = digests.split_at_mut(inputs.len());
    rayon::join(
        || hash_parts(lanes, first, inputs, digests),
        || hash_parts(lanes, parts - first, inputs_rest, digests_rest),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
    use proptest::{collection, prop_assert_eq};

    use super::lanes::Lanes;
    use super::{
        BATCH_INPUT_BYTES_MAX, Digest, PART_BYTES_MIN, batch, hash, hash_batch, hash_batch_on,
        hash_parts,
    };

    /// Bytes without a period that a leaf or a block could hide.
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(step).collect();
        bytes.truncate(len);
        bytes
    }

    fn plain(inputs: &[&[u8]]) -> Vec<Digest> {
        inputs.iter().map(|input| hash(input)).collect()
    }

    fn assert_batch_is_plain(inputs: &[&[u8]]) {
        let expected = plain(inputs);
        let mut digests = Vec::new();
        hash_batch(inputs, &mut digests);
        assert!(digests == expected, "hash_batch over {} inputs", inputs.len());
        for parts in [2, 3, 7] {
            digests.fill(Digest::default());
            hash_parts(Lanes::detect(), parts, inputs, &mut digests);
            assert!(digests == expected, "{} inputs in {parts} parts", inputs.len());
        }
        for lanes in Lanes::all() {
            digests.fill(Digest::default());
            batch::hash_all(lanes, inputs, &mut digests);
            assert!(digests == expected, "{lanes:?} over {} inputs", inputs.len());
        }
    }

    #[test]
    fn a_hash_is_the_published_one() {
        let hex: String = hash(b"").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn every_length_hashes_as_it_does_alone() {
        let bytes = noise(BATCH_INPUT_BYTES_MAX + 1024, 1);
        let inputs: Vec<&[u8]> = (0..=bytes.len()).map(|len| &bytes[..len]).collect();
        assert_batch_is_plain(&inputs);
        // Neighbours only, so that passes mix lengths differently from those above.
        inputs.chunks(37).for_each(assert_batch_is_plain);
    }

    #[test]
    fn every_size_of_batch_works() {
        let bytes = noise(64 * 1024, 2);
        for len in [0, 1, 64, 100, 1000, 1024, 1025, 2048, 3000, 5120, 16 * 1024, 20_000] {
            for count in 0..=40 {
                let inputs: Vec<&[u8]> =
                    (0..count).map(|at| &bytes[at * 31..at * 31 + len]).collect();
                assert_batch_is_plain(&inputs);
            }
        }
    }

    #[test]
    fn a_batch_may_be_longer_than_a_window() {
        let bytes = noise(4096, 3);
        let inputs: Vec<&[u8]> =
            (0..20_000).map(|at| &bytes[at % 97..][..at * 7919 % 1500]).collect();
        assert_batch_is_plain(&inputs);
    }

    #[test]
    fn many_bytes_are_shared_out() {
        let bytes = noise(256 * 1024, 4);
        for len in [1024, 5000, 200_000] {
            let count = 5 * PART_BYTES_MIN / 2 / len;
            let inputs: Vec<&[u8]> = (0..count).map(|at| &bytes[at % 1000..][..len]).collect();
            let mut digests = Vec::new();
            hash_batch_on(2, &inputs, &mut digests);
            assert!(digests == plain(&inputs), "{count} inputs of {len}");
        }
    }

    #[test]
    fn old_digests_are_replaced() {
        let mut digests = vec![[7; 32]; 9];
        hash_batch(&[b"a", b"b", b"c"], &mut digests);
        assert_eq!(digests, [hash(b"a"), hash(b"b"), hash(b"c")]);
        hash_batch(&[], &mut digests);
        assert_eq!(digests, Vec::<Digest>::new());
    }

    /// Lengths as they come: anything, around the ends of blocks and leaves, or all alike.
    fn lengths() -> impl Strategy<Value = Vec<usize>> {
        let edge = (0..=17_usize, 0..=17_usize, 0..=2_usize).prop_map(|(leaves, blocks, off)| {
            (leaves * 1024 + blocks * 64 + off).saturating_sub(1)
        });
        let any_len = prop_oneof![0..200_usize, 0..2048_usize, 0..18_000_usize, edge];
        prop_oneof![
            3 => collection::vec(any_len.clone(), 0..120),
            1 => (any_len, 0..40_usize).prop_map(|(len, count)| vec![len; count]),
        ]
    }

    proptest! {
        #[test]
        fn any_batch_hashes_as_its_inputs_do_alone(lengths in lengths(), seed in any::<u64>()) {
            let inputs: Vec<Vec<u8>> =
                lengths.iter().zip(seed..).map(|(&len, seed)| noise(len, seed)).collect();
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            assert_batch_is_plain(&inputs);
        }

        #[test]
        fn the_order_of_a_batch_is_kept(
            inputs in collection::vec(collection::vec(any::<u8>(), 0..300), 0..60),
            at in any::<prop::sample::Index>(),
        ) {
            let mut inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let mut digests = Vec::new();
            hash_batch(&inputs, &mut digests);
            if !inputs.is_empty() {
                let at = at.index(inputs.len());
                inputs.rotate_left(at);
                digests.rotate_left(at);
            }
            prop_assert_eq!(digests, plain(&inputs));
        }
    }
}
