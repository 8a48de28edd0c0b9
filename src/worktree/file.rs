//! The content of a regular file: what the store has of it, and what was written since.
//!
//! A file of up to one chunk of the smallest size lies whole in memory once it is written; a
//! larger one keeps its old chunks and lays the written extents over them. [`File::settle`]
//! turns either back into chunks in the store, cutting only around what changed.

mod base;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use self::base::{Base, BaseBytes, key_offset, offset_key};
use super::tree::{Chunks, Tree};
use crate::base::limits::CHUNK_BYTES_MIN;
use crate::content::{Bytes, Edit, Extents, Layered, cuts_never, recut};
use crate::format::chunks::ChunkRecord;
use crate::hash::hash;
use crate::model::{ChunkId, Content, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource};

/// The content of a regular file. A clone is a few pointers.
#[derive(Clone, Debug)]
pub struct File {
    size: u64,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// As the store has it.
    Stored(Base),
    /// Written, and all of it here.
    Small(Arc<Vec<u8>>),
    /// Written over what the store has.
    Layered { base: Base, base_size: u64, extents: Extents },
}

impl File {
    /// An empty file.
    pub const fn empty() -> Self {
        Self { size: 0, body: Body::Stored(Base::Empty) }
    }

    /// A file as an entry has it.
    pub fn stored(size: u64, content: Content) -> Self {
        let base = match content {
            Content::Empty => Base::Empty,
            Content::Chunk(id) => Base::Chunk(id),
            Content::Chunks(id) => Base::Chunks(Tree::stored(Some(id), None)),
        };
        Self { size, body: Body::Stored(base) }
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where its content is, if all of it is in the store and hashed.
    pub fn content(&self) -> Option<Content> {
        match &self.body {
            Body::Stored(Base::Empty) => Some(Content::Empty),
            Body::Stored(Base::Chunk(id)) => Some(Content::Chunk(*id)),
            Body::Stored(Base::Chunks(tree)) => tree.id().flatten().map(Content::Chunks),
            _ => None,
        }
    }

    /// The chunk list of a file that has one and was settled.
    pub(super) fn chunk_tree(&self) -> Option<&Tree<Chunks>> {
        match &self.body {
            Body::Stored(Base::Chunks(tree)) => Some(tree),
            _ => None,
        }
    }

    /// The bytes of a small file that waits to be stored.
    pub(super) fn unstored_small(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Small(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes that are in memory only.
    pub fn dirty_bytes(&self) -> u64 {
        match &self.body {
            Body::Stored(_) => 0,
            Body::Small(bytes) => bytes.len() as u64,
            Body::Layered { extents, .. } => extents.dirty_bytes(),
        }
    }

    /// Bytes that take storage, which is what `st_blocks` tells. May read the topmost node of
    /// the chunk list.
    pub fn allocated_bytes(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        match &self.body {
            Body::Stored(base) => base.allocated(self.size, src),
            Body::Small(bytes) => Ok(bytes.len() as u64),
            Body::Layered { base, base_size, extents } => {
                let below = base.allocated(*base_size, src)?;
                Ok(below.saturating_add(extents.dirty_bytes()).min(self.size))
            }
        }
    }

    /// Reads from `offset` on until `buf` is full or the file ends; returns how much was read.
    pub fn read(
        &self,
        offset: u64,
        buf: &mut [u8],
        src: &dyn ObjectSource,
    ) -> Result<usize, ObjectError> {
        let rest = self.size.saturating_sub(offset);
        let len = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
        let buf = &mut buf[..len];
        if len == 0 {
            return Ok(0);
        }
        match &self.body {
            Body::Small(bytes) => {
                // The file is small, and the range inside it.
                let from = offset as usize;
                buf.copy_from_slice(&bytes[from..from + len]);
            }
            Body::Stored(base) => BaseBytes { base, size: self.size, src }.read(offset, buf)?,
            Body::Layered { base, base_size, extents } => {
                let old = BaseBytes { base, size: *base_size, src };
                Layered { extents, old: &old, size: self.size }.read(offset, buf)?;
            }
        }
        Ok(len)
    }

    /// Puts bytes at `offset`; a gap behind the old end becomes a hole.
    pub fn write(&mut self, offset: u64, data: &Arc<[u8]>) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        let size = self.size.max(end);
        let covers = offset == 0 && end >= self.size;
        let small = size <= CHUNK_BYTES_MIN as u64
            && (covers || matches!(self.body, Body::Small(_) | Body::Stored(Base::Empty)));
        if small {
            self.write_small(offset as usize, data, size as usize);
        } else {
            let old_size = self.size;
            let extents = self.layer();
            if offset > old_size {
                extents.resize(old_size, offset);
            }
            extents.write(offset, data.clone());
        }
        self.size = size;
    }

    fn write_small(&mut self, offset: usize, data: &[u8], size: usize) {
        if !matches!(self.body, Body::Small(_)) {
            self.body = Body::Small(Arc::default());
        }
        let Body::Small(bytes) = &mut self.body else { unreachable!("it was just made so") };
        let bytes = Arc::make_mut(bytes);
        if offset == bytes.len() {
            bytes.extend_from_slice(data);
        } else {
            bytes.resize(size, 0);
            bytes[offset..offset + data.len()].copy_from_slice(data);
        }
    }

    /// Cuts the file, or extends it with a hole.
    pub fn truncate(&mut self, size: u64) {
        match &mut self.body {
            _ if size == self.size => {}
            _ if size == 0 => self.body = Body::Stored(Base::Empty),
            Body::Small(bytes) if size <= CHUNK_BYTES_MIN as u64 => {
                Arc::make_mut(bytes).resize(size as usize, 0);
            }
            _ => {
                let old_size = self.size;
                self.layer().resize(old_size, size);
            }
        }
        self.size = size;
    }

    /// Turns a range inside the file into zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.size);
        if range.is_empty() {
            return;
        }
        match &mut self.body {
            Body::Small(bytes) => {
                Arc::make_mut(bytes)[range.start as usize..range.end as usize].fill(0);
            }
            _ => self.layer().zero(range),
        }
    }

    /// The extents to write to, laid over what there is.
    fn layer(&mut self) -> &mut Extents {
        if let Body::Stored(base) = &mut self.body {
            let base = std::mem::replace(base, Base::Empty);
            self.body = Body::Layered { base, base_size: self.size, extents: Extents::new() };
        } else if let Body::Small(bytes) = &mut self.body {
            let mut extents = Extents::new();
            extents.write(0, Arc::from(bytes.as_slice()));
            self.body = Body::Layered { base: Base::Empty, base_size: 0, extents };
        }
        match &mut self.body {
            Body::Layered { extents, .. } => extents,
            _ => unreachable!("it was just made so"),
        }
    }

    /// The first offset from `offset` on that holds data (`SEEK_DATA`), `None` if only a hole
    /// follows.
    pub fn next_data(
        &self,
        offset: u64,
        src: &dyn ObjectSource,
    ) -> Result<Option<u64>, ObjectError> {
        match &self.body {
            Body::Small(_) => Ok((offset < self.size).then_some(offset)),
            Body::Stored(base) => base.next(offset..self.size, false, src),
            Body::Layered { base, base_size, extents } => {
                extents.next_data(offset, self.size, |range| {
                    base.next(range.start..range.end.min(*base_size), false, src)
                })
            }
        }
    }

    /// The first offset from `offset` on that is in a hole (`SEEK_HOLE`); the end of the file
    /// counts as one. `None` beyond the end.
    pub fn next_hole(
        &self,
        offset: u64,
        src: &dyn ObjectSource,
    ) -> Result<Option<u64>, ObjectError> {
        let end = (offset < self.size).then_some(self.size);
        match &self.body {
            Body::Small(_) => Ok(end),
            Body::Stored(base) => Ok(base.next(offset..self.size, true, src)?.or(end)),
            Body::Layered { base, base_size, extents } => {
                extents.next_hole(offset, self.size, |range| {
                    let there = range.start..range.end.min(*base_size);
                    let found = base.next(there, true, src)?;
                    let beyond = (range.end > *base_size).then_some(range.start.max(*base_size));
                    Ok(found.or(beyond))
                })
            }
        }
    }

    /// Brings the chunks up to date and hands new ones to the sink; the list of chunks itself is
    /// left to be hashed. Counts the bytes it hashed.
    pub(super) fn settle(
        &self,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
        hashed_bytes: &mut u64,
    ) -> Result<Self, ObjectError> {
        let base = match &self.body {
            Body::Stored(base) => base.clone(),
            Body::Small(bytes) => {
                let id = store_chunk(bytes, sink, hashed_bytes)?;
                if bytes.is_empty() { Base::Empty } else { Base::Chunk(id) }
            }
            Body::Layered { base, base_size, extents } => {
                let old = BaseBytes { base, size: *base_size, src };
                let new = Layered { extents, old: &old, size: self.size };
                if self.size == 0 {
                    Base::Empty
                } else if cuts_never(self.size) {
                    let mut bytes = vec![0; self.size as usize];
                    new.read(0, &mut bytes)?;
                    Base::Chunk(store_chunk(&bytes, sink, hashed_bytes)?)
                } else {
                    recut_base(&old, &new, extents, sink, hashed_bytes)?
                }
            }
        };
        Ok(Self { size: self.size, body: Body::Stored(base) })
    }
}

fn store_chunk(
    bytes: &[u8],
    sink: &dyn ObjectSink,
    hashed_bytes: &mut u64,
) -> Result<ChunkId, ObjectError> {
    let id = ObjectId::from_bytes(hash(bytes));
    *hashed_bytes += bytes.len() as u64;
    sink.put(ObjectKind::Chunk, &id, bytes)?;
    Ok(ChunkId::new(id))
}

fn recut_base<'a>(
    old: &BaseBytes<'a>,
    new: &Layered<'_, BaseBytes<'a>>,
    extents: &Extents,
    sink: &dyn ObjectSink,
    hashed_bytes: &mut u64,
) -> Result<Base, ObjectError> {
    let mut tree = match old.base {
        Base::Chunks(tree) => tree.clone(),
        Base::Empty => Tree::new(),
        Base::Chunk(id) => {
            let record = ChunkRecord::Chunk { len: old.size, id: *id };
            let mut tree = Tree::new();
            tree.insert(&offset_key(0), &record.encode(), (), old.src)?;
            tree
        }
    };
    let mut fresh: Vec<(u64, ChunkRecord)> = Vec::new();
    recut(old, new, extents.ranges(), |edit| {
        match edit {
            Edit::Chunk { start, bytes } => {
                let id = store_chunk(bytes, sink, hashed_bytes)?;
                fresh.push((start, ChunkRecord::Chunk { len: bytes.len() as u64, id }));
            }
            Edit::Zeros { start, len } => fresh.push((start, ChunkRecord::Zeros { len })),
            Edit::Replace { old: range, .. } => {
                let mut gone = Vec::new();
                tree.scan_from(&offset_key(range.start), old.src, &mut |item| {
                    if key_offset(item.key) >= range.end {
                        return ControlFlow::Break(());
                    }
                    gone.push(key_offset(item.key));
                    ControlFlow::Continue(())
                })?;
                for offset in gone {
                    tree.remove(&offset_key(offset), old.src)?;
                }
                for (offset, record) in fresh.drain(..) {
                    tree.insert(&offset_key(offset), &record.encode(), (), old.src)?;
                }
            }
        }
        Ok(())
    })?;
    let first = tree.find(&offset_key(0), old.src)?.map(|item| item.value.to_vec());
    if let Some(Ok(ChunkRecord::Chunk { len, id })) = first.map(|v| ChunkRecord::decode(&v))
        && len == new.size
    {
        return Ok(Base::Chunk(id));
    }
    Ok(Base::Chunks(tree))
}
