//! Plain trees in a directory of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{ExportRequest, export};
use crate::model::{FileKind, Ino, Name, NewNode, Op, SetAttr, Timestamp};
use crate::repo::{CommitRequest, Repo, RepoError, RepoOptions};

/// A hole, data, and a hole at the end.
const SPARSE_BYTES: u64 = 3 << 20;
const MIDDLE: u64 = 1 << 20;

struct World {
    dir: TempDir,
    repo: Repo,
    next: u64,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo::open(&dir.path().join("store"), RepoOptions::default()).unwrap();
        let mut world = Self { dir, repo, next: 1000 };
        let top = Ino::ROOT;
        let below = world.create(top, "dir", FileKind::Directory, 0o755);
        let inner = world.create(below, "inner", FileKind::Directory, 0o500);
        let file = world.create(inner, "file", FileKind::Regular, 0o640);
        world.write(file, 0, b"content");
        world.link(file, below, "hard");
        let sparse = world.create(top, "sparse", FileKind::Regular, 0o600);
        world.write(sparse, MIDDLE, &[5; 20_000]);
        let time = Timestamp { secs: 77, nanos: 0 };
        let cut = Op::Truncate { ino: sparse, size: SPARSE_BYTES, kill_priv: false, time };
        world.repo.apply(&cut).unwrap();
        world.create(top, "symlink", FileKind::Symlink, 0o777);
        world.create(top, "fifo", FileKind::Fifo, 0o644);
        let (name, value) = ((*b"user.key").into(), (*b"value").into());
        world.repo.apply(&Op::SetXattr { ino: file, name, value, time }).unwrap();
        for (ino, secs) in [(file, 5), (inner, 6), (below, -7)] {
            let mtime = Some(Timestamp { secs, nanos: 123 });
            let set = SetAttr { mtime, ..SetAttr::default() };
            world.repo.apply(&Op::SetAttr { ino, set, time }).unwrap();
        }
        world.repo.commit(&CommitRequest::default()).unwrap();
        world.repo.write_commits().unwrap();
        world
    }

    fn create(&mut self, parent: Ino, name: &str, kind: FileKind, perm: u16) -> Ino {
        self.next += 1;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let target = if kind == FileKind::Symlink { &b"dir/hard"[..] } else { b"" };
        let node = NewNode { kind, perm, uid, gid, rdev: 0, target: target.into() };
        let (ino, name) = (Ino(self.next), Name::new(name.as_bytes()).unwrap());
        let time = Timestamp { secs: 50, nanos: 0 };
        self.repo.apply(&Op::Create { parent, name, ino, node, time }).unwrap();
        ino
    }

    fn write(&self, ino: Ino, offset: u64, data: &[u8]) {
        let time = Timestamp { secs: 60, nanos: 0 };
        let write = Op::Write { ino, offset, data: data.into(), kill_priv: false, time };
        self.repo.apply(&write).unwrap();
    }

    fn link(&self, ino: Ino, parent: Ino, name: &str) {
        let (name, time) = (Name::new(name.as_bytes()).unwrap(), Timestamp { secs: 50, nanos: 0 });
        self.repo.apply(&Op::Link { ino, parent, name, time }).unwrap();
    }

    fn target(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn export(&self, paths: &[&str], to: &Path, merge: bool) -> Result<u64, RepoError> {
        let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let commit = self.repo.head().unwrap();
        let request = ExportRequest { commit, paths, dir: to.to_owned(), merge };
        let done = export(self.repo.history(), &request, &|_| {})?;
        assert_eq!(done.left_out, []);
        Ok(done.entries)
    }
}

/// Everything below a directory: mode, time of modification in nanoseconds, and length.
fn listing(top: &Path) -> BTreeMap<String, (u32, i64, u64)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let size = if meta.is_dir() { 0 } else { meta.len() };
        let mtime = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        found.insert(name, (meta.mode() & 0o7777, mtime, size));
    }
    found
}

