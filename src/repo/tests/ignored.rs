//! Ignored paths in a repository: commits pay nothing for them, and restores leave them alone.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::world::{new_disk, open};
use crate::base::disk::sim::SimDisk;
use crate::model::{FileKind, Ino, Name, NewNode, Op, Timestamp};
use crate::repo::{CommitRequest, Repo, RestoreRequest};
use crate::store::ObjectStore;

struct Fs {
    disk: SimDisk,
    repo: Repo,
    inos: BTreeMap<String, Ino>,
    time: i64,
}

impl Fs {
    fn new() -> Self {
        let disk = new_disk();
        let repo = open(&disk).unwrap();
        Self { disk, repo, inos: BTreeMap::from([(String::new(), Ino::ROOT)]), time: 0 }
    }

    fn time(&mut self) -> Timestamp {
        self.time += 1;
        Timestamp { secs: self.time, nanos: 0 }
    }

    fn place(&self, path: &str) -> (Ino, Name) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.inos[parent], Name::new(name.as_bytes()).unwrap())
    }

    fn make(&mut self, path: &str, kind: FileKind) -> Ino {
        let (parent, name) = self.place(path);
        let ino = Ino(100 + self.inos.len() as u64);
        let target = Box::default();
        let node = NewNode { kind, perm: 0o755, uid: 1, gid: 1, rdev: 0, target };
        let time = self.time();
        self.repo.apply(&Op::Create { parent, name, ino, node, time }).unwrap();
        self.inos.insert(path.to_owned(), ino);
        ino
    }

    fn mkdir(&mut self, path: &str) {
        self.make(path, FileKind::Directory);
    }

    fn file(&mut self, path: &str, data: &[u8]) {
        let ino = self.inos.get(path).copied();
        let ino = ino.unwrap_or_else(|| self.make(path, FileKind::Regular));
        let (data, time) = (data.into(), self.time());
        self.repo.apply(&Op::Write { ino, offset: 0, data, kill_priv: false, time }).unwrap();
    }

    fn unlink(&mut self, path: &str) {
        let (parent, name) = self.place(path);
        let time = self.time();
        self.repo.apply(&Op::Unlink { parent, name, time }).unwrap();
        self.inos.remove(path);
    }

    fn commit(&self, message: &str) {
        let message = message.to_owned();
        self.repo.commit(&CommitRequest { message, ..CommitRequest::default() }).unwrap();
    }

    /// Returns how many paths that changed.
    fn restore(&self, revision: &str) -> usize {
        let (revision, paths) = (revision.to_owned(), Vec::new());
        self.repo.restore(&RestoreRequest { revision, paths }).unwrap().paths
    }

    fn ignored(&self) -> Vec<String> {
        let paths = self.repo.ignored().unwrap();
        paths.iter().map(|path| String::from_utf8(path.shown()).unwrap()).collect()
    }

    /// What is in a file that was in memory all the time, or not.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let mut ino = Ino::ROOT;
        for name in path.split('/') {
            let name = Name::new(name.as_bytes()).unwrap();
            ino = self
                .repo
                .update(|edit| {
                    let Some(found) = edit.lookup(ino, &name)? else { return Ok(None) };
                    edit.load(ino, &name, &found)?;
                    Ok(Some(found.ino))
                })
                .unwrap()?;
        }
        let inode = self.repo.look(|tree| tree.find(ino).cloned())?;
        let mut bytes = vec![0; inode.size() as usize];
        inode.file()?.read(0, &mut bytes, self.repo.source()).unwrap();
        Some(bytes)
    }

    /// Files, bytes of content, and nodes hashed so far, and objects that the store has.
    fn work(&self) -> [u64; 4] {
        let stats = self.repo.stats();
        let counters = [&stats.files_hashed, &stats.content_bytes_hashed, &stats.nodes_hashed];
        let [files, bytes, nodes] = counters.map(|counter| counter.load(Ordering::Relaxed));
        self.repo.write_commits().unwrap();
        [files, bytes, nodes, self.repo.store().packs().stats().objects]
    }
}

