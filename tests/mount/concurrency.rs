//! Many who work at once, and much that is in use at once.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::{Pid, Resource, Rlimit};

use crate::harness::TestMount;
use crate::shell::sh;

const WRITERS: usize = 4;
const COMMITS: usize = 25;
/// Whole records to a page, so that none is split.
const RECORD_BYTES: usize = 64;
const BLOCK_BYTES: usize = 64 * 1024;

/// One who writes numbers, each in three ways and in this order, and how far it has got.
#[derive(Default)]
struct Progress {
    begun: AtomicU64,
    acknowledged: AtomicU64,
}

/// Stops the writers, also when a test fails.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn record(number: u64) -> Vec<u8> {
    format!("{number:>63}\n").into_bytes()
}

fn block(number: u64) -> Vec<u8> {
    record(number).repeat(BLOCK_BYTES / RECORD_BYTES)
}

/// Appends a record, overwrites a block and replaces a file by a rename, with one call each.
fn write_numbers(directory: &Path, progress: &Progress, stop: &AtomicBool) {
    let open = |name| {
        let mut options = OpenOptions::new();
        options.create(true).append(name == "log").write(true).open(directory.join(name))
    };
    let (mut log, file) = (open("log").expect("a new file"), open("block").expect("a new file"));
    let (new, current) = (directory.join("new"), directory.join("current"));
    for number in 1.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        progress.begun.store(number, Ordering::SeqCst);
        let written = log.write(&record(number)).expect("writable");
        assert_eq!(written, RECORD_BYTES);
        let written = file.write_at(&block(number), 0).expect("writable");
        assert_eq!(written, BLOCK_BYTES);
        fs::write(&new, record(number)).expect("writable");
        fs::rename(&new, &current).expect("replaced");
        progress.acknowledged.store(number, Ordering::SeqCst);
    }
}

/// The number that repeated records hold, if they are whole and agree.
#[track_caller]
fn number_of(bytes: &[u8]) -> u64 {
    let first = bytes.get(..RECORD_BYTES).expect("at least one record");
    let text = std::str::from_utf8(first).expect("a record is text");
    let number = text.trim().parse().expect("a record is a number");
    assert!(bytes.chunks(RECORD_BYTES).all(|r| r == record(number)), "a torn record");
    number
}

/// The last number in each of the files of a writer, 0 if there is no file yet.
fn numbers_in(directory: &Path) -> [u64; 3] {
    let read = |name: &str| fs::read(directory.join(name)).unwrap_or_default();
    let log = read("log");
    for (at, bytes) in log.chunks(RECORD_BYTES).enumerate() {
        assert_eq!(number_of(bytes), at as u64 + 1, "the log of {directory:?}");
    }
    let or_zero = |bytes: Vec<u8>| if bytes.is_empty() { 0 } else { number_of(&bytes) };
    [(log.len() / RECORD_BYTES) as u64, or_zero(read("block")), or_zero(read("current"))]
}

#[test]
fn a_commit_holds_what_was_acknowledged_before_and_nothing_begun_after() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    let directories: Vec<PathBuf> = (0..WRITERS).map(|n| top.join(n.to_string())).collect();
    let progress: Vec<Progress> = (0..WRITERS).map(|_| Progress::default()).collect();
    let stop = AtomicBool::new(false);
    let mut commits = Vec::new();
    thread::scope(|scope| {
        let _guard = Stop(&stop);
        let mut writers = Vec::new();
        for (directory, progress) in directories.iter().zip(&progress) {
            fs::create_dir(directory).expect("a new directory");
            writers.push(scope.spawn(|| write_numbers(directory, progress, &stop)));
        }
        for _ in 0..COMMITS {
            let load = |value: &AtomicU64| value.load(Ordering::SeqCst);
            let before: Vec<u64> = progress.iter().map(|p| load(&p.acknowledged)).collect();
            let id = mount.commit("meanwhile");
            let after: Vec<u64> = progress.iter().map(|p| load(&p.begun)).collect();
            commits.push((id, before, after));
            // Some writes come between two commits.
            let next = load(&progress[0].acknowledged) + 3;
            while load(&progress[0].acknowledged) < next {
                assert!(!writers[0].is_finished(), "a writer has failed");
                thread::yield_now();
            }
        }
    });
    let last: Vec<_> = directories.iter().map(|directory| numbers_in(directory)).collect();
    let check = |mount: &TestMount| {
        for (id, before, after) in &commits {
            for writer in 0..WRITERS {
                let numbers = numbers_in(&mount.snapshot(id).join(writer.to_string()));
                let [log, block, current] = numbers;
                assert!(log <= after[writer], "{numbers:?}: begun after {}", after[writer]);
                assert!(current >= before[writer], "{numbers:?}: lost {}", before[writer]);
                assert!(log >= block && block >= current, "{numbers:?}: out of order");
                assert!(current + 1 >= log, "{numbers:?}: one operation is missing");
            }
        }
    };
    check(&mount);
    mount.remount();
    check(&mount);
    let kept: Vec<_> = directories.iter().map(|directory| numbers_in(directory)).collect();
    assert_eq!(kept, last);
}

