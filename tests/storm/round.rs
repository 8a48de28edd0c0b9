//! What the threads of one round share: how far each writer has got, what was committed, and when
//! to stop.
//!
//! Whoever asks for a commit notes before it how far all writers have got: so much it must hold
//! once the call has returned.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use parking_lot::Mutex;
use rustix::io::Errno;

/// A commit that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// What it was asked for with, which nobody else uses; or nothing.
    pub(crate) message: String,
    /// Its id, where the call tells it without doubt.
    pub(crate) id: Option<String>,
    /// The id of what its top directory holds, if somebody looked before the daemon was killed.
    pub(crate) top: Option<String>,
    /// Whether it makes a commit even if nothing changed.
    pub(crate) always: bool,
    /// For each writer the state that was acknowledged before.
    pub(crate) before: Vec<u64>,
    /// For each writer the state that was begun when it returned.
    pub(crate) after: Vec<u64>,
}

#[derive(Debug, Default)]
struct Progress {
    begun: AtomicU64,
    acknowledged: AtomicU64,
    committed: AtomicU64,
}

/// A round.
#[derive(Debug)]
pub(crate) struct Round {
    /// Its number.
    pub(crate) number: u64,
    /// The top of the mount.
    pub(crate) top: PathBuf,
    writers: Vec<Progress>,
    acknowledged: AtomicU64,
    /// How many operations are acknowledged before `reached` is told.
    acknowledged_end: u64,
    reached: SyncSender<()>,
    killing: AtomicBool,
    stop: AtomicBool,
    commits: Mutex<Vec<Commit>>,
    asked_for: Mutex<HashSet<String>>,
    touches: AtomicU64,
    restores: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// Ends the round's threads, also when the test fails.
pub(crate) struct Stop<'a>(pub(crate) &'a Round);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Round {
    /// A round of so many writers, which tells `reached` when they have done enough.
    pub(crate) fn new(
        number: u64,
        top: PathBuf,
        writers: usize,
        acknowledged_end: u64,
        reached: SyncSender<()>,
    ) -> Self {
        Self {
            number,
            top,
            writers: (0..writers).map(|_| Progress::default()).collect(),
            acknowledged: AtomicU64::new(0),
            acknowledged_end,
            reached,
            killing: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            commits: Mutex::default(),
            asked_for: Mutex::default(),
            touches: AtomicU64::new(0),
            restores: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// Ends everybody's work between two operations.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// From now on calls may fail as they do without a daemon.
    pub(crate) fn expect_death(&self) {
        self.killing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_death_expected(&self) -> bool {
        self.killing.load(Ordering::SeqCst)
    }

    /// Tells whether a call failed because the daemon was killed. Anything else is a failure of
    /// the test, noted here.
    pub(crate) fn is_death(&self, error: &io::Error, what: &str) -> bool {
        let errno = Errno::from_io_error(error);
        // The last two come of rings: what is asked while they are taken away, and what the kernel
        // was about to copy to a daemon that is being killed.
        let dead = matches!(
            errno,
            Some(Errno::NOTCONN | Errno::CONNABORTED | Errno::IO | Errno::CANCELED | Errno::INTR)
        );
        if dead && self.is_death_expected() {
            return true;
        }
        self.fail(format!("{what}: {error}, with a daemon that nobody had killed"));
        false
    }

    /// Notes a failure and ends the round.
    pub(crate) fn fail(&self, what: String) {
        self.failures.lock().push(what);
        self.stop();
        let _ = self.reached.try_send(());
    }

    /// What has gone wrong so far.
    pub(crate) fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut self.failures.lock())
    }

    /// A writer begins its operation of this number.
    pub(crate) fn begin(&self, writer: usize, number: u64) {
        self.writers[writer].begun.store(number, Ordering::SeqCst);
    }

    /// The operation of this number has been acknowledged to a writer.
    pub(crate) fn acknowledge(&self, writer: usize, number: u64) {
        self.writers[writer].acknowledged.store(number, Ordering::SeqCst);
        if self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == self.acknowledged_end {
            let _ = self.reached.try_send(());
        }
    }

    fn load(&self, of: impl Fn(&Progress) -> &AtomicU64) -> Vec<u64> {
        self.writers.iter().map(|writer| of(writer).load(Ordering::SeqCst)).collect()
    }

    /// For each writer the last operation that was acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<u64> {
        self.load(|writer| &writer.acknowledged)
    }

    /// For each writer the last operation that was begun.
    pub(crate) fn begun(&self) -> Vec<u64> {
        self.load(|writer| &writer.begun)
    }

    /// For each writer the last operation that a commit covers.
    pub(crate) fn committed(&self) -> Vec<u64> {
        self.load(|writer| &writer.committed)
    }

    /// A commit is about to be asked for with this message.
    pub(crate) fn ask_for_commit(&self, message: &str) {
        if message.is_empty() {
            self.touches.fetch_add(1, Ordering::SeqCst);
        } else {
            self.asked_for.lock().insert(message.to_owned());
        }
    }

    /// A commit has been acknowledged.
    pub(crate) fn committed_now(&self, commit: Commit) {
        for (writer, number) in self.writers.iter().zip(&commit.before) {
            writer.committed.fetch_max(*number, Ordering::SeqCst);
        }
        self.commits.lock().push(commit);
    }

    /// The acknowledged commits.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.commits.lock().clone()
    }

    /// Whether somebody asked for a commit with this message.
    pub(crate) fn was_asked_for(&self, message: &str) -> bool {
        self.asked_for.lock().contains(message)
    }

    /// How many commits were asked for without a message.
    pub(crate) fn touches(&self) -> u64 {
        self.touches.load(Ordering::SeqCst)
    }

    /// A restore is about to be asked for, which commits what it replaces.
    pub(crate) fn ask_for_restore(&self) {
        self.restores.fetch_add(1, Ordering::SeqCst);
    }

    /// How many restores were asked for.
    pub(crate) fn restores(&self) -> u64 {
        self.restores.load(Ordering::SeqCst)
    }

    /// The most commits that this round can have made.
    pub(crate) fn commits_max(&self) -> usize {
        self.asked_for.lock().len() + (self.touches() + self.restores()) as usize
    }
}