#[test]
fn a_commit_with_a_hundred_changed_files_that_are_ignored_costs_what_it_costs_without() {
    let [without, with] = [0, 100].map(|files| {
        let mut fs = Fs::new();
        fs.file(".vstignore", b"target/\n");
        fs.mkdir("target");
        fs.file("main", b"first");
        fs.commit("first");
        fs.repo.checkpoint().unwrap();
        for file in 0..files {
            fs.file(&format!("target/{file}"), &[file; 50_000]);
        }
        let before = fs.work();
        fs.file("main", b"other");
        fs.commit("other");
        let after = fs.work();
        assert_eq!(fs.read("target/9").is_some(), files > 0);
        std::array::from_fn::<u64, 4, _>(|at| after[at] - before[at])
    });
    assert_eq!(without, with);
    assert_eq!(without[0..2], [1, 5]);
}

#[test]
fn what_is_ignored_survives_restores_to_rules_and_to_none_and_the_end_of_the_process() {
    let mut fs = Fs::new();
    fs.file("file", b"1");
    fs.commit("without rules");
    fs.file(".vstignore", b"target/\nkeys\n");
    fs.mkdir("target");
    fs.mkdir("target/deep");
    fs.file("target/deep/built", b"built");
    fs.file("keys", b"secret");
    fs.commit("with rules");
    fs.file("target/deep/built", b"again");
    assert_eq!(fs.ignored(), ["keys", "target/"]);
    fs.restore("HEAD~1");
    assert_eq!(fs.ignored(), [""; 0], "no rule says so");
    assert_eq!(fs.read("target/deep/built").unwrap(), b"again");
    fs.repo.undo().unwrap();
    assert_eq!(fs.ignored(), ["keys", "target/"], "it was not taken away");
    assert_eq!(fs.read("target/deep/built").unwrap(), b"again");
    assert_eq!(fs.read("keys").unwrap(), b"secret");
    assert!(fs.repo.status().unwrap().is_empty());
    fs.file("target/deep/built", b"third");
    let Fs { disk, repo, inos, time } = fs;
    drop(repo);
    let repo = open(&disk).unwrap();
    let mut fs = Fs { disk, repo, inos, time };
    assert_eq!(fs.read("target/deep/built").unwrap(), b"third");
    assert_eq!(fs.ignored(), ["keys", "target/"]);
    assert!(fs.repo.status().unwrap().is_empty());
    fs.unlink(".vstignore");
    let added = fs.repo.status().unwrap();
    let added: Vec<_> = added.iter().map(|change| &change.path[..]).collect();
    assert_eq!(
        added,
        [&b".vstignore"[..], b"keys", b"target", b"target/deep", b"target/deep/built"]
    );
}

#[test]
fn what_is_ignored_does_not_stay_in_memory() {
    let mut fs = Fs::new();
    fs.file(".vstignore", b"target\n");
    fs.file("target", &[7; 100_000]);
    assert!(fs.repo.look(|tree| tree.dirty_bytes()) > 0);
    fs.commit("without it");
    assert!(fs.repo.look(|tree| tree.dirty_bytes()) > 0, "commits leave it alone");
    fs.repo.checkpoint().unwrap();
    assert_eq!(fs.repo.look(|tree| tree.dirty_bytes()), 0);
    assert_eq!(fs.read("target").unwrap(), [7; 100_000]);
}

#[test]
fn a_restore_does_not_count_what_it_leaves_because_it_is_ignored() {
    // So many of these come back, or go, unless they are there and ignored.
    let restored = |is_there: bool| {
        let mut fs = Fs::new();
        fs.mkdir("out");
        fs.file("out/old", b"old");
        fs.file("keys", b"secret");
        fs.commit("before there are rules");
        fs.file(".vstignore", b"keys\nnew\n");
        fs.commit("with rules");
        fs.mkdir("made");
        fs.file("made/other", b"other");
        match is_there {
            true => fs.file("made/new", b"new"),
            false => fs.unlink("keys"),
        }
        fs.commit("work");
        let back = fs.restore("HEAD~1");
        let further = fs.restore("HEAD~1");
        assert_eq!(fs.read("keys").unwrap(), b"secret");
        assert_eq!(fs.read("made/new").is_some(), is_there);
        [back, further]
    };
    let [with, without] = [restored(true), restored(false)];
    assert_eq!(with[0] + 1, without[0], "the directory stays for what is ignored in it");
    assert_eq!(with[1] + 1, without[1], "the keys are there already");
}
