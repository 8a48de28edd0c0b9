//! Commits that nobody asked for: one after each interval in which anything changed.

use std::io;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{CommitRequest, Repo, RepoError};
use crate::base::sync::Mutex;
use crate::model::{AutoCommit, CommitId, Ino};

/// What the message of such a commit is.
pub const AUTO_COMMIT_MESSAGE: &str = "automatic commit";

/// The thread that commits.
#[derive(Default)]
pub(super) struct Committer {
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Wakes the thread; it ends when this is dropped.
    wake: Sender<()>,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Lets the thread know that it may have another interval now.
    pub(super) fn look_again(&self) {
        if let Some(running) = &*self.running.lock() {
            // If that is full, it has yet to look.
            let _ = running.wake.try_send(());
        }
    }

    /// Ends the thread, and waits for that.
    pub(super) fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(Running { wake, thread }) = running {
            drop(wake);
            if thread.join().is_err() {
                log::error!("the thread that commits by itself has panicked");
            }
        }
    }
}

impl Repo {
    /// Starts the thread that commits by itself: as often as the configuration says, also when that
    /// changes, or as `every` does, which then counts. It ends when the repository is closed.
    pub fn start_auto_commit(self: &Arc<Self>, every: Option<AutoCommit>) -> io::Result<()> {
        let (wake, woken) = bounded(1);
        let repo = Arc::downgrade(self);
        let run = move || commit_now_and_then(&repo, &woken, every);
        let thread = thread::Builder::new().name("vst-autocommit".to_owned()).spawn(run)?;
        *self.committer.running.lock() = Some(Running { wake, thread });
        Ok(())
    }

    /// Commits if the tree is not as the head has it, and returns the commit if one was made. If
    /// nothing has changed, that costs two looks at what is known, and leaves no trace.
    pub fn commit_automatically(&self) -> Result<Option<CommitId>, RepoError> {
        if !self.may_differ_from_head() {
            return Ok(None);
        }
        let before = self.head();
        let message = AUTO_COMMIT_MESSAGE.to_owned();
        let id = self.commit(&CommitRequest { message, ..CommitRequest::default() })?;
        Ok(Some(id).filter(|id| before != Some(*id)))
    }

    /// Tells whether a commit may find something to commit. It does not if this is false.
    fn may_differ_from_head(&self) -> bool {
        // Held while others hash, so that what is dirty is not in their hands.
        let committing = self.committing.lock();
        self.look(|tree| match tree.head {
            // A new store is left as it is until there is something in it.
            None => {
                let top = tree.find(Ino::ROOT).and_then(|top| top.directory());
                top.is_some_and(|entries| !entries.is_empty())
            }
            Some(_) => tree.may_change_commits() || committing.tree_root != committing.head_root,
        })
    }
}

fn commit_now_and_then(repo: &Weak<Repo>, woken: &Receiver<()>, option: Option<AutoCommit>) {
    loop {
        let configured = || {
            let repo = repo.upgrade()?;
            Some(repo.config().map(|config| config.auto_commit).unwrap_or_else(|error| {
                log::error!("nothing is committed automatically: {error}");
                AutoCommit::Off
            }))
        };
        let Some(every) = option.or_else(configured) else { return };
        let waited = match every {
            AutoCommit::Off => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            AutoCommit::Every(interval) => woken.recv_timeout(interval),
        };
        match waited {
            Ok(()) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(repo) = repo.upgrade() else { return };
        if let Err(error) = repo.commit_automatically() {
            log::warn!("no automatic commit, which is tried again in {every}: {error}");
        }
    }
}
