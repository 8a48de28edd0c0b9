//! Makes the golden store. What it does is the same each time, but for the moments at which
//! commits and restores are made, and so the ids of commits; so the roots are the same each time.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use vst::format::journal::SEGMENT_HEADER_BYTES;
use vst::model::{
    CommitId, Entry, FileKind, Ino, Name, NewNode, Op, RenameMode, SetAttr, Timestamp, Writer,
};
use vst::repo::{CommitRequest, GcRequest, Repo, RepoOptions, RestoreRequest, Retention};
use vst::store::{Durability, Expected, RefName};
use vst::worktree::{CommittedTree, OpError};

/// Entries of a directory whose tree has several levels.
const MANY_ENTRIES: u64 = 350;
/// A file of several chunks, and a write that goes around the lock of the journal.
const LARGE_BYTES: usize = 300_000;
const LARGE_WRITE_BYTES: usize = 20_000;
const SPARSE_BYTES: u64 = 5_000_000;
const EPOCH_SECS: i64 = 1_000_000_000;

const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// How every test opens the store.
pub(crate) fn options() -> RepoOptions {
    RepoOptions {
        uid: 1000,
        gid: 1000,
        author: "golden".to_owned(),
        writer: Some(Arc::new(Writer::new(b"maker", 1000))),
        ..RepoOptions::default()
    }
}

/// Makes a store as a killed process leaves it, and returns what its living tree held.
pub(crate) fn make(dir: &Path) -> String {
    let first = sealed(dir);
    collected(dir, first);
    unsealed(dir);
    journaled(dir);
    tear_last_record(&dir.join("journal"));
    // It belongs to a write that was never acknowledged. What follows it is kept.
    let mut maker = Maker::open(dir, EPOCH_SECS + 400_000);
    maker.create("/after the torn write", FileKind::Regular, 0o600);
    maker.write("/after the torn write", 0, b"kept");
    super::listing::live(&maker.repo)
    // Dropped without being closed, which is all that the end of a process does.
}

/// A tree with everything in it, committed, in a sealed pack.
fn sealed(dir: &Path) -> CommitId {
    let mut maker = Maker::open(dir, EPOCH_SECS);
    let atime = Some(Timestamp { secs: -5, nanos: 6 });
    let (uid, gid) = (Some(0), Some(7));
    let root = SetAttr { perm: Some(0o1775), uid, gid, mtime: None, atime };
    maker.set("/", root);
    for (path, len) in [("/empty", 0), ("/small", 11), ("/large", LARGE_BYTES), ("/sparse", 0)] {
        maker.create(path, FileKind::Regular, 0o644);
        maker.write(path, 0, &noise(len));
    }
    maker.truncate("/sparse", SPARSE_BYTES);
    maker.write("/sparse", 3_000_000, b"in the middle");
    maker.create("/set-id", FileKind::Regular, 0o6755);
    maker.create("/fifo", FileKind::Fifo, 0o600);
    maker.create("/socket", FileKind::Socket, 0o755);
    maker.create("/char", FileKind::CharDevice, 0o666);
    maker.create("/block", FileKind::BlockDevice, 0o660);
    maker.create("/symlink", FileKind::Symlink, 0o777);
    for path in ["/dir", "/dir/in", "/dir/in/it", "/dir/empty", "/many"] {
        maker.create(path, FileKind::Directory, 0o755);
    }
    for n in 0..MANY_ENTRIES {
        maker.create(&format!("/many/{n:03}"), FileKind::Regular, 0o600 + (n % 8) as u16);
    }
    maker.write("/many/007", 0, b"one of many");
    for name in [&b"new\nline"[..], b"\xff\xfe no text", b" ", b"-rf", b"*", "né".as_bytes()] {
        maker.create_named("/dir", name, FileKind::Regular, 0o400);
    }
    maker.create_named("/dir", &[b'x'; 255], FileKind::Directory, 0o500);
    maker.link("/small", "/dir/hard link");
    maker.link("/small", "/dir/in/another");
    maker.link("/fifo", "/dir/fifo");
    maker.set_xattr("/small", b"user.inline", b"value");
    maker.set_xattr("/small", b"user.nothing", b"");
    maker.set_xattr("/large", b"user.stored", &noise(5000));
    maker.set_xattr("/symlink", b"trusted.of a symlink", b"1");
    maker.set_xattr("/dir/in", b"security.selinux", b"label\0");
    maker.set_xattr("/empty", ACL_ACCESS, &acl());
    maker.set_xattr("/dir", ACL_DEFAULT, &acl());
    let old = Timestamp { secs: -2, nanos: 999_999_999 };
    maker.set("/empty", SetAttr { mtime: Some(old), ..SetAttr::default() });
    let first = maker.commit("first");
    maker.repo.close().expect("it closes");
    first
}

