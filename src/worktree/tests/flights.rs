//! Operations while a commit is in flight.

use super::check::{assert_consistent, assert_tables};
use super::fs::{Done, Fs};
use super::{at, name, noise};
use crate::base::limits::XATTRS_INLINE_BYTES_MAX;
use crate::model::{Ino, Op, SetAttr};
use crate::worktree::tree::Hasher;
use crate::worktree::{OpError, Worktree, hash_files};

/// Begins a commit of one tree, changes it, publishes, and returns what was committed.
fn commit_while(fs: &mut Fs, change: impl FnOnce(&mut Fs)) -> Done {
    let snapshot = fs.tree.begin_commit();
    change(fs);
    let committed = fs.hash(&snapshot);
    drop(snapshot);
    let done = fs.publish(committed);
    assert_consistent(&fs.tree, &fs.objects);
    done
}

fn two_files() -> Fs {
    let mut fs = Fs::new();
    fs.mkdir("d");
    fs.file("d/a", b"a");
    fs.file("d/b", b"b");
    fs
}

#[test]
fn what_comes_later_is_in_the_next_commit_only() {
    let mut fs = two_files();
    let before = fs.tree.clone().begin_commit().commit_root(&fs);
    let first = commit_while(&mut fs, |fs| fs.write("d/a", 0, b"later"));
    assert_eq!(first.root, before);
    let second = fs.commit();
    assert_ne!(second.root, first.root);
    assert_eq!(second.files, 1, "the other file was hashed by the first commit");
    fs.reopen();
    assert_eq!((fs.read("d/a"), fs.read("d/b")), (b"later".to_vec(), b"b".to_vec()));
}

#[test]
fn a_file_removed_and_dropped_in_flight_is_gone() {
    let mut fs = two_files();
    fs.link("d/a", "link");
    let first = commit_while(&mut fs, |fs| {
        fs.unlink("d/a");
        fs.unlink("link");
    });
    assert_eq!(fs.tree.dirty_bytes(), 0);
    let opened = Worktree::open(&first.state, &fs.objects).unwrap();
    assert_tables(&opened, &fs.objects);
    fs.commit();
    assert_tables(&fs.tree, &fs.objects);
    assert_eq!(fs.find("link"), None);
}

#[test]
fn a_removed_file_that_is_still_open_keeps_its_dirty_bytes_until_it_is_dropped() {
    let mut fs = two_files();
    let (parent, ino) = (fs.ino("d"), fs.ino("d/a"));
    let remove = Op::Unlink { parent, name: name("a"), time: at(100) };
    commit_while(&mut fs, |fs| fs.try_apply(&remove).unwrap());
    fs.write_ino(ino, 10, b"more");
    assert_eq!(fs.tree.dirty_bytes(), 4, "what it held before is in the store");
    fs.commit();
    assert!(!fs.tree.evict(ino), "no entry tells what it holds");
    fs.try_apply(&Op::DropOrphan { ino }).unwrap();
    assert_eq!(fs.tree.dirty_bytes(), 0);
    assert!(matches!(fs.try_apply(&Op::DropOrphan { ino }), Err(OpError::NotFound)));
}

#[test]
fn what_the_store_has_yet_to_get_is_kept() {
    let mut fs = two_files();
    fs.file("d/holes", b"");
    fs.commit();
    fs.truncate("d/holes", 16_300);
    fs.xattr("d/a", "user.large", &[7; XATTRS_INLINE_BYTES_MAX]);
    fs.commit_only();
    for path in ["d/holes", "d/a"] {
        let ino = fs.ino(path);
        assert!(!fs.tree.evict(ino), "{path}");
    }
    fs.store_queue();
    fs.reopen();
    for path in ["d/holes", "d/a"] {
        let ino = fs.ino(path);
        assert!(fs.tree.evict(ino), "{path}");
    }
}

#[test]
fn a_directory_removed_in_flight_takes_its_changes_along() {
    let mut fs = two_files();
    let kept = commit_while(&mut fs, |fs| {
        fs.unlink("d/a");
        fs.rename("d/b", "b");
        fs.rmdir("d");
    });
    assert_tables(&Worktree::open(&kept.state, &fs.objects).unwrap(), &fs.objects);
    fs.reopen();
    assert_tables(&fs.tree, &fs.objects);
    assert_eq!(fs.read("b"), b"b");
    assert_eq!(fs.find("d"), None);
}

#[test]
fn names_given_in_flight_to_a_file_that_is_being_hashed_are_kept() {
    let mut fs = two_files();
    fs.mkdir("e");
    commit_while(&mut fs, |fs| {
        fs.link("d/a", "e/a");
        fs.rename("d", "e/d");
        fs.exchange("e/d/a", "e/d/b");
    });
    fs.reopen();
    assert_tables(&fs.tree, &fs.objects);
    assert_eq!(fs.ino("e/a"), fs.ino("e/d/b"));
    assert_eq!(fs.read("e/d/a"), b"b");
}

