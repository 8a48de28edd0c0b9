//! What is done behind those who change the tree: commits and much dirty data go to the store,
//! checkpoints are made when the journal has grown, garbage is collected when the packs have,
//! snapshots are dropped that no configured rule keeps, and the journal is made durable at least
//! every second.
//!
//! Nothing waits for it but memory and disk, both of which are bounded elsewhere: who would exceed
//! a bound does the work himself.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::Repo;
use super::checkpoint::Extent;
use super::pace::Pace;
use crate::base::limits::{BACKGROUND_PART, JOURNAL_COST_MAX, JOURNAL_SYNC_INTERVAL, WRITE_DELAY};
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::journal::Journal;

/// What the threads behind a repository are asked to do.
pub(super) struct Keeper {
    wake: Sender<()>,
    /// Taken by the thread when it starts.
    woken: Receiver<()>,
    write: AtomicBool,
    store: AtomicBool,
    checkpoint: AtomicBool,
    prepare: AtomicBool,
    /// Wakes the thread that collects, which takes far longer than the others may wait.
    collect: Sender<()>,
    collect_woken: Receiver<()>,
    /// The rules of what is kept were changed, and the thread that collects has not seen that yet.
    new_rules: AtomicBool,
}

impl Keeper {
    pub(super) fn new() -> Self {
        let (wake, woken) = bounded(1);
        let (collect, collect_woken) = bounded(1);
        let [write, store, checkpoint, prepare, new_rules] = Default::default();
        Self { wake, woken, write, store, checkpoint, prepare, collect, collect_woken, new_rules }
    }

    fn ask(&self, what: &AtomicBool) {
        if !what.load(Ordering::Relaxed) && !what.swap(true, Ordering::AcqRel) {
            // If that is full, it is awake.
            let _ = self.wake.try_send(());
        }
    }

    /// Asks for commits to be brought into the store.
    pub(super) fn write_soon(&self) {
        self.ask(&self.write);
    }

    /// Asks for everything dirty to be brought into the store.
    pub(super) fn store_soon(&self) {
        self.ask(&self.store);
    }

    /// Asks for a look at how much room the packs take.
    fn collect_soon(&self) {
        // If that is full, it has yet to look.
        let _ = self.collect.try_send(());
    }

    /// To be called before the rules of what is kept change.
    pub(super) fn note_new_rules(&self) {
        self.new_rules.store(true, Ordering::SeqCst);
        self.collect_soon();
    }

    /// Tells whether they have changed since the thread that collects has last looked.
    pub(super) fn has_new_rules(&self) -> bool {
        self.new_rules.load(Ordering::SeqCst)
    }

    /// Lets them be seen.
    pub(super) fn forget_new_rules(&self) -> bool {
        self.new_rules.swap(false, Ordering::SeqCst)
    }

    /// Asks for what the length of the journal calls for.
    pub(super) fn look_at(&self, journal: &Journal, bytes_max: u64) {
        let (bytes, cost) = journal.lag();
        if bytes > bytes_max / BACKGROUND_PART || cost > JOURNAL_COST_MAX / BACKGROUND_PART {
            self.ask(&self.checkpoint);
        }
        if journal.wants_segment() {
            self.ask(&self.prepare);
        }
    }
}

impl Repo {
    /// Starts the threads that work behind the repository. They end with it.
    pub fn start_keeping(self: &Arc<Self>) -> io::Result<()> {
        let (repo, woken) = (Arc::downgrade(self), self.keeper.woken.clone());
        let run = move || keep(&repo, &woken);
        thread::Builder::new().name("vst-store".to_owned()).spawn(run)?;
        let (repo, woken) = (Arc::downgrade(self), self.keeper.collect_woken.clone());
        let pace = Pace::new(Instant::now(), self.options.retention_delay);
        let run = move || collect(&repo, &woken, pace);
        thread::Builder::new().name("vst-collect".to_owned()).spawn(run)?;
        let (repo, (alive, ended)) = (Arc::downgrade(self), bounded(0));
        *self.syncing.lock() = Some(alive);
        let run = move || sync_now_and_then(&repo, &ended);
        thread::Builder::new().name("vst-sync".to_owned()).spawn(run)?;
        self.keeper.ask(&self.keeper.prepare);
        // What was recovered.
        self.keeper.write_soon();
        self.keeper.collect_soon();
        Ok(())
    }
}

fn keep(repo: &Weak<Repo>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        // Who asked is at work, perhaps on this CPU; and more will come.
        thread::sleep(WRITE_DELAY);
        let Some(repo) = repo.upgrade() else { return };
        let keeper = &repo.keeper;
        let asked = |what: &AtomicBool| what.swap(false, Ordering::AcqRel);
        let report = |what: &str, result: Result<(), super::RepoError>| {
            if let Err(error) = result {
                log::warn!("{what}: {error}");
            }
        };
        if asked(&keeper.prepare) {
            report(
                "nothing is set aside for the journal",
                repo.journal.prepare().map_err(Into::into),
            );
            let reserved = repo.store().space().fill_reserve().map_err(Into::into);
            report("nothing is set aside for a full disk", reserved);
        }
        if asked(&keeper.write) {
            report("commits wait to be stored", repo.write_commits());
        }
        if asked(&keeper.store) {
            let stored = repo.write_tree(&mut repo.storing.lock(), Extent::All).map(drop);
            report("dirty data waits to be stored", stored);
        }
        if asked(&keeper.checkpoint) {
            report("the journal cannot be cut", repo.checkpoint());
            keeper.collect_soon();
        }
    }
}

fn collect(repo: &Weak<Repo>, woken: &Receiver<()>, mut pace: Pace) {
    while woken.recv_timeout(pace.left(Instant::now())) != Err(RecvTimeoutError::Disconnected) {
        let Some(repo) = repo.upgrade() else { return };
        if let Err(error) = repo.collect_if_worthwhile() {
            log::warn!("garbage is not collected: {error}");
        }
        let began = Instant::now();
        if repo.keeper.forget_new_rules() {
            pace.put_off(began);
        }
        if pace.is_due(began) {
            if repo.options.acts_by_itself
                && let Err(error) = repo.apply_retention()
            {
                log::warn!("snapshots that no rule keeps stay: {error}");
            }
            pace.done(began, Instant::now());
        }
    }
}

fn sync_now_and_then(repo: &Weak<Repo>, ended: &Receiver<()>) {
    while ended.recv_timeout(JOURNAL_SYNC_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let Some(repo) = repo.upgrade() else { return };
        if repo.journal.wants_sync()
            && let Err(error) = repo.journal.sync()
        {
            log::error!("what was done in the last second is not durable: {error}");
        }
    }
}