/// More commits, of which some are dropped.
fn collected(dir: &Path, first: CommitId) {
    let mut maker = Maker::open(dir, EPOCH_SECS + 100_000);
    maker.tag("v1", first);
    maker.write("/large", 150_000, b"a change in the middle of it");
    maker.commit("second, dropped");
    maker.rename("/dir/in", "/moved", RenameMode::NoReplace);
    maker.unlink("/many/100");
    maker.commit("third, dropped");
    maker.create("/short-lived", FileKind::Regular, 0o644);
    maker.write("/short-lived", 0, &noise(3000));
    let tagged = maker.commit("fourth\n\nwith a body");
    maker.point("tags/topic/new", tagged);
    maker.unlink("/short-lived");
    maker.commit("fifth");
    let retention = Retention { last: Some(1), ..Retention::default() };
    let report = maker.repo.gc(&GcRequest { retention, ..GcRequest::default() });
    let report = report.expect("it collects");
    assert_eq!((report.commits_kept, report.commits_dropped), (3, 2));
    maker.repo.close().expect("it closes");
}

/// A checkpoint and commits in a pack that was not sealed.
fn unsealed(dir: &Path) {
    let mut maker = Maker::open(dir, EPOCH_SECS + 200_000);
    maker.create("/.vstignore", FileKind::Regular, 0o644);
    maker.write("/.vstignore", 0, b"built/\n*.o\n");
    maker.create("/built", FileKind::Directory, 0o755);
    maker.create("/built/by rules", FileKind::Regular, 0o755);
    maker.write("/built/by rules", 0, &noise(4000));
    maker.link("/small", "/dir/linked.o");
    maker.create("/dir/later", FileKind::Regular, 0o644);
    maker.write("/dir/later", 0, &noise(2500));
    maker.commit("sixth");
    maker.create("/uncommitted", FileKind::Regular, 0o644);
    maker.write("/uncommitted", 0, b"in a checkpoint and in no commit");
    maker.repo.checkpoint().expect("there is room");
}

/// Every kind of record and operation that a journal can hold, and no checkpoint after it. The
/// last is a large write.
fn journaled(dir: &Path) {
    let mut maker = Maker::open(dir, EPOCH_SECS + 300_000);
    // To restore a path is a switch.
    maker.unlink("/many/200");
    maker.commit("seventh");
    let request = RestoreRequest { revision: "v1".into(), paths: vec![b"many/200".to_vec()] };
    maker.repo.restore(&request).expect("it restores");
    // It changed the directory at a moment of its own.
    let mtime = Some(maker.time());
    maker.set("/many", SetAttr { mtime, ..SetAttr::default() });
    maker.commit("eighth, after a restore");
    // To take a commit back is a deed.
    maker.write("/small", 3, b"for a moment");
    maker.commit("taken back");
    maker.repo.undo().expect("there is a commit");
    maker.every_op();
    maker.create("/dir/large", FileKind::Regular, 0o644);
    maker.write("/dir/large", 0, &noise(LARGE_WRITE_BYTES));
    maker.commit("ninth, of which nothing is in a pack");
    maker.set("/dir/large", SetAttr { perm: Some(0o640), ..SetAttr::default() });
    maker.write("/dir/large", 100, &noise(LARGE_WRITE_BYTES));
}

/// Takes the last byte of the last record, which ends in a payload.
fn tear_last_record(journal: &Path) {
    let names = fs::read_dir(journal).expect("the journal is a directory");
    let paths = names.map(|entry| entry.expect("it can be listed").path());
    let segment = paths.filter(|path| path.extension().is_some_and(|e| e == "log")).max();
    let segment = segment.expect("the journal has a segment");
    let mut bytes = fs::read(&segment).expect("it can be read");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("it holds records");
    assert!(last > SEGMENT_HEADER_BYTES + LARGE_WRITE_BYTES);
    bytes[last] = 0;
    fs::write(&segment, bytes).expect("it can be written");
}

/// Copies what a store consists of: no lock, no room that was set aside.
pub(crate) fn copy(from: &Path, to: &Path) {
    match fs::create_dir(to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
        _ => {}
    }
    for entry in fs::read_dir(from).expect("it is a directory") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("it has a name");
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            let mut bytes = fs::read(&path).expect("it can be read");
            // Zeros follow the last record, or nothing.
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            bytes.truncate(SEGMENT_HEADER_BYTES.max(last + 1));
            fs::write(&target, bytes).expect("it can be written");
        } else if name != "lock" && name != "reserve" {
            fs::copy(&path, &target).expect("it can be copied");
        }
    }
}

