//! The chunks of a file that was written over older ones.

use std::ops::ControlFlow;

use super::base::{Base, BaseBytes, key_offset, offset_key};
use crate::content::{Bytes, Edit, Extents, Layered, cuts_never, recut};
use crate::format::chunks::ChunkRecord;
use crate::hash::hash;
use crate::model::{ChunkId, ObjectError, ObjectId, ObjectKind, ObjectSink};
use crate::worktree::tree::Tree;

/// The chunks that a file has, and which of them are new.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub(super) base: Base,
    fresh: Vec<Fresh>,
}

/// A chunk that the file did not have before.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    offset: u64,
    len: usize,
    id: ChunkId,
}

impl Fresh {
    fn of(offset: u64, bytes: &[u8]) -> Self {
        Self { offset, len: bytes.len(), id: ChunkId::new(ObjectId::from_bytes(hash(bytes))) }
    }
}

impl Cut {
    /// Cuts a file around what changed.
    pub(super) fn of<'a>(
        old: &BaseBytes<'a>,
        new: &Layered<'_, BaseBytes<'a>>,
        extents: &Extents,
    ) -> Result<Self, ObjectError> {
        let (base, fresh) = if new.size == 0 {
            (Base::Empty, Vec::new())
        } else if cuts_never(new.size) {
            let mut bytes = vec![0; new.size as usize];
            new.read(0, &mut bytes)?;
            let chunk = Fresh::of(0, &bytes);
            (Base::Chunk(chunk.id), vec![chunk])
        } else {
            recut_base(old, new, extents)?
        };
        Ok(Self { base, fresh })
    }

    /// Bytes of the new chunks, all of which were hashed.
    pub(super) fn fresh_bytes(&self) -> u64 {
        self.fresh.iter().map(|chunk| chunk.len as u64).sum()
    }

    /// Hands the new chunks of the file that was cut to the sink.
    pub(super) fn store(
        &self,
        file: &Layered<'_, BaseBytes<'_>>,
        sink: &dyn ObjectSink,
    ) -> Result<(), ObjectError> {
        let mut bytes = Vec::new();
        for chunk in &self.fresh {
            bytes.resize(chunk.len, 0);
            file.read(chunk.offset, &mut bytes)?;
            sink.put(ObjectKind::Chunk, chunk.id.object(), &bytes)?;
        }
        Ok(())
    }
}

fn recut_base<'a>(
    old: &BaseBytes<'a>,
    new: &Layered<'_, BaseBytes<'a>>,
    extents: &Extents,
) -> Result<(Base, Vec<Fresh>), ObjectError> {
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
    let mut fresh = Vec::new();
    let mut records: Vec<(u64, ChunkRecord)> = Vec::new();
    recut(old, new, extents.ranges(), |edit| {
        match edit {
            Edit::Chunk { start, bytes } => {
                let chunk = Fresh::of(start, bytes);
                fresh.push(chunk);
                let len = bytes.len() as u64;
                records.push((start, ChunkRecord::Chunk { len, id: chunk.id }));
            }
            Edit::Zeros { start, len } => records.push((start, ChunkRecord::Zeros { len })),
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
                for (offset, record) in records.drain(..) {
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
        return Ok((Base::Chunk(id), fresh));
    }
    Ok((Base::Chunks(tree), fresh))
}