#[test]
fn a_whole_tree_comes_with_all_that_a_commit_has_of_it() {
    let world = World::new();
    let to = world.target("out");
    assert_eq!(world.export(&[], &to, false).unwrap(), 7);
    let found = listing(&to);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected =
        ["", "dir", "dir/hard", "dir/inner", "dir/inner/file", "fifo", "sparse", "symlink"];
    assert_eq!(names, expected);
    assert_eq!(found[""].0, 0o755);
    assert_eq!(found["dir"], (0o755, -7_000_000_000 + 123, 0));
    assert_eq!(found["dir/inner"], (0o500, 6_000_000_123, 0));
    assert_eq!(found["dir/inner/file"], (0o640, 5_000_000_123, 7));
    assert_eq!(found["fifo"].0, 0o644);
    assert_eq!(fs::read(to.join("dir/inner/file")).unwrap(), b"content");
    assert_eq!(fs::read_link(to.join("symlink")).unwrap(), Path::new("dir/hard"));
    let inode = |path: &str| fs::metadata(to.join(path)).unwrap().ino();
    assert_eq!(inode("dir/hard"), inode("dir/inner/file"));
    let mut value = [0; 10];
    let len = rustix::fs::getxattr(to.join("dir/hard"), "user.key", &mut value[..]).unwrap();
    assert_eq!(&value[..len], b"value");
    let sparse = fs::metadata(to.join("sparse")).unwrap();
    assert_eq!(sparse.len(), SPARSE_BYTES);
    assert!(sparse.blocks() * 512 < MIDDLE, "{} blocks", sparse.blocks());
    let bytes = fs::read(to.join("sparse")).unwrap();
    let data = MIDDLE as usize..MIDDLE as usize + 20_000;
    assert!(bytes.iter().enumerate().all(|(at, byte)| (*byte == 5) == data.contains(&at)));
    let left: Vec<_> = fs::read_dir(world.dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the store and what was written");
}

#[test]
fn paths_come_to_where_they_are_in_the_tree() {
    let world = World::new();
    let to = world.target("out");
    assert_eq!(world.export(&["dir/inner/file", "symlink"], &to, false).unwrap(), 4);
    let found = listing(&to);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["", "dir", "dir/inner", "dir/inner/file", "symlink"]);
    assert_eq!(found["dir/inner"], (0o500, 6_000_000_123, 0));
    assert_eq!(found["dir"], (0o755, -7_000_000_000 + 123, 0));
    let error = world.export(&["dir", "none"], &world.target("other"), false).unwrap_err();
    assert!(matches!(error, RepoError::NoPath { .. }), "{error}");
    assert!(!world.target("other").exists());
    assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn a_directory_with_something_in_it_is_written_into_only_if_that_is_asked_for() {
    let world = World::new();
    let to = world.target("out");
    fs::create_dir_all(to.join("dir/mine")).unwrap();
    fs::write(to.join("dir/hard"), "other").unwrap();
    fs::write(to.join("mine"), "mine").unwrap();
    let before = listing(&to);
    let error = world.export(&[], &to, false).unwrap_err();
    assert!(matches!(error, RepoError::NotEmpty { .. }), "{error}");
    assert_eq!(listing(&to), before);
    world.export(&[], &to, true).unwrap();
    let found = listing(&to);
    assert_eq!(fs::read(to.join("dir/hard")).unwrap(), b"content");
    assert_eq!(fs::read(to.join("mine")).unwrap(), b"mine");
    assert_eq!(found["dir"], (0o755, -7_000_000_000 + 123, 0));
    assert_eq!(found["dir/inner"], (0o500, 6_000_000_123, 0));
    assert_eq!(found.len(), 10, "{found:?}");
    // Again, over itself.
    world.export(&["dir", "sparse"], &to, true).unwrap();
    let without_top = |found: &BTreeMap<String, (u32, i64, u64)>| {
        found.iter().skip(1).map(|(name, what)| (name.clone(), *what)).collect::<Vec<_>>()
    };
    assert_eq!(without_top(&listing(&to)), without_top(&found));
    // What is of another kind is not replaced.
    fs::remove_file(to.join("sparse")).unwrap();
    fs::create_dir(to.join("sparse")).unwrap();
    let error = world.export(&["sparse"], &to, true).unwrap_err();
    assert!(error.to_string().contains("replacing"), "{error}");
    assert!(!listing(&to).keys().any(|name| name.contains(".vst-export")));
}

#[test]
fn an_empty_directory_is_filled_and_becomes_what_the_top_is() {
    let world = World::new();
    let to = world.target("out");
    fs::create_dir(&to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).unwrap();
    world.export(&[], &to, false).unwrap();
    let found = listing(&to);
    assert_eq!((found.len(), found[""].0), (8, 0o755));
    let error = world.export(&[], &world.target("none/out"), false).unwrap_err();
    assert!(error.to_string().starts_with("creating "), "{error}");
}
