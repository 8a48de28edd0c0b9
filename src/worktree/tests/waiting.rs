//! What is ignored waits for a checkpoint: commits neither look at it nor pay for it.

use super::Objects;
use super::check::assert_consistent;
use super::fs::Fs;
use super::ignored::assert_root;
use crate::model::RootId;
use crate::worktree::tree::HashCounts;
use crate::worktree::{CommitCounts, Worktree};

/// A tree that ignores `out/` and `*.tmp`, with a file that is not ignored.
fn with_rules() -> Fs {
    let mut fs = Fs::new();
    fs.file(".vstignore", b"out/\n*.tmp\n");
    fs.mkdir("src");
    fs.file("src/main", b"text");
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.commit();
    fs
}

fn commit(fs: &mut Fs) -> (RootId, CommitCounts) {
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.commit_only()
}

/// Fills the ignored directory with so many files.
fn build(fs: &mut Fs, files: u64) {
    fs.mkdir("out");
    for file in 0..files {
        let data = file.to_le_bytes().repeat(4000);
        fs.file(&format!("out/{file}"), &data);
    }
}

#[test]
fn a_commit_costs_the_same_with_and_without_changes_that_are_ignored() {
    let counts = [0, 100].map(|files| {
        let mut fs = with_rules();
        fs.mkdir("out");
        fs.commit();
        for file in 0..files {
            fs.file(&format!("out/{file}"), &[7; 32_000]);
        }
        fs.time = 1000;
        fs.write("src/main", 0, b"TEXT");
        let puts = fs.objects.puts();
        let (root, counts) = commit(&mut fs);
        fs.store_queue();
        (root, counts, fs.objects.puts() - puts)
    });
    assert_eq!(counts[0], counts[1]);
    assert_eq!((counts[0].1.files, counts[0].1.content_bytes), (1, 4));
}

#[test]
fn a_commit_after_nothing_but_ignored_changes_hashes_nothing() {
    let mut fs = with_rules();
    let (root, _) = commit(&mut fs);
    build(&mut fs, 20);
    assert!(fs.tree.is_dirty() && !fs.tree.may_change_commits());
    let (same, counts) = commit(&mut fs);
    assert_eq!((same, counts), (root, CommitCounts::default()));
    assert!(fs.tree.is_dirty(), "it waits for the checkpoint");
    let counts = fs.commit().counts;
    assert_eq!(counts.files, 20);
    assert!(!fs.tree.is_dirty());
    assert_eq!(fs.commit().counts.hashed, HashCounts::default());
}

#[test]
fn what_waits_is_neither_hashed_ahead_nor_forgotten() {
    let mut fs = with_rules();
    build(&mut fs, 1);
    let ino = fs.ino("out/0");
    commit(&mut fs);
    assert!(fs.tree.to_settle(&[ino], u64::MAX).is_empty());
    assert!(fs.tree.waits_for_checkpoint(ino));
    assert!(!fs.tree.evict(ino), "its entry does not tell of it yet");
    fs.commit();
    assert!(fs.tree.evict(ino));
    fs.tree.sort_all(&fs.objects).unwrap();
    assert_eq!(fs.read("out/0"), [0; 32_000]);
}

#[test]
fn a_file_that_gets_another_name_is_in_the_next_commit_alone() {
    let mut fs = with_rules();
    build(&mut fs, 50);
    fs.file("src/new.tmp", b"written aside");
    // As editors save.
    fs.rename("src/new.tmp", "src/main");
    let (_, counts) = commit(&mut fs);
    assert_eq!((counts.files, counts.content_bytes), (1, 13));
    fs.rename("src/main", "src/old.tmp");
    fs.write("src/old.tmp", 0, b"W");
    let (_, counts) = commit(&mut fs);
    assert_eq!(counts.files, 0, "now it is ignored");
    assert_consistent(&fs.tree, &fs.objects);
    fs.reopen();
    assert_eq!(fs.read("src/old.tmp"), b"Written aside");
}

#[test]
fn what_is_built_in_a_directory_that_is_ignored_afterwards_waits() {
    let mut fs = with_rules();
    fs.mkdir("dir");
    fs.mkdir("dir/deep");
    for file in 0..30 {
        fs.file(&format!("dir/deep/{file}"), &[1; 500]);
    }
    // As cargo makes its directory.
    fs.rename("dir", "out");
    let (_, counts) = commit(&mut fs);
    assert_eq!(counts.files, 0);
    assert_consistent(&fs.tree, &fs.objects);
    fs.reopen();
    assert_eq!(fs.read("out/deep/29"), [1; 500]);
}

