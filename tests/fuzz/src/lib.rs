//! What the fuzz targets do with bytes. The tests of the crate do the same with what once failed,
//! and with some bytes of chance.

#![expect(clippy::unwrap_used, reason = "what panics here is found")]

mod formats;
mod journal;
mod ops;
mod pack;
mod requests;
mod text;
mod tree;

pub use formats::formats;
pub use journal::journal;
pub use ops::ops;
pub use pack::pack;
pub use requests::requests;
pub use text::text;
pub use tree::tree;

/// Takes decisions from bytes; zeros follow the last one.
struct Choices<'a> {
    bytes: &'a [u8],
}

impl<'a> Choices<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// At most 65 535 bytes.
    fn slice(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }
}
