//! Who changed what: kept from the change to the commit and found again, whatever comes between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::verify::{assert_clean, verified};
use super::world::{new_disk, open};
use crate::base::disk::sim::SimDisk;
use crate::base::limits::{
    PROVENANCE_BLOCK_BYTES, PROVENANCE_BLOCKS_MAX, PROVENANCE_HEADS_MAX, PROVENANCE_PATH_BYTES_MAX,
};
use crate::format::provenance::{BlockReader, BlockWriter};
use crate::hash::hash;
use crate::model::{
    CommitId, FileKind, Ino, Name, NewNode, ObjectId, ObjectKind, ObjectSink, ObjectSource, Op,
    RenameMode, RootId, SetAttr, Timestamp, Writer,
};
use crate::repo::provenance::put_rows;
use crate::repo::{CommitRequest, GcRequest, Repo, RestoreRequest, Retention};
use crate::store::ObjectStore;
use crate::worktree::{Change, DiffOptions, diff_roots};

const TIME: Timestamp = Timestamp { secs: 5, nanos: 0 };

/// Who changed each path of a list of changes; nobody's name is empty.
type Made = BTreeMap<String, String>;

fn made(pairs: &[(&str, &str)]) -> Made {
    pairs.iter().map(|(path, name)| ((*path).to_owned(), (*name).to_owned())).collect()
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn apply(repo: &Repo, by: &str, op: &Op) {
    repo.apply_by(Some(&Arc::new(Writer::new(by.as_bytes(), 7))), op).unwrap();
}

fn create(repo: &Repo, by: &str, parent: Ino, text: &str, kind: FileKind) -> Ino {
    let ino = repo.update(|edit| Ok(edit.allocate_ino())).unwrap();
    let target = if kind == FileKind::Symlink { (*b"to").into() } else { Box::default() };
    let node = NewNode { kind, perm: 0o755, uid: 1, gid: 1, rdev: 0, target };
    apply(repo, by, &Op::Create { parent, name: name(text), ino, node, time: TIME });
    ino
}

fn file(repo: &Repo, by: &str, parent: Ino, text: &str) -> Ino {
    create(repo, by, parent, text, FileKind::Regular)
}

fn write(repo: &Repo, by: &str, ino: Ino, text: &str) {
    let data = text.as_bytes().into();
    apply(repo, by, &Op::Write { ino, offset: 0, data, kill_priv: false, time: TIME });
}

fn rename(repo: &Repo, by: &str, from: (Ino, &str), to: (Ino, &str)) {
    let (new_parent, new_name, mode) = (to.0, name(to.1), RenameMode::Replace);
    let (parent, name) = (from.0, name(from.1));
    apply(repo, by, &Op::Rename { parent, name, new_parent, new_name, mode, time: TIME });
}

fn commit(repo: &Repo) -> CommitId {
    repo.commit(&CommitRequest::default()).unwrap()
}

/// What a commit changed against the one before it, and who did.
fn changes(repo: &Repo, id: &CommitId) -> Vec<Change> {
    let history = repo.history();
    let commit = history.commit(id).unwrap();
    let parent = history.parent(&commit).map(|parent| history.commit(&parent).unwrap().root);
    let options = DiffOptions { renames: false, whole_directories: false, exact: false };
    diff_roots(parent.as_ref(), &commit.root, history.source(), &options).unwrap()
}

fn told(changes: &[Change], makers: Vec<Option<Arc<Writer>>>) -> Made {
    let text = |writer: Option<Arc<Writer>>| {
        writer.map(|w| String::from_utf8_lossy(w.name()).into_owned()).unwrap_or_default()
    };
    let paths = changes.iter().map(|change| String::from_utf8_lossy(&change.path).into_owned());
    paths.zip(makers.into_iter().map(text)).collect()
}

/// The paths that a block and those that it follows tell of.
fn paths_in(repo: &Repo, heads: &[ObjectId]) -> BTreeSet<String> {
    let (mut paths, mut pending) = (BTreeSet::new(), heads.to_vec());
    while let Some(head) = pending.pop() {
        let bytes = repo.packs().get(&head).unwrap();
        let mut block = BlockReader::open(&bytes).unwrap();
        while let Some((path, _)) = block.next_row().unwrap() {
            paths.insert(String::from_utf8_lossy(path).into_owned());
        }
        pending.extend(block.heads());
    }
    paths
}

fn who_made(repo: &Repo, id: &CommitId) -> Made {
    repo.write_commits().unwrap();
    let changes = changes(repo, id);
    told(&changes, repo.history().who_made(id, &changes).unwrap())
}

/// Who made the changes since the head.
fn who_made_now(repo: &Repo) -> Made {
    let changes = repo.status().unwrap();
    let blocks = repo.store_changes_by().unwrap();
    told(&changes, repo.history().who_made_by(&blocks, &changes).unwrap())
}

/// A tree that several have worked on, not committed.
fn worked_on(repo: &Repo, between: &dyn Fn()) -> Made {
    let dir = create(repo, "mkdir", Ino::ROOT, "dir", FileKind::Directory);
    let a = file(repo, "sh", dir, "a");
    write(repo, "cp", a, "text");
    let b = file(repo, "cp", Ino::ROOT, "b");
    between();
    write(repo, "vi", b, "text");
    let linked = file(repo, "sh", dir, "linked");
    apply(repo, "ln", &Op::Link { ino: linked, parent: Ino::ROOT, name: name("l"), time: TIME });
    create(repo, "ln", dir, "symlink", FileKind::Symlink);
    rename(repo, "mv", (Ino::ROOT, "b"), (dir, "moved"));
    let gone = file(repo, "sh", dir, "gone");
    between();
    write(repo, "sh", gone, "short-lived");
    apply(repo, "rm", &Op::Unlink { parent: dir, name: name("gone"), time: TIME });
    let set = SetAttr { perm: Some(0o600), ..SetAttr::default() };
    let c = file(repo, "sh", Ino::ROOT, "c");
    apply(repo, "chmod", &Op::SetAttr { ino: c, set, time: TIME });
    let d = file(repo, "sh", Ino::ROOT, "d");
    let (x, value) = ((*b"user.x").into(), (*b"1").into());
    apply(repo, "setfattr", &Op::SetXattr { ino: d, name: x, value, time: TIME });
    let e = file(repo, "sh", Ino::ROOT, "e");
    apply(repo, "dd", &Op::Truncate { ino: e, size: 9, kill_priv: false, time: TIME });
    // Nobody knows who.
    repo.apply_by(None, &Op::Truncate { ino: e, size: 8, kill_priv: false, time: TIME }).unwrap();
    made(&[
        ("dir", "mkdir"),
        ("dir/a", "cp"),
        ("dir/linked", "ln"),
        ("l", "ln"),
        ("dir/symlink", "ln"),
        ("dir/moved", "mv"),
        ("c", "chmod"),
        ("d", "setfattr"),
        ("e", "dd"),
    ])
}

fn new_repo() -> (SimDisk, Repo) {
    let disk = new_disk();
    let repo = open(&disk).unwrap();
    (disk, repo)
}

#[test]
fn each_path_is_the_last_one_s_who_changed_it() {
    let (disk, repo) = new_repo();
    let expected = worked_on(&repo, &|| ());
    assert_eq!(who_made_now(&repo), expected);
    let first = commit(&repo);
    assert_eq!(who_made(&repo, &first), expected);
    assert_eq!(who_made_now(&repo), made(&[]));
    // A deletion is nobody's, and what did not change is not told of.
    apply(&repo, "rm", &Op::Unlink { parent: Ino::ROOT, name: name("c"), time: TIME });
    let a = repo.look(|tree| tree.lookup(Ino(2), &name("a"), repo.source()).unwrap().unwrap().ino);
    write(&repo, "sed", a, "other");
    let second = commit(&repo);
    assert_eq!(who_made(&repo, &second), made(&[("c", ""), ("dir/a", "sed")]));
    assert_eq!(who_made(&repo, &first), expected);
    repo.close().unwrap();
    assert_clean(&verified(&disk), "after it was closed");
}

#[test]
fn checkpoints_and_hashing_between_a_change_and_its_commit_lose_nothing() {
    let (_disk, repo) = new_repo();
    let between = || {
        repo.checkpoint().unwrap();
        repo.hash().unwrap();
        repo.status().unwrap();
    };
    let expected = worked_on(&repo, &between);
    between();
    assert_eq!(who_made_now(&repo), expected);
    let first = commit(&repo);
    assert_eq!(who_made(&repo, &first), expected);
}

#[test]
fn who_did_it_survives_the_process_that_was_told() {
    for checkpoints in [false, true] {
        for commits in [false, true] {
            let (disk, repo) = new_repo();
            let expected = worked_on(&repo, &|| {
                if checkpoints {
                    repo.checkpoint().unwrap();
                }
            });
            let id = commits.then(|| commit(&repo));
            // The commit is in the journal and not in the store yet.
            let killed = disk.after_kill();
            let again = open(&killed).unwrap();
            let found = |repo: &Repo| match &id {
                Some(id) => who_made(repo, id),
                None => who_made_now(repo),
            };
            assert_eq!(found(&again), expected, "{checkpoints} {commits}");
            again.close().unwrap();
            drop(again);
            let closed = open(&killed).unwrap();
            assert_eq!(found(&closed), expected, "{checkpoints} {commits}, closed");
            closed.close().unwrap();
            assert_clean(&verified(&killed), "recovered");
        }
    }
}

#[test]
fn what_came_with_a_directory_that_was_moved_is_the_mover_s_unless_it_changed() {
    let (_disk, repo) = new_repo();
    let dir = create(&repo, "mkdir", Ino::ROOT, "old", FileKind::Directory);
    let sub = create(&repo, "mkdir", dir, "sub", FileKind::Directory);
    file(&repo, "cp", sub, "same");
    let other = file(&repo, "cp", sub, "other");
    commit(&repo);
    rename(&repo, "mv", (Ino::ROOT, "old"), (Ino::ROOT, "new"));
    write(&repo, "sed", other, "text");
    let second = commit(&repo);
    let expected = made(&[
        ("new", "mv"),
        ("new/sub", "mv"),
        ("new/sub/other", "sed"),
        ("new/sub/same", "mv"),
        ("old", ""),
        ("old/sub", ""),
        ("old/sub/other", ""),
        ("old/sub/same", ""),
    ]);
    assert_eq!(who_made(&repo, &second), expected);
}

#[test]
fn a_commit_that_was_taken_back_gives_its_changes_back_with_their_writers() {
    let (disk, repo) = new_repo();
    let (a, b) = (file(&repo, "sh", Ino::ROOT, "a"), file(&repo, "sh", Ino::ROOT, "b"));
    commit(&repo);
    let mut taken_back = 0;
    // More than one block can follow at once, and once more after a kill.
    for n in 0..=PROVENANCE_HEADS_MAX {
        let text = n.to_string();
        write(&repo, &format!("w{n}"), if n == 0 { a } else { b }, &text);
        commit(&repo);
        taken_back += 1;
    }
    write(&repo, "last", b, "last");
    for _ in 0..taken_back {
        repo.undo().unwrap();
    }
    let expected = made(&[("a", "w0"), ("b", "last")]);
    assert_eq!(who_made_now(&repo), expected);
    let again = open(&disk.after_kill()).unwrap();
    assert_eq!(who_made_now(&again), expected);
    let id = commit(&again);
    assert_eq!(who_made(&again, &id), expected);
}

#[test]
fn a_restore_is_the_work_of_whoever_asked_for_it() {
    let (disk, repo) = new_repo();
    let (a, b) = (file(&repo, "sh", Ino::ROOT, "a"), file(&repo, "sh", Ino::ROOT, "b"));
    let first = commit(&repo);
    write(&repo, "sed", a, "text");
    write(&repo, "vi", b, "text");
    let vst: Arc<Writer> = Arc::new(Writer::new(b"vst", 7));
    let request = |text: &str| RestoreRequest::parse(text);
    // What is lost is committed first, by those who had made it.
    let restored = repo.restore_by(Some(&vst), &request("HEAD:a")).unwrap();
    let saved = restored.saved.unwrap();
    assert_eq!(who_made(&repo, &saved), made(&[("a", "sed"), ("b", "vi")]));
    assert_eq!(who_made_now(&repo), made(&[("a", "vst")]));
    let again = open(&disk.after_kill()).unwrap();
    assert_eq!(who_made_now(&again), made(&[("a", "vst")]));
    assert_eq!(who_made(&again, &saved), made(&[("a", "sed"), ("b", "vi")]));
    // The whole tree is as a commit has it then.
    repo.restore_by(Some(&vst), &request(&first.to_string())).unwrap();
    assert_eq!(who_made_now(&repo), made(&[]));
    // To take that back is a restore too; of what it does not touch, others are told.
    write(&repo, "sed", a, "later");
    let restored = repo.undo_by(Some(&vst)).unwrap().restored;
    assert_eq!(who_made(&repo, &restored.saved.unwrap()), made(&[("a", "sed")]));
    let now = who_made_now(&repo);
    assert!(now.values().all(|name| name == "vst"), "{now:?}");
    assert_eq!(who_made_now(&open(&disk.after_kill()).unwrap()), now);
}

#[test]
fn a_collection_keeps_what_tells_of_commits_that_it_keeps_and_no_more() {
    let (disk, repo) = new_repo();
    let a = file(&repo, "sh", Ino::ROOT, "a");
    for n in 0..6 {
        write(&repo, &format!("w{n}"), a, &n.to_string());
        commit(&repo);
    }
    let newest = repo.head().unwrap();
    repo.close().unwrap();
    drop(repo);
    // What is in a pack that is being written stays for now.
    let repo = open(&disk).unwrap();
    repo.update(|edit| {
        let (parent, a) = (Ino::ROOT, name("a"));
        let found = edit.lookup(parent, &a)?.unwrap();
        edit.load(parent, &a, &found)
    })
    .unwrap();
    write(&repo, "later", a, "later");
    let retention = Retention { last: Some(1), ..Retention::default() };
    repo.gc(&GcRequest { retention, repack: true, ..GcRequest::default() }).unwrap();
    let mut blocks = 0;
    let count = &mut |info: &crate::store::ObjectInfo| {
        blocks += usize::from(info.kind == ObjectKind::Provenance);
    };
    repo.packs().for_each(count).unwrap();
    assert_eq!(blocks, 2, "that of the commit, and that of what came after");
    let changes = [Change { path: b"a".to_vec(), ..changes(&repo, &newest)[0].clone() }];
    let makers = repo.history().who_made(&newest, &changes).unwrap();
    assert_eq!(told(&changes, makers), made(&[("a", "w5")]));
    assert_eq!(who_made_now(&repo), made(&[("a", "later")]));
    repo.close().unwrap();
    assert_clean(&verified(&disk), "collected");
}

#[test]
fn who_wrote_it_is_no_part_of_a_tree() {
    let root = |by: &str| -> RootId {
        let (_disk, repo) = new_repo();
        let dir = create(&repo, by, Ino::ROOT, "dir", FileKind::Directory);
        write(&repo, by, file(&repo, by, dir, "a"), "text");
        repo.hash().unwrap()
    };
    assert_eq!(root("one"), root("another"));
}

#[test]
fn rows_are_cut_into_blocks_and_none_of_a_path_that_no_program_can_name() {
    let (_disk, repo) = new_repo();
    let packs = repo.packs();
    let writer = Arc::new(Writer::new(b"cp", 0));
    let path = |n: usize| format!("{n:0100}").into_bytes();
    let rows: Vec<_> = (0..PROVENANCE_BLOCK_BYTES / 40)
        .map(|n| ([path(n), vec![b'x'; 90]].concat(), Arc::clone(&writer)))
        .collect();
    let heads = put_rows(&rows, Vec::new(), packs).unwrap();
    let [head] = heads[..] else { panic!("{heads:?}") };
    let bytes = packs.get(&head).unwrap();
    let below = BlockReader::open(&bytes).unwrap().below();
    assert!((1..9).contains(&below), "{below}");
    assert!(bytes.len() < PROVENANCE_BLOCK_BYTES + 1000);

    let mut parent = Ino::ROOT;
    let part = "d".repeat(250);
    for _ in 0..=PROVENANCE_PATH_BYTES_MAX / 251 {
        parent = create(&repo, "mkdir", parent, &part, FileKind::Directory);
    }
    let id = commit(&repo);
    let found = who_made(&repo, &id);
    let long = |path: &str| path.len() > PROVENANCE_PATH_BYTES_MAX;
    assert_eq!(found.keys().filter(|path| long(path)).count(), 1);
    // What it is in was made by the same.
    assert!(found.values().all(|name| name == "mkdir"), "{found:?}");
}

#[test]
fn a_chain_of_blocks_that_is_too_long_forgets_its_beginning() {
    let (_disk, repo) = new_repo();
    let packs = repo.packs();
    let put = |below| {
        let bytes = BlockWriter::default().finish(&[], below);
        let id = ObjectId::from_bytes(hash(&bytes));
        packs.put(ObjectKind::Provenance, &id, &bytes).unwrap();
        id
    };
    let rows = [(b"a".to_vec(), Arc::new(Writer::new(b"cp", 0)))];
    for (below, kept) in [(PROVENANCE_BLOCKS_MAX - 3, true), (PROVENANCE_BLOCKS_MAX - 1, false)] {
        let heads = put_rows(&rows, vec![put(below)], packs).unwrap();
        let bytes = packs.get(&heads[0]).unwrap();
        let block = BlockReader::open(&bytes).unwrap();
        assert_eq!(!block.heads().is_empty(), kept);
        assert_eq!(block.below(), if kept { below + 1 } else { 0 });
    }
}

#[test]
fn what_is_ignored_and_where_that_lies_is_told_of_by_nobody() {
    let (_disk, repo) = new_repo();
    let rules = file(&repo, "vi", Ino::ROOT, ".vstignore");
    write(&repo, "vi", rules, "out\n*.o\n");
    let dir = create(&repo, "mkdir", Ino::ROOT, "dir", FileKind::Directory);
    let out = create(&repo, "make", dir, "out", FileKind::Directory);
    write(&repo, "cc", file(&repo, "cc", out, "built"), "built");
    write(&repo, "cc", file(&repo, "cc", dir, "a.o"), "built");
    write(&repo, "vi", file(&repo, "vi", dir, "a.c"), "text");
    // A snapshot of all, which takes what is ignored along, before the commit and after it.
    repo.checkpoint().unwrap();
    let expected = made(&[(".vstignore", "vi"), ("dir", "mkdir"), ("dir/a.c", "vi")]);
    assert_eq!(who_made_now(&repo), expected);
    let paths = |heads: Vec<ObjectId>| paths_in(&repo, &heads).into_iter().collect::<Vec<_>>();
    assert_eq!(paths(repo.store_changes_by().unwrap()), [".vstignore", "dir", "dir/a.c"]);
    let id = commit(&repo);
    assert_eq!(who_made(&repo, &id), expected);
    write(&repo, "cc", file(&repo, "cc", dir, "b.o"), "built");
    repo.checkpoint().unwrap();
    assert_eq!(paths(repo.store_changes_by().unwrap()), [""; 0]);
}