#[test]
fn changes_below_a_directory_that_is_not_ignored_any_more_are_in_the_next_commit() {
    let mut fs = with_rules();
    build(&mut fs, 3);
    commit(&mut fs);
    fs.rename("out", "kept");
    let (_, counts) = commit(&mut fs);
    assert_eq!(counts.files, 3);
    assert!(!fs.tree.is_dirty());
    // It was clean before, and so are the others.
    fs.rename("kept", "out");
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.commit();
    fs.file("a.tmp", b"waits");
    fs.rename("out", "kept");
    assert_eq!(commit(&mut fs).1.files, 0);
}

#[test]
fn a_commit_that_fails_gives_back_what_waited() {
    let mut fs = with_rules();
    build(&mut fs, 3);
    let snapshot = fs.tree.begin_checkpoint();
    fs.write("out/0", 0, b"later");
    fs.tree.abort_commit(snapshot);
    commit(&mut fs);
    fs.reopen();
    assert_eq!(fs.read("out/0")[..6], *b"later\0");
    assert_eq!(fs.read("out/2"), 2_u64.to_le_bytes().repeat(4000));
}

#[test]
fn what_changes_while_a_checkpoint_is_made_waits_for_the_next_one() {
    let mut fs = with_rules();
    build(&mut fs, 3);
    let snapshot = fs.tree.begin_checkpoint();
    fs.write("out/1", 0, b"later");
    fs.file("out/new", b"new");
    let hashed = fs.hash(&snapshot);
    drop(snapshot);
    fs.publish(hashed);
    assert!(fs.tree.is_dirty());
    assert_consistent(&fs.tree, &fs.objects);
    let (_, counts) = commit(&mut fs);
    assert_eq!(counts.files, 0);
    fs.reopen();
    assert_eq!((&fs.read("out/1")[..6], fs.read("out/new")), (&b"later\0"[..], b"new".to_vec()));
}

#[test]
fn sorting_a_directory_costs_its_own_entries_whatever_is_below() {
    let mut fs = Fs::new();
    fs.mkdir("out");
    for directory in 0..20 {
        fs.mkdir(&format!("out/{directory}"));
        fs.file(&format!("out/{directory}/file"), b"x");
    }
    fs.reopen();
    fs.file(".vstignore", b"out/\n");
    let steps = |tree: &mut Worktree, objects: &Objects| {
        (0..).take_while(|_| tree.sort_next(100, objects).unwrap()).count()
    };
    let loaded = fs.tree.inodes_loaded();
    // Of the top directory, and of the links below what passed.
    assert!(steps(&mut fs.tree, &fs.objects) <= 4);
    assert_eq!(fs.tree.inodes_loaded(), loaded + 1, "nothing below is looked at");
    assert_eq!(steps(&mut fs.tree, &fs.objects), 0, "a commit finds nothing to do");
}

#[test]
fn a_directory_that_moves_is_looked_through_only_if_rules_depend_on_where_it_is() {
    let mut fs = Fs::new();
    fs.file(".vstignore", b"# a/comment\nout/\n!/kept/\n*.o\n");
    fs.mkdir("a");
    fs.mkdir("a/b");
    fs.mkdir("c");
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.rename("a/b", "c/b");
    assert_eq!(fs.tree.next_unsorted(), None, "each rule is about a name");
    fs.file("c/.vstignore", b"x\n");
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.rename("c/b", "a/b");
    assert!(fs.tree.next_unsorted().is_some(), "there is one rule less");
    fs.unlink("c/.vstignore");
    fs.write(".vstignore", 0, b"c/comment\n");
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.rename("a/b", "c/b");
    assert!(fs.tree.next_unsorted().is_some(), "a rule is about a path");
}

