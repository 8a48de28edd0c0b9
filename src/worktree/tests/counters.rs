//! What a commit and a lookup cost in a tree of 100 000 files: the depth, never the size.

use std::sync::{Arc, LazyLock};

use super::fs::Fs;
use super::{Objects, at, name};
use crate::format::worktree::WorktreeState;
use crate::model::{FileKind, Ino, NewNode, Op};
use crate::worktree::tree::Hasher;
use crate::worktree::{DiffOptions, Worktree, diff_roots, hash_files};

/// A committed tree of 1000 directories with 100 files each. A clone costs nothing, so that all
/// tests share it.
static LARGE: LazyLock<(Worktree, WorktreeState, Arc<Objects>)> = LazyLock::new(|| {
    let mut fs = Fs::new();
    for directory in 0..1000 {
        let parent = fs.mkdir(&format!("d{directory}"));
        for file in 0..100 {
            let (ino, name) = (fs.tree.allocate_ino(), name(&format!("f{file}")));
            let (kind, target, time) = (FileKind::Regular, Box::default(), at(0));
            let node = NewNode { kind, perm: 0o644, uid: 0, gid: 0, rdev: 0, target };
            fs.try_apply(&Op::Create { parent, name, ino, node, time }).unwrap();
            fs.write_ino(ino, 0, &ino.0.to_le_bytes());
        }
    }
    let done = fs.commit();
    assert_eq!((done.files, done.directories), (100_000, 1001));
    assert_eq!(done.content_bytes, 800_000);
    (fs.tree, done.state, Arc::new(fs.objects))
});

/// The large tree with a sink of its own over the common objects.
/// With times of its own, later than any that there are.
fn at_work() -> Fs {
    Fs { time: 1_000_000, ..Fs::new() }
}

fn large() -> Fs {
    let (tree, _, objects) = &*LARGE;
    Fs { tree: tree.clone(), objects: Objects::over(objects), ..at_work() }
}

fn reopened() -> Fs {
    let (_, state, objects) = &*LARGE;
    let objects = Objects::over(objects);
    Fs { tree: Worktree::open(state, &objects).unwrap(), objects, ..at_work() }
}

#[test]
fn one_changed_file_hashes_the_nodes_on_its_path() {
    for mut fs in [large(), reopened()] {
        fs.write("d500/f50", 3, b"new");
        let done = fs.commit();
        assert_eq!((done.files, done.content_bytes, done.directories), (1, 8, 2));
        // A directory of 1000 has about four levels, one of 100 has two or three.
        assert!(done.hashed.nodes <= 7, "{:?}", done.hashed);
        assert!(done.hashed.sides <= 7, "{:?}", done.hashed);
        assert!(done.hashed.node_bytes < 32 * 1024, "{:?}", done.hashed);
        // The nodes and sides, the chunk, the root.
        assert!(fs.objects.puts() <= 16, "{}", fs.objects.puts());
    }
}

#[test]
fn settled_files_leave_a_commit_only_directories() {
    let mut fs = large();
    let inos: Vec<Ino> = (0..100).map(|file| fs.ino(&format!("d7/f{file}"))).collect();
    for ino in &inos {
        fs.write_ino(*ino, 0, b"settled");
    }
    let mut hasher = Hasher::default();
    let files = fs.tree.to_settle(&inos, u64::MAX);
    let counts = hash_files(&files, &mut hasher, &fs.objects).unwrap();
    assert_eq!((counts.files, counts.content_bytes), (100, 800));
    // One changes meanwhile, and is left to the commit.
    fs.write_ino(inos[50], 0, b"changed");
    assert_eq!(fs.tree.settle(files, &fs.objects), 99);
    assert_eq!(fs.tree.to_settle(&inos, u64::MAX).len(), 1);
    let mut expected = large();
    for (at, ino) in inos.iter().enumerate() {
        let bytes: &[u8] = if at == 50 { b"changed" } else { b"settled" };
        expected.write_ino(*ino, 0, bytes);
    }
    expected.set_times();
    fs.set_times();
    let root = expected.root();
    let done = fs.commit();
    assert_eq!(done.root, root);
    assert_eq!(done.files, 1, "the others were hashed");
    fs.reopen();
    assert_eq!(fs.read("d7/f9"), b"settled\0");
}

#[test]
fn a_commit_of_settled_files_encodes_no_entry_of_theirs() {
    let mut fs = large();
    let inos: Vec<Ino> = (0..100).map(|file| fs.ino(&format!("d7/f{file}"))).collect();
    inos.iter().for_each(|ino| fs.write_ino(*ino, 0, b"settled"));
    let files = fs.tree.to_settle(&inos, u64::MAX);
    hash_files(&files, &mut Hasher::default(), &fs.objects).unwrap();
    assert_eq!(fs.tree.settle(files, &fs.objects), 100);
    assert_eq!((fs.tree.dirty.inodes.len(), fs.tree.dirty.settled.len()), (0, 100));
    let done = fs.commit();
    assert_eq!((done.files, done.directories), (0, 2));
    assert!(fs.objects.puts() > 100, "their contents go to the store all the same");
    assert_eq!(fs.tree.dirty_bytes(), 0);
}

