//! The bytes of one dirty extent: a slice of a buffer that other extents, and clones of them,
//! may share.

use std::ops::Range;
use std::sync::Arc;

use crate::base::limits::{EXTENT_BYTES_GATHERED_MAX, EXTENT_WASTE_MAX};

/// A slice of a shared buffer, never empty. It keeps at most `EXTENT_WASTE_MAX` times its own
/// bytes alive: what is a smaller part of its buffer gets one of its own.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    buffer: Buffer,
    start: usize,
    len: usize,
}

#[derive(Clone, Debug)]
enum Buffer {
    /// As it came with a write. Others may hold it too.
    Written(Arc<[u8]>),
    /// Made here, and written to while no one else holds it.
    Gathered(Arc<Vec<u8>>),
}

impl Payload {
    pub(super) fn written(bytes: Arc<[u8]>) -> Self {
        let len = bytes.len();
        Self { buffer: Buffer::Written(bytes), start: 0, len }
    }

    /// Puts parts together, which lie one after the other: in the buffer of the first if no one
    /// else can see it, else in a new one with room for more.
    pub(super) fn joined(parts: Vec<Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let mut joined = parts.next()?;
        while let Some(part) = parts.as_slice().first()
            && joined.write_in_place(joined.len, part.bytes())
        {
            parts.next();
        }
        let rest = parts.as_slice();
        if !rest.is_empty() {
            let len = joined.len + rest.iter().map(Self::len).sum::<usize>();
            let mut buffer = Vec::with_capacity(capacity_for(len));
            buffer.extend_from_slice(joined.bytes());
            rest.iter().for_each(|part| buffer.extend_from_slice(part.bytes()));
            #[cfg(test)]
            copied::add(len);
            joined = Self { buffer: Buffer::Gathered(Arc::new(buffer)), start: 0, len };
        }
        Some(joined)
    }

    /// Tells whether these are the bytes of another payload from an index on, in the same buffer.
    pub(super) fn is_part_of(&self, other: &Self, from: usize) -> bool {
        let same_buffer = match (&self.buffer, &other.buffer) {
            (Buffer::Written(a), Buffer::Written(b)) => Arc::ptr_eq(a, b),
            (Buffer::Gathered(a), Buffer::Gathered(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_buffer && self.start == other.start + from && from + self.len <= other.len
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let buffer = match &self.buffer {
            Buffer::Written(bytes) => &bytes[..],
            Buffer::Gathered(bytes) => &bytes[..],
        };
        &buffer[self.start..self.start + self.len]
    }

    /// Takes a part of it, which must not be empty.
    pub(super) fn part(mut self, part: Range<usize>) -> Self {
        debug_assert!(part.start < part.end && part.end <= self.len);
        self.start += part.start;
        self.len = part.end - part.start;
        if self.len.saturating_mul(EXTENT_WASTE_MAX) < self.buffer_len() {
            let exact = self.bytes().to_vec();
            #[cfg(test)]
            copied::add(exact.len());
            self = Self { start: 0, len: exact.len(), buffer: Buffer::Gathered(Arc::new(exact)) };
        }
        self
    }

    /// Writes over it from `at` (at most its length) on, and beyond its end, in place. Returns
    /// false, and changes nothing, if someone else can see the buffer, or it cannot grow so far.
    pub(super) fn write_in_place(&mut self, at: usize, bytes: &[u8]) -> bool {
        debug_assert!(at <= self.len);
        let over = bytes.len().min(self.len - at);
        let (over, beyond) = bytes.split_at(over);
        let written = match &mut self.buffer {
            Buffer::Written(buffer) if beyond.is_empty() => Arc::get_mut(buffer),
            Buffer::Written(_) => None,
            Buffer::Gathered(buffer) => {
                let end = self.start + self.len + beyond.len();
                if !beyond.is_empty() && end > EXTENT_BYTES_GATHERED_MAX {
                    return false;
                }
                Arc::get_mut(buffer).map(|buffer| {
                    if !beyond.is_empty() {
                        grow(buffer, self.start + self.len, beyond);
                    }
                    &mut buffer[..]
                })
            }
        };
        let Some(written) = written else { return false };
        written[self.start + at..][..over.len()].copy_from_slice(over);
        self.len += beyond.len();
        #[cfg(test)]
        copied::add(bytes.len());
        true
    }

    /// How many bytes it keeps alive.
    pub(super) fn buffer_len(&self) -> usize {
        match &self.buffer {
            Buffer::Written(bytes) => bytes.len(),
            Buffer::Gathered(bytes) => bytes.capacity(),
        }
    }
}

/// Puts bytes behind the first `len` of a buffer, in place of all that is there.
fn grow(buffer: &mut Vec<u8>, len: usize, bytes: &[u8]) {
    buffer.truncate(len);
    let end = len + bytes.len();
    if end > buffer.capacity() {
        #[cfg(test)]
        copied::add(buffer.len());
        buffer.reserve_exact(capacity_for(end) - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}

/// Twice the length, so that growing step by step copies each byte about once.
fn capacity_for(len: usize) -> usize {
    len.max((2 * len).min(EXTENT_BYTES_GATHERED_MAX))
}

/// How many bytes this thread has copied.
#[cfg(test)]
pub(super) mod copied {
    use std::cell::Cell;

    thread_local!(static BYTES: Cell<u64> = const { Cell::new(0) });

    pub(in crate::content) fn reset() {
        BYTES.set(0);
    }

    pub(in crate::content) fn bytes() -> u64 {
        BYTES.get()
    }

    pub(super) fn add(bytes: usize) {
        BYTES.set(BYTES.get() + bytes as u64);
    }
}
