//! The part of a file that is in memory while it is cut: each byte is read once, however often
//! it is looked at.

use crate::base::limits::CUT_WINDOW_BYTES_MAX;

use super::Bytes;

/// Bytes of a file from some offset on, at most `CUT_WINDOW_BYTES_MAX`.
#[derive(Default)]
pub(super) struct Window {
    /// Where the first byte that counts lies in the file.
    offset: u64,
    /// Where it lies in the buffer.
    head: usize,
    /// Where the bytes that count end in the buffer.
    tail: usize,
    buffer: Vec<u8>,
}

impl Window {
    /// The `len` bytes from `offset` on, which lie within the file and are no more than half a
    /// window. Those before `offset` are forgotten.
    pub(super) fn get<B: Bytes>(
        &mut self,
        file: &B,
        offset: u64,
        len: usize,
    ) -> Result<&[u8], B::Error> {
        self.forget_before(offset);
        let missing = (self.head + len).saturating_sub(self.tail);
        if missing > 0 {
            self.make_room(file.size(), missing);
            let new = &mut self.buffer[self.tail..self.tail + missing];
            // Below the size of the file, hence of any overflow.
            file.read(offset + (self.tail - self.head) as u64, new)?;
            self.tail += missing;
        }
        Ok(&self.buffer[self.head..self.head + len])
    }

    fn forget_before(&mut self, offset: u64) {
        let known = (self.tail - self.head) as u64;
        match offset.checked_sub(self.offset) {
            // At most `known`, which is a length of the buffer.
            Some(skipped) if skipped <= known => self.head += skipped as usize,
            _ => (self.head, self.tail) = (0, 0),
        }
        self.offset = offset;
    }

    /// Makes the buffer reach `missing` bytes beyond its tail.
    fn make_room(&mut self, file_size: u64, missing: usize) {
        if self.buffer.is_empty() {
            let len = usize::try_from(file_size).unwrap_or(usize::MAX).min(CUT_WINDOW_BYTES_MAX);
            self.buffer = vec![0; len];
        }
        if self.tail + missing > self.buffer.len() {
            self.buffer.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
    }
}
