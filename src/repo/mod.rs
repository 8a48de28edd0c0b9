//! Layer 4: a store and a working tree put together.
//!
//! Locks, in the order in which they are taken: `collecting`, `storing`, `committing`, `live`,
//! those of the journal; `queue` and `newest` are leaves, and `configuring` is taken alone. `live`
//! orders the operations, and is held while their records are appended to the journal. `committing`
//! makes commits one after another, and is held while they hash. `storing` makes what goes to the
//! store come one after another. It and `collecting`, which lets only one collect garbage, are the
//! only ones that are held while a disk is waited for, but for a restore and an undo, which let no
//! commit come between.

mod auto_commit;
mod checkpoint;
mod commit;
mod config;
mod edit;
mod error;
mod gc;
mod gc_request;
mod history;
mod ignored;
mod keep;
mod keeper;
mod mark;
mod mend;
mod pace;
mod plain;
mod provenance;
mod reach;
mod recover;
mod restore;
mod retention;
mod revision;
mod settler;
mod status;
mod tag;
#[cfg(test)]
mod tests;
mod undo;
mod usage;
mod verify;
mod walk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::base::disk::{Disk, RealDisk};
use crate::base::limits::{
    DIRTY_BYTES_MAX, DIRTY_BYTES_MAX_MIN, JOURNAL_BYTES_MAX, JOURNAL_BYTES_MAX_MIN,
    JOURNAL_COST_MAX, OBJECT_CACHE_BYTES, RETENTION_DELAY, SPACE_SLACK_BYTES,
};
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Mutex, RwLock};
use crate::base::{haste, interrupt};
use crate::format::commit_log::CommitRecord;
use crate::journal::{Journal, Urgency};
use crate::model::{CommitId, Ino, ObjectError, ObjectId, ObjectSource, RootId, Writer};
use crate::store::{Durability, PackStore, Store};
use crate::worktree::Worktree;
use crate::worktree::tree::Hasher;

use self::auto_commit::Committer;
use self::checkpoint::Unwritten;
use self::gc::Collecting;
use self::keeper::Keeper;
use self::provenance::ChangesBy;
use self::settler::Settler;

pub use crate::model::Retention;
pub use auto_commit::AUTO_COMMIT_MESSAGE;
pub use commit::{CommitRequest, CommitStats};
pub use config::ConfigRequest;
pub use edit::Edit;
pub use error::RepoError;
pub use gc::{GcProgress, GcReport};
pub use gc_request::{GcRequest, GcRequestError};
pub use history::{History, LogEntry};
pub use mend::{Mended, mend};
pub use plain::{ExportRequest, Exported, LeftOut, export};
pub use restore::{RestoreRequest, Restored, Touched};
pub use revision::{Revision, RevisionError};
pub use tag::{TagChange, TagName, TagNameError, TagRequest, Tagged};
pub use undo::Undone;
pub use usage::Usage;
pub use verify::{Holder, Hurt, Verified, verify};

/// How a repository is opened.
#[derive(Clone, Debug)]
pub struct RepoOptions {
    /// What a commit waits for.
    pub durability: Durability,
    /// Memory for objects that have been read.
    pub cache_bytes: usize,
    /// File content that is in memory only; whoever writes more waits until it is in the store.
    pub dirty_bytes_max: u64,
    /// Most bytes of the journal; whoever would write more waits for a checkpoint.
    pub journal_bytes_max: u64,
    /// Owner of the top directory of a new tree.
    pub uid: u32,
    /// Group of the top directory of a new tree.
    pub gid: u32,
    /// Who commits, if nobody is named.
    pub author: String,
    /// Who changes the tree, if nobody is named.
    pub writer: Option<Arc<Writer>>,
    /// Whether operations are put into the journal. Without it, what was done since the last
    /// checkpoint ends with the process: for measurements of what it costs.
    pub journaled: bool,
    /// Disk that garbage may take before it is collected in the background, beside half as much
    /// as what is live.
    pub space_slack_bytes: u64,
    /// Whether anything is done that nobody asked for but in the configuration.
    pub acts_by_itself: bool,
    /// How long the configured rules of what is kept are left alone after they were changed or
    /// applied.
    pub retention_delay: Duration,
    /// The disk that the store is on.
    pub disk: Arc<dyn Disk>,
}

impl Default for RepoOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fast,
            cache_bytes: OBJECT_CACHE_BYTES,
            dirty_bytes_max: DIRTY_BYTES_MAX,
            journal_bytes_max: JOURNAL_BYTES_MAX,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            author: String::new(),
            writer: None,
            journaled: true,
            space_slack_bytes: SPACE_SLACK_BYTES,
            acts_by_itself: true,
            retention_delay: RETENTION_DELAY,
            disk: Arc::new(RealDisk),
        }
    }
}

