//! What is ignored is there like anything else, and commits are as if it were not.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::GitignoreBuilder;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

use super::check::{assert_consistent, entries};
use super::fs::Fs;
use super::{Objects, at};
use crate::model::{FileKind, Ino, Name, NewNode, Op, RenameMode, RootId, SetAttr, Timestamp};
use crate::worktree::tree::Hasher;
use crate::worktree::{IgnoredPath, OpError, Worktree, hash_files};

const RULES: &str = ".vstignore";

/// What there is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    ino: Ino,
    is_directory: bool,
    bytes: Vec<u8>,
    nlink: u32,
    mtime: Timestamp,
}

/// Everything that there is, by path.
fn seen(fs: &mut Fs) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    let mut pending = vec![(String::new(), Ino::ROOT)];
    while let Some((path, directory)) = pending.pop() {
        for (name, found) in entries(&fs.tree, directory, &fs.objects).unwrap() {
            fs.tree.load(directory, &name, &found, &fs.objects).unwrap();
            let name = String::from_utf8(name.as_bytes().to_vec()).unwrap();
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let view = fs.tree.view(found.ino).unwrap();
            let is_directory = view.is_directory();
            let bytes = if is_directory { Vec::new() } else { fs.read(&path) };
            let nlink = view.nlink(&fs.objects).unwrap();
            if is_directory {
                pending.push((path.clone(), found.ino));
            }
            all.insert(
                path,
                Seen { ino: found.ino, is_directory, bytes, nlink, mtime: view.mtime() },
            );
        }
    }
    all
}

/// Tells by rules and paths alone whether a path is ignored.
fn is_ignored(all: &BTreeMap<String, Seen>, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.into_iter().any(|end| is_named(all, &path[..end]))
}

/// Tells whether the rule that comes last names a path itself.
fn is_named(all: &BTreeMap<String, Seen>, path: &str) -> bool {
    let mut directory = path;
    while let Some((above, _)) = directory.rsplit_once('/').or(Some(("", directory))) {
        let file = if above.is_empty() { RULES.to_owned() } else { format!("{above}/{RULES}") };
        if let Some(rules) = all.get(&file).filter(|file| !file.is_directory) {
            let mut builder = GitignoreBuilder::new(".");
            for line in std::str::from_utf8(&rules.bytes).unwrap().lines() {
                builder.add_line(None, line).unwrap();
            }
            let below = path[above.len()..].trim_start_matches('/');
            match builder.build().unwrap().matched(Path::new(below), all[path].is_directory) {
                Match::None => {}
                found => return found.is_ignore(),
            }
        }
        if above.is_empty() {
            break;
        }
        directory = above;
    }
    false
}