#[test]
fn commits_asked_for_at_once_are_all_answered() {
    let mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        "for w in 1 2 3 4; do
             (for i in $(seq 20); do echo $i > file-$w; echo \"$w $i\" > .vst/commit; done) &
         done; wait",
    );
    let log = fs::read_to_string(top.join(".vst/log")).expect("a log");
    assert!((1..=80).contains(&log.lines().count()), "{log}");
    assert_eq!(sh(&top, "cat .snapshots/latest/file-*"), "20\n20\n20\n20\n");
    assert_eq!(sh(&top, "wc -l < .vst/status").trim(), "0");
}

#[test]
fn threads_that_move_the_same_names_leave_a_sound_tree() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    sh(
        &top,
        "mkdir a b; for i in $(seq 20); do echo $i > a/$i; done
         shuffle() { for n in $(seq 150); do
             f=$((RANDOM % 20 + 1)); mv a/$f b/ 2>/dev/null || mv b/$f a/ 2>/dev/null || :
             ln a/$f b/l$1 2>/dev/null || :; rm -f b/l$1; touch .vst/commit
         done; }
         for w in 1 2 3 4; do shuffle $w & done; wait; touch .vst/commit",
    );
    for _ in 0..2 {
        assert_eq!(sh(&top, "cat a/* b/* 2>/dev/null | sort -n | uniq | wc -l").trim(), "20");
        assert_eq!(sh(&top, "find a b -type f -links 1 | wc -l").trim(), "20");
        sh(&top, "diff -r a .snapshots/latest/a; diff -r b .snapshots/latest/b");
        mount.remount();
    }
}

#[test]
fn a_hundred_thousand_inodes_in_use_take_no_file_descriptors() {
    let mut mount = TestMount::new();
    let top = mount.path().to_owned();
    limit_files(&mount);
    sh(&top, "for d in {1..100}; do mkdir $d; (cd $d; touch {1..1000}); done; touch .vst/commit");
    assert!(inodes_loaded(&top) >= 100_000);
    mount.remount();
    limit_files(&mount);
    // Whoever asks for the attributes of all has the kernel hold all.
    assert_eq!(
        sh(&top, "find . -type f -size 0 -printf '%i\\n' | sort -u | wc -l").trim(),
        "100000"
    );
    assert!(inodes_loaded(&top) >= 100_000);
    let open: Vec<File> = (1..=500)
        .map(|n| File::open(top.join(format!("7/{n}"))).expect("the daemon needs none for it"))
        .collect();
    sh(&top, "echo x > 7/1; touch .vst/commit; test \"$(cat .snapshots/latest/7/1)\" = x");
    assert_eq!(open.len(), 500);
}

/// Leaves the daemon as many file descriptors as most systems give.
fn limit_files(mount: &TestMount) {
    let pid = i32::try_from(mount.daemon_pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(1024), maximum: Some(1024) };
    rustix::process::prlimit(pid, Resource::Nofile, limit).expect("a limit of a child");
}

fn inodes_loaded(top: &Path) -> u64 {
    let text = fs::read_to_string(top.join(".vst/stats")).expect("readable");
    let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    stats["tree"]["inodes_loaded"].as_u64().expect("a number")
}
