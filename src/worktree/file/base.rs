//! What the store has of a file: nothing, a chunk, or a list of chunks, as bytes and as pieces.

use std::ops::{ControlFlow, Range};

use crate::content::{Bytes, Piece, Pieces};
use crate::format::chunks::ChunkRecord;
use crate::model::{ChunkId, Content, ObjectError, ObjectId, ObjectSource};
use crate::worktree::tree::{Chunks, Tree};

/// What the store has of a file.
#[derive(Clone, Debug)]
pub(super) enum Base {
    Empty,
    Chunk(ChunkId),
    Chunks(Tree<Chunks>),
}

pub(super) fn offset_key(offset: u64) -> [u8; 8] {
    offset.to_be_bytes()
}

pub(super) fn key_offset(key: &[u8]) -> u64 {
    key.try_into().map_or(u64::MAX, u64::from_be_bytes)
}

impl Base {
    /// What an entry says of it, unless it is a list of chunks that is not hashed yet.
    pub(super) fn content(&self) -> Option<Content> {
        match self {
            Self::Empty => Some(Content::Empty),
            Self::Chunk(id) => Some(Content::Chunk(*id)),
            Self::Chunks(tree) => tree.id().flatten().map(Content::Chunks),
        }
    }

    pub(super) fn allocated(&self, size: u64, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        match self {
            Self::Empty => Ok(0),
            Self::Chunk(_) => Ok(size),
            Self::Chunks(tree) => tree.weight(src),
        }
    }

    /// The first offset in a range that is in a hole, or that is not.
    pub(super) fn next(
        &self,
        range: Range<u64>,
        hole: bool,
        src: &dyn ObjectSource,
    ) -> Result<Option<u64>, ObjectError> {
        if range.is_empty() {
            return Ok(None);
        }
        let Self::Chunks(tree) = self else {
            return Ok((hole == matches!(self, Self::Empty)).then_some(range.start));
        };
        let (first, _) = piece_at(tree, range.start, src)?;
        let mut found = None;
        let mut bad = None;
        tree.scan_from(&offset_key(first), src, &mut |item| {
            let at = key_offset(item.key);
            match ChunkRecord::decode(item.value) {
                _ if at >= range.end => return ControlFlow::Break(()),
                Ok(record) if hole == matches!(record, ChunkRecord::Zeros { .. }) => {
                    found = Some(at.max(range.start));
                    return ControlFlow::Break(());
                }
                Ok(_) => return ControlFlow::Continue(()),
                Err(error) => bad = Some(error),
            }
            ControlFlow::Break(())
        })?;
        match bad {
            Some(error) => Err(bad_list(tree, &error.to_string())),
            None => Ok(found),
        }
    }
}

fn bad_list(tree: &Tree<Chunks>, detail: &str) -> ObjectError {
    let id = tree.id().flatten().map_or(ObjectId::from_bytes([0; 32]), |id| *id.object());
    ObjectError::Damaged { id, detail: format!("chunk list: {detail}") }
}

/// The piece that covers an offset, and where it begins.
fn piece_at(
    tree: &Tree<Chunks>,
    offset: u64,
    src: &dyn ObjectSource,
) -> Result<(u64, ChunkRecord), ObjectError> {
    let item = tree.floor(&offset_key(offset), src)?;
    let item = item.ok_or_else(|| bad_list(tree, "it does not begin at 0"))?;
    let start = key_offset(item.key);
    let record = ChunkRecord::decode(item.value).map_err(|e| bad_list(tree, &e.to_string()))?;
    if start.checked_add(record.file_bytes()).is_none_or(|end| offset >= end) {
        return Err(bad_list(tree, "it has a gap"));
    }
    Ok((start, record))
}

/// What the store has of a file, as bytes and as pieces.
#[derive(Clone, Copy)]
pub(super) struct BaseBytes<'a> {
    pub(super) base: &'a Base,
    pub(super) size: u64,
    pub(super) src: &'a dyn ObjectSource,
}

impl BaseBytes<'_> {
    fn read_chunk(&self, id: &ChunkId, from: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let chunk = self.src.get(id.object())?;
        let from = usize::try_from(from).ok();
        let bytes = from.and_then(|from| chunk.get(from..)?.get(..buf.len()));
        let bytes = bytes.ok_or_else(|| ObjectError::Damaged {
            id: *id.object(),
            detail: "a chunk is shorter than the file says".into(),
        })?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl Bytes for BaseBytes<'_> {
    type Error = ObjectError;

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let tree = match self.base {
            Base::Empty => {
                buf.fill(0);
                return Ok(());
            }
            Base::Chunk(id) => return self.read_chunk(id, offset, buf),
            Base::Chunks(tree) => tree,
        };
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (start, record) = piece_at(tree, at, self.src)?;
            let left = start + record.file_bytes() - at;
            let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            let (now, later) = rest.split_at_mut(here);
            match record {
                ChunkRecord::Chunk { id, .. } => self.read_chunk(&id, at - start, now)?,
                ChunkRecord::Zeros { .. } => now.fill(0),
            }
            at += here as u64;
            rest = later;
        }
        Ok(())
    }

    fn hole_end(&self, offset: u64) -> Result<Option<u64>, ObjectError> {
        let Base::Chunks(tree) = self.base else { return Ok(None) };
        let (start, record) = piece_at(tree, offset, self.src)?;
        Ok(match record {
            ChunkRecord::Zeros { len } => Some(start + len),
            ChunkRecord::Chunk { .. } => None,
        })
    }
}

impl Pieces for BaseBytes<'_> {
    type Error = ObjectError;

    fn size(&self) -> u64 {
        self.size
    }

    fn covering(&self, offset: u64) -> Result<Piece, ObjectError> {
        let Base::Chunks(tree) = self.base else {
            return Ok(Piece::Chunk { start: 0, len: self.size });
        };
        let (start, record) = piece_at(tree, offset, self.src)?;
        Ok(match record {
            ChunkRecord::Chunk { len, .. } => Piece::Chunk { start, len },
            ChunkRecord::Zeros { len } => Piece::Zeros { start, len },
        })
    }
}
