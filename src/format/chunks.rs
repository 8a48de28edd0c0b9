//! Chunk lists: the values in the tree of a file that has several chunks. The keys are the
//! offsets at which they begin (8 bytes, big-endian).
//!
//! ```text
//! chunk = 0:u8 len:varint id    a chunk of at most 256 KiB
//!       | 1:u8 len:varint       zeros: a whole number of chunks of the largest size
//! ```

use super::bytes::{FormatError, Reader, put_varint};
use crate::base::limits::CHUNK_BYTES_MAX;
use crate::model::ChunkId;

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkRecord {
    /// A chunk in the store.
    Chunk {
        /// Its length.
        len: u64,
        /// Its id.
        id: ChunkId,
    },
    /// Zeros, which are stored nowhere.
    Zeros {
        /// How many.
        len: u64,
    },
}

impl ChunkRecord {
    /// The length in the file.
    pub fn file_bytes(&self) -> u64 {
        match self {
            Self::Chunk { len, .. } | Self::Zeros { len } => *len,
        }
    }

    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(36);
        out.push(u8::from(matches!(self, Self::Zeros { .. })));
        put_varint(&mut out, self.file_bytes());
        if let Self::Chunk { id, .. } = self {
            out.extend_from_slice(id.object().as_bytes());
        }
        out
    }

    /// Decodes a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        let len = reader.varint()?;
        let largest = CHUNK_BYTES_MAX as u64;
        let record = match tag {
            0 if (1..=largest).contains(&len) => {
                Self::Chunk { len, id: ChunkId::new(reader.id()?) }
            }
            1 if len > 0 && len.is_multiple_of(largest) => Self::Zeros { len },
            _ => return Err(reader.error("an impossible chunk")),
        };
        reader.finish()?;
        Ok(record)
    }
}

/// The bytes that an encoded record has in the store.
pub fn stored_bytes(record: &[u8]) -> u64 {
    match ChunkRecord::decode(record) {
        Ok(ChunkRecord::Chunk { len, .. }) => len,
        _ => 0,
    }
}
