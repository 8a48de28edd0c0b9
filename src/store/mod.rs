//! Layer 3: what lies on the disk: objects in packs, refs, the list of snapshots, the lock.
//!
//! A [`Store`] is a directory with all of them; `layout` draws it. One process owns it, by its
//! lock, and changes it; others may read it meanwhile.

mod cache;
mod commit_log;
mod config;
mod error;
mod files;
mod id_hash;
mod inspect;
mod layout;
mod lock;
mod memory;
mod objects;
mod options;
mod pack;
mod refs;
mod space;
mod state_log;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::layout::{Found, Layout};
use crate::base::disk::Disk;

pub use self::commit_log::CommitLog;
pub use self::error::StoreError;
pub use self::inspect::{Finding, Inspection, Lists, PacksChecked, Part, Progress};
pub use self::lock::StoreLock;
pub use self::memory::MemoryStore;
pub use self::objects::{ObjectInfo, ObjectStats, ObjectStore};
pub use self::options::{Durability, OpenOptions};
pub use self::pack::{CollectOptions, Collected, Collection, IoCounts, PackOptions, PackStore};
pub use self::refs::{Expected, RefName, RefNameError, Refs};
pub use self::space::Space;
pub use self::state_log::StateLog;

/// A store: objects, the refs that keep them alive, and the list of snapshots.
pub struct Store {
    layout: Layout,
    options: OpenOptions,
    packs: Arc<PackStore>,
    refs: Refs,
    commits: CommitLog,
    states: StateLog,
    space: Space,
    /// None if the store is open for reading only. Dropped last.
    lock: Option<StoreLock>,
}

impl Store {
    /// Opens the store in a directory, and makes one if the directory is empty or missing. What
    /// is made is durable on return.
    pub fn create_or_open(dir: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let layout = Layout::new(&options.disk, dir);
        if options.read_only {
            return Self::open(dir, options);
        }
        layout.inspect()?;
        layout.create_root()?;
        let lock = StoreLock::acquire(&*options.disk, dir)?;
        // Looked at again under the lock: another process may have made the store meanwhile.
        if layout.inspect()? == Found::Nothing {
            layout.create(&lock)?;
        }
        let store = Self::open_locked(layout, options, Some(lock))?;
        if store.states.states()?.is_empty() {
            // Who made it may have ended before it was durable.
            store.layout.sync()?;
        }
        Ok(store)
    }

    /// Opens the store in a directory, which must be there.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let layout = Layout::new(&options.disk, dir);
        if layout.inspect()? == Found::Nothing {
            return Err(StoreError::NotAStore { path: dir.to_owned() });
        }
        let lock =
            if options.read_only { None } else { Some(StoreLock::acquire(&*options.disk, dir)?) };
        Self::open_locked(layout, options, lock)
    }

    fn open_locked(
        layout: Layout,
        options: OpenOptions,
        lock: Option<StoreLock>,
    ) -> Result<Self, StoreError> {
        let pack_options = PackOptions { cache_bytes: options.cache_bytes, ..Default::default() };
        let disk = layout.disk();
        let packs = if options.read_only {
            PackStore::open_read_only(disk, &layout.packs(), pack_options)?
        } else {
            PackStore::open(disk, &layout.packs(), pack_options)?
        };
        let refs = Refs::open(disk, layout.refs(), options.read_only);
        let commits = CommitLog::open(disk, layout.commits(), options.read_only)?;
        let states = StateLog::open(disk, layout.states(), options.read_only)?;
        let space = Space::new(disk, layout.live(), layout.reserve());
        Ok(Self { layout, options, packs: Arc::new(packs), refs, commits, states, space, lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.layout.root()
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        self.layout.disk()
    }

    /// The directory of the journal.
    pub fn journal(&self) -> PathBuf {
        self.layout.journal()
    }

    /// How the store was opened.
    pub fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// The objects.
    pub fn packs(&self) -> &Arc<PackStore> {
        &self.packs
    }

    /// The refs.
    pub fn refs(&self) -> &Refs {
        &self.refs
    }

    /// The list of snapshots.
    pub fn commits(&self) -> &CommitLog {
        &self.commits
    }

    /// The states of the worktree.
    pub fn states(&self) -> &StateLog {
        &self.states
    }

    /// The room that it takes.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The lock, if this process owns the store.
    pub fn lock(&self) -> Option<&StoreLock> {
        self.lock.as_ref()
    }

    /// Makes all objects and the list of snapshots durable, in this order, so that no snapshot is
    /// listed whose objects are lost.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.packs.sync()?;
        self.commits.sync()
    }

    /// As `sync`, and seals the open pack. A store that is dropped without this keeps what was
    /// flushed.
    pub fn close(&self) -> Result<(), StoreError> {
        self.packs.close()?;
        self.commits.sync()
    }
}
