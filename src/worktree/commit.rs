//! The commit: from a snapshot of the working tree to the id of its root, and into the store.
//!
//! Small dirty files are best settled before, in place (see [`Worktree::settle`]).
//!
//! 1. [`Worktree::begin_commit`] clones the pointers and takes the dirty set: writers go on. What
//!    is ignored is left to [`Worktree::begin_checkpoint`].
//! 2. [`Snapshot::hash`] hashes dirty contents, then goes through the dirty directories from the
//!    deepest up, level by level: the entries of dirty children are encoded into their leaves,
//!    and the changed nodes of a whole level are hashed in one batch. Nothing leaves memory.
//! 3. [`Worktree::publish`] puts the hashed versions of directories into the live tree. What has
//!    changed there since stays dirty. Contents need no such step: their ids are kept beside the
//!    bytes, which all versions share.
//!
//! That is a commit. Later, and without the snapshot, [`Unstored::store`] hands what the store
//! does not have to a sink, and [`Worktree::publish_stored`] lets go of the contents that are
//! there.

mod hash;
mod plan;
mod store;
mod writers;

use std::sync::Arc;

pub(super) use self::hash::{OwnXattrs, hash_contents, put_inode};
pub(super) use self::plan::Directories;
pub use self::store::{StoredFile, Unstored};
use super::dirty::{Dirty, Epochs};
use super::inode::{Body, Inode};
use super::state::Worktree;
use super::tree::{Directory, HashCounts, Table, Tree, Update};
use crate::model::{Ino, Name, ObjectError, ObjectId, ObjectSource, RootId};

/// A working tree as it was when a commit was asked for.
pub struct Snapshot {
    pub(super) tree: Worktree,
    dirty: Arc<Dirty>,
    epochs: Epochs,
}

/// What a commit did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// Files whose content was hashed.
    pub files: u64,
    /// Bytes of content hashed.
    pub content_bytes: u64,
    /// Directories brought up to date.
    pub directories: u64,
    /// Nodes and sides of trees.
    pub hashed: HashCounts,
}

/// A hashed snapshot.
pub struct Committed {
    /// The root.
    pub root: RootId,
    /// What was done.
    pub counts: CommitCounts,
    root_bytes: Vec<u8>,
    /// Deepest first.
    directories: Vec<HashedDirectory>,
    /// The changed inodes in each of the directories, one after the other.
    children: Vec<Ino>,
    /// Extended attributes that are objects of their own.
    xattrs: Vec<(ObjectId, Vec<u8>)>,
    links: Tree<Table>,
    places: Tree<Table>,
    dirty: Arc<Dirty>,
    epochs: Epochs,
}

/// A directory before and after it was hashed.
struct HashedDirectory {
    before: Arc<Inode>,
    after: Arc<Inode>,
    /// Where its changed inodes end in the list of all of them; they begin where those of the
    /// directory before it end.
    children_end: usize,
}

impl Worktree {
    /// Takes a snapshot of the tree and of what a commit has to look at. Costs a few pointers.
    ///
    /// One commit is in flight at a time: this gives up one that was begun before and neither
    /// published nor aborted, and takes all that it had taken.
    pub fn begin_commit(&mut self) -> Snapshot {
        let (dirty, epochs) = self.take_dirty(false);
        Snapshot { tree: self.clone_for_commit(), dirty, epochs }
    }

    /// As [`Self::begin_commit`], of all that changed, with what is ignored.
    pub fn begin_checkpoint(&mut self) -> Snapshot {
        let (dirty, epochs) = self.take_dirty(true);
        Snapshot { tree: self.clone(), dirty, epochs }
    }

    /// Gives up a commit that failed: all that it had taken is dirty again. Does nothing for one
    /// that was given up before.
    pub fn abort_commit(&mut self, snapshot: Snapshot) {
        if self.is_in_flight(&snapshot.dirty) {
            self.take_back();
        }
    }

    /// As [`Self::abort_commit`], for a commit that was hashed.
    pub fn abort_hashed(&mut self, committed: &Committed) {
        if self.is_in_flight(&committed.dirty) {
            self.take_back();
        }
    }

    /// Puts the hashed versions of directories in place of those that have not changed since. Costs
    /// what the commit hashed; nothing is read or hashed here. Does nothing for a commit that was
    /// given up.
    ///
    /// It is cheapest when the snapshot is gone, because the tree is shared with nobody then.
    pub fn publish(&mut self, committed: Committed) {
        if !self.is_in_flight(&committed.dirty) {
            return;
        }
        self.set_clean(committed.epochs);
        self.links = committed.links;
        self.places = committed.places;
        let mut start = 0;
        for HashedDirectory { before, after, children_end, .. } in committed.directories {
            let children = &committed.children[start..children_end];
            start = children_end;
            let Some(live) = self.inodes.get_mut(after.ino) else { continue };
            let trees = (live.directory(), before.directory(), after.directory());
            let (Some(now), Some(then), Some(tree)) = trees else { continue };
            if Arc::ptr_eq(live, &before) {
                *live = after;
            } else if now.is_same(then) {
                let body = Body::Directory(tree.clone());
                Arc::make_mut(live).body = body;
            } else if !self.merge(after.ino, tree, children) {
                // What was encoded for the commit is not in the live directory.
                children.iter().for_each(|child| self.mark(*child));
            }
        }
    }

    /// Gives a directory that changed since it was hashed the entries of the children that did
    /// not. Returns whether that could be done with what is in memory.
    fn merge(&mut self, directory: Ino, hashed: &Tree<Directory>, children: &[Ino]) -> bool {
        let mut entries: Vec<(Name, Vec<u8>, _)> = Vec::with_capacity(children.len());
        for child in children {
            let Some(inode) = self.find(*child).filter(|inode| self.is_clean(inode)) else {
                continue;
            };
            for (_, name) in inode.names.iter().filter(|(parent, _)| *parent == directory) {
                let Ok(Some(item)) = hashed.find(name.as_bytes(), &InMemory) else { return false };
                entries.push((name.clone(), item.value.to_vec(), item.side.clone()));
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // A file with two names here is listed twice.
        entries.dedup_by(|a, b| a.0 == b.0);
        let updates = entries.iter_mut().map(|(name, value, side)| Update {
            key: name.as_bytes(),
            value,
            side: std::mem::take(side),
        });
        let mut updates: Vec<Update<'_, Directory>> = updates.collect();
        let Some(live) = self.inodes.get_mut(directory) else { return true };
        let Body::Directory(tree) = &mut Arc::make_mut(live).body else { return true };
        matches!(tree.update(&mut updates, &InMemory), Ok(0))
    }
}

/// Has nothing but what trees have loaded.
pub(super) struct InMemory;

impl ObjectSource for InMemory {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        Err(ObjectError::NotLoaded(*id))
    }
}

impl Committed {
    /// The directories that were brought up to date.
    pub fn directories(&self) -> impl Iterator<Item = Ino> {
        self.directories.iter().map(|directory| directory.after.ino)
    }
}

impl Snapshot {
    /// The snapshot as it is after it was hashed.
    pub fn hashed(&self, committed: &Committed) -> Worktree {
        let mut tree = self.tree.clone();
        tree.links = committed.links.clone();
        tree.places = committed.places.clone();
        for HashedDirectory { after, .. } in &committed.directories {
            tree.inodes.insert(after.ino, after.clone());
        }
        tree
    }
}
