//! What the kernel keeps of a mount is never out of date.

use std::collections::BTreeSet;
use std::fs::{self, File, ReadDir};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::harness::TestMount;

fn listed(dir: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir).expect("a directory").map(|entry| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("a name of letters")
    });
    names.collect()
}

/// Lists twice: the second time the kernel may answer from what it has kept.
#[track_caller]
fn assert_lists(dir: &Path, names: &[&str]) {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(listed(dir), names);
    assert_eq!(listed(dir), names, "as it was kept");
}

#[test]
fn a_listing_that_is_kept_follows_every_change() {
    let mount = TestMount::new();
    let dir = mount.path().join("dir");
    fs::create_dir(&dir).expect("a new directory");
    assert_lists(&dir, &[]);
    fs::write(dir.join("a"), "a").expect("a new file");
    assert_lists(&dir, &["a"]);
    fs::hard_link(dir.join("a"), dir.join("b")).expect("a link");
    assert_lists(&dir, &["a", "b"]);
    fs::rename(dir.join("a"), dir.join("c")).expect("a new name");
    assert_lists(&dir, &["b", "c"]);
    fs::remove_file(dir.join("b")).expect("it is there");
    assert_lists(&dir, &["c"]);
    fs::rename(dir.join("c"), mount.path().join("c")).expect("a new place");
    assert_lists(&dir, &[]);
}

#[test]
fn a_listing_that_is_kept_follows_a_restore() {
    let mount = TestMount::new();
    let dir = mount.path().join("dir");
    fs::create_dir(&dir).expect("a new directory");
    fs::write(dir.join("old"), "old").expect("a new file");
    let first = mount.commit("first");
    fs::remove_file(dir.join("old")).expect("it is there");
    fs::write(dir.join("new"), "new").expect("a new file");
    assert_lists(&dir, &["new"]);
    fs::write(mount.path().join(".vst/restore"), &first).expect("the commit is there");
    assert_lists(&dir, &["old"]);
}

/// Reads the rest of a listing.
fn rest(listing: ReadDir) -> Vec<String> {
    let names = listing.map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.into_string().expect("a name of letters")).collect()
}

/// Names in the directory: more than one call of a listing gives.
const NAMES: usize = 3000;

fn many(mount: &TestMount) -> (PathBuf, BTreeSet<String>) {
    let dir = mount.path().join("dir");
    fs::create_dir(&dir).expect("a new directory");
    let names: BTreeSet<String> = (0..NAMES).map(|n| format!("{n:04}-stays")).collect();
    for name in &names {
        File::create_new(dir.join(name)).expect("a new file");
    }
    (dir, names)
}

/// The kernel puts together what several handles list, by the places that rows have.
#[test]
fn a_listing_that_began_before_a_change_adds_nothing_to_one_that_began_after_it() {
    let mount = TestMount::new();
    let (dir, names) = many(&mount);
    let begin = || {
        let mut listing = fs::read_dir(&dir).expect("a directory");
        listing.next().expect("it has entries").expect("an entry");
        listing
    };
    let before = begin();
    File::create_new(dir.join("last")).expect("a new file");
    let after = begin();
    assert!(rest(before).len() >= names.len() - 1);
    let listed = rest(after);
    assert!(listed.iter().any(|name| name == "last"), "it was there when the listing began");
    assert_eq!(listed.len(), names.len());
}

#[test]
fn a_listing_goes_on_where_it_was_when_the_kernel_has_kept_a_newer_one() {
    let mount = TestMount::new();
    let (dir, names) = many(&mount);
    for n in 0..100 {
        File::create_new(dir.join(format!("0000-gone-{n:02}"))).expect("a new file");
    }
    let mut listing = fs::read_dir(&dir).expect("a directory");
    let first = listing.next().expect("it has entries").expect("an entry").file_name();
    // All of these are in what the first call gave, and move the rows that follow.
    for n in 0..100 {
        fs::remove_file(dir.join(format!("0000-gone-{n:02}"))).expect("it is there");
    }
    assert_eq!(listed(&dir), names);
    let mut found: Vec<String> =
        rest(listing).into_iter().filter(|name| name.ends_with("stays")).collect();
    found.extend(first.into_string().ok().filter(|name| name.ends_with("stays")));
    found.sort();
    assert!(found.iter().eq(&names), "names that stay are listed once each");
}

/// Whatever comes and goes meanwhile, and whoever else lists.
#[test]
fn names_that_stay_are_in_each_listing_once() {
    let mount = TestMount::new();
    let (dir, names) = many(&mount);
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let all = (0..50).all(|_| {
                    let mut found = rest(fs::read_dir(&dir).expect("a directory"));
                    found.retain(|name| name.ends_with("stays"));
                    found.sort();
                    found.iter().eq(&names)
                });
                done.fetch_add(1, Ordering::Relaxed);
                assert!(all, "a listing has a name twice or not at all");
            });
        }
        for n in 0.. {
            let path = dir.join(format!("{:04}-comes", n % NAMES));
            File::create_new(&path).expect("a new file");
            fs::remove_file(&path).expect("it is there");
            if done.load(Ordering::Relaxed) == 4 {
                break;
            }
        }
    });
}

#[test]
fn a_listing_of_snapshots_has_those_made_since_the_last_one() {
    let mount = TestMount::new();
    let snapshots = mount.path().join(".snapshots");
    for n in 0..3 {
        fs::write(mount.path().join("file"), n.to_string()).expect("a file");
        let id = mount.commit("another");
        let listed = listed(&snapshots);
        assert!(listed.contains(&id), "{id} is not in {listed:?}");
        assert_eq!(listed.len(), n + 3, "they, by-time and latest");
    }
}

#[test]
fn one_who_reads_what_another_is_writing_sees_each_write() {
    let mount = TestMount::new();
    let path = mount.path().join("log");
    let mut written = Vec::new();
    let mut writer = File::create_new(&path).expect("a new file");
    let mut early = None;
    for n in 0..50_u8 {
        // Neither pages nor what was read before end where writes do.
        let piece = vec![n; 777];
        writer.write_all(&piece).expect("a write");
        written.extend(piece);
        let reader = early.get_or_insert_with(|| File::open(&path).expect("it opens"));
        reader.rewind().expect("a file can be rewound");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("a read");
        assert!(read == written, "after {n} more writes the same handle misses something");
        assert!(fs::read(&path).expect("a read") == written, "a new one, too");
        assert_eq!(fs::metadata(&path).expect("its size").size(), written.len() as u64);
    }
    writer.write_all_at(b"changed", 3).expect("a write");
    written[3..10].copy_from_slice(b"changed");
    drop(writer);
    assert!(fs::read(&path).expect("a read") == written);
    let mut later = File::options().append(true).open(&path).expect("it opens");
    later.write_all(b"more").expect("a write");
    written.extend(b"more");
    let mut read = Vec::new();
    let mut early = early.expect("it was opened");
    early.rewind().expect("a file can be rewound");
    early.read_to_end(&mut read).expect("a read");
    assert!(read == written && fs::read(&path).expect("a read") == written);
}
