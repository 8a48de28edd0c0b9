//! What changed since the last commit, and which of that the next one looks at.
//!
//! What is ignored is in no commit, so a commit looks at none of its changes: they wait, on a list
//! of their own and with epochs of their own, for a checkpoint, which takes both lists. On which
//! one an inode comes is decided when it is marked, by where its names are. When it gets other
//! names it is looked at again ([`Worktree::relist`]), and so is, before the next snapshot, what
//! had changed below a directory that came to be ignored.
//!
//! In two rare cases a commit takes what waits as well: when changes lie below a directory that
//! is not ignored any more, and when a file changed that has names in both trees.

use std::sync::Arc;

use smallvec::SmallVec;

use super::ignored::is_shadow;
use super::inode::Inode;
use super::state::Worktree;
use crate::model::Ino;

/// Marks the epochs of what waits for a checkpoint.
const WAITING_BIT: u64 = 1 << 63;

/// What changed since the last commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    /// Inodes whose entries do not tell all of them, but for directories. One may be listed twice,
    /// or be gone.
    pub(super) inodes: Vec<Ino>,
    /// Directories of that kind: apart, so that the others, which often come in the order in which
    /// they were made, are sorted already.
    pub(super) directories: Vec<Ino>,
    /// Files that were settled and need no other look than that of whoever stores their contents.
    pub(super) settled: Vec<Ino>,
    /// How many of the inodes were settled and are listed there still.
    pub(super) settled_listed: usize,
    /// Directories and files with several names whose names changed.
    pub(super) moved: Vec<Ino>,
    /// Whether what waited for a checkpoint is here too.
    has_waiting: bool,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        self.inodes.is_empty() && self.directories.is_empty()
    }

    /// Tells whether an inode is left to a checkpoint, though it may be listed here.
    pub(super) fn leaves(&self, inode: &Inode) -> bool {
        !self.has_waiting && waits(inode)
    }

    fn add(&mut self, other: &Self) {
        self.inodes.extend(&other.inodes);
        self.directories.extend(&other.directories);
        self.settled.extend(&other.settled);
        self.settled_listed += other.settled_listed;
        self.moved.extend(&other.moved);
    }
}

/// Tells whether the changes of an inode wait for a checkpoint.
pub(super) fn waits(inode: &Inode) -> bool {
    inode.epoch & WAITING_BIT != 0
}

/// What waits for a checkpoint.
#[derive(Clone)]
pub(super) struct Waiting {
    dirty: Arc<Dirty>,
    /// Counts the snapshots that took what waits.
    epoch: u64,
    /// The epoch of the last one that was published.
    clean_epoch: u64,
    /// Whether the next commit takes it.
    is_due: bool,
    /// Whether some of what is listed for the next commit may have come to be ignored.
    is_mixed_up: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            dirty: Arc::default(),
            epoch: WAITING_BIT | 1,
            clean_epoch: WAITING_BIT,
            is_due: false,
            is_mixed_up: false,
        }
    }
}

#[cfg(test)]
impl Waiting {
    pub(super) fn dirty(&self) -> &Arc<Dirty> {
        &self.dirty
    }
}

/// The epochs of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct Epochs {
    own: u64,
    /// If it took what waited.
    waiting: Option<u64>,
}

impl Worktree {
    /// Tells whether anything changed since the last checkpoint.
    pub fn is_dirty(&self) -> bool {
        self.may_change_commits() || !self.waiting.dirty.is_empty()
    }

    /// Tells whether anything changed that a commit might hold.
    pub fn may_change_commits(&self) -> bool {
        !self.dirty.is_empty() || self.waiting.is_due || self.next_unsorted().is_some()
    }

    /// Tells whether an inode of this tree is as its entry tells.
    pub fn is_clean(&self, inode: &Inode) -> bool {
        match waits(inode) {
            false => inode.epoch <= self.clean_epoch,
            true => inode.epoch <= self.waiting.clean_epoch,
        }
    }

    /// Tells whether an inode changed and commits leave it as it is.
    pub fn waits_for_checkpoint(&self, ino: Ino) -> bool {
        self.find(ino).is_some_and(|inode| waits(inode) && !self.is_clean(inode))
    }

    fn is_listed(&self, inode: &Inode) -> bool {
        (inode.epoch == self.epoch || inode.epoch == self.waiting.epoch) && !inode.settled
    }