#[test]
fn a_file_that_comes_pays_for_a_look_at_the_rules_above_it_only_once() {
    let mut fs = Fs::new();
    let deep: Vec<String> = (0..20).map(|depth| format!("d{depth}")).collect();
    for depth in 1..=deep.len() {
        fs.mkdir(&deep[..depth].join("/"));
    }
    let deep = deep.join("/");
    fs.file(&format!("{deep}/none"), b"");
    assert_eq!(fs.tree.rule_looks(), 0, "there are no rules in the tree");
    fs.file("d0/.vstignore", b"*.o\n");
    let looks = |fs: &mut Fs, name: &str| {
        let before = fs.tree.rule_looks();
        fs.file(&format!("{deep}/{name}"), b"");
        fs.tree.rule_looks() - before
    };
    assert_eq!(
        looks(&mut fs, "first"),
        21,
        "in each directory once, though it is yet to be sorted"
    );
    assert_eq!(looks(&mut fs, "second.o"), 0);
    assert_eq!(fs.tree.ignored_paths(&fs.objects).unwrap().len(), 1);
    fs.tree.sort_all(&fs.objects).unwrap();
    looks(&mut fs, "third");
    assert_eq!(looks(&mut fs, "fourth.o"), 0);
    fs.commit();
    assert_eq!(looks(&mut fs, "fifth.o"), 0, "a commit changes no rules");
    // What the rules depend on.
    fs.mkdir("d0/other");
    fs.rename("d0/d1", "d0/other/d1");
    fs.rename("d0/other/d1", "d0/d1");
    assert_eq!(looks(&mut fs, "sixth"), 21);
    fs.write("d0/.vstignore", 0, b"!");
    assert_eq!(looks(&mut fs, "seventh.o"), 21);
    fs.unlink("d0/.vstignore");
    assert_eq!(looks(&mut fs, "eighth.o"), 0);
    fs.tree.sort_all(&fs.objects).unwrap();
    assert!(fs.tree.ignored_paths(&fs.objects).unwrap().is_empty());
}

#[test]
fn a_large_directory_is_sorted_in_steps_and_others_change_it_between_them() {
    const STEP: usize = 64;
    let mut fs = Fs::new();
    for file in 0..1000 {
        fs.file(&format!("{file:04}.o"), b"");
    }
    fs.mkdir("last");
    fs.file("last/0.o", b"");
    let ignored = |fs: &Fs| fs.tree.ignored_paths(&fs.objects).unwrap().len();
    let sort = |fs: &mut Fs, between: &mut dyn FnMut(&mut Fs, usize)| {
        let mut steps = 0;
        loop {
            let before = ignored(fs);
            let goes_on = fs.tree.sort_next(STEP, &fs.objects).unwrap();
            let passed = before.abs_diff(ignored(fs));
            assert!(passed <= STEP, "{passed} entries at once");
            if !goes_on {
                return steps;
            }
            steps += 1;
            between(fs, steps);
        }
    };
    fs.file(".vstignore", b"*.o\n");
    let steps = sort(&mut fs, &mut |fs, step| {
        if step == 3 {
            // Before and behind what has been looked at.
            fs.unlink("0000.o");
            fs.rename("0999.o", "0000.new");
            fs.file("0000.new.o", b"");
            fs.file("0998.new.o", b"");
            fs.rename("0500.o", "0000.moved.o");
        }
    });
    // The top has some more entries than there are files, and the other directory one.
    assert!((1000 / STEP..=1000 / STEP + 3).contains(&steps), "{steps} steps");
    assert_eq!(ignored(&fs), 1000 - 2 + 2 + 1);
    assert_consistent(&fs.tree, &fs.objects);
    // Rules that change when half is done, and what was put where it belonged before.
    fs.write(".vstignore", 0, b"#");
    sort(&mut fs, &mut |fs, step| {
        if step == 7 {
            fs.write(".vstignore", 0, b"0");
            fs.write(".vstignore", 1, b"*");
        }
    });
    // `0*o`, which says nothing of the other directory's name but of what is in it.
    let left = fs.tree.ignored_paths(&fs.objects).unwrap();
    assert_eq!(left.len(), 1000 - 2 + 2 + 1);
    assert_consistent(&fs.tree, &fs.objects);
}

#[test]
fn a_directory_that_goes_on_before_its_links_were_looked_at_is_not_forgotten() {
    let mut fs = Fs::new();
    fs.file(".vstignore", b"out\nbin\n");
    fs.mkdir("bin");
    fs.mkdir("d");
    fs.mkdir("d/e");
    fs.file("d/e/x", b"x");
    fs.link("d/e/x", "y");
    fs.reopen();
    fs.rename("d", "out");
    fs.rename("out/e", "bin/e");
    assert_root(&mut fs);
}
