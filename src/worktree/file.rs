//! The content of a regular file: what the store has of it, and what was written since.
//!
//! A file of up to one chunk of the smallest size lies whole in memory once it is written; a
//! larger one keeps its old chunks and lays the written extents over them. Hashing, which a
//! commit needs, leaves the bytes where they are and remembers the ids beside them: all versions
//! of an inode that have this content see these. [`File::store`] hands over what the store does
//! not have yet, and so frees the memory.

mod base;
mod cut;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use self::base::{Base, BaseBytes};
use self::cut::Cut;
use super::id_cell::IdCell;
use super::tree::{Chunks, Tree};
use crate::base::limits::CHUNK_BYTES_MIN;
use crate::content::{Bytes, Extents, Layered, cuts_never};
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
    Small(Arc<Small>),
    /// Written over what the store has.
    Layered(Box<Written>),
}

/// What was written over what the store has.
#[derive(Clone, Debug)]
struct Written {
    below: Arc<Below>,
    extents: Extents,
    /// The chunks of all that, once they are known.
    cut: Arc<OnceLock<Cut>>,
    /// Bytes that were hashed and then changed.
    wasted: u64,
}

/// What the store had of a file when writing began. Versions that share it differ in their extents
/// only.
#[derive(Debug)]
struct Below {
    base: Base,
    size: u64,
}

impl Written {
    fn over(base: Base, size: u64, extents: Extents) -> Self {
        let (below, cut) = (Arc::new(Below { base, size }), Arc::default());
        Self { below, extents, cut, wasted: 0 }
    }

    fn old<'a>(&'a self, src: &'a dyn ObjectSource) -> BaseBytes<'a> {
        BaseBytes { base: &self.below.base, size: self.below.size, src }
    }
}

/// The bytes of a small file, none of them in the store.
#[derive(Debug, Default)]
pub(super) struct Small {
    bytes: Vec<u8>,
    id: IdCell,
}

impl Clone for Small {
    fn clone(&self) -> Self {
        // A copy is made to be changed.
        Self { bytes: self.bytes.clone(), id: IdCell::default() }
    }
}

impl Small {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Remembers the id, which must be that of the bytes. Returns whether it was not known yet.
    pub(super) fn set_id(&self, id: &ObjectId) -> bool {
        self.id.set(id)
    }
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

    /// Where its content is or will be, if it is hashed.
    pub fn content(&self) -> Option<Content> {
        match &self.body {
            Body::Stored(base) => base.content(),
            Body::Small(small) if small.bytes.is_empty() => Some(Content::Empty),
            Body::Small(small) => small.id.get().map(|id| Content::Chunk(ChunkId::new(id))),
            Body::Layered(written) => written.cut.get()?.base.content(),
        }
    }

