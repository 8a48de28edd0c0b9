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
