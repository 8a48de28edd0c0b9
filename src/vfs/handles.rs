//! What the kernel holds: references to inodes, and open directories and control files. Regular
//! files need no handle, since their number says all; but it is known who writes past the cache.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::live::LiveDirectory;
use super::snapshots::SnapshotDirectory;
use crate::worktree::InoHasher;

const SHARDS: usize = 16;

/// Counts the references that the kernel holds to each inode, from look-up to forget.
#[derive(Default)]
pub(super) struct Lookups {
    shards: [Mutex<HashMap<u64, u64, BuildHasherDefault<InoHasher>>>; SHARDS],
}

impl Lookups {
    fn shard(&self, ino: u64) -> &Mutex<HashMap<u64, u64, BuildHasherDefault<InoHasher>>> {
        &self.shards[(ino % SHARDS as u64) as usize]
    }

    /// Adds a reference.
    pub(super) fn add(&self, ino: u64) {
        *self.shard(ino).lock().entry(ino).or_default() += 1;
    }

    /// Takes references away; returns whether none are left.
    pub(super) fn remove(&self, ino: u64, count: u64) -> bool {
        let mut shard = self.shard(ino).lock();
        let Some(held) = shard.get_mut(&ino) else { return true };
        *held = held.saturating_sub(count);
        let none = *held == 0;
        if none {
            shard.remove(&ino);
        }
        none
    }

    /// Tells whether there is a reference.
    pub(super) fn holds(&self, ino: u64) -> bool {
        self.shard(ino).lock().contains_key(&ino)
    }
}

/// Files that the one who made them writes past the page cache, until that handle is closed.
///
/// Before such a write the kernel drops what it has cached of the range. What it reads again
/// before the write is done would then stay, and be wrong: so whoever else opens the file
/// meanwhile goes past the cache as well, and of a shared mapping, which cannot, the reads are
/// noted here.
#[derive(Default)]
pub(super) struct DirectWriters {
    count: AtomicUsize,
    /// Whether each file has been read since it was last written.
    files: Mutex<HashMap<u64, bool, BuildHasherDefault<InoHasher>>>,
}

impl DirectWriters {
    /// Adds a file that is new, so that nobody else has it open.
    pub(super) fn add(&self, ino: u64) {
        self.files.lock().insert(ino, false);
        self.count.fetch_add(1, Ordering::Release);
    }

    pub(super) fn remove(&self, ino: u64) {
        if self.files.lock().remove(&ino).is_some() {
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    pub(super) fn contains(&self, ino: u64) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.files.lock().contains_key(&ino)
    }

    /// Notes a read that is about to be answered.
    pub(super) fn note_read(&self, ino: u64) {
        if self.count.load(Ordering::Acquire) > 0
            && let Some(read) = self.files.lock().get_mut(&ino)
        {
            *read = true;
        }
    }

    /// Tells whether a file has been read since this was last asked, after a write was done.
    pub(super) fn take_read(&self, ino: u64) -> bool {
        self.files.lock().get_mut(&ino).is_some_and(std::mem::take)
    }
}

/// An open directory.
pub(super) enum OpenDirectory {
    Live(Mutex<LiveDirectory>),
    Snapshot(SnapshotDirectory),
    Control,
}

impl OpenDirectory {
    /// Tells whether it changes by requests alone, if at all, so that the kernel knows of it.
    pub(super) fn changes_through_kernel(&self) -> bool {
        match self {
            Self::Live(_) | Self::Snapshot(SnapshotDirectory::Inside(_)) => true,
            Self::Snapshot(_) | Self::Control => false,
        }
    }
}

/// Open handles of one kind.
pub(super) struct Handles<T> {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<T>, BuildHasherDefault<InoHasher>>>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { next: AtomicU64::new(1), open: Mutex::default() }
    }
}

impl<T> Handles<T> {
    /// Opens a handle and returns what to call it by.
    pub(super) fn open(&self, handle: T) -> u64 {
        let fh = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(fh, Arc::new(handle));
        fh
    }

    /// The handle, if it is open.
    pub(super) fn find(&self, fh: u64) -> Option<Arc<T>> {
        self.open.lock().get(&fh).cloned()
    }

    /// Closes a handle.
    pub(super) fn close(&self, fh: u64) {
        self.open.lock().remove(&fh);
    }
}
