//! Where one chunk ends: FastCDC as of 2020 ("The Design of Fast Content-Defined Chunking for
//! Data Deduplication Based Storage Systems", Xia et al.), with its normalization level 1.
//!
//! What the rest of this layer relies on, and the tests here check:
//!
//! - The end of a chunk depends on its own bytes and the one after it, and on where the file
//!   ends if that is at most one byte further.
//! - Whether a chunk that is longer than `CHUNK_BYTES_MIN` ends at an offset is decided by the
//!   `CUT_MEMORY_BYTES` up to that offset, by where the chunk began, and by whether one of its
//!   earlier offsets was chosen.
//! - Zeros are cut at exactly `CHUNK_BYTES_MAX`.

use fastcdc::v2020;

use crate::base::limits::{CHUNK_BYTES_AVG, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};

/// An offset is chosen by the bytes before it that are closer than this, and the one after it:
/// the hash shifts each byte out of its 64 bits. Twice that, since it costs nothing.
pub(super) const CUT_MEMORY_BYTES: u64 = 128;

/// Whether a file of this size is one chunk whatever it holds, so that cutting it can be left
/// out. An empty file has none.
pub fn cuts_never(size: u64) -> bool {
    size <= CHUNK_BYTES_MIN as u64
}

/// Finds the ends of chunks.
pub(super) struct Cutter {
    mask_strict: u64,
    mask_loose: u64,
}

impl Cutter {
    pub(super) fn new() -> Self {
        let (mask_strict, mask_loose) =
            v2020::select_masks(CHUNK_BYTES_AVG, v2020::Normalization::Level1);
        Self { mask_strict, mask_loose }
    }

    /// The length of the chunk that `bytes` begins with. If it is all of them, and the file goes
    /// on, then no offset among them was chosen.
    pub(super) fn first_len(&self, bytes: &[u8]) -> usize {
        let (_, len) = v2020::cut(
            bytes,
            CHUNK_BYTES_MIN,
            CHUNK_BYTES_AVG,
            CHUNK_BYTES_MAX,
            self.mask_strict,
            self.mask_loose,
            self.mask_strict << 1,
            self.mask_loose << 1,
        );
        len
    }
}

#[cfg(test)]
mod tests {
    use fastcdc::v2020::FastCDC;

    use super::{CUT_MEMORY_BYTES, Cutter, cuts_never};
    use crate::base::limits::{CHUNK_BYTES_AVG, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};
    use crate::content::test_bytes::noise;

    fn lens(bytes: &[u8]) -> Vec<usize> {
        let (cutter, mut rest, mut lens) = (Cutter::new(), bytes, Vec::new());
        while !rest.is_empty() {
            lens.push(cutter.first_len(rest));
            rest = &rest[lens[lens.len() - 1]..];
        }
        lens
    }

    #[test]
    fn chunks_of_noise_never_change() {
        // Other lengths would store everything anew, beside what older versions stored.
        let expected = [
            67_822, 68_399, 19_536, 69_288, 72_413, 100_181, 123_727, 252_702, 84_700, 67_302,
            67_333, 55_173,
        ];
        assert_eq!(lens(&noise(1, 1 << 20)), expected);
    }

    #[test]
    fn chunks_are_those_of_the_crate() {
        let bytes = noise(2, 4 << 20);
        let theirs = FastCDC::new(&bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_AVG, CHUNK_BYTES_MAX);
        assert_eq!(lens(&bytes), theirs.map(|chunk| chunk.length).collect::<Vec<_>>());
    }

    #[test]
    fn zeros_are_cut_at_the_maximum() {
        let max = CHUNK_BYTES_MAX;
        assert_eq!(lens(&vec![0; 3 * max + 1]), [max, max, max, 1]);
    }

    #[test]
    fn the_smallest_files_are_one_chunk() {
        let bytes = noise(3, CHUNK_BYTES_MIN);
        assert!(cuts_never(bytes.len() as u64) && !cuts_never(bytes.len() as u64 + 1));
        assert_eq!(lens(&bytes), [CHUNK_BYTES_MIN]);
    }

    #[test]
    fn an_end_depends_on_the_last_bytes_and_the_next() {
        let bytes = noise(4, 8 << 20);
        let (cutter, mut start, mut moved) = (Cutter::new(), 0, 0);
        for len in lens(&bytes) {
            let end = start + len;
            if end + 2 <= bytes.len() {
                assert_eq!(cutter.first_len(&bytes[start..end + 2]), len);
                let mut other = bytes[start..end + 2].to_vec();
                other[len] ^= 0xff;
                moved += usize::from(cutter.first_len(&other) != len);
                // Nothing is chosen in the part that changes here, since nothing is in zeros.
                let memory = len - CUT_MEMORY_BYTES as usize;
                let mut other = bytes[start..end + 2].to_vec();
                other[..memory].fill(0);
                assert_eq!(cutter.first_len(&other), len);
            }
            start = end;
        }
        assert!(moved > 50, "{moved}");
    }
}