#[test]
fn a_directory_moved_after_a_flight_takes_the_links_of_that_flight_along() {
    let mut fs = Fs::new();
    fs.mkdir("d");
    fs.mkdir("d/sub");
    fs.file("f", b"");
    fs.commit();
    fs.link("f", "d/sub/link");
    commit_while(&mut fs, |fs| {
        fs.set("d/sub", SetAttr { perm: Some(0o700), ..SetAttr::default() });
    });
    fs.rename("d", "moved");
    fs.commit();
    assert_tables(&fs.tree, &fs.objects);
}

#[test]
fn nothing_that_was_dirty_in_flight_can_be_evicted() {
    let mut fs = two_files();
    let (parent, ino) = (fs.ino("d"), fs.ino("d/a"));
    commit_while(&mut fs, |fs| {
        assert!(!fs.tree.evict(ino));
        fs.write("d/b", 0, b"later");
        fs.unlink("d/b");
        fs.file("d/c", b"c");
    });
    // The directory has changed, but got the entry that was committed.
    assert!(fs.tree.evict(ino));
    assert!(!fs.tree.is_clean(fs.tree.find(parent).unwrap()));
    assert!(!fs.tree.evict(Ino::ROOT));
    assert_eq!(fs.ino("d/a"), ino);
    assert_eq!(fs.read("d/a"), b"a");
}

#[test]
fn a_commit_that_was_begun_anew_takes_over_what_the_first_had_taken() {
    let mut fs = two_files();
    let given_up = fs.tree.begin_commit();
    fs.file("c", b"c");
    let snapshot = fs.tree.begin_commit();
    let stale = fs.hash(&given_up);
    let committed = fs.hash(&snapshot);
    fs.tree.publish(stale.committed);
    fs.tree.abort_commit(given_up);
    assert!(!fs.tree.is_dirty(), "all of it is in the second");
    fs.publish(committed);
    assert_consistent(&fs.tree, &fs.objects);
    fs.reopen();
    assert_eq!((fs.read("d/a"), fs.read("c")), (b"a".to_vec(), b"c".to_vec()));
}

#[test]
fn a_file_that_is_written_all_the_time_keeps_only_what_is_new() {
    let mut fs = Fs::new();
    fs.file("log", &noise(0, 100_000));
    for round in 1..5 {
        commit_while(&mut fs, |fs| {
            fs.write("log", round * 100_000, &noise(round, 100_000));
            fs.write("log", round * 30_000, b"in the middle");
        });
        assert!(fs.tree.dirty_bytes() < 101_000, "{}", fs.tree.dirty_bytes());
    }
    commit_while(&mut fs, |fs| {
        fs.truncate("log", 250_000);
        fs.truncate("log", 450_000);
        fs.zero("log", 10_000, 10_000);
    });
    let mut expected: Vec<u8> = (0..5).flat_map(|round| noise(round, 100_000)).collect();
    for round in 1..5 {
        expected[round * 30_000..][..13].copy_from_slice(b"in the middle");
    }
    expected[250_000..].fill(0);
    expected.truncate(450_000);
    expected[10_000..20_000].fill(0);
    assert!(fs.read("log") == expected);
    fs.reopen();
    assert!(fs.read("log") == expected);
}

#[test]
fn a_file_can_be_settled_again_and_again_before_a_commit() {
    let mut fs = two_files();
    for round in 0..3 {
        fs.write("d/a", 0, &[round]);
        let files = fs.tree.to_settle(fs.tree.dirty_files(), u64::MAX);
        hash_files(&files, &mut Hasher::default(), &fs.objects).unwrap();
        fs.tree.settle(files, &fs.objects);
        assert_consistent(&fs.tree, &fs.objects);
    }
    fs.reopen();
    assert_eq!((fs.read("d/a"), fs.read("d/b")), (vec![2], b"b".to_vec()));
}

#[test]
fn a_clone_made_in_flight_is_whole() {
    let mut fs = two_files();
    let snapshot = fs.tree.begin_commit();
    let mut fork = Fs { tree: fs.tree.clone(), ..Fs::new() };
    fs.tree.abort_commit(snapshot);
    fork.write("d/a", 0, b"fork");
    fork.reopen();
    assert_eq!((fork.read("d/a"), fork.read("d/b")), (b"fork".to_vec(), b"b".to_vec()));
    assert_eq!(fs.read("d/a"), b"a");
}

impl crate::worktree::Snapshot {
    fn commit_root(self, fs: &Fs) -> crate::model::RootId {
        fs.hash(&self).committed.root
    }
}
