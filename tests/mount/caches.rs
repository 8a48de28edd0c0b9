//! What the kernel keeps of a mount is never out of date.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

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
    // To write only, and new: such a file goes past the kernel's cache.
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
    // From now on through the cache, by whoever has it open.
    let mut later = File::options().append(true).open(&path).expect("it opens");
    later.write_all(b"more").expect("a write");
    written.extend(b"more");
    let mut read = Vec::new();
    let mut early = early.expect("it was opened");
    early.rewind().expect("a file can be rewound");
    early.read_to_end(&mut read).expect("a read");
    assert!(read == written && fs::read(&path).expect("a read") == written);
}
