//! Handing a hashed snapshot to the store.

use std::sync::Arc;

use super::{Committed, HashedDirectory, Snapshot, StoredFile};
use crate::format::worktree::WorktreeState;
use crate::model::{ObjectError, ObjectKind, ObjectSink, ObjectSource};
use crate::worktree::inode::{Body, Inode};
use crate::worktree::tree::{Chunks, Directory, Hasher, Tree};

impl Snapshot {
    /// Hands everything of a hashed tree that the store does not have to the sink: contents before
    /// the directories that name them, and these before those above them. Returns the state of
    /// the worktree, which is yet to be stored itself.
    ///
    /// `src` must be able to read what the tree needs, and what `sink` took. After a failure it
    /// can be called again, and hands over what is left.
    pub fn store(
        &self,
        committed: &mut Committed,
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<WorktreeState, ObjectError> {
        let before = hasher.counts;
        committed.files = self.store_files(hasher, src, sink)?;
        for (id, bytes) in &committed.xattrs {
            sink.put(ObjectKind::Xattrs, id, bytes)?;
        }
        let mut rest = &mut committed.directories[..];
        let mut start = 0;
        while let Some(first) = rest.first() {
            let len = rest.partition_point(|directory| directory.depth == first.depth);
            let (level, above) = rest.split_at_mut(len);
            let trees: Vec<&Tree<Directory>> =
                level.iter().filter_map(|directory| directory.after.directory()).collect();
            hasher.store(&trees, sink)?;
            start += len;
            for directory in level {
                tell_parent(directory, above, start, src)?;
            }
            rest = above;
        }
        hasher.hash(&[&committed.places]);
        hasher.store(&[&committed.links, &committed.places], sink)?;
        sink.put(ObjectKind::Root, committed.root.object(), &committed.root_bytes)?;
        committed.counts.hashed.sides += hasher.counts.sides - before.sides;
        committed.counts.hashed.side_bytes += hasher.counts.side_bytes - before.side_bytes;
        committed.counts.hashed.nodes += hasher.counts.nodes - before.nodes;
        committed.counts.hashed.node_bytes += hasher.counts.node_bytes - before.node_bytes;
        Ok(committed.state(&self.tree))
    }

    fn store_files(
        &self,
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<Vec<StoredFile>, ObjectError> {
        let mut files = Vec::with_capacity(self.dirty.inodes.len());
        for ino in self.dirty.inodes.iter().chain(&self.dirty.settled) {
            let Some(inode) = self.tree.find(*ino) else { continue };
            let Some(hashed) = inode.file() else { continue };
            if inode.names.is_empty() || hashed.is_stored() {
                continue;
            }
            let stored = hashed.store(src, sink)?;
            if let Some(list) = stored.chunk_tree() {
                hasher.store::<Chunks>(&[list], sink)?;
            }
            files.push(StoredFile { ino: *ino, hashed: hashed.clone(), stored });
        }
        Ok(files)
    }
}

/// Tells the directory above a stored one, which is among those given, what lies beside it. The
/// first of these has the index `start`.
fn tell_parent(
    directory: &HashedDirectory,
    above: &mut [HashedDirectory],
    start: usize,
    src: &dyn ObjectSource,
) -> Result<(), ObjectError> {
    let Some(parent) = directory.parent else { return Ok(()) };
    let side = directory.after.directory().and_then(Tree::side_id);
    let Inode { body, .. } = Arc::make_mut(&mut above[parent - start].after);
    let Body::Directory(tree) = body else { unreachable!("it is a directory") };
    for (_, name) in &directory.after.names {
        tree.set_side(name.as_bytes(), |beside| beside.side = side.map(Arc::new), src)?;
    }
    Ok(())
}