/// The id of a tree that has what is not ignored, and never had anything else.
fn root_without_ignored(fs: &mut Fs) -> RootId {
    let all = seen(fs);
    let (src, time) = (Objects::default(), at(1_000_000));
    let mut tree = Worktree::new(0, 0, 0o755, time);
    let mut made = BTreeMap::from([(Ino::ROOT, Ino::ROOT)]);
    let mut at_path = BTreeMap::from([("", Ino::ROOT)]);
    for (path, Seen { ino, is_directory, bytes, .. }) in &all {
        if is_ignored(&all, path) {
            continue;
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (parent, name) = (at_path[parent], Name::new(name.as_bytes()).unwrap());
        if let Some(ino) = made.get(ino) {
            tree.apply(&Op::Link { ino: *ino, parent, name, time }, &src).unwrap();
            continue;
        }
        let new = tree.allocate_ino();
        let kind = if *is_directory { FileKind::Directory } else { FileKind::Regular };
        let node = NewNode { kind, perm: 0o644, uid: 1, gid: 2, rdev: 0, target: Box::default() };
        // The rules must not be at work here: no name is one of theirs before all are there.
        tree.apply(&Op::Create { parent, name, ino: new, node, time }, &src).unwrap();
        if !bytes.is_empty() && !path.ends_with(RULES) {
            write(&mut tree, new, bytes, &src);
        }
        made.insert(*ino, new);
        at_path.insert(path, new);
    }
    for (path, Seen { ino, is_directory, bytes, .. }) in &all {
        if path.ends_with(RULES) && !is_directory && !is_ignored(&all, path) {
            write(&mut tree, made[ino], bytes, &src);
        }
    }
    for (old, ino) in made {
        let mtime = Some(fs.tree.find(old).unwrap().meta.mtime);
        let set = SetAttr { mtime, ..SetAttr::default() };
        tree.apply(&Op::SetAttr { ino, set, time }, &src).unwrap();
    }
    tree.begin_commit().hash(&mut Hasher::default(), &src).unwrap().root
}

fn write(tree: &mut Worktree, ino: Ino, bytes: &[u8], src: &Objects) {
    let (data, time) = (bytes.into(), at(1_000_001));
    tree.apply(&Op::Write { ino, offset: 0, data, kill_priv: false, time }, src).unwrap();
}

/// Commits after all rules were looked at, as a repository does.
fn commit(fs: &mut Fs) -> RootId {
    fs.tree.sort_all(&fs.objects).unwrap();
    fs.root()
}

/// Makes, or fills, a file with rules.
fn rules(fs: &mut Fs, directory: &str, text: &str) {
    let path = if directory.is_empty() { RULES.to_owned() } else { format!("{directory}/{RULES}") };
    if fs.find(&path).is_none() {
        fs.file(&path, b"");
    }
    fs.truncate(&path, 0);
    fs.write(&path, 0, text.as_bytes());
}

/// Commits, which leaves what is ignored as it is.
pub(super) fn assert_root(fs: &mut Fs) {
    fs.tree.sort_all(&fs.objects).unwrap();
    let (root, _) = fs.commit_only();
    assert_eq!(root, root_without_ignored(fs));
    assert_consistent(&fs.tree, &fs.objects);
}

#[test]
fn what_is_done_to_ignored_paths_makes_no_other_commit() {
    let mut fs = Fs::new();
    fs.file("kept", b"kept");
    rules(&mut fs, "", "target/\n*.o\n");
    let root = commit(&mut fs);
    fs.mkdir("target");
    fs.mkdir("target/debug");
    fs.file("target/debug/a", b"built");
    fs.file("b.o", b"built");
    fs.link("b.o", "target/debug/c");
    assert_eq!(commit(&mut fs), root, "nor does the time of the directory tell of it");
    fs.rename("target/debug/a", "a.o");
    fs.unlink("b.o");
    assert_eq!(commit(&mut fs), root);
    assert_root(&mut fs);
}

#[test]
fn a_directory_shows_when_ignored_entries_came_unless_its_time_was_set() {
    let mut fs = Fs::new();
    rules(&mut fs, "", "*.o\n");
    let before = fs.tree.top().meta.mtime;
    fs.file("a.o", b"");
    let view = fs.tree.view(Ino::ROOT).unwrap();
    assert_eq!((view.mtime(), view.ctime()), (at(fs.time), at(fs.time)));
    assert_eq!(fs.tree.top().meta.mtime, before);
    fs.set("", SetAttr { mtime: Some(at(-5)), ..SetAttr::default() });
    let view = fs.tree.view(Ino::ROOT).unwrap();
    assert_eq!((view.mtime(), view.ctime()), (at(-5), at(fs.time)));
}

#[test]
fn a_directory_with_ignored_entries_is_not_empty_and_counts_them() {
    let mut fs = Fs::new();
    rules(&mut fs, "", "*.o\nout/\n");
    fs.mkdir("d");
    fs.mkdir("d/out");
    fs.file("d/a.o", b"");
    let (parent, name, time) = (Ino::ROOT, super::name("d"), at(99));
    let remove = Op::Rmdir { parent, name, time };
    assert!(matches!(fs.try_apply(&remove), Err(OpError::NotEmpty)));
    let d = fs.ino("d");
    assert_eq!(fs.tree.view(d).unwrap().nlink(&fs.objects).unwrap(), 3);
    fs.unlink("d/a.o");
    fs.rmdir("d/out");
    fs.rmdir("d");
    fs.reopen();
    assert!(fs.find("d").is_none());
    assert_eq!(fs.tree.ignored_node(), None, "nothing is left of it");
}

#[test]
fn new_rules_hold_for_what_was_committed_before_and_go_with_their_file() {
    let mut fs = Fs::new();
    fs.mkdir("d");
    fs.file("d/a", b"a");
    fs.file("d/b", b"b");
    let before = commit(&mut fs);
    rules(&mut fs, "d", "a\n");
    assert_root(&mut fs);
    let ignored = fs.tree.ignored_paths(&fs.objects).unwrap();
    assert_eq!(ignored, [IgnoredPath { path: b"d/a".to_vec(), is_directory: false }]);
    assert_eq!(fs.read("d/a"), b"a");
    fs.unlink("d/.vstignore");
    fs.set("d", SetAttr { mtime: Some(at(4)), ..SetAttr::default() });
    assert_eq!(commit(&mut fs), before);
    assert!(fs.tree.ignored_paths(&fs.objects).unwrap().is_empty());
}

#[test]
fn a_file_that_loses_its_other_name_to_an_ignored_directory_is_committed_as_the_only_one() {
    let mut fs = Fs::new();
    rules(&mut fs, "", "out\n");
    fs.mkdir("d");
    fs.file("d/x", b"x");
    fs.link("d/x", "y");
    fs.reopen();
    fs.rename("d", "out");
    assert_root(&mut fs);
    fs.reopen();
    fs.rename("out", "d");
    assert_root(&mut fs);
}

#[test]
fn what_is_ignored_is_found_again_when_the_tree_is_opened() {
    let mut fs = Fs::new();
    rules(&mut fs, "", "out/\n*.o\n");
    fs.mkdir("d");
    fs.mkdir("d/out");
    fs.file("d/out/x", b"deep");
    fs.link("d/out/x", "d/y.o");
    fs.link("d/out/x", "z");
    let before = seen(&mut fs);
    fs.reopen();
    assert_eq!(fs.tree.inodes_loaded(), 1);
    assert_eq!(seen(&mut fs), before);
    fs.reopen();
    // By one name alone, and the others with it.
    fs.write("z", 0, b"DEEP");
    assert_eq!(fs.read("d/out/x"), b"DEEP");
    assert_root(&mut fs);
}

#[derive(Clone, Debug)]
enum Step {
    Make(usize, usize, bool),
    Write(usize, u8),
    Rules(usize, usize),
    Link(usize, usize, usize),
    Move(usize, usize, usize, bool),
    Remove(usize),
    Settle,
    Sort(usize),
    Commit,
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..64_usize;
    prop_oneof![
        6 => (n(), n(), any::<bool>()).prop_map(|(at, name, dir)| Step::Make(at, name, dir)),
        2 => (n(), any::<u8>()).prop_map(|(at, byte)| Step::Write(at, byte)),
        2 => (n(), n()).prop_map(|(at, text)| Step::Rules(at, text)),
        2 => (n(), n(), n()).prop_map(|(old, at, name)| Step::Link(old, at, name)),
        4 => (n(), n(), n(), any::<bool>()).prop_map(|(o, a, n, x)| Step::Move(o, a, n, x)),
        2 => n().prop_map(Step::Remove),
        1 => proptest::prelude::Just(Step::Settle),
        2 => (1..4_usize).prop_map(Step::Sort),
        3 => proptest::prelude::Just(Step::Commit),
        1 => proptest::prelude::Just(Step::Checkpoint),
        1 => proptest::prelude::Just(Step::Reopen),
    ]
}

const NAMES: [&str; 6] = ["a", "b", "c.o", "out", "d", RULES];
const TEXTS: [&str; 9] =
    ["", "out/\n", "*.o\n", "/a\n", "*\n!a\n!*/\n", "d/a\n", "**/b\n", "!out\n", "d\n!*.o\n"];

/// One tree with rules, one with the same rules in which everything is put where it belongs at
/// once, and one in which the same is done to files that hold no rules.
struct Trees {
    fs: Fs,
    sorted: Fs,
    plain: Fs,
}

impl Trees {
    fn paths(&mut self, want_directories: bool) -> Vec<String> {
        let all = seen(&mut self.fs);
        let found = all.iter().filter(|(_, seen)| seen.is_directory || !want_directories);
        let mut paths: Vec<String> = found.map(|(path, _)| path.clone()).collect();
        if want_directories {
            paths.push(String::new());
        }
        paths
    }

    fn pick(&mut self, at: usize, want_directories: bool) -> Option<String> {
        let paths = self.paths(want_directories);
        (!paths.is_empty()).then(|| paths[at % paths.len()].clone())
    }

    fn new_path(&mut self, at: usize, name: usize) -> String {
        let directory = self.pick(at, true).unwrap();
        let name = NAMES[name % NAMES.len()];
        if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
    }

    /// Does the same in all of them, if it can be done.
    fn all(&mut self, op: impl Fn(&mut Fs, &dyn Fn(&str) -> String) -> Option<Op>) {
        let Some(mine) = op(&mut self.fs, &|path| path.to_owned()) else { return };
        let other = op(&mut self.plain, &plain).expect("the same is there");
        let same = op(&mut self.sorted, &|path| path.to_owned());
        assert_eq!(same.as_ref(), Some(&mine));
        let (a, b) = (self.fs.try_apply(&mine), self.plain.try_apply(&other));
        assert_eq!(a.is_ok(), b.is_ok(), "{mine:?}: {a:?}, {b:?}");
        assert_eq!(a.is_ok(), self.sorted.try_apply(&mine).is_ok(), "{mine:?}");
        self.sorted.tree.sort_all(&self.sorted.objects).unwrap();
        for fs in [&mut self.fs, &mut self.sorted, &mut self.plain] {
            fs.time += 1;
        }
    }

    fn step(&mut self, step: &Step) {
        let time = at(self.fs.time + 1);
        let place = |fs: &mut Fs, path: &str| {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            Some((fs.find(parent)?, super::name(name)))
        };
        match *step {
            Step::Make(at, name, is_directory) => {
                let path = self.new_path(at, name);
                let kind = if is_directory { FileKind::Directory } else { FileKind::Regular };
                self.all(|fs, map| {
                    let (parent, name) = place(fs, &map(&path))?;
                    let ino = fs.tree.allocate_ino();
                    let (uid, gid, target) = (1, 2, Box::default());
                    let node = NewNode { kind, perm: 0o644, uid, gid, rdev: 0, target };
                    Some(Op::Create { parent, name, ino, node, time })
                });
            }
            Step::Write(at, byte) => {
                let Some(path) = self.pick(at, false).filter(|path| !path.ends_with(RULES)) else {
                    return;
                };
                self.all(|fs, map| {
                    let (ino, data) = (fs.find(&map(&path))?, [byte; 9][..].into());
                    Some(Op::Write { ino, offset: 0, data, kill_priv: false, time })
                });
            }
            Step::Rules(at, text) => {
                let (path, text) = (self.new_path(at, 5), TEXTS[text % TEXTS.len()]);
                let is_file = |seen: &Seen| !seen.is_directory && seen.nlink == 1;
                if seen(&mut self.fs).get(&path).is_some_and(is_file) {
                    self.all(|fs, map| {
                        let ino = fs.find(&map(&path))?;
                        Some(Op::Truncate { ino, size: 0, kill_priv: false, time })
                    });
                    self.all(|fs, map| {
                        let (ino, data) = (fs.find(&map(&path))?, text.as_bytes().into());
                        Some(Op::Write { ino, offset: 0, data, kill_priv: false, time })
                    });
                }
            }
            Step::Link(old, at, name) => {
                let (Some(old), new) = (self.pick(old, false), self.new_path(at, name)) else {
                    return;
                };
                // A file that is written as one without rules must not become one with some.
                if old.ends_with(RULES) == new.ends_with(RULES) {
                    self.all(|fs, map| {
                        let ino = fs.find(&map(&old))?;
                        let (parent, name) = place(fs, &map(&new))?;
                        Some(Op::Link { ino, parent, name, time })
                    });
                }
            }
            Step::Move(old, at, name, exchange) => {
                let (Some(old), new) = (self.pick(old, false), self.new_path(at, name)) else {
                    return;
                };
                let mode = if exchange { RenameMode::Exchange } else { RenameMode::Replace };
                if old.ends_with(RULES) == new.ends_with(RULES) {
                    self.all(|fs, map| {
                        let (parent, name) = place(fs, &map(&old))?;
                        let (new_parent, new_name) = place(fs, &map(&new))?;
                        Some(Op::Rename { parent, name, new_parent, new_name, mode, time })
                    });
                }
            }
            Step::Remove(at) => {
                let Some(path) = self.pick(at, false) else { return };
                let is_directory = seen(&mut self.fs)[&path].is_directory;
                self.all(|fs, map| {
                    let (parent, name) = place(fs, &map(&path))?;
                    Some(match is_directory {
                        true => Op::Rmdir { parent, name, time },
                        false => Op::Unlink { parent, name, time },
                    })
                });
            }
            Step::Sort(entries) => {
                self.fs.tree.sort_next(entries, &self.fs.objects).unwrap();
            }
            Step::Commit => {
                assert_root(&mut self.fs);
                assert_eq!(self.fs.commit_only().0, self.sorted.root());
                self.plain.commit();
            }
            Step::Checkpoint => {
                let root = commit(&mut self.fs);
                assert_eq!(root, self.sorted.root());
                assert_consistent(&self.fs.tree, &self.fs.objects);
            }
            Step::Settle => {
                let Fs { tree, objects, .. } = &mut self.fs;
                let files = tree.to_settle(tree.dirty_files(), u64::MAX);
                hash_files(&files, &mut Hasher::default(), &*objects).unwrap();
                tree.settle(files, &*objects);
            }
            Step::Reopen => {
                self.fs.tree.sort_all(&self.fs.objects).unwrap();
                self.fs.reopen();
                self.plain.reopen();
                // That one is as if the journal had to make all of it again.
            }
        }
    }
}

fn plain(path: &str) -> String {
    path.replace(RULES, "rules")
}

proptest! {
    #[test]
    fn commits_are_as_if_nothing_ignored_was_there_and_all_is_there(steps in vec(step(), 0..60)) {
        let mut trees = Trees { fs: Fs::new(), sorted: Fs::new(), plain: Fs::new() };
        for step in &steps {
            trees.step(step);
            let mine = seen(&mut trees.fs).into_iter().map(|(path, seen)| (plain(&path), seen));
            assert_eq!(mine.collect::<BTreeMap<_, _>>(), seen(&mut trees.plain));
        }
        trees.step(&Step::Commit);
        let Trees { mut fs, .. } = trees;
        let named = fs.tree.ignored_paths(&fs.objects).unwrap();
        let mut named: Vec<String> =
            named.into_iter().map(|named| String::from_utf8(named.path).unwrap()).collect();
        named.sort();
        let all = seen(&mut fs);
        let is_topmost = |path: &&String| {
            let above = path.rsplit_once('/').is_none_or(|(above, _)| !is_ignored(&all, above));
            above && is_ignored(&all, path)
        };
        assert_eq!(named, all.keys().filter(is_topmost).cloned().collect::<Vec<_>>());
    }
}

#[test]
fn a_listing_can_be_gone_on_with_from_any_row() {
    let mut fs = Fs::new();
    rules(&mut fs, "", "*.o\n");
    for name in ["a", "b.o", "c", "d.o", "e"] {
        fs.file(name, b"");
    }
    let view = fs.tree.view(Ino::ROOT).unwrap();
    let rows = |from| {
        let mut rows = Vec::new();
        view.scan(from, &fs.objects, &mut |_, name| {
            rows.push(String::from_utf8(name.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        rows
    };
    let all = rows(0);
    assert_eq!(all, [RULES, "a", "c", "e", "b.o", "d.o"]);
    for from in 0..=all.len() {
        assert_eq!(rows(from as u64), all[from..]);
    }
}