#[test]
fn a_file_that_is_settled_again_and_again_takes_no_more_memory() {
    let mut fs = large();
    let inos: Vec<Ino> = (0..40).map(|file| fs.ino(&format!("d7/f{file}"))).collect();
    for round in 0..200_u64 {
        inos.iter().for_each(|ino| fs.write_ino(*ino, 0, &round.to_le_bytes()));
        let files = fs.tree.to_settle(fs.tree.dirty_files(), u64::MAX);
        hash_files(&files, &mut Hasher::default(), &fs.objects).unwrap();
        assert_eq!(fs.tree.settle(files, &fs.objects), 40);
    }
    let listed = fs.tree.dirty.inodes.len() + fs.tree.dirty.settled.len();
    assert!(listed < 1000, "{listed} inodes listed for 40 files");
    assert_eq!(fs.commit().files, 0);
    fs.reopen();
    assert_eq!(fs.read("d7/f39"), 199_u64.to_le_bytes());
}

#[test]
fn a_directory_that_is_always_busy_hashes_what_changed() {
    let mut fs = large();
    let inos: Vec<Ino> = (0..100).map(|file| fs.ino(&format!("d7/f{file}"))).collect();
    inos.iter().for_each(|ino| fs.write_ino(*ino, 0, b"before"));
    let snapshot = fs.tree.begin_commit();
    fs.write("d7/f9", 0, b"meanwhile");
    let hashed = fs.hash(&snapshot);
    drop(snapshot);
    assert_eq!(fs.publish(hashed).files, 100);
    assert_eq!(fs.tree.dirty.inodes, [inos[9]], "the others got the entries of the commit");
    assert_eq!(fs.commit().files, 1);
}

#[test]
fn an_unchanged_tree_hashes_nothing() {
    for mut fs in [large(), reopened()] {
        let done = fs.commit();
        assert_eq!(done.counts, Default::default());
        assert_eq!(done.root, LARGE.1.root);
        assert!(fs.objects.puts() <= 1, "the root at most");
    }
}

#[test]
fn comparing_two_commits_reads_the_paths_to_what_differs() {
    let mut fs = reopened();
    fs.write("d500/f50", 3, b"new");
    let after = fs.commit().root;
    let before = LARGE.1.root;
    let reads = fs.objects.reads();
    let changes = diff_roots(Some(&before), &after, &fs.objects, &DiffOptions::default()).unwrap();
    let paths: Vec<&[u8]> = changes.iter().map(|change| &change.path[..]).collect();
    assert_eq!(paths, [b"d500/f50"]);
    // Of either commit the root, four levels and three.
    let reads = fs.objects.reads() - reads;
    assert!(reads <= 2 * 8, "{reads}");
}

#[test]
fn opening_reads_the_root_and_a_lookup_its_path() {
    let mut fs = reopened();
    assert_eq!(fs.objects.reads(), 1);
    assert_eq!(fs.tree.inodes_loaded(), 1);
    fs.ino("d123/f45");
    // Four levels and three, each with a node and a side.
    assert!(fs.objects.reads() <= 1 + 14, "{}", fs.objects.reads());
    assert_eq!(fs.tree.inodes_loaded(), 3);
    let reads = fs.objects.reads();
    assert_eq!(fs.read("d123/f45").len(), 8);
    assert_eq!(fs.objects.reads(), reads + 1, "what is known is not read again");
}

#[test]
fn a_renamed_directory_costs_no_look_at_what_is_in_it() {
    let mut fs = reopened();
    fs.rename("d7", "moved");
    let done = fs.commit();
    assert_eq!((done.files, done.directories), (0, 2));
    assert!(done.hashed.nodes <= 20, "{:?}", done.hashed);
    assert!(fs.objects.reads() <= 40, "{}", fs.objects.reads());
    assert_eq!(fs.read("moved/f3").len(), 8);
}

#[test]
fn a_snapshot_shares_all_but_what_changes_later() {
    let mut fs = large();
    fs.write("d1/f1", 0, b"before");
    let dirty = Arc::as_ptr(&fs.tree.dirty);
    let snapshot = fs.tree.begin_commit();
    let old = snapshot.tree.clone();
    assert!(old.inodes.ptr_eq(&fs.tree.inodes), "the table is shared");
    assert_eq!(dirty, Arc::as_ptr(fs.tree.taken.as_ref().unwrap()), "the dirty set is taken");
    assert!(old.top().directory().unwrap().is_same(fs.tree.top().directory().unwrap()));

    let changed = [Ino::ROOT, fs.ino("d2"), fs.ino("d2/f2")];
    fs.write("d2/f2", 0, b"after");
    fs.set("d2", crate::model::SetAttr { perm: Some(0), ..Default::default() });
    for inode in old.inodes.values() {
        let same = Arc::ptr_eq(inode, fs.tree.find(inode.ino).unwrap());
        assert_eq!(same, !changed.contains(&inode.ino), "{:?}", inode.ino);
    }

    let mut expected = large();
    expected.write("d1/f1", 0, b"before");
    let root = fs.hash(&snapshot).committed.root;
    assert_eq!(root, expected.root(), "what came later is not in the commit");
}

#[test]
fn a_tree_deeper_than_a_stack_works() {
    let mut fs = Fs::new();
    let mut parent = Ino::ROOT;
    for _ in 0..30_000 {
        let ino = fs.tree.allocate_ino();
        let (kind, target) = (FileKind::Directory, Box::default());
        let node = NewNode { kind, perm: 0o755, uid: 0, gid: 0, rdev: 0, target };
        fs.try_apply(&Op::Create { parent, name: name("d"), ino, node, time: at(0) }).unwrap();
        parent = ino;
    }
    let state = fs.commit().state;
    fs.tree.mark(parent);
    assert_eq!(fs.commit().state, state);
    let mut again = Worktree::open(&state, &fs.objects).unwrap();
    again.load_directory(parent, &fs.objects).unwrap();
    again.mark(parent);
    assert_eq!(again.begin_commit().tree.inodes_loaded(), 30_001);
}
