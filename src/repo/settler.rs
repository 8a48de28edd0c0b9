//! Work ahead of commits: files are hashed soon after they are closed, and much dirty data goes to
//! the store, by a thread of its own.
//!
//! Nothing depends on it. What it has not done a commit does, and who tells it of a file never
//! waits: the backlog is bounded, and what does not fit is left to the commit.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{CachedOnly, Repo};
use crate::base::limits::{SETTLE_BACKLOG_MAX, SETTLE_DELAY, SETTLE_FILES_LOCKED_MAX};
use crate::model::Ino;
use crate::store::Durability;
use crate::worktree::tree::Hasher;
use crate::worktree::{Inode, hash_files};

/// The backlog of the thread that works ahead.
pub(super) struct Settler {
    tasks: Sender<Task>,
    /// Taken by the thread when it starts.
    backlog: Receiver<Task>,
    /// Whether the backlog holds [`Task::Store`].
    store_wanted: AtomicBool,
    started: AtomicBool,
}

enum Task {
    /// Hash this file.
    Hash(Ino),
    /// Bring all that is dirty into the store.
    Store,
}

impl Settler {
    pub(super) fn new() -> Self {
        let (tasks, backlog) = bounded(SETTLE_BACKLOG_MAX);
        Self { tasks, backlog, store_wanted: false.into(), started: false.into() }
    }

    fn add(&self, task: Task) -> bool {
        self.started.load(Ordering::Relaxed) && self.tasks.try_send(task).is_ok()
    }

    /// Asks for dirty data to go to the store.
    pub(super) fn store_soon(&self) {
        if !self.store_wanted.swap(true, Ordering::Relaxed) && !self.add(Task::Store) {
            self.store_wanted.store(false, Ordering::Relaxed);
        }
    }
}

impl Repo {
    /// Starts the thread that works ahead of commits. It ends with the repository.
    pub fn start_settling(self: &Arc<Self>) -> io::Result<()> {
        let (repo, backlog) = (Arc::downgrade(self), self.settler.backlog.clone());
        let run = move || work(&repo, &backlog);
        thread::Builder::new().name("vst-settle".to_owned()).spawn(run)?;
        self.settler.started.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Tells that nobody has this file open any more, so that it can be hashed ahead of the next
    /// commit.
    pub fn closed(&self, ino: Ino) {
        if self.look(|tree| tree.can_be_settled(ino)) {
            self.settler.add(Task::Hash(ino));
        }
    }

    /// Hashes dirty files and writes their entries into their directories. A few at a time: others
    /// can look at the tree in between. What fails is left to the commit, which meets it too and
    /// has somebody to tell.
    pub(super) fn settle(&self, files: Vec<Arc<Inode>>, hasher: &mut Hasher) {
        match hash_files(&files, hasher, self.source()) {
            Ok(counts) => self.count_contents(&counts),
            Err(error) => return log::debug!("not hashed before the commit: {error}"),
        }
        let mut files = files.into_iter();
        loop {
            let batch: Vec<_> = files.by_ref().take(SETTLE_FILES_LOCKED_MAX).collect();
            if batch.is_empty() {
                return;
            }
            let packs = self.history.store().packs();
            self.live.write().settle(batch, &CachedOnly(packs));
        }
    }
}

fn work(repo: &Weak<Repo>, backlog: &Receiver<Task>) {
    let mut hasher = Hasher::default();
    while let Ok(first) = backlog.recv() {
        // Others follow, most often: taken together they share batches and fewer wake-ups.
        thread::sleep(SETTLE_DELAY);
        let Some(repo) = repo.upgrade() else { return };
        let (mut inos, mut store) = (Vec::new(), false);
        for task in std::iter::once(first).chain(backlog.try_iter()) {
            match task {
                Task::Hash(ino) => inos.push(ino),
                Task::Store => store = true,
            }
        }
        inos.sort_unstable();
        inos.dedup();
        if store {
            repo.settler.store_wanted.store(false, Ordering::Relaxed);
            if let Err(error) = repo.checkpoint(Durability::Fast) {
                log::debug!("not stored ahead of the commit: {error}");
            }
        }
        let files = repo.look(|tree| tree.to_settle(&inos));
        repo.stats().files_settled.fetch_add(files.len() as u64, Ordering::Relaxed);
        repo.settle(files, &mut hasher);
    }
}
