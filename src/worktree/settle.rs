//! Settling: bringing files up to date before a snapshot is taken, so that it has little to do.
//!
//! A settled file is hashed, and its directory has the entry that a commit would write. Before the
//! snapshot nobody shares the directory's nodes, so that this is done in place. It takes
//! three steps, so that nothing is hashed under a lock: [`Worktree::to_settle`] gives the
//! versions of files that are worth it, [`hash_files`] hashes their contents, and
//! [`Worktree::settle`] writes the entries of those that have not changed meanwhile. Many files
//! are best hashed and settled a few at a time, while what belongs to them is in a near cache.

use std::ops::Range;
use std::sync::Arc;

use super::commit::{CommitCounts, OwnXattrs, hash_contents, put_inode};
use super::dirty::waits;
use super::file::File;
use super::inode::{Body, Inode};
use super::state::Worktree;
use super::tree::{Directory, Hasher, Update, fetch};
use crate::base::limits::SETTLED_LISTED_MIN;
use crate::format::worktree::SideRecord;
use crate::model::{Ino, Name, ObjectError, ObjectSource};

/// Hashes contents that are not hashed yet. Reads from `src` what was only partly written over.
pub fn hash_files(
    files: &[Arc<Inode>],
    hasher: &mut Hasher,
    src: &dyn ObjectSource,
) -> Result<CommitCounts, ObjectError> {
    let mut counts = CommitCounts::default();
    hash_contents(files.iter().map(|file| &**file), hasher, src, &mut counts)?;
    Ok(counts)
}

impl Worktree {
    /// The numbers of dirty files that are not known to be settled, among others. Some may be
    /// listed twice, or be gone.
    pub fn dirty_files(&self) -> &[Ino] {
        &self.dirty.inodes
    }

    /// Of these inodes, the dirty files that can be settled: those with one name, and of at most so
    /// many bytes.
    pub fn to_settle(&self, inos: &[Ino], bytes_max: u64) -> Vec<Arc<Inode>> {
        let files = inos.iter().filter_map(|ino| self.find(*ino));
        let wanted = |inode: &&Arc<Inode>| inode.size() <= bytes_max && self.can_settle(inode);
        // More than can be, most often, and never many more.
        let mut found = Vec::with_capacity(inos.len());
        found.extend(files.filter(wanted).cloned());
        // One that was settled and changed again is listed twice.
        found.sort_unstable_by_key(|inode| inode.ino);
        found.dedup_by_key(|inode| inode.ino);
        found
    }

    /// Tells whether this is a dirty file that can be settled. What is ignored is not: no commit
    /// comes to hash it, and it may be gone again before a checkpoint does.
    pub fn can_be_settled(&self, ino: Ino) -> bool {
        self.find(ino).is_some_and(|inode| self.can_settle(inode))
    }

    fn can_settle(&self, inode: &Inode) -> bool {
        inode.file().is_some_and(File::is_worth_settling)
            && inode.names.len() == 1
            && !inode.settled
            && !waits(inode)
            && !self.is_clean(inode)
    }

    /// Writes the entries of hashed files that are still as they were; returns how many there
    /// were. What cannot be done with what `src` has in memory is left to the commit.
    pub fn settle(&mut self, files: Vec<Arc<Inode>>, src: &dyn ObjectSource) -> usize {
        let mut entries: Vec<NewEntry> = Vec::with_capacity(files.len());
        let mut values = Vec::new();
        let mut xattrs = OwnXattrs::default();
        for file in files {
            let is_same = self.find(file.ino).is_some_and(|live| Arc::ptr_eq(live, &file));
            let is_hashed = file.file().is_some_and(|file| file.content().is_some());
            if !is_same || !is_hashed || !self.can_settle(&file) {
                continue;
            }
            let start = values.len();
            if let Ok(side) = put_inode(&mut values, &file, false, &mut xattrs, src)
                && xattrs.is_empty()
            {
                let (parent, name) = file.names[0].clone();
                let (ino, value) = (file.ino, start..values.len());
                entries.push(NewEntry { parent, name, ino, value, side });
            }
            xattrs.clear();
        }
        entries.sort_unstable_by(|a, b| (a.parent, &a.name).cmp(&(b.parent, &b.name)));
        let places = entries.iter().filter_map(|entry| {
            Some((self.find(entry.parent)?.directory()?, entry.name.as_bytes()))
        });
        fetch(places);
        let mut settled = 0;
        for siblings in entries.chunk_by_mut(|a, b| a.parent == b.parent) {
            settled += self.settle_entries(siblings, &values, src);
        }
        self.list_settled(settled);
        settled
    }

    /// Writes entries of one directory, sorted by name.
    fn settle_entries(
        &mut self,
        entries: &mut [NewEntry],
        values: &[u8],
        src: &dyn ObjectSource,
    ) -> usize {
        let Some(NewEntry { parent, .. }) = entries.first() else { return 0 };
        let parent = *parent;
        let updates = entries.iter_mut().map(|NewEntry { name, value, side, .. }| {
            let (value, side) = (&values[value.clone()], std::mem::take(side));
            Update { key: name.as_bytes(), value, side }
        });
        let mut updates: Vec<Update<'_, Directory>> = updates.collect();
        // The entries change, and nothing of it that could be seen.
        let Body::Directory(tree) = &mut self.edit_beside_writer(parent).body else { return 0 };
        if !matches!(tree.update(&mut updates, src), Ok(0)) {
            return 0;
        }
        for entry in &*entries {
            if let Some(inode) = self.inodes.get_mut(entry.ino) {
                Arc::make_mut(inode).settled = true;
            }
        }
        entries.len()
    }

    /// Takes settled files off the list that a commit goes through, now and then.
    fn list_settled(&mut self, settled: usize) {
        let tree = &self.inodes;
        let dirty = Arc::make_mut(&mut self.dirty);
        dirty.settled_listed += settled;
        let worthwhile = dirty.settled_listed >= SETTLED_LISTED_MIN;
        if !worthwhile || dirty.settled_listed * 2 < dirty.inodes.len() {
            return;
        }
        dirty.settled_listed = 0;
        let is_settled = |ino: &Ino| tree.get(*ino).is_some_and(|inode| inode.settled);
        let (settled, left): (Vec<Ino>, _) =
            std::mem::take(&mut dirty.inodes).into_iter().partition(is_settled);
        dirty.inodes = left;
        // Files that are written and closed all the time come here all the time: before the list
        // grows, it is looked through for those that are there already.
        if dirty.settled.len() + settled.len() > dirty.settled.capacity() {
            dirty.settled.sort_unstable();
            dirty.settled.dedup();
        }
        dirty.settled.extend(settled);
    }
}

/// What a directory is to have of a file.
struct NewEntry {
    parent: Ino,
    name: Name,
    ino: Ino,
    value: Range<usize>,
    side: SideRecord,
}
