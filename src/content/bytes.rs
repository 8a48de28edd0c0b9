//! What cutting a file asks of its caller, and what it tells it.

use std::ops::Range;

/// A piece of a file: a chunk, or a run of chunks that hold only zeros and that nobody stores.
///
/// The pieces of a file lie in order without gaps. A chunk of `CHUNK_BYTES_MAX` zeros is always
/// part of a run, unless it is the whole file, and two runs never touch: so the pieces do not
/// tell whether zeros were written or never were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One chunk.
    Chunk {
        /// Where it begins in the file.
        start: u64,
        /// Its bytes: 1 to `CHUNK_BYTES_MAX`.
        len: u64,
    },
    /// Zeros.
    Zeros {
        /// Where they begin in the file.
        start: u64,
        /// How many: a multiple of `CHUNK_BYTES_MAX`.
        len: u64,
    },
}

impl Piece {
    /// Where the piece begins in the file.
    pub fn start(&self) -> u64 {
        match *self {
            Self::Chunk { start, .. } | Self::Zeros { start, .. } => start,
        }
    }

    /// How many bytes of the file it covers.
    pub fn len(&self) -> u64 {
        match *self {
            Self::Chunk { len, .. } | Self::Zeros { len, .. } => len,
        }
    }

    /// Tells whether it covers nothing, which no piece of a file does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the piece ends in the file.
    pub fn end(&self) -> u64 {
        self.start().saturating_add(self.len())
    }
}

/// The content of a file, as far as cutting it needs to read it.
pub trait Bytes {
    /// Why reading fails. Cutting stops at the first error and hands it on.
    type Error;

    /// The size of the file.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on. The range lies within the file.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// The end of the range of zeros that covers `offset`, or `None` if they are not known to
    /// be zeros without reading.
    ///
    /// A shortcut that changes no result: a range that is known in parts may be told part by
    /// part, and may end beyond the file.
    fn hole_end(&self, offset: u64) -> Result<Option<u64>, Self::Error>;
}

/// The pieces of a file before it changed.
pub trait Pieces {
    /// Why looking one up fails.
    type Error;

    /// The size of the file then.
    fn size(&self) -> u64;

    /// The piece that covers `offset`, which is below the size. A run of zeros is told whole.
    ///
    /// An answer that does not cover the offset counts as no boundary: it makes more of the
    /// file be cut, and the result no less right.
    fn covering(&self, offset: u64) -> Result<Piece, Self::Error>;
}

/// What cutting tells, one by one and in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// A chunk, with its bytes, which are valid during the call only.
    Chunk {
        /// Where it begins in the file.
        start: u64,
        /// 1 to `CHUNK_BYTES_MAX` bytes.
        bytes: &'a [u8],
    },
    /// A run of zeros.
    Zeros {
        /// Where they begin in the file.
        start: u64,
        /// How many: a multiple of `CHUNK_BYTES_MAX`.
        len: u64,
    },
    /// The pieces told since the last such edit cover `new` without gaps, and take the place of
    /// those that covered `old`, which begins and ends at boundaries of [`Pieces`]. Both begin
    /// at the same offset, and end at the same or each at the end of its file.
    Replace {
        /// A range of the file before.
        old: Range<u64>,
        /// A range of the file now.
        new: Range<u64>,
    },
}
