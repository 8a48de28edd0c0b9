//! Restoring while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::verify::{assert_clean, verified};
use super::world::{new_disk, open};
use crate::base::disk::sim::SimDisk;
use crate::base::interrupt::{Interrupt, watching};
use crate::model::{CommitId, EntryBody, FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, Repo, RepoError, RestoreRequest};
use crate::worktree::{CommittedTree, File};

const LOG: Ino = Ino(2000);
const OTHER: Ino = Ino(3000);
const TIME: Timestamp = Timestamp { secs: 1, nanos: 0 };
/// How often others get their turn before a sync goes on in any case.
const YIELDS_MAX: u32 = 10_000;
/// Restores while the log is written to.
const RESTORES: u64 = 10;

fn create(repo: &Repo, name: &[u8], ino: Ino) {
    let (kind, target) = (FileKind::Regular, Box::default());
    let node = NewNode { kind, perm: 0o644, uid: 1, gid: 1, rdev: 0, target };
    let name = Name::new(name).unwrap();
    repo.apply(&Op::Create { parent: Ino::ROOT, name, ino, node, time: TIME }).unwrap();
}

fn write(ino: Ino, offset: u64, data: &[u8]) -> Op {
    Op::Write { ino, offset, data: Arc::from(data), kill_priv: false, time: TIME }
}

/// Appends a record to the log: how many there were.
fn append(repo: &Repo) {
    let appended = repo.update(|edit| {
        let log = edit.find(LOG).and_then(|inode| inode.file()).expect("it is in the table");
        let size = log.size();
        edit.apply(&write(LOG, size, &(size / 8).to_le_bytes()))
    });
    appended.unwrap();
}

/// How many records a log has, none of which is missing.
fn records(log: &File, repo: &Repo) -> u64 {
    let mut bytes = vec![0; log.size() as usize];
    log.read(0, &mut bytes, repo.source()).unwrap();
    let (records, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    (0..).zip(records).for_each(|(n, record)| assert_eq!(u64::from_le_bytes(*record), n));
    records.len() as u64
}

fn records_now(repo: &Repo) -> u64 {
    let log = repo.look(|tree| tree.find(LOG).and_then(|log| log.file()).cloned());
    records(&log.expect("it is in the table"), repo)
}

fn records_in(repo: &Repo, commit: &CommitId) -> u64 {
    repo.write_commits().unwrap();
    let root = repo.history().commit(commit).unwrap().root;
    let tree = CommittedTree::open(&root, repo.source()).unwrap();
    let entry = tree.find(b"n0", repo.source()).unwrap().expect("it is in every commit");
    let EntryBody::File { size, content } = entry.body else { panic!("it is a file") };
    records(&File::stored(size, content), repo)
}

/// Ends the other threads, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Restores paths, or all, from a commit with an empty log, while a thread appends to the log all
/// the time. `check` gets each of the commits that were made of the tree of before. Returns how
/// many records were written and how many there are.
fn restore_under_writes(paths: &[Vec<u8>], mut check: impl FnMut(u64)) -> (u64, u64) {
    let disk: SimDisk = new_disk();
    let repo = open(&disk).unwrap();
    create(&repo, b"n0", LOG);
    create(&repo, b"n1", OTHER);
    let first = repo.commit(&CommitRequest::default()).unwrap();
    let (paths, revision) = (paths.to_vec(), first.object().to_string());
    let request = RestoreRequest { revision, paths };
    let (ends, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Acquire) {
                append(&repo);
                written.fetch_add(1, Ordering::AcqRel);
            }
        });
        scope.spawn(|| {
            // No sync ends before something is written that was begun after it, unless writing
            // waits for it.
            while !ends.load(Ordering::Acquire) {
                let hold = disk.hold_syncs();
                let before = written.load(Ordering::Acquire);
                let waits = |_: &u32| written.load(Ordering::Acquire) < before + 2;
                (0..YIELDS_MAX).take_while(waits).for_each(|_| std::thread::yield_now());
                drop(hold);
            }
        });
        let _end = Ends(&ends);
        for n in 1..=RESTORES {
            let wanted = written.load(Ordering::Acquire) + 10;
            while written.load(Ordering::Acquire) < wanted {
                std::thread::yield_now();
            }
            repo.apply(&write(OTHER, 0, &n.to_le_bytes())).unwrap();
            let restored = repo.restore(&request);
            let restored = restored.unwrap_or_else(|error| panic!("restore {n}: {error}"));
            check(records_in(&repo, &restored.saved.expect("there were changes")));
        }
    });
    let now = records_now(&repo);
    let size = repo.look(|tree| tree.find(OTHER).and_then(|file| file.file().map(File::size)));
    assert_eq!(size, Some(0), "it is restored");
    // A process that is killed then loses nothing either.
    let killed = disk.after_kill();
    drop(repo);
    let repo = open(&killed).unwrap();
    let name = Name::new(b"n0").unwrap();
    repo.update(|edit| {
        let found = edit.lookup(Ino::ROOT, &name)?.expect("it is there");
        edit.load(Ino::ROOT, &name, &found)
    })
    .unwrap();
    assert_eq!(records_now(&repo), now);
    repo.close().unwrap();
    assert_clean(&verified(&killed), "closed");
    (written.into_inner(), now)
}

#[test]
fn a_tree_that_is_written_to_all_the_time_is_restored_and_no_write_is_lost() {
    let mut saved = 0;
    let (written, now) = restore_under_writes(&[], |records| {
        assert!(records > 0);
        saved += records;
    });
    assert_eq!(saved + now, written);
}

#[test]
fn paths_beside_a_file_that_is_written_to_all_the_time_are_restored() {
    let mut saved = 0;
    let (written, now) = restore_under_writes(&[b"n1".to_vec()], |records| {
        assert!(records > saved);
        saved = records;
    });
    assert!(saved <= now);
    assert_eq!(now, written);
}

#[test]
fn a_restore_and_an_undo_that_are_given_up_have_done_nothing() {
    let disk = new_disk();
    let repo = open(&disk).unwrap();
    create(&repo, b"n0", LOG);
    append(&repo);
    let first = repo.commit(&CommitRequest::default()).unwrap();
    append(&repo);
    let given_up = Interrupt::given_up();
    let restore = RestoreRequest::parse(&first.object().to_string());
    let restored = watching(&given_up, || repo.restore(&restore));
    assert!(matches!(restored, Err(RepoError::GivenUp)), "{restored:?}");
    assert_eq!((repo.head(), records_now(&repo)), (Some(first), 2));
    let restored = repo.restore(&restore).unwrap();
    assert!(restored.saved.is_some());
    assert_eq!(records_now(&repo), 1);
    let undone = watching(&given_up, || repo.undo().map(|undone| undone.restored));
    assert!(matches!(undone, Err(RepoError::GivenUp)), "{undone:?}");
    assert_eq!((repo.head(), records_now(&repo)), (Some(first), 1));
    drop(repo);
    assert_clean(&verified(&disk), "given up");
    let repo = open(&disk).unwrap();
    repo.undo().unwrap();
    assert_eq!(records_in(&repo, &restored.saved.unwrap()), 2);
}
