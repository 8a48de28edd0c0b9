//! Sixteen who move files and directories across each other while a commit is made every
//! millisecond. Nothing that they do makes a file or loses one, so every tree that ever was holds
//! each of them once, and a commit is such a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::harness::TestMount;

const MOVERS: u64 = 16;
const FILES_EACH: u64 = 6;
const MOVES_EACH: u64 = 150;
/// Directories that are at the top when it begins, and those in them.
const PLACES: u64 = 4;
const MOVING: u64 = 6;

/// What second names begin with.
const FLEETING: &str = "second-";

fn is_fleeting(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(FLEETING.as_bytes()))
}

/// A simple generator, so that each mover repeats its choices.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Every path below a directory, as far as it stays where it is while one looks.
fn paths(top: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![top.to_owned()]);
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

/// Moves whatever it meets. What it was about to move may have gone elsewhere, and what is to be
/// moved may hold the place that it is to be moved to.
fn mover(top: &Path, number: u64) {
    let mut random = Random(number);
    for turn in 0..MOVES_EACH {
        // A name that is about to be removed must not be exchanged for that of another file.
        let mut all = paths(top);
        all.retain(|path| !is_fleeting(path));
        let mut pick = || all[random.below(all.len() as u64) as usize].clone();
        let (one, other) = (pick(), pick());
        let new = other.join(format!("{number}-{turn}"));
        let done = match turn % 4 {
            // To a name of its own in a directory that may be one.
            0 | 1 => rustix::fs::renameat_with(CWD, &one, CWD, &new, RenameFlags::NOREPLACE),
            2 => rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE),
            // For a moment the file has two names, or longer if the second moves with its
            // directory.
            _ => {
                let second = other.join(format!("{FLEETING}{number}-{turn}"));
                rustix::fs::link(&one, &second).map(|()| {
                    fs::remove_file(&second).ok();
                })
            }
        };
        let expected = [Errno::NOENT, Errno::NOTDIR, Errno::INVAL, Errno::NOTEMPTY, Errno::PERM];
        if let Err(errno) = done {
            assert!(expected.contains(&errno), "{errno} for {one:?} and {other:?}");
        }
    }
}

/// Checks that each file is there once, whatever it is called, and each directory.
fn check(top: &Path, what: &str) {
    let mut files = BTreeMap::new();
    let mut directories = 0;
    for path in paths(top) {
        let meta = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{what}: {path:?}: {e}"));
        if meta.is_dir() {
            directories += 1;
            continue;
        }
        let content = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{what}: {path:?}: {e}"));
        files.entry(content).or_insert_with(BTreeSet::new).insert(meta.ino());
    }
    let expected = (0..MOVERS * FILES_EACH).map(|n| n.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), expected, "{what}");
    assert!(files.values().all(|inos| inos.len() == 1), "{what}: a file is there twice");
    assert_eq!(directories, PLACES + MOVING, "{what}");
}

#[test]
fn every_commit_amid_crossing_renames_holds_each_file_once() {
    let mut mount = TestMount::new();
    let top = mount.path().join("all");
    let place = |n: u64| top.join(format!("place-{}", n % PLACES));
    for n in 0..PLACES {
        fs::create_dir_all(place(n)).expect("a new directory");
    }
    for n in 0..MOVING {
        fs::create_dir(place(n).join(format!("moving-{n}"))).expect("a new directory");
    }
    for n in 0..MOVERS * FILES_EACH {
        fs::write(place(n).join(n.to_string()), n.to_string()).expect("a new file");
    }
    let mut commits = vec![mount.commit("before")];
    let left = AtomicUsize::new(MOVERS as usize);
    thread::scope(|scope| {
        let movers = (0..MOVERS).map(|number| {
            let (top, left) = (&top, &left);
            scope.spawn(move || {
                // Counted down also when it fails.
                struct Leave<'a>(&'a AtomicUsize);
                impl Drop for Leave<'_> {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, Ordering::SeqCst);
                    }
                }
                let _leave = Leave(left);
                mover(top, number);
            })
        });
        let movers: Vec<_> = movers.collect();
        while left.load(Ordering::SeqCst) > 0 {
            commits.push(mount.commit("meanwhile"));
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(movers.len(), MOVERS as usize);
    });
    commits.dedup();
    assert!(commits.len() > 20, "{} commits are too few to show anything", commits.len());
    check(&top, "the live tree");
    for id in &commits {
        check(&mount.snapshot(id).join("all"), id);
    }
    mount.remount();
    check(&top, "the live tree after a remount");
    for id in commits.iter().step_by(8) {
        check(&mount.snapshot(id).join("all"), id);
    }
}
