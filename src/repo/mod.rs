//! Layer 4: a store and a working tree put together.
//!
//! Locks, in the order in which they are taken: `committing`, then `live`. Neither is held while
//! a disk is waited for, but for `committing`, which is what makes commits one after another.

mod checkpoint;
mod error;
mod history;
mod restore;
mod revision;
mod settler;
mod status;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::base::limits::{LOAD_RETRIES_MAX, OBJECT_CACHE_BYTES};
use crate::format::worktree::WorktreeState;
use crate::model::{CommitId, ObjectError, ObjectId, ObjectSource, Op, RootId, Timestamp};
use crate::store::{Durability, OpenOptions, PackStore, Store};
use crate::worktree::tree::Hasher;
use crate::worktree::{OpError, Worktree};

pub use checkpoint::{CommitRequest, CommitStats};
pub use error::RepoError;
pub use history::{History, LogEntry};
pub use restore::{RestoreRequest, Restored, Touched};
pub use revision::{Revision, RevisionError};
use settler::Settler;

/// How a repository is opened.
#[derive(Clone, Debug)]
pub struct RepoOptions {
    /// What a commit waits for.
    pub durability: Durability,
    /// Memory for objects that have been read.
    pub cache_bytes: usize,
    /// Owner of the top directory of a new tree.
    pub uid: u32,
    /// Group of the top directory of a new tree.
    pub gid: u32,
    /// Who commits, if nobody is named.
    pub author: String,
}

impl Default for RepoOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fast,
            cache_bytes: OBJECT_CACHE_BYTES,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            author: String::new(),
        }
    }
}

/// A store that this process owns, with its working tree.
pub struct Repo {
    history: History,
    options: RepoOptions,
    live: RwLock<Worktree>,
    committing: Mutex<Committing>,
    /// Counts the mutations of the tree.
    changes: AtomicU64,
    stats: CommitStats,
    settler: Settler,
}

/// What only the one who commits needs.
struct Committing {
    hasher: Hasher,
    /// The root that the head has.
    head_root: Option<RootId>,
    /// The root and the object of the last state that was written.
    state: Option<(WorktreeState, ObjectId)>,
    /// Mutations that the last durable state holds.
    durable_changes: u64,
}

impl Repo {
    /// Opens the store in a directory and the working tree in it; makes both if the directory is
    /// missing or empty. Reads a few objects, whatever the size of the tree.
    pub fn open(dir: &Path, options: RepoOptions) -> Result<Self, RepoError> {
        let open = OpenOptions {
            read_only: false,
            cache_bytes: options.cache_bytes,
            durability: options.durability,
        };
        let history = History::new(Arc::new(Store::create_or_open(dir, open)?));
        let state = history.worktree_state()?;
        let (live, head_root) = match &state {
            Some((state, _)) => {
                let live = Worktree::open(state, history.source())?;
                let head = state.head.map(|head| history.commit(&head)).transpose()?;
                (live, head.map(|head| head.root))
            }
            None => {
                let time = Timestamp::now();
                (Worktree::new(options.uid, options.gid, 0o755, time), None)
            }
        };
        if let Some(head) = live.head {
            history.list_commit(&head)?;
        }
        let hasher = Hasher::default();
        let committing = Committing { hasher, head_root, state, durable_changes: 0 };
        Ok(Self {
            history,
            options,
            live: RwLock::new(live),
            committing: Mutex::new(committing),
            changes: AtomicU64::new(0),
            stats: CommitStats::default(),
            settler: Settler::new(),
        })
    }

    /// The commits and what they hold.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.history.store()
    }

    /// How often what was committed, and how long it took.
    pub fn stats(&self) -> &CommitStats {
        &self.stats
    }

    /// Where objects are read from. A read may wait for a disk.
    pub fn source(&self) -> &dyn ObjectSource {
        self.history.source()
    }

    /// The commit that the tree stands on.
    pub fn head(&self) -> Option<CommitId> {
        self.live.read().head
    }

    /// Looks at the tree. Nothing that waits may be done meanwhile: take a clone of what is
    /// needed, which is a pointer, and look at that.
    pub fn look<T>(&self, look: impl FnOnce(&Worktree) -> T) -> T {
        look(&self.live.read())
    }

    /// Applies an operation to the tree.
    pub fn apply(&self, op: &Op) -> Result<(), OpError> {
        self.update(|tree, src| tree.apply(op, src))
    }

    /// Changes the tree. `change` is called under the lock with a source that does not wait for
    /// a disk; when it asks for what is not in memory, which must leave the tree as it was, that
    /// is read without the lock and `change` is called again.
    pub fn update<T>(
        &self,
        mut change: impl FnMut(&mut Worktree, &dyn ObjectSource) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        let packs = self.history.store().packs();
        for _ in 0..LOAD_RETRIES_MAX {
            let result = {
                let mut live = self.live.write();
                let result = change(&mut live, &CachedOnly(packs));
                self.changes.fetch_add(1, Ordering::Release);
                result
            };
            match result {
                Err(OpError::Object(ObjectError::NotLoaded(id))) => drop(packs.get(&id)?),
                result => return result,
            }
        }
        // The cache is too small for what the operation needs, or others sweep it: better to
        // wait under the lock than for ever.
        change(&mut self.live.write(), packs.as_ref())
    }
}

/// Reads what is in memory and nothing else.
struct CachedOnly<'a>(&'a PackStore);

impl ObjectSource for CachedOnly<'_> {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        self.0.find_cached(id).ok_or(ObjectError::NotLoaded(*id))
    }
}