    /// Marks an inode dirty, and all directories above it. Stops where it was marked before.
    pub(super) fn mark(&mut self, ino: Ino) {
        // No recursion: directories can lie deeper than a stack reaches.
        let mut pending = SmallVec::<[(Ino, Option<bool>); 8]>::from_iter([(ino, None)]);
        while let Some((ino, is_ignored)) = pending.pop() {
            let Some(inode) = self.find(ino).filter(|inode| !self.is_listed(inode)) else {
                continue;
            };
            // What is above is where this is, unless this is at both.
            let is_ignored = is_ignored.or_else(|| self.is_ignored_by_names(inode));
            self.waiting.is_due |= is_ignored.is_none();
            let (epoch, dirty) = match is_ignored {
                Some(true) => (self.waiting.epoch, &mut self.waiting.dirty),
                _ => (self.epoch, &mut self.dirty),
            };
            let Some(inode) = self.inodes.get_mut(ino) else { continue };
            let inode = Arc::make_mut(inode);
            inode.epoch = epoch;
            inode.settled = false;
            pending.extend(inode.names.iter().map(|(parent, _)| (*parent, is_ignored)));
            let is_directory = inode.is_directory();
            let dirty = Arc::make_mut(dirty);
            let list = if is_directory { &mut dirty.directories } else { &mut dirty.inodes };
            list.push(ino);
        }
    }

    /// Tells whether the names of an inode are ignored; nothing if some are and some are not.
    fn is_ignored_by_names(&self, inode: &Inode) -> Option<bool> {
        if is_shadow(inode.ino) {
            return Some(true);
        }
        if !self.has_ignored() {
            return Some(false);
        }
        let mut names = inode.names.iter().map(|(parent, _)| self.is_ignored(*parent));
        let Some(first) = names.next() else { return Some(false) };
        names.all(|other| other == first).then_some(first)
    }

    /// Puts an inode, which is marked, on the list where it belongs after its names changed.
    pub(super) fn relist(&mut self, ino: Ino) {
        let Some(inode) = self.find(ino).filter(|inode| !inode.names.is_empty()) else { return };
        let (waits, is_ignored) = (waits(inode), self.is_ignored_by_names(inode));
        self.waiting.is_due |= is_ignored.is_none();
        if waits == (is_ignored == Some(true)) {
            return;
        }
        if let Some(inode) = self.inodes.get_mut(ino) {
            Arc::make_mut(inode).epoch = 0;
        }
        self.mark(ino);
    }

    /// Notes that a directory came to be ignored, or is so no more. `was_clean` tells whether
    /// nothing had changed in it before.
    pub(super) fn note_passed(&mut self, was_clean: bool, is_ignored: bool) {
        match is_ignored {
            true => self.waiting.is_mixed_up |= !was_clean,
            false => self.waiting.is_due |= !was_clean,
        }
    }

    /// Notes that the names of an inode changed, if the table of places has to know.
    pub(super) fn note_moved(&mut self, ino: Ino) {
        Arc::make_mut(&mut self.dirty).moved.push(ino);
    }

    /// Takes what changed for a snapshot; and what waits, if that is wanted or due.
    pub(super) fn take_dirty(&mut self, wants_waiting: bool) -> (Arc<Dirty>, Epochs) {
        self.take_back();
        if std::mem::take(&mut self.waiting.is_mixed_up) {
            let Dirty { inodes, directories, .. } = &*self.dirty.clone();
            let is_there = |inode: &Arc<Inode>| !inode.settled && !waits(inode);
            for ino in inodes.iter().chain(directories) {
                if self.find(*ino).is_some_and(is_there) {
                    self.relist(*ino);
                }
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut epochs = Epochs { own: self.epoch, waiting: None };
        if wants_waiting || self.waiting.is_due {
            let waiting = std::mem::take(&mut self.waiting.dirty);
            let all = Arc::make_mut(&mut dirty);
            all.add(&waiting);
            all.has_waiting = true;
            epochs.waiting = Some(self.waiting.epoch);
            self.waiting.epoch += 1;
            self.waiting.is_due = false;
        }
        self.epoch += 1;
        self.taken = Some(dirty.clone());
        (dirty, epochs)
    }

    /// Gives back what the commit in flight took.
    pub(super) fn take_back(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        // What waited has epochs that are past, so a commit would not know it from the rest.
        self.waiting.is_due |= taken.has_waiting;
        Arc::make_mut(&mut self.dirty).add(&taken);
    }

    pub(super) fn is_in_flight(&self, taken: &Arc<Dirty>) -> bool {
        self.taken.as_ref().is_some_and(|in_flight| Arc::ptr_eq(in_flight, taken))
    }

    /// Has all that a snapshot took be clean, but for what changed since.
    pub(super) fn set_clean(&mut self, epochs: Epochs) {
        self.taken = None;
        self.clean_epoch = epochs.own;
        if let Some(epoch) = epochs.waiting {
            self.waiting.clean_epoch = epoch;
        }
    }

    /// A clone that does not share the list of what waits, which others would have to copy then.
    pub(super) fn clone_for_commit(&mut self) -> Self {
        let waiting = std::mem::take(&mut self.waiting.dirty);
        let tree = self.clone();
        self.waiting.dirty = waiting;
        tree
    }
}
