//! Work ahead of commits: files are hashed soon after they are closed, by a thread of its own.
//!
//! Nothing depends on it. What it has not done a commit does, and who tells it of a file never
//! waits: the backlog is bounded, and what does not fit is left to the commit.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{CachedOnly, Repo};
use crate::base::limits::{
    FILE_BYTES_MAX, SETTLE_BACKLOG_MAX, SETTLE_DELAY, SETTLE_FILES_LOCKED_MAX,
};
use crate::model::Ino;
use crate::worktree::hash_files;
use crate::worktree::tree::Hasher;

/// The backlog of the thread that works ahead.
pub(super) struct Settler {
    tasks: Sender<Ino>,
    /// Taken by the thread when it starts.
    backlog: Receiver<Ino>,
    started: AtomicBool,
}

impl Settler {
    pub(super) fn new() -> Self {
        let (tasks, backlog) = bounded(SETTLE_BACKLOG_MAX);
        Self { tasks, backlog, started: false.into() }
    }

    fn add(&self, ino: Ino) -> bool {
        self.started.load(Ordering::Relaxed) && self.tasks.try_send(ino).is_ok()
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
            self.settler.add(ino);
        }
    }

    /// Hashes those of these inodes that are dirty files of at most so many bytes, and writes their
    /// entries into their directories. A few at a time: others can look at the tree in between.
    /// Returns how many there were. What fails is left to the commit, which meets it too and has
    /// somebody to tell.
    pub(super) fn settle(&self, inos: &[Ino], bytes_max: u64, hasher: &mut Hasher) -> usize {
        let packs = self.history.store().packs();
        let mut settled = 0;
        for inos in inos.chunks(SETTLE_FILES_LOCKED_MAX) {
            let files = self.look(|tree| tree.to_settle(inos, bytes_max));
            match hash_files(&files, hasher, self.source()) {
                Ok(_) if files.is_empty() => {}
                Ok(counts) => {
                    self.count_contents(&counts);
                    settled += self.live.write().settle(files, &CachedOnly(packs));
                }
                Err(error) => log::debug!("not hashed before the commit: {error}"),
            }
        }
        settled
    }
}

fn work(repo: &Weak<Repo>, backlog: &Receiver<Ino>) {
    let mut hasher = Hasher::default();
    while let Ok(first) = backlog.recv() {
        // Others follow, most often: taken together they share batches and fewer wake-ups.
        thread::sleep(SETTLE_DELAY);
        let Some(repo) = repo.upgrade() else { return };
        let mut inos: Vec<Ino> = std::iter::once(first).chain(backlog.try_iter()).collect();
        inos.sort_unstable();
        inos.dedup();
        let settled = repo.settle(&inos, FILE_BYTES_MAX, &mut hasher);
        repo.stats().files_settled.fetch_add(settled as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use super::Settler;
    use crate::base::limits::{BACKGROUND_PART, DIRTY_BYTES_MAX, SETTLE_BACKLOG_MAX};
    use crate::model::{FileKind, Ino, Name, NewNode, Op, Timestamp};
    use crate::repo::{CommitRequest, Repo, RepoOptions};

    const DIRTY_BYTES_STORE: u64 = DIRTY_BYTES_MAX / BACKGROUND_PART;
    const TIME: Timestamp = Timestamp { secs: 7, nanos: 0 };

    fn open() -> (tempfile::TempDir, Arc<Repo>) {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo::open(&dir.path().join("store"), RepoOptions::default()).unwrap();
        (dir, Arc::new(repo))
    }

    fn create(repo: &Repo, name: &str) -> Ino {
        let (ino, kind) = (repo.update(|edit| Ok(edit.allocate_ino())).unwrap(), FileKind::Regular);
        let node = NewNode { kind, perm: 0o644, uid: 0, gid: 0, rdev: 0, target: Box::default() };
        let (parent, name) = (Ino::ROOT, Name::new(name.as_bytes()).unwrap());
        repo.apply(&Op::Create { parent, name, ino, node, time: TIME }).unwrap();
        ino
    }

    fn write(repo: &Repo, ino: Ino, offset: u64, data: &[u8]) {
        let write = Op::Write { ino, offset, data: data.into(), kill_priv: false, time: TIME };
        repo.apply(&write).unwrap();
    }

    fn wait_until(what: &str, done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{what} never happens");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn count(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn closed_files_are_hashed_before_anybody_commits() {
        let (_dir, repo) = open();
        repo.start_settling().unwrap();
        let inos = ["a", "b", "c"].map(|name| create(&repo, name));
        for ino in inos {
            write(&repo, ino, 0, &ino.0.to_le_bytes());
            repo.closed(ino);
        }
        let stats = repo.stats();
        wait_until("settling", || count(&stats.files_settled) == 3);
        assert_eq!((count(&stats.files_hashed), count(&stats.commits)), (3, 0));
        repo.commit(&CommitRequest::default()).unwrap();
        assert_eq!(count(&stats.files_hashed), 3, "the commit found nothing left to hash");
    }

    #[test]
    fn a_commit_does_what_nobody_did_ahead() {
        let (_dir, repo) = open();
        let ino = create(&repo, "a");
        write(&repo, ino, 0, b"text");
        repo.closed(ino);
        assert!(repo.settler.backlog.is_empty(), "nobody works it off");
        repo.commit(&CommitRequest::default()).unwrap();
        assert_eq!(count(&repo.stats().files_hashed), 1);
        repo.start_settling().unwrap();
        repo.closed(ino);
        assert!(repo.settler.backlog.is_empty(), "a clean file is no work");
    }

    #[test]
    fn the_backlog_is_bounded() {
        let settler = Settler::new();
        settler.started.store(true, Ordering::Relaxed);
        for ino in 0..SETTLE_BACKLOG_MAX as u64 {
            assert!(settler.add(Ino(ino)));
        }
        assert!(!settler.add(Ino(0)));
    }

    #[test]
    fn much_dirty_data_goes_to_the_store_while_writers_go_on() {
        let (_dir, repo) = open();
        repo.start_keeping().unwrap();
        let ino = create(&repo, "large");
        let piece = vec![7; 1 << 20];
        for at in 0..=DIRTY_BYTES_STORE >> 20 {
            write(&repo, ino, at << 20, &piece);
        }
        assert!(repo.look(|tree| tree.dirty_bytes()) > DIRTY_BYTES_STORE);
        repo.relieve().unwrap();
        wait_until("storing", || repo.look(|tree| tree.dirty_bytes()) == 0);
        assert_eq!(count(&repo.stats().checkpoints), 1, "that is the first, of an empty tree");
    }

    #[test]
    fn the_thread_ends_with_the_repository() {
        let (dir, repo) = open();
        repo.start_settling().unwrap();
        drop(repo);
        // The store is locked as long as anybody has it open.
        Repo::open(&dir.path().join("store"), RepoOptions::default()).unwrap();
    }
}