struct Maker {
    repo: Repo,
    clock: i64,
}

impl Maker {
    fn open(dir: &Path, clock: i64) -> Self {
        Self { repo: Repo::open(dir, options()).expect("it opens"), clock }
    }

    /// A time that was told to no other operation.
    fn time(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp { secs: self.clock, nanos: (self.clock * 7_654_321 % 1_000_000_000) as u32 }
    }

    fn apply(&mut self, op: &Op) {
        // Each kind of operation by a program of its own.
        let text = format!("{op:?}");
        let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let writer = Arc::new(Writer::new(name.to_lowercase().as_bytes(), 1001));
        let done = self.repo.apply_by(Some(&writer), op);
        done.unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }

    /// The inode with this path.
    fn ino(&self, path: &str) -> Ino {
        let found = self.repo.update(|edit| {
            let mut at = Ino::ROOT;
            for name in path.split('/').filter(|name| !name.is_empty()) {
                let name = name_of(name.as_bytes());
                let found = edit.lookup(at, &name)?.ok_or(OpError::NotFound)?;
                edit.load(at, &name, &found)?;
                at = found.ino;
            }
            Ok(at)
        });
        found.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The directory that a path is in, and its name there.
    fn place(&self, path: &str) -> (Ino, Name) {
        let (parent, name) = path.rsplit_once('/').expect("paths are absolute");
        (self.ino(parent), name_of(name.as_bytes()))
    }

    fn new_ino(&self) -> Ino {
        self.repo.update(|edit| Ok(edit.allocate_ino())).expect("there are numbers left")
    }

    fn create(&mut self, path: &str, kind: FileKind, perm: u16) {
        let (parent, name) = path.rsplit_once('/').expect("paths are absolute");
        self.create_named(parent, name.as_bytes(), kind, perm);
    }

    fn create_named(&mut self, parent: &str, name: &[u8], kind: FileKind, perm: u16) {
        let (parent, name, ino) = (self.ino(parent), name_of(name), self.new_ino());
        let rdev = match kind {
            FileKind::CharDevice => 0x0103,
            FileKind::BlockDevice => 0x0801,
            _ => 0,
        };
        let target = if kind == FileKind::Symlink { &b"dir/in/\xfe"[..] } else { b"" };
        let (uid, gid) = (1000 + u32::from(perm & 1), u32::MAX - 1);
        let node = NewNode { kind, perm, uid, gid, rdev, target: target.into() };
        let time = self.time();
        self.apply(&Op::Create { parent, name, ino, node, time });
    }

    fn write(&mut self, path: &str, offset: u64, data: &[u8]) {
        let (ino, time) = (self.ino(path), self.time());
        self.apply(&Op::Write { ino, offset, data: data.into(), kill_priv: false, time });
    }

    fn truncate(&mut self, path: &str, size: u64) {
        let (ino, time) = (self.ino(path), self.time());
        self.apply(&Op::Truncate { ino, size, kill_priv: false, time });
    }

    fn set(&mut self, path: &str, set: SetAttr) {
        let (ino, time) = (self.ino(path), self.time());
        self.apply(&Op::SetAttr { ino, set, time });
    }

    fn set_xattr(&mut self, path: &str, name: &[u8], value: &[u8]) {
        let (ino, time) = (self.ino(path), self.time());
        self.apply(&Op::SetXattr { ino, name: name.into(), value: value.into(), time });
    }

    fn link(&mut self, path: &str, new: &str) {
        let (ino, (parent, name), time) = (self.ino(path), self.place(new), self.time());
        self.apply(&Op::Link { ino, parent, name, time });
    }

    fn unlink(&mut self, path: &str) {
        self.ino(path);
        let ((parent, name), time) = (self.place(path), self.time());
        self.apply(&Op::Unlink { parent, name, time });
    }

    fn rename(&mut self, path: &str, new: &str, mode: RenameMode) {
        self.ino(path);
        let ((parent, name), (new_parent, new_name)) = (self.place(path), self.place(new));
        let time = self.time();
        self.apply(&Op::Rename { parent, name, new_parent, new_name, mode, time });
    }

    fn commit(&mut self, message: &str) -> CommitId {
        let request = CommitRequest { message: message.to_owned(), ..CommitRequest::default() };
        self.repo.commit(&request).expect("it commits")
    }

    fn tag(&self, name: &str, id: CommitId) {
        let request = format!("make {name} {}", id.object());
        self.repo.tag(&request.parse().expect("a request")).expect("there is room");
    }

    /// Makes a ref that no tag can be named like.
    fn point(&self, name: &str, id: CommitId) {
        self.repo.write_commits().expect("there is room");
        let name = RefName::new(name).expect("a name");
        let refs = self.repo.store().refs();
        let set = refs.update(&name, Expected::Absent, id.object(), Durability::Strict);
        set.expect("the ref can be written");
    }

    /// What the head has at a path.
    fn committed(&self, path: &[u8]) -> Entry {
        self.repo.write_commits().expect("there is room");
        let head = self.repo.head().expect("there is a head");
        let root = self.repo.history().commit(&head).expect("it can be read").root;
        let src = self.repo.source();
        let tree = CommittedTree::open(&root, src).expect("it can be read");
        tree.find(path, src).expect("it can be read").expect("it is there")
    }

    /// Does all that an operation of the journal can tell. To drop an orphan is never told: a
    /// file without a name is gone with the process.
    fn every_op(&mut self) {
        for kind in [FileKind::Regular, FileKind::Fifo, FileKind::Socket, FileKind::BlockDevice] {
            self.create(&format!("/new {kind:?}"), kind, 0o7777);
        }
        self.create("/new symlink", FileKind::Symlink, 0o777);
        self.create("/new dir", FileKind::Directory, 0o2755);
        self.create("/new dir/gone", FileKind::Directory, 0o700);
        let ((parent, name), time) = (self.place("/new dir/gone"), self.time());
        self.apply(&Op::Rmdir { parent, name, time });
        self.link("/large", "/new dir/large");
        self.unlink("/dir/hard link");
        self.rename("/moved", "/new dir/moved back", RenameMode::NoReplace);
        self.rename("/new Fifo", "/new Socket", RenameMode::Replace);
        self.rename("/char", "/new dir", RenameMode::Exchange);
        self.write("/small", 5, b"written over it");
        let (ino, time) = (self.ino("/set-id"), self.time());
        self.apply(&Op::Write { ino, offset: 3, data: b"x"[..].into(), kill_priv: true, time });
        self.write_twice_in_one_record("/many/300", "/many/301");
        self.truncate("/sparse", 4_000_000);
        let (ino, time) = (self.ino("/new Regular"), self.time());
        self.apply(&Op::Truncate { ino, size: 77, kill_priv: true, time });
        for extend in [false, true] {
            let (ino, time) = (self.ino("/large"), self.time());
            let offset = LARGE_BYTES as u64 - 1000;
            let kill_priv = extend;
            self.apply(&Op::Zero { ino, offset, len: 5000, extend, kill_priv, time });
        }
        let mtime = Some(Timestamp { secs: i64::from(u32::MAX) + 1, nanos: 1 });
        let atime = Some(Timestamp { secs: 1, nanos: 999_999_999 });
        let (uid, gid) = (Some(1), Some(u32::MAX - 2));
        let all = SetAttr { perm: Some(0o4711), uid, gid, mtime, atime };
        self.set("/new Regular", all);
        self.set_xattr("/large", b"user.more", &noise(60_000)[..200]);
        self.set_xattr("/new dir", b"user.a", b"b");
        let (ino, time) = (self.ino("/small"), self.time());
        self.apply(&Op::RemoveXattr { ino, name: b"user.inline"[..].into(), time });
        let ((parent, name), ino) = (self.place("/adopted"), self.new_ino());
        let (entry, time) = (self.committed(b"large"), self.time());
        self.apply(&Op::Adopt { parent, name, ino, entry, time });
        let (ino, entry, time) = (self.ino("/sparse"), self.committed(b"sparse"), self.time());
        self.apply(&Op::Revert { ino, entry, time });
    }

    fn write_twice_in_one_record(&mut self, one: &str, other: &str) {
        let inos = [self.ino(one), self.ino(other)];
        let time = self.time();
        let written = self.repo.update(|edit| {
            for (ino, data) in inos.into_iter().zip([&b"first"[..], b"and second"]) {
                let data = data.into();
                edit.apply(&Op::Write { ino, offset: 0, data, kill_priv: false, time })?;
            }
            Ok(())
        });
        written.expect("it writes");
    }
}

fn name_of(bytes: &[u8]) -> Name {
    Name::new(bytes).expect("a name")
}

/// Bytes without a pattern that take a quarter of their length when they are compressed, and of
/// which the last is not zero.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 4);
    bytes
}

/// A list of five entries, as xattrs have it: version 2, and (tag, permissions, id) for each.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 7, 12), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}
