//! What the kernel holds: references to inodes, and open directories and control files. Regular
//! files need no handle, since their number says all.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// Files whose size changed behind the kernel's back while it held them. It learns the new one when
/// it next asks, and until then it puts what is appended where the end was.
#[derive(Default)]
pub(super) struct Resized {
    any: AtomicBool,
    files: Mutex<HashSet<u64, BuildHasherDefault<InoHasher>>>,
}

impl Resized {
    pub(super) fn add(&self, ino: u64) {
        self.files.lock().insert(ino);
        self.any.store(true, Ordering::Release);
    }

    /// Forgets a file that the kernel has forgotten.
    pub(super) fn remove(&self, ino: u64) {
        if self.any.load(Ordering::Acquire) {
            self.files.lock().remove(&ino);
        }
    }

    pub(super) fn contains(&self, ino: u64) -> bool {
        self.any.load(Ordering::Acquire) && self.files.lock().contains(&ino)
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