    /// Tells whether the store has all of it.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self.body, Body::Stored(_))
    }

    /// Tells whether all of it can be read from the store. Holes that were written are in memory
    /// only, though they take none of it.
    pub(super) fn can_be_loaded(&self) -> bool {
        match &self.body {
            Body::Stored(_) => true,
            Body::Small(small) => small.bytes.is_empty(),
            Body::Layered(_) => false,
        }
    }

    /// Tells whether the two are the same content by pointer, changed in neither since they were
    /// one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.body, &other.body) {
            (Body::Small(a), Body::Small(b)) => Arc::ptr_eq(a, b),
            (Body::Layered(a), Body::Layered(b)) => Arc::ptr_eq(&a.cut, &b.cut),
            _ => false,
        }
    }

    /// This file with what the store has of an earlier version of it, which was hashed and then
    /// stored, in place of what it had below that one: what was written since is all that it keeps
    /// in memory. `None` if it does not lie over the same.
    pub(super) fn rebased(&self, hashed: &Self, stored: &Self) -> Option<Self> {
        let (Body::Layered(now), Body::Layered(then)) = (&self.body, &hashed.body) else {
            return None;
        };
        let Body::Stored(base) = &stored.body else { return None };
        if !Arc::ptr_eq(&now.below, &then.below) {
            return None;
        }
        let below = Arc::new(Below { base: base.clone(), size: stored.size });
        let extents = now.extents.since(&then.extents);
        // The content is the same, and so are its chunks: a later commit may have hashed it.
        let written = Written { below, extents, cut: now.cut.clone(), wasted: 0 };
        Some(Self { size: self.size, body: Body::Layered(Box::new(written)) })
    }

    /// Tells whether it pays to hash it before a commit asks for that. A large file that is
    /// changed again and again would be hashed as often: it must have doubled since.
    pub(super) fn is_worth_settling(&self) -> bool {
        match &self.body {
            Body::Layered(written) if !cuts_never(self.size) => {
                written.extents.dirty_bytes() >= 2 * written.wasted
            }
            _ => true,
        }
    }

    /// The bytes of a small file whose id is not known yet.
    pub(super) fn unhashed_small(&self) -> Option<&Arc<Small>> {
        match &self.body {
            Body::Small(small) if !small.id.is_known() && !small.bytes.is_empty() => Some(small),
            _ => None,
        }
    }

    /// The chunk list of a file that has one and was cut.
    pub(super) fn chunk_tree(&self) -> Option<&Tree<Chunks>> {
        let base = match &self.body {
            Body::Stored(base) => base,
            Body::Layered(written) => &written.cut.get()?.base,
            Body::Small(_) => return None,
        };
        match base {
            Base::Chunks(tree) => Some(tree),
            _ => None,
        }
    }

    /// Bytes that are in memory only.
    pub fn dirty_bytes(&self) -> u64 {
        match &self.body {
            Body::Stored(_) => 0,
            Body::Small(small) => small.bytes.len() as u64,
            Body::Layered(written) => written.extents.dirty_bytes(),
        }
    }

    /// Bytes that take storage, which is what `st_blocks` tells. May read the topmost node of
    /// the chunk list.
    pub fn allocated_bytes(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        match &self.body {
            Body::Stored(base) => base.allocated(self.size, src),
            Body::Small(small) => Ok(small.bytes.len() as u64),
            Body::Layered(written) => {
                let below = written.below.base.allocated(written.below.size, src)?;
                Ok(below.saturating_add(written.extents.dirty_bytes()).min(self.size))
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
            Body::Small(small) => {
                // The file is small, and the range inside it.
                let from = offset as usize;
                buf.copy_from_slice(&small.bytes[from..from + len]);
            }
            Body::Stored(base) => BaseBytes { base, size: self.size, src }.read(offset, buf)?,
            Body::Layered(written) => {
                let (extents, old) = (&written.extents, written.old(src));
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
        let bytes = self.small_mut().expect("it was just made so");
        if offset == bytes.len() {
            bytes.extend_from_slice(data);
        } else {
            bytes.resize(size, 0);
            bytes[offset..offset + data.len()].copy_from_slice(data);
        }
    }

    /// The bytes of a small file for a change.
    fn small_mut(&mut self) -> Option<&mut Vec<u8>> {
        let Body::Small(small) = &mut self.body else { return None };
        let small = Arc::make_mut(small);
        small.id = IdCell::default();
        Some(&mut small.bytes)
    }

    /// Cuts the file, or extends it with a hole.
    pub fn truncate(&mut self, size: u64) {
        if size == self.size {
            return;
        }
        if size == 0 {
            self.body = Body::Stored(Base::Empty);
        } else if size <= CHUNK_BYTES_MIN as u64
            && let Some(bytes) = self.small_mut()
        {
            bytes.resize(size as usize, 0);
        } else {
            let old_size = self.size;
            self.layer().resize(old_size, size);
        }
        self.size = size;
    }

    /// Turns a range inside the file into zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.size);
        if range.is_empty() {
            return;
        }
        if let Some(bytes) = self.small_mut() {
            bytes[range.start as usize..range.end as usize].fill(0);
        } else {
            self.layer().zero(range);
        }
    }

    /// The extents to write to, laid over what there is.
    fn layer(&mut self) -> &mut Extents {
        match &mut self.body {
            Body::Stored(base) => {
                let base = std::mem::replace(base, Base::Empty);
                let written = Written::over(base, self.size, Extents::new());
                self.body = Body::Layered(Box::new(written));
            }
            Body::Small(small) => {
                let mut extents = Extents::new();
                extents.write(0, Arc::from(small.bytes.as_slice()));
                self.body = Body::Layered(Box::new(Written::over(Base::Empty, 0, extents)));
            }
            // Versions that share this one have the old content.
            Body::Layered(written) => {
                written.wasted += written.cut.get().map_or(0, Cut::fresh_bytes);
                match Arc::get_mut(&mut written.cut) {
                    Some(cut) => *cut = OnceLock::new(),
                    None => written.cut = Arc::default(),
                }
            }
        }
        match &mut self.body {
            Body::Layered(written) => &mut written.extents,
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
            Body::Layered(written) => {
                let Written { below, extents, .. } = &**written;
                let Below { base, size: base_size } = &**below;
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
            Body::Layered(written) => {
                let Written { below, extents, .. } = &**written;
                let Below { base, size: base_size } = &**below;
                extents.next_hole(offset, self.size, |range| {
                    let there = range.start..range.end.min(*base_size);
                    let found = base.next(there, true, src)?;
                    let beyond = (range.end > *base_size).then_some(range.start.max(*base_size));
                    Ok(found.or(beyond))
                })
            }
        }
    }

    /// Cuts what was written over older chunks; the list of chunks itself is left to be hashed.
    /// Small files are left to be hashed together. Returns the number of bytes hashed, unless
    /// somebody else has done it meanwhile.
    pub(super) fn cut(&self, src: &dyn ObjectSource) -> Result<u64, ObjectError> {
        let Body::Layered(written) = &self.body else { return Ok(0) };
        if written.cut.get().is_some() {
            return Ok(0);
        }
        let (extents, old) = (&written.extents, written.old(src));
        let new = Layered { extents, old: &old, size: self.size };
        let made = Cut::of(&old, &new, extents)?;
        let hashed_bytes = made.fresh_bytes();
        let is_first = written.cut.set(made).is_ok();
        Ok(if is_first { hashed_bytes } else { 0 })
    }

    /// Hands what the store does not have to the sink, but for the list of chunks, and returns
    /// the file as the store has it then. The file must have been hashed.
    pub(super) fn store(
        &self,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<Self, ObjectError> {
        let base = match &self.body {
            Body::Stored(base) => base.clone(),
            Body::Small(small) if small.bytes.is_empty() => Base::Empty,
            Body::Small(small) => {
                let id = small.id.get().expect("contents are hashed before they are stored");
                sink.put(ObjectKind::Chunk, &id, &small.bytes)?;
                Base::Chunk(ChunkId::new(id))
            }
            Body::Layered(written) => {
                let cut = written.cut.get().expect("contents are hashed before they are stored");
                let (extents, old) = (&written.extents, written.old(src));
                cut.store(&Layered { extents, old: &old, size: self.size }, sink)?;
                cut.base.clone()
            }
        };
        Ok(Self { size: self.size, body: Body::Stored(base) })
    }
}
