//! Content for the tests of this layer.

use std::cell::Cell;
use std::convert::Infallible;

use super::Bytes;

/// Bytes without any pattern, the same ones for a seed.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A file of islands of data in zeros, which counts what is read of it.
pub(super) struct Islands {
    pub(super) size: u64,
    /// Sorted, apart from one another.
    pub(super) islands: Vec<(u64, Vec<u8>)>,
    /// Whether it tells where its holes are.
    pub(super) tells_holes: bool,
    pub(super) read_bytes: Cell<u64>,
}

impl Islands {
    pub(super) fn new(size: u64, islands: Vec<(u64, Vec<u8>)>) -> Self {
        Self { size, islands, tells_holes: true, read_bytes: Cell::new(0) }
    }

    /// Its holes are the longer runs of zeros.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let mut islands: Vec<(u64, Vec<u8>)> = Vec::new();
        for (at, part) in bytes.chunks(4096).enumerate() {
            let start = at as u64 * 4096;
            match islands.last_mut() {
                _ if part.iter().all(|byte| *byte == 0) => {}
                Some((last, data)) if *last + data.len() as u64 == start => data.extend(part),
                _ => islands.push((start, part.to_vec())),
            }
        }
        Self::new(bytes.len() as u64, islands)
    }

    pub(super) fn full(bytes: Vec<u8>) -> Self {
        Self::new(bytes.len() as u64, vec![(0, bytes)])
    }
}

impl Bytes for Islands {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        let end = offset + buf.len() as u64;
        assert!(end <= self.size, "a read beyond the end");
        self.read_bytes.set(self.read_bytes.get() + buf.len() as u64);
        buf.fill(0);
        for (start, bytes) in &self.islands {
            let from = offset.max(*start);
            let to = end.min(start + bytes.len() as u64);
            if from < to {
                buf[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
            }
        }
        Ok(())
    }

    fn hole_end(&self, offset: u64) -> Result<Option<u64>, Infallible> {
        let next = self.islands.iter().find(|(start, bytes)| start + bytes.len() as u64 > offset);
        Ok(match next {
            _ if !self.tells_holes => None,
            Some((start, _)) => (*start > offset).then_some(*start),
            None => Some(self.size),
        })
    }
}