/// A store that this process owns, with its working tree.
pub struct Repo {
    history: History,
    options: RepoOptions,
    live: RwLock<Worktree>,
    journal: Journal,
    committing: Mutex<Committing>,
    storing: Mutex<Storing>,
    collecting: Collecting,
    /// Held by the one who changes the configuration.
    configuring: Mutex<()>,
    /// What was hashed and has yet to be stored, oldest first.
    queue: Mutex<VecDeque<Unwritten>>,
    /// How many commits are in there, or on their way from there into the list of commits.
    unwritten_commits: AtomicU64,
    /// The commit that was made last.
    newest: Mutex<Option<CommitRecord>>,
    /// Counts the changes of the tree and of what is loaded of it.
    changes: AtomicU64,
    stats: CommitStats,
    settler: Settler,
    keeper: Keeper,
    committer: Committer,
    /// Dropped with the repository, which ends the thread that syncs.
    syncing: Mutex<Option<Sender<()>>>,
}

/// What only the one who commits needs.
#[derive(Default)]
struct Committing {
    hasher: Hasher,
    /// The root that the head has.
    head_root: Option<RootId>,
    /// The root that the tree had when it was last hashed, unless it became another tree since.
    tree_root: Option<RootId>,
    /// Directories that changed since the last checkpoint; some are listed twice.
    changed: Vec<Ino>,
    /// The length of the list at which it is looked through for those.
    changed_max: usize,
}

/// What only the one who stores needs.
#[derive(Default)]
struct Storing {
    hasher: Hasher,
    /// Changes that the last durable state holds.
    saved_changes: u64,
    /// Who changed what since the last commit that is in the store.
    changes_by: ChangesBy,
}

impl Committing {
    fn note_changed(&mut self, inos: impl IntoIterator<Item = Ino>) {
        self.changed.extend(inos);
        if self.changed.len() > self.changed_max {
            self.changed.sort_unstable();
            self.changed.dedup();
            self.changed_max = (2 * self.changed.len()).max(CHANGED_LISTED_MIN);
        }
    }
}

/// Shorter lists are not worth a look for what is listed twice.
const CHANGED_LISTED_MIN: usize = 4096;

impl Repo {
    fn new(history: History, mut options: RepoOptions, live: Worktree, journal: Journal) -> Self {
        options.dirty_bytes_max = options.dirty_bytes_max.max(DIRTY_BYTES_MAX_MIN);
        options.journal_bytes_max = options.journal_bytes_max.max(JOURNAL_BYTES_MAX_MIN);
        Self {
            newest: Mutex::new(history.newest()),
            history,
            options,
            live: RwLock::new(live),
            journal,
            committing: Mutex::default(),
            storing: Mutex::default(),
            collecting: Collecting::default(),
            configuring: Mutex::default(),
            queue: Mutex::default(),
            unwritten_commits: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            stats: CommitStats::default(),
            settler: Settler::new(),
            keeper: Keeper::new(),
            committer: Committer::default(),
            syncing: Mutex::default(),
        }
    }

    /// The commits and what they hold. Those that were made a moment ago may not be there yet:
    /// see [`Self::write_commits`].
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.history.store()
    }

    fn packs(&self) -> &PackStore {
        self.history.store().packs()
    }

    /// How it was opened.
    pub fn options(&self) -> &RepoOptions {
        &self.options
    }

    /// The operations since the last checkpoint.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How often what was committed, and how long it took.
    pub fn stats(&self) -> &CommitStats {
        &self.stats
    }

    /// How many commits are in the journal and not in the store yet.
    pub fn unwritten_commits(&self) -> u64 {
        self.unwritten_commits.load(Ordering::Acquire)
    }

    /// Where objects are read from. A read may wait for a disk.
    pub fn source(&self) -> &dyn ObjectSource {
        self.history.source()
    }

    /// The commit that the tree stands on.
    pub fn head(&self) -> Option<CommitId> {
        self.live.read().head
    }

    /// The commit that was made last, if any was.
    pub fn newest(&self) -> Option<CommitRecord> {
        *self.newest.lock()
    }

    /// Looks at the tree. Nothing that waits may be done meanwhile: take a clone of what is
    /// needed, which is a pointer, and look at that.
    pub fn look<T>(&self, look: impl FnOnce(&Worktree) -> T) -> T {
        look(&self.live.read())
    }

    /// Waits for a checkpoint if the journal cannot take more.
    fn make_room(&self, urgency: Urgency) -> Result<(), RepoError> {
        let (bytes, cost) = self.journal.lag();
        let failed = self.journal.failure().is_some();
        if !failed && bytes <= self.options.journal_bytes_max && cost <= JOURNAL_COST_MAX {
            return Ok(());
        }
        patience()?;
        match self.with_room(|| self.checkpoint()) {
            Err(error) if urgency == Urgency::MakesRoom && !failed => {
                log::warn!("the journal grows beyond its bound: {error}");
                Ok(())
            }
            done => done,
        }
    }
}

/// Fails where there is no time to wait.
fn patience() -> Result<(), RepoError> {
    if haste::would_wait() { Err(RepoError::Hasty) } else { Ok(()) }
}

/// Fails if whoever asked for what is being done has gone. Only before anything is done that
/// counts.
fn unless_given_up() -> Result<(), RepoError> {
    if interrupt::is_given_up() { Err(RepoError::GivenUp) } else { Ok(()) }
}

/// Reads what is in memory and nothing else.
struct CachedOnly<'a>(&'a PackStore);

impl ObjectSource for CachedOnly<'_> {
    fn get(&self, id: &ObjectId) -> Result<Arc<[u8]>, ObjectError> {
        self.0.find_cached(id).ok_or(ObjectError::NotLoaded(*id))
    }
}
