//! Handing a hashed snapshot to the store.

use std::sync::Arc;

use super::{Committed, Snapshot};
use crate::model::{Ino, ObjectError, ObjectId, ObjectKind, ObjectSink, ObjectSource, RootId};
use crate::worktree::File;
use crate::worktree::inode::Inode;
use crate::worktree::state::Worktree;
use crate::worktree::tree::{Chunks, Directory, Hasher, Table, Tree};

/// What a commit has that the store may lack. It keeps that alive and nothing else.
pub struct Unstored {
    root: RootId,
    root_bytes: Vec<u8>,
    directories: Vec<Tree<Directory>>,
    xattrs: Vec<(ObjectId, Vec<u8>)>,
    /// What changed, and the directories that it is in. That they are shared costs who changes them
    /// next a copy, and whoever commits less than to copy what is needed of them.
    pub(super) inodes: Vec<Arc<Inode>>,
    pub(super) directories_before: Vec<Arc<Inode>>,
    links: Tree<Table>,
}

/// A file that went to the store.
pub struct StoredFile {
    ino: Ino,
    hashed: File,
    stored: File,
}

impl Snapshot {
    /// What the store may lack of a hashed snapshot.
    pub fn unstored(&self, committed: &Committed) -> Unstored {
        let listed = self.dirty.inodes.iter().chain(&self.dirty.settled);
        let mut inodes = Vec::with_capacity(self.dirty.inodes.len());
        inodes.extend(listed.filter_map(|ino| {
            let inode = self.tree.find(*ino)?;
            let is_left = inode.names.is_empty() || self.dirty.leaves(inode);
            (!is_left).then(|| Arc::clone(inode))
        }));
        let before = committed.directories.iter().map(|directory| &directory.before);
        let trees = committed.directories.iter().map(|directory| &*directory.after);
        Unstored {
            root: committed.root,
            root_bytes: committed.root_bytes.clone(),
            directories: trees.filter_map(Inode::directory).cloned().collect(),
            xattrs: committed.xattrs.clone(),
            inodes,
            directories_before: before.cloned().collect(),
            links: committed.links.clone(),
        }
    }
}

impl Unstored {
    /// The root.
    pub fn root(&self) -> RootId {
        self.root
    }

    /// Hands extended attributes that are objects of their own to the sink. Inodes are forgotten
    /// and loaded again without regard to them, so they must not have to wait.
    pub fn store_xattrs(&mut self, sink: &dyn ObjectSink) -> Result<(), ObjectError> {
        while let Some((id, bytes)) = self.xattrs.last() {
            sink.put(ObjectKind::Xattrs, id, bytes)?;
            self.xattrs.pop();
        }
        Ok(())
    }

    /// Hands everything that the store does not have to the sink: contents before the nodes that
    /// name them, and the root last.
    ///
    /// `src` must be able to read what the tree needs, and what `sink` took. After a failure it
    /// can be called again, and hands over what is left.
    pub fn store(
        &mut self,
        hasher: &mut Hasher,
        src: &dyn ObjectSource,
        sink: &dyn ObjectSink,
    ) -> Result<Vec<StoredFile>, ObjectError> {
        let unstored = |inode: &'_ Arc<Inode>| {
            let file = inode.file().filter(|file| !file.is_stored())?;
            Some((inode.ino, file.clone()))
        };
        let mut files = Vec::with_capacity(self.inodes.len());
        for (ino, hashed) in self.inodes.iter().filter_map(unstored) {
            let stored = hashed.store(src, sink)?;
            if let Some(list) = stored.chunk_tree() {
                hasher.store::<Chunks>(&[list], sink)?;
            }
            files.push(StoredFile { ino, hashed, stored });
        }
        self.store_xattrs(sink)?;
        hasher.store(&self.directories.iter().collect::<Vec<_>>(), sink)?;
        hasher.store(&[&self.links], sink)?;
        sink.put(ObjectKind::Root, self.root.object(), &self.root_bytes)?;
        Ok(files)
    }
}

impl Worktree {
    /// Lets go of the contents that are stored; of files that were written since, what was not
    /// written since.
    pub fn publish_stored(&mut self, files: Vec<StoredFile>) {
        for StoredFile { ino, hashed, stored } in files {
            let Some(file) = self.find(ino).and_then(|inode| inode.file()) else { continue };
            let next = match file.is_same(&hashed) {
                true => Some(stored),
                false => file.rebased(&hashed, &stored),
            };
            drop(hashed);
            if let Some(next) = next {
                self.replace_file(ino, next);
            }
        }
    }
}
