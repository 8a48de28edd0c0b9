//! Layer 2: the content of a regular file as bytes: where its chunks end, and which ranges were
//! written since they were cut. No I/O and no hashes.
//!
//! The chunks of a file are a pure function of its bytes. [`cut`] makes them from scratch, and
//! [`recut`] makes the same ones by looking at the neighbourhood of what changed. [`Extents`] is
//! what changed: the ranges written since the last cut, which [`Layered`] lays over the old
//! content so that it can be read and cut.

mod bytes;
mod cut;
mod dirty;
mod extents;
mod layered;
mod payload;
mod recut;
mod segments;
#[cfg(test)]
mod test_bytes;
mod window;

pub use bytes::{Bytes, Edit, Piece, Pieces};
pub use cut::cuts_never;
pub use extents::Extents;
pub use layered::Layered;
pub use recut::{cut, recut};
pub use segments::Segment;
